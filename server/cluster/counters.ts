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
}

export interface Lock {
  readonly locked: boolean;
  /** Unix milliseconds when the lock ends; set when locked. */
  readonly until?: number;
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
   * Counts a failure. While the key is locked a failure changes nothing; after the lock counting begins anew.
   * INVALID_ARGUMENT when the policy makes no sense (a limit outside 1-`maxLockFailures`, a time that is not positive).
   */
  fail(key: string, policy: LockPolicy): Promise<Lock>;

  isLocked(key: string): Promise<boolean>;

  /** Forgets failures and lock of the key (not what was taken from its bucket). */
  reset(key: string): Promise<void>;
}

/** The highest `limit` of a lock policy. */
export const maxLockFailures = 1000;
