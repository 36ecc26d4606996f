import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import { Semaphore } from '../../platform/semaphore.ts';
import { providerLabel } from '../accounts/index.ts';
import type { Actor, Friends } from '../friends/index.ts';
import { type FriendSource, type Providers, verified } from './providers/index.ts';

interface Dependencies {
  readonly providers: Pick<Providers, 'facebook' | 'steam'>;
  readonly friends: Pick<Friends, 'importFriends'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Imports in the background that are under way, and that may wait. */
  readonly concurrent: number;
  readonly queued: number;
}

/** How long a provider may take over all pages of one player's friends. */
const importMs = 30_000;
/** Friends who are taken over at once; the providers allow fewer. */
const maxFriends = 10_000;

/** Takes friends over from providers (spec: http-auth-accounts.md, section 3.7; social.md, section 1.8). */
export class FriendImports {
  readonly #deps: Dependencies;
  readonly #slots: Semaphore;
  readonly #background = new Set<Promise<void>>();
  #isClosed = false;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#slots = new Semaphore(deps.concurrent, deps.queued, 'too many friend imports');
  }

  /** In the background, since no login waits for it; failures are logged. */
  later(actor: Actor, source: FriendSource | null): void {
    if (source === null || this.#isClosed) return;
    const { provider } = source;
    const work = this.#slots
      .run(() => (this.#isClosed ? undefined : this.now(actor, source, false)))
      .catch((error) => this.#deps.log.warn({ err: error, userId: actor.id, provider }, 'could not import friends'))
      .finally(() => this.#background.delete(work));
    this.#background.add(work);
  }

  /**
   * Throws UNAUTHENTICATED when the provider does not tell, INTERNAL when its friends cannot be stored.
   * @param reset ends the friendships and invites that there are.
   */
  async now(actor: Actor, source: FriendSource, reset: boolean): Promise<void> {
    const { provider } = source;
    const ids = await verified(providerLabel(provider), this.#deps.log, () => this.#friendIds(source));
    await this.#deps.friends.importFriends(actor, provider, ids, { reset });
  }

  /** Begins no more; resolves when those under way have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#background);
  }

  async #friendIds(source: FriendSource): Promise<string[]> {
    const { providers, clock } = this.#deps;
    const deadline = clock.monotonic() + importMs;
    const pages =
      source.provider === 'facebook'
        ? providers.facebook.friendIds(source.token, deadline)
        : providers.steam.friendIds(source.steamId, deadline);
    const ids: string[] = [];
    for await (const page of pages) {
      if (this.#isClosed) throw new Error('the server stops');
      ids.push(...page.slice(0, maxFriends - ids.length));
      if (ids.length >= maxFriends) break;
    }
    return ids;
  }
}
