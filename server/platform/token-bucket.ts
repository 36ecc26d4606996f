import type { Clock } from './clock.ts';

/** Sustained takes per second, and how many may come at once. */
export interface BucketRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** How many buckets are looked at, in turn, whenever a new one is made. */
const sweepSize = 8;

/**
 * Token buckets by key, at most `maxKeys` of them. A bucket is one number: the time at which it is full again. Full
 * buckets say nothing and are forgotten first; when none is found, the one of those looked at that is nearest to full
 * makes room, so a flood of new keys does not give a throttled caller its tokens back.
 */
export class TokenBuckets {
  readonly #clock: Clock;
  readonly #maxKeys: number;
  readonly #fullAt = new Map<string, number>();
  #sweep: Iterator<[string, number]>;

  constructor(clock: Clock, maxKeys: number) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
    this.#sweep = this.#fullAt.entries();
  }

  /** Keys tracked at the moment. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes `cost` tokens from the key's bucket, or none and answers false when it holds fewer. */
  take(key: string, { perSecond, burst }: BucketRate, cost = 1): boolean {
    const now = this.#clock.monotonic();
    const known = this.#fullAt.get(key);
    const fullAt = Math.max(known ?? now, now) + (cost * 1000) / perSecond;
    // The small allowance is for rounding; without it a burst of exactly `burst` could fail.
    if (((fullAt - now) * perSecond) / 1000 > burst + 1e-6) return false;
    if (known === undefined) this.#makeRoom(now);
    this.#fullAt.set(key, fullAt);
    return true;
  }

  #makeRoom(now: number): void {
    let nearest: string | undefined;
    let nearestAt = Number.POSITIVE_INFINITY;
    for (let i = 0; i < sweepSize && this.#fullAt.size > 0; i++) {
      const entry = this.#next();
      if (entry === undefined) break;
      const [key, fullAt] = entry;
      if (fullAt <= now) this.#fullAt.delete(key);
      else if (fullAt < nearestAt) {
        nearest = key;
        nearestAt = fullAt;
      }
    }
    if (this.#fullAt.size >= this.#maxKeys && nearest !== undefined) this.#fullAt.delete(nearest);
  }

  /** The next bucket in turn, starting over at the end. */
  #next(): [string, number] | undefined {
    const next = this.#sweep.next();
    if (!next.done) return next.value;
    this.#sweep = this.#fullAt.entries();
    const first = this.#sweep.next();
    return first.done ? undefined : first.value;
  }
}
