import type { SharedCounters } from '../cluster/counters.ts';
import type { Clock } from '../platform/clock.ts';
import { TokenBuckets } from '../platform/token-bucket.ts';
import type { Rate } from '../wire/method.ts';

interface Options {
  /** What the budgets of these callers are called among all nodes. */
  readonly name: string;
  readonly counters: SharedCounters;
  readonly clock: Clock;
  /** Budget of one caller over all nodes together. */
  readonly rate: Rate;
  /** Callers tracked at most. */
  readonly maxKeys: number;
  /** Told when the shared budget could not be asked for. */
  readonly failed: (error: unknown) => void;
}

/** The part of its budget that a caller has on each node without the others knowing. */
const freeShare = 1 / 16;
/** What is borrowed at a time; a whole token at least. */
const chunkShare = 1 / 16;

/** A caller that is beyond its free share. */
interface Borrower {
  isAsking: boolean;
  /** When it is worth asking again; monotonic milliseconds, as below. */
  askAt: number;
  /** No credit before. The shared budget had nothing left when it was asked last; by then it can be whole again. */
  creditAt: number;
}

/**
 * Budgets that callers have once for all nodes, without a call ever waiting for another node. Each node has a bucket
 * of its own per caller. A small share of the budget is free there, and who stays within it is never heard of by
 * Redis. Whoever goes beyond is let through on credit, and the node pays for it from the caller's shared bucket, chunk
 * by chunk, while calls go on. Once that bucket has nothing left, the caller has its free share alone until the debt
 * is paid, or until it was quiet for as long as a budget takes to fill up; the shared bucket is asked again by the
 * calls that come, as soon as it can have earned a chunk.
 *
 * The bound: in any time, N nodes together let a caller make the calls of one budget, and N/16 of one for the free
 * shares, and what was on credit when the budget ran out: that is what came within one round trip to Redis, and never
 * more than one burst per node. Without Redis each node gives a whole budget (`FallbackCounters`).
 */
export class BorrowingBuckets {
  readonly #buckets: TokenBuckets;
  readonly #borrowers = new Map<string, Borrower>();
  readonly #options: Options;
  /** What needs no borrowing. */
  readonly #free: Rate;
  /** With credit: fills up as slowly, and is as deep as the whole budget. */
  readonly #credit: Rate;
  readonly #chunk: number;

  constructor(options: Options) {
    const { perSecond, burst } = options.rate;
    this.#options = options;
    this.#buckets = new TokenBuckets(options.clock, options.maxKeys);
    this.#free = { perSecond: perSecond * freeShare, burst: burst * freeShare };
    this.#credit = { perSecond: perSecond * freeShare, burst };
    this.#chunk = Math.max(1, burst * chunkShare);
  }

  /** Takes one token of the caller's budget, or answers false when nothing is left of it. */
  take(key: string): boolean {
    return this.#buckets.take(key, this.#free) || this.#takeOnCredit(key);
  }

  #takeOnCredit(key: string): boolean {
    const borrower = this.#borrower(key);
    const now = this.#options.clock.monotonic();
    const taken = now >= borrower.creditAt && this.#buckets.take(key, this.#credit);
    if (!borrower.isAsking && now >= borrower.askAt) void this.#pay(key, borrower);
    return taken;
  }

  #borrower(key: string): Borrower {
    const known = this.#borrowers.get(key);
    if (known !== undefined) return known;
    // The debt of the one that is forgotten stays, in its bucket.
    const [oldest = ''] = this.#borrowers.keys();
    if (this.#borrowers.size >= this.#options.maxKeys) this.#borrowers.delete(oldest);
    const borrower = { isAsking: false, askAt: Number.NEGATIVE_INFINITY, creditAt: Number.NEGATIVE_INFINITY };
    this.#borrowers.set(key, borrower);
    return borrower;
  }

  /** Pays until the debt is gone, or the shared budget is. */
  async #pay(key: string, borrower: Borrower): Promise<void> {
    borrower.isAsking = true;
    while (this.#isInDebt(key)) {
      if (!(await this.#borrow(key))) {
        const { clock, rate } = this.#options;
        const now = clock.monotonic();
        borrower.askAt = now + (this.#chunk * 1000) / rate.perSecond;
        borrower.creditAt = now + (rate.burst * 1000) / rate.perSecond;
        borrower.isAsking = false;
        return;
      }
      this.#buckets.take(key, this.#credit, -this.#chunk);
    }
    this.#borrowers.delete(key);
  }

  async #borrow(key: string): Promise<boolean> {
    const { name, counters, rate, failed } = this.#options;
    try {
      return await counters.take(`${name}:${key}`, rate, this.#chunk);
    } catch (error) {
      failed(error);
      return false;
    }
  }

  #isInDebt(key: string): boolean {
    return !this.#buckets.take(key, this.#free, 0);
  }
}
