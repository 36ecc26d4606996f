import type { LockPolicy, SharedCounters } from '../../cluster/counters.ts';
import { addressNetwork } from '../../platform/client-address.ts';
import type { Config } from '../../platform/config.ts';
import { AppError, Code, resourceExhausted } from '../../platform/errors.ts';

/**
 * Stops those who guess passwords, per account and per address network, over all nodes together. A wrong guess is a
 * sign-in that fails with UNAUTHENTICATED or NOT_FOUND: an account that there is not locks like one that there is.
 * Whoever is locked out gets RESOURCE_EXHAUSTED before any password is hashed, the right one too.
 *
 * The bound: of one account, and from one network, never more guesses fail within the window than the limit allows,
 * however many come at once and on however many nodes. A guess counts from its start until it ends, so that guesses
 * under way cannot overrun the limit; right ones are taken back and lock nobody out. While Redis is away the bound
 * holds per node (`FallbackCounters`).
 */
export class LoginGuard {
  readonly #counters: SharedCounters;
  readonly #account: LockPolicy | null;
  readonly #address: LockPolicy | null;

  constructor(counters: SharedCounters, limits: Config['limits']) {
    this.#counters = counters;
    this.#account = policy(
      limits.login_account_failures,
      limits.login_account_window_sec,
      limits.login_account_lock_sec,
    );
    this.#address = policy(
      limits.login_address_failures,
      limits.login_address_window_sec,
      limits.login_address_lock_sec,
    );
  }

  /** A sign-in from there, on whichever account. All whose address is unknown count as one. */
  async fromAddress<T>(clientAddress: string, signIn: () => Promise<T>): Promise<T> {
    return this.#guess(`login:address:${addressNetwork(clientAddress)}`, this.#address, signIn);
  }

  /** A sign-in on an account that there is. The right password forgives the account's wrong ones. */
  async onAccount<T>(userId: string, signIn: () => Promise<T>): Promise<T> {
    const result = await this.#guess(accountKey(userId), this.#account, signIn);
    await this.forget(userId);
    return result;
  }

  /** Forgives the account's wrong passwords. */
  async forget(userId: string): Promise<void> {
    if (this.#account !== null) await this.#counters.reset(accountKey(userId));
  }

  /** A sign-in with what belongs to nobody, in the spelling by which accounts are found. */
  async onUnknown<T>(kind: 'email' | 'username', identifier: string, signIn: () => Promise<T>): Promise<T> {
    return this.#guess(`login:${kind}:${identifier}`, this.#account, signIn);
  }

  async #guess<T>(key: string, policy: LockPolicy | null, signIn: () => Promise<T>): Promise<T> {
    if (policy === null) return signIn();
    const attempt = await this.#counters.attempt(key, policy);
    if (attempt === null) throw resourceExhausted('Try again later.');
    let failed = false;
    try {
      return await signIn();
    } catch (error) {
      failed = isWrongGuess(error);
      throw error;
    } finally {
      await (failed ? attempt.failed() : attempt.released());
    }
  }
}

const accountKey = (userId: string): string => `login:account:${userId}`;

/** Longer than any sign-in: a password check waits behind `limits.password_checks_queued` others, about a minute. */
const attemptMs = 120_000;

/** Null when the limit is turned off. */
function policy(limit: number, windowSec: number, lockSec: number): LockPolicy | null {
  return limit === 0 ? null : { limit, windowMs: windowSec * 1000, lockMs: lockSec * 1000, attemptMs };
}

function isWrongGuess(error: unknown): boolean {
  return error instanceof AppError && (error.code === Code.UNAUTHENTICATED || error.code === Code.NOT_FOUND);
}
