import { addressNetwork } from '../platform/client-address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { type AppError, resourceExhausted } from '../platform/errors.ts';
import { TokenBuckets } from '../platform/token-bucket.ts';
import type { ApiMethod, Rate } from '../wire/method.ts';
import type { SocketSession } from '../wire/session.ts';

export type LimitScope = 'session' | 'user' | 'address' | 'method';

/** Token buckets for every call: per socket, user, client address, and method where the method says so. */
export class CallLimits {
  readonly #buckets: Record<LimitScope, TokenBuckets>;
  readonly #rates: Record<'session' | 'user' | 'address', Rate>;
  readonly #rejected: (scope: LimitScope) => void;

  constructor({ limits }: Config, clock: Clock, rejected: (scope: LimitScope) => void) {
    const buckets = (): TokenBuckets => new TokenBuckets(clock, limits.rate_buckets);
    this.#buckets = { session: buckets(), user: buckets(), address: buckets(), method: buckets() };
    this.#rates = {
      session: { perSecond: limits.session_calls_per_sec, burst: limits.session_calls_burst },
      user: { perSecond: limits.user_calls_per_sec, burst: limits.user_calls_burst },
      address: { perSecond: limits.address_calls_per_sec, burst: limits.address_calls_burst },
    };
    this.#rejected = rejected;
  }

  /** Before anything is known of the caller but its address. Throws RESOURCE_EXHAUSTED. */
  checkAddress(address: string): void {
    if (address !== '') this.#take('address', addressNetwork(address), this.#rates.address);
  }

  /** Once the user is known. Throws RESOURCE_EXHAUSTED. */
  checkUser(userId: string): void {
    this.#take('user', userId, this.#rates.user);
  }

  /** For every message of a socket. Throws RESOURCE_EXHAUSTED. */
  checkSession(session: SocketSession): void {
    this.#take('session', session.id, this.#rates.session);
  }

  /** For methods that cost much. Throws RESOURCE_EXHAUSTED. */
  checkMethod({ name, options }: ApiMethod, address: string): void {
    if (options.perAddress !== undefined)
      this.#take('method', `${name} ${addressNetwork(address)}`, options.perAddress);
  }

  #take(scope: LimitScope, key: string, rate: Rate): void {
    if (this.#buckets[scope].take(key, rate)) return;
    this.#rejected(scope);
    throw tooMany(scope);
  }
}

function tooMany(scope: LimitScope): AppError {
  return resourceExhausted(`Too many calls for this ${scope}.`);
}
