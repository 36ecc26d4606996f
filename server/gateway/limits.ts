import type { Logger } from 'pino';
import type { SharedCounters } from '../cluster/counters.ts';
import { addressNetwork } from '../platform/client-address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { type AppError, resourceExhausted } from '../platform/errors.ts';
import { TokenBuckets } from '../platform/token-bucket.ts';
import type { ApiMethod, Rate } from '../wire/method.ts';
import type { SocketSession } from '../wire/session.ts';
import { BorrowingBuckets } from './limits-borrowing.ts';

export type LimitScope = 'session' | 'user' | 'address' | 'method';

interface Dependencies {
  readonly config: Config;
  readonly clock: Clock;
  /** What limits hold by over all nodes; missing on a node that is alone. */
  readonly counters?: SharedCounters;
  readonly rejected: (scope: LimitScope) => void;
  readonly log: Logger;
}

/** Takes one token of the caller's budget; false when there is none. */
type Take = (key: string) => boolean;

/**
 * Token buckets for every call: per socket, user, client address, and method where the method says so. A socket is on
 * one node; the other limits hold over all nodes together. Users and addresses borrow their budgets from the shared
 * counters (`BorrowingBuckets`, which says how far that may overshoot), so that checking them stays synchronous and
 * costs nothing. Methods with a limit of their own cost much: each call that the node's bucket lets pass waits for the
 * shared bucket, whose bound is exact. While Redis is away each node gives whole budgets.
 */
export class CallLimits {
  readonly #takeOfUser: Take;
  readonly #takeOfAddress: Take;
  readonly #sessions: TokenBuckets;
  readonly #sessionRate: Rate;
  readonly #methods: TokenBuckets;
  readonly #counters: SharedCounters | undefined;
  readonly #rejected: (scope: LimitScope) => void;

  constructor(dependencies: Dependencies) {
    const { config, clock, counters, rejected } = dependencies;
    const { limits } = config;
    this.#takeOfUser = budget(dependencies, 'user', {
      perSecond: limits.user_calls_per_sec,
      burst: limits.user_calls_burst,
    });
    this.#takeOfAddress = budget(dependencies, 'address', {
      perSecond: limits.address_calls_per_sec,
      burst: limits.address_calls_burst,
    });
    this.#sessions = new TokenBuckets(clock, limits.rate_buckets);
    this.#sessionRate = { perSecond: limits.session_calls_per_sec, burst: limits.session_calls_burst };
    this.#methods = new TokenBuckets(clock, limits.rate_buckets);
    this.#counters = counters;
    this.#rejected = rejected;
  }

  /** Before anything is known of the caller but its address. Throws RESOURCE_EXHAUSTED. */
  checkAddress(address: string): void {
    if (address !== '' && !this.#takeOfAddress(addressNetwork(address))) throw this.#tooMany('address');
  }

  /** Once the user is known. Throws RESOURCE_EXHAUSTED. */
  checkUser(userId: string): void {
    if (!this.#takeOfUser(userId)) throw this.#tooMany('user');
  }

  /** For every message of a socket. Throws RESOURCE_EXHAUSTED. */
  checkSession(session: SocketSession): void {
    if (!this.#sessions.take(session.id, this.#sessionRate)) throw this.#tooMany('session');
  }

  /** For a method that says `perAddress`. Rejects with RESOURCE_EXHAUSTED. */
  async checkMethod({ name }: ApiMethod, perAddress: Rate, address: string): Promise<void> {
    const key = `${name} ${addressNetwork(address)}`;
    const passed =
      this.#methods.take(key, perAddress) &&
      (this.#counters === undefined || (await this.#counters.take(`calls:method:${key}`, perAddress)));
    if (!passed) throw this.#tooMany('method');
  }

  #tooMany(scope: LimitScope): AppError {
    this.#rejected(scope);
    return resourceExhausted(`Too many calls for this ${scope}.`);
  }
}

function budget({ config, clock, counters, log }: Dependencies, scope: LimitScope, rate: Rate): Take {
  const maxKeys = config.limits.rate_buckets;
  if (counters === undefined) {
    const buckets = new TokenBuckets(clock, maxKeys);
    return (key) => buckets.take(key, rate);
  }
  const failed = (error: unknown): void => log.error({ err: error, scope }, 'could not ask for the shared budget');
  const buckets = new BorrowingBuckets({ name: `calls:${scope}`, counters, clock, rate, maxKeys, failed });
  return (key) => buckets.take(key);
}
