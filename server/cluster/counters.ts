import { invalidArgument } from '../platform/errors.ts';

/** A token bucket: `burst` at once, then `perSecond`. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** `limit` failures within any `windowMs` lock the key for `lockMs`. */
export interface LockPolicy {
  readonly limit: number;
  readonly windowMs: number;
  readonly lockMs: number;
  /** How long an attempt may be under way; one that is not settled by then is forgotten, since its node has died. */
  readonly attemptMs: number;
}

/** Leave to try once what may fail only so often. Whoever has it settles it, once, by one of the two. */
export interface Attempt {
  /** It has failed, and counts. */
  failed(): Promise<void>;
  /** It has not failed, or never came to it. */
  released(): Promise<void>;
}

/**
 * Limits that hold over all nodes together, not per node. Counts are exact while the shared state lives; they may be
 * forgotten when it is lost, or when there are more keys than it holds (then the least recently used, unlocked keys
 * first). Keys are in no way related: one for an account and one for an address are two keys. Everything rejects with
 * UNAVAILABLE when the shared state is out of reach: the caller decides whether to let pass.
 */
export interface SharedCounters {
  /**
   * Takes `cost` tokens (default 1), all or none; false when there are not enough. A key starts with a full bucket.
   * INVALID_ARGUMENT when the cost could never be paid, is negative, or the rate is not positive.
   */
  take(key: string, rate: Rate, cost?: number): Promise<boolean>;

  /**
   * Asks leave for one attempt; null while the key is locked, and while as many attempts are under way as could still
   * fail. The failure that reaches the limit locks the key; after the lock counting begins anew. So never more than
   * `limit` attempts fail within any `windowMs` (or `lockMs`, if that is shorter), however many are asked for at once
   * and on however many nodes.
   * INVALID_ARGUMENT when the policy makes no sense (a limit outside 1-`maxLockFailures`, a time that is not positive).
   */
  attempt(key: string, policy: LockPolicy): Promise<Attempt | null>;

  /** Forgets failures and lock of the key (not attempts that are under way, nor what was taken from its bucket). */
  reset(key: string): Promise<void>;
}

/** The highest `limit` of a lock policy. */
export const maxLockFailures = 1000;

/** Throws INVALID_ARGUMENT when such a cost can never be taken at that rate. */
export function checkTake({ perSecond, burst }: Rate, cost: number): void {
  if (!(positive(perSecond) && positive(burst))) throw invalidArgument('rate must be positive');
  if (!(cost >= 0 && cost <= burst)) throw invalidArgument('cost must be between 0 and the burst');
}

/** Throws INVALID_ARGUMENT when the policy makes no sense. */
export function checkPolicy({ limit, windowMs, lockMs, attemptMs }: LockPolicy): void {
  const countable = Number.isInteger(limit) && limit >= 1 && limit <= maxLockFailures;
  if (!countable || ![windowMs, lockMs, attemptMs].every(positive)) throw invalidArgument('lock policy makes no sense');
}

const positive = (value: number): boolean => Number.isFinite(value) && value > 0;
