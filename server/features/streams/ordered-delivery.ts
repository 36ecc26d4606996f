import type { Logger } from 'pino';
import type { StreamPosition } from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Semaphore } from '../../platform/semaphore.ts';
import { within } from '../../platform/within.ts';
import { HeldMessages } from './held-messages.ts';
import { SkippedPlaces } from './skipped-places.ts';

/** A message as it is stored. */
export interface Fetched<T> {
  /** That of its position. */
  readonly time: bigint;
  readonly message: T;
}

/** Where a stream's messages are stored before anybody hears of them. */
export interface OrderSource<T> {
  /** The last place given out; everything up to it is stored. */
  head(): Promise<StreamPosition>;
  /** The newest `limit` messages with after < time <= upTo, oldest first. */
  between(after: bigint, upTo: bigint, limit: number): Promise<Fetched<T>[]>;
}

export interface OrderLimits {
  /** How long a message that came too early waits before the missing ones are fetched. */
  readonly holdMs: number;
  /** Messages of one stream that may wait; beyond that the missing ones are fetched at once. */
  readonly maxHeld: number;
  readonly maxHeldBytes: number;
  /** Messages fetched at a time; older ones that were missed as well are left to history. */
  readonly maxFetched: number;
  /** How often the missing ones are asked for in vain, before the others go on without them. */
  readonly maxTries: number;
}

export const orderLimits: OrderLimits = {
  holdMs: 500,
  maxHeld: 1000,
  maxHeldBytes: 4 * 1024 * 1024,
  maxFetched: 1000,
  maxTries: 5,
};

interface Dependencies<T> {
  /** For the log. */
  readonly name: string;
  readonly source: OrderSource<T>;
  readonly deliver: (message: T) => void;
  /** Shared by all streams: how many fetch at a time. */
  readonly fetching: Semaphore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: OrderLimits;
}

/**
 * Hands the messages of one stream to this node's listeners in the order of their places, each once, however they
 * arrive. One that is early waits for those before it; what does not come is fetched from where it is stored. Notices
 * that are not stored (a change, a removal) have places as well, but cannot be fetched: one that is later than others
 * wait for it is delivered when it comes, out of order, and one that is lost stays lost.
 */
export class OrderedDelivery<T> {
  readonly #deps: Dependencies<T>;
  readonly #held: HeldMessages<T>;
  readonly #skipped = new SkippedPlaces();
  /** Listeners have heard everything up to here that they will hear; undefined until the first place is known. */
  #last: StreamPosition | undefined;
  #hasBegun = false;
  /** The source may have come further than anybody has told. */
  #isBehind = false;
  #isFetching = false;
  #failures = 0;
  #retryAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #waiting: { readonly time: bigint; readonly resolve: () => void }[] = [];
  #isClosed = false;

  constructor(deps: Dependencies<T>) {
    this.#deps = deps;
    this.#held = new HeldMessages(deps.limits.maxHeld, deps.limits.maxHeldBytes);
  }

  /**
   * Lets listeners hear what comes after the source's present head. To be called once messages arrive here; until it
   * resolves they wait. When the source is out of reach the first message to arrive is where listeners begin.
   */
  async begin(): Promise<void> {
    let head: StreamPosition | undefined;
    const looked = this.#deps.source.head().then((found) => {
      head = found;
    });
    await within(this.#deps.limits.holdMs, looked).catch((error) => this.#warn(error, 'could not look up its head'));
    this.#last = head;
    this.#hasBegun = true;
    this.#release();
  }

  /** A message arrived: it is delivered before this returns, or when its turn comes, or was delivered before. */
  take(position: StreamPosition, message: T, bytes: number): void {
    if (this.#isClosed) return;
    if (this.#last !== undefined && isNext(this.#last, position)) {
      this.#last = position;
      this.#deps.deliver(message);
      if (this.#held.size > 0) this.#release();
    } else if (this.#last === undefined || position.time > this.#last.time) {
      this.#hold(position, message, bytes);
    } else if (this.#skipped.take(position)) {
      this.#deps.deliver(message);
    }
  }

  /** The stream has come so far: what is not here by then will have to be fetched. */
  expect(position: StreamPosition): void {
    if (this.#isClosed) return;
    this.#hold(position, undefined, 0);
  }

  /** Messages may have been lost: finds out how far the stream has come. */
  catchUp(): void {
    this.#isBehind = true;
    this.#arm();
  }

  /** Resolves when listeners have heard what is at that place; undefined when they have already. */
  passed({ time }: StreamPosition): Promise<void> | undefined {
    if (this.#isClosed || (this.#last !== undefined && time <= this.#last.time)) return undefined;
    return new Promise((resolve) => this.#waiting.push({ time, resolve }));
  }

  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
    this.#held.clear();
    this.#answerWaiting();
  }

  #hold(position: StreamPosition, message: T | undefined, bytes: number): void {
    if (this.#last !== undefined && position.time <= this.#last.time) return;
    this.#held.add({ position, message, bytes, since: this.#deps.clock.monotonic() });
    this.#release();
  }

  // Delivers whatever has its turn.
  #release(): void {
    if (!this.#hasBegun || this.#isClosed) return;
    for (let next = this.#held.first; next !== undefined; next = this.#held.first) {
      const { position, message } = next;
      this.#last ??= message === undefined ? position : placeBefore(position);
      if (position.time > this.#last.time) {
        if (message === undefined || !isNext(this.#last, position)) break;
        this.#last = position;
        this.#deps.deliver(message);
      }
      this.#held.shift();
    }
    if (this.#held.size === 0) this.#stopTimer();
    this.#answerWaiting();
    this.#arm();
  }

  // Sees to it that the missing ones are fetched when they are due.
  #arm(): void {
    if (!this.#hasBegun || this.#isFetching || this.#isClosed) return;
    const isUrgent = this.#isBehind || this.#held.isFull;
    if (!isUrgent && (this.#held.size === 0 || this.#timer !== undefined)) return;
    const due = isUrgent ? 0 : this.#held.oldest + this.#deps.limits.holdMs;
    const wait = Math.max(due, this.#retryAt) - this.#deps.clock.monotonic();
    if (wait <= 0) {
      this.#stopTimer();
      void this.#fetch();
      return;
    }
    this.#timer ??= setTimeout(() => {
      // What arrived while this node was busy is read first.
      setImmediate(() => {
        this.#timer = undefined;
        this.#arm();
      });
    }, wait);
  }

  async #fetch(): Promise<void> {
    this.#isFetching = true;
    try {
      await this.#deps.fetching.run(() => (this.#isBehind ? this.#fetchHead() : this.#fetchMissing()));
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
    }
    this.#isFetching = false;
    this.#release();
  }

  // What is under way gets its time to arrive before it is fetched: the place found here waits like a message.
  async #fetchHead(): Promise<void> {
    this.#isBehind = false;
    try {
      this.#hold(await this.#deps.source.head(), undefined, 0);
    } catch (error) {
      this.#isBehind = true;
      throw error;
    }
  }

  async #fetchMissing(): Promise<void> {
    const target = this.#target();
    const { source, limits } = this.#deps;
    if (target === undefined || this.#last === undefined || this.#isClosed) return;
    const missing = await source.between(this.#last.time, target.time, limits.maxFetched);
    if (missing.length >= limits.maxFetched) this.#warn(undefined, 'missed more messages than are fetched');
    this.#deliverUpTo(target, missing);
  }

  #failed(error: unknown): void {
    const { clock, limits } = this.#deps;
    if (++this.#failures < limits.maxTries) {
      this.#retryAt = clock.monotonic() + limits.holdMs;
      return;
    }
    this.#failures = 0;
    this.#warn(error, 'goes on without messages that could not be fetched');
    const target = this.#target();
    if (this.#isBehind) this.#isBehind = false;
    else if (target !== undefined) this.#deliverUpTo(target, []);
  }

  // Everything before this place has been missed for long enough.
  #target(): StreamPosition | undefined {
    const holdMs = this.#held.isFull ? 0 : this.#deps.limits.holdMs;
    return this.#held.lastDue(this.#deps.clock.monotonic(), holdMs);
  }

  #deliverUpTo(target: StreamPosition, fetched: readonly Fetched<T>[]): void {
    const last = this.#last;
    // They may have come by themselves meanwhile.
    if (this.#isClosed || last === undefined || target.time <= last.time) return;
    const held = this.#held.takeUpTo(target.time).flatMap(({ position: { time }, message }) => {
      return message === undefined ? [] : [{ time, message }];
    });
    const byTime = new Map<bigint, T>();
    for (const { time, message } of [...fetched, ...held]) if (time > last.time) byTime.set(time, message);
    const times = [...byTime.keys()].sort((a, b) => (a < b ? -1 : 1));
    this.#last = target;
    this.#skipped.add(last, target, times);
    for (const time of times) this.#deps.deliver(byTime.get(time) as T);
  }

  #answerWaiting(): void {
    if (this.#waiting.length === 0) return;
    const isOver = (time: bigint): boolean => this.#isClosed || (this.#last !== undefined && time <= this.#last.time);
    const over = this.#waiting.filter(({ time }) => isOver(time));
    this.#waiting = this.#waiting.filter(({ time }) => !isOver(time));
    for (const { resolve } of over) resolve();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #warn(error: unknown, what: string): void {
    this.#deps.log.warn({ err: error, stream: this.#deps.name }, `ordered stream ${what}`);
  }
}

// The time decides what is old: sequences begin anew when the store is set back or tidied up.
const isNext = (last: StreamPosition, { sequence, time }: StreamPosition): boolean =>
  sequence === last.sequence + 1n && time > last.time;

const placeBefore = ({ sequence, time }: StreamPosition): StreamPosition => ({
  sequence: sequence - 1n,
  time: time - 1n,
});
