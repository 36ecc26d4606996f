import type { StreamPosition } from '../../cluster/stream-frame.ts';

/** A message that came before its turn, or only the news that there is one. */
export interface Held<T> {
  readonly position: StreamPosition;
  /** Undefined when only its place is known. */
  readonly message: T | undefined;
  readonly bytes: number;
  /** Monotonic milliseconds: since when everything before it has been missed. */
  readonly since: number;
}

/** Messages of one stream that wait for others, in the order of their places: so many, so many bytes. */
export class HeldMessages<T> {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #items: Held<T>[] = [];
  #bytes = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#items.length;
  }

  get isFull(): boolean {
    return this.#items.length >= this.#maxCount || this.#bytes >= this.#maxBytes;
  }

  get first(): Held<T> | undefined {
    return this.#items[0];
  }

  /** Since when the one that waits longest has waited; there must be one. */
  get oldest(): number {
    return this.#items.reduce((oldest, { since }) => Math.min(oldest, since), Number.POSITIVE_INFINITY);
  }

  /** Of a message that does not fit only the place is kept: it can be fetched. A second copy changes nothing. */
  add(held: Held<T>): void {
    const at = this.#placeOf(held.position.time);
    const there = this.#items[at];
    if (there?.position.time === held.position.time) {
      if (there.message === undefined) this.#put(at, 1, { ...held, since: there.since });
    } else if (!this.isFull) {
      this.#put(at, 0, held);
    } else if (at === this.#items.length) {
      // One place stands for all before it.
      const last = this.#items.at(-1);
      const place = { ...held, message: undefined, bytes: 0, since: last?.since ?? held.since };
      this.#put(last?.message === undefined ? at - 1 : at, 1, place);
    }
  }

  shift(): void {
    this.#bytes -= this.#items.shift()?.bytes ?? 0;
  }

  /** Takes out everything up to that time. */
  takeUpTo(time: bigint): Held<T>[] {
    const isBehind = this.#items.findIndex(({ position }) => position.time > time);
    const taken = this.#items.splice(0, isBehind < 0 ? this.#items.length : isBehind);
    for (const { bytes } of taken) this.#bytes -= bytes;
    return taken;
  }

  /** The last place of one that has waited so long. */
  lastDue(now: number, holdMs: number): StreamPosition | undefined {
    return this.#items.findLast(({ since }) => since + holdMs <= now)?.position;
  }

  clear(): void {
    this.#items.length = 0;
    this.#bytes = 0;
  }

  // They come nearly in order, hence from the end.
  #placeOf(time: bigint): number {
    let at = this.#items.length;
    for (let before = this.#items[at - 1]; before !== undefined && before.position.time >= time; ) {
      before = this.#items[--at - 1];
    }
    return at;
  }

  #put(at: number, replaced: number, held: Held<T>): void {
    for (const { bytes } of this.#items.splice(at, replaced, held)) this.#bytes -= bytes;
    this.#bytes += held.bytes;
  }
}
