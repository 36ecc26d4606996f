import { internalUnlessTransient, invalidArgument, notFound } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { Statement } from '../../store/sql.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { Accounts } from '../accounts/index.ts';
import type { Notifications } from '../notifications/index.ts';
import { directMessageStream, type Streams } from '../streams/index.ts';
import { EdgeChanges, lockAllPairs, lockPairs, type Notes, strangers } from './edges.ts';
import { noticeOf } from './notices.ts';
import { usersByFacebookId, usersBySteamId } from './queries.ts';
import { type Actor, maxTargets, resolveTargets, type Targets } from './targets.ts';
import { afterStep, FriendState, type News, stepOf } from './transitions.ts';
import type { ChangeVerb, ChangeWords } from './words.ts';

/** Where friends can be taken over from. */
export type FriendProvider = 'facebook' | 'steam';

const providers: Readonly<Record<FriendProvider, { find: Statement<{ id: string }>; failed: string }>> = {
  facebook: { find: usersByFacebookId, failed: 'Error importing Facebook friends.' },
  steam: { find: usersBySteamId, failed: 'Error importing Steam friends.' },
};

/** Direct-message streams that are closed at a time. */
const closeBatch = 50;

export interface ChangeDependencies {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly streams: Streams;
  readonly notifications: Notifications;
}

/** What a change came to. */
interface Outcome {
  readonly users: ReadonlySet<string>;
  readonly news: readonly (readonly [userId: string, news: News])[];
}

const noNotes: Notes = { own: null, other: null };

/**
 * Changes of who is whose friend (spec: social.md, sections 1.3 to 1.5 and 1.8). Each is one transaction over all its
 * targets; whoever it concerns is notified afterwards, as far as that goes.
 */
export class FriendChanges {
  readonly #deps: ChangeDependencies;

  constructor(deps: ChangeDependencies) {
    this.#deps = deps;
  }

  /**
   * Invites users, and accepts the invites of those who sent one; everybody else is left as they are.
   * @param metadata JSON for the actor's own edges, '' for none
   */
  async add(actor: Actor, targets: Targets, metadata: string, words: ChangeWords): Promise<void> {
    await this.#change('add', actor, targets, words, { own: metadata === '' ? null : metadata, other: null });
  }

  /** Ends friendships, takes back and rejects invites, and lifts the actor's own blocks. */
  async delete(actor: Actor, targets: Targets, words: ChangeWords): Promise<void> {
    await this.#change('delete', actor, targets, words, noNotes);
  }

  /**
   * Blocks users and closes the channels for direct messages with them. When those cannot be closed now the call fails
   * as UNAVAILABLE; the blocks stand, and blocking again closes the channels.
   */
  async block(actor: Actor, targets: Targets, words: ChangeWords): Promise<void> {
    const blocked = await this.#change('block', actor, targets, words, noNotes);
    for (let at = 0; at < blocked.length; at += closeBatch) {
      const batch = blocked.slice(at, at + closeBatch);
      await Promise.all(batch.map((id) => this.#deps.streams.empty(directMessageStream(actor.id, id))));
    }
  }

  /**
   * Makes friends of the actor and of those who have these ids at the provider, unless one of the two has blocked the
   * other. `reset` ends all other friendships and invites of the actor before, and tells nobody.
   */
  async importFriends(
    actor: Actor,
    provider: FriendProvider,
    providerIds: readonly string[],
    { reset = false }: { readonly reset?: boolean | undefined } = {},
  ): Promise<void> {
    if (providerIds.length > maxTargets) throw invalidArgument(`Too many users, at most ${maxTargets} at once.`);
    const { find, failed } = providers[provider];
    const { db, notifications } = this.#deps;
    try {
      const found = providerIds.length === 0 ? [] : await db.query(find, [providerIds]);
      const ids = found.map(({ id }) => id).filter((id) => id !== actor.id);
      if (ids.length === 0 && !reset) return;
      const joined = await db.transaction((tx) => importInto(tx, actor.id, ids, provider, reset));
      await notifications.sendBestEffort(joined.map((id) => noticeOf('joined', actor, id)));
    } catch (error) {
      throw internalUnlessTransient(error, failed);
    }
  }

  /** Answers the targets that exist. */
  async #change(
    verb: ChangeVerb,
    actor: Actor,
    targets: Targets,
    words: ChangeWords,
    notes: Notes,
  ): Promise<readonly string[]> {
    const { db, accounts, notifications } = this.#deps;
    const ids = await resolveTargets(accounts, actor, targets, words);
    if (ids.length === 0) return [];
    const { users, news } = await db
      .transaction((tx) => change(tx, verb, actor.id, ids, notes))
      .catch((error) => {
        throw internalUnlessTransient(error, words.failed);
      });
    if (!users.has(actor.id)) throw notFound('User account not found.');
    await notifications.sendBestEffort(news.map(([userId, what]) => noticeOf(what, actor, userId)));
    return ids.filter((id) => users.has(id));
  }
}

async function change(
  tx: Transaction,
  verb: ChangeVerb,
  userId: string,
  otherIds: readonly string[],
  notes: Notes,
): Promise<Outcome> {
  const { users, pairs } = await lockPairs(tx, userId, otherIds);
  const news: [string, News][] = [];
  if (!users.has(userId)) return { users, news };
  const changes = new EdgeChanges();
  for (const otherId of otherIds) {
    const step = users.has(otherId) ? stepOf(verb, pairs.get(otherId) ?? strangers) : undefined;
    if (step === undefined) continue;
    changes.add(userId, otherId, step, notes);
    if (step.news !== undefined) news.push([otherId, step.news]);
  }
  await changes.write(tx);
  return { users, news };
}

/** Answers who was no friend before. */
async function importInto(
  tx: Transaction,
  userId: string,
  otherIds: readonly string[],
  provider: FriendProvider,
  reset: boolean,
): Promise<string[]> {
  const { users, pairs } = reset ? await lockAllPairs(tx, userId, otherIds) : await lockPairs(tx, userId, otherIds);
  if (!users.has(userId)) return [];
  const changes = new EdgeChanges();
  const left = new Map(pairs);
  for (const [otherId, pair] of reset ? pairs : []) {
    const step = stepOf('reset', pair) ?? {};
    changes.add(userId, otherId, step, noNotes);
    left.set(otherId, afterStep(pair, step));
  }
  const metadata = JSON.stringify({ provider });
  const joined: string[] = [];
  for (const otherId of otherIds) {
    const step = users.has(otherId) ? stepOf('import', left.get(otherId) ?? strangers) : undefined;
    if (step === undefined) continue;
    changes.add(userId, otherId, step, { own: metadata, other: metadata });
    if (pairs.get(otherId)?.own !== FriendState.FRIEND) joined.push(otherId);
  }
  await changes.write(tx);
  return joined;
}
