import { invalidArgument } from '../../platform/errors.ts';
import { isNil, parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import type { FriendChanges, FriendProvider } from './changes.ts';
import type { FriendItem, FriendListRequest, FriendLists, FriendOfFriendItem, ListRequest, Page } from './listing.ts';
import { findBlock, replaceMetadata } from './queries.ts';
import { type Actor, maxTargets, type Targets } from './targets.ts';
import { changeWordsForServer, listsForServer } from './words.ts';

/**
 * Friends as game code, the console and other features work with them, in the name of any user (spec: social.md,
 * sections 1.3 to 1.9). Failures that say more than "it did not work" are INVALID_ARGUMENT, and NOT_FOUND for an actor
 * that does not exist.
 */
export class Friends {
  readonly #db: Database;
  readonly #changes: FriendChanges;
  readonly #lists: FriendLists;

  constructor(db: Database, changes: FriendChanges, lists: FriendLists) {
    this.#db = db;
    this.#changes = changes;
    this.#lists = lists;
  }

  /**
   * Invites users, and accepts the invites of those who sent one. They are notified.
   * @param metadata text of a JSON object for the actor's own edges, '' for none
   */
  async add(actor: Actor, targets: Targets, metadata = ''): Promise<void> {
    checkActor(actor);
    if (metadata !== '' && !isJsonObject(metadata)) throw invalidArgument(noObject);
    await this.#changes.add(actor, targets, metadata, changeWordsForServer.add);
  }

  /** Ends friendships, takes back and rejects invites (they are notified), and lifts the actor's own blocks. */
  async delete(actor: Actor, targets: Targets): Promise<void> {
    checkActor(actor);
    await this.#changes.delete(actor, targets, changeWordsForServer.delete);
  }

  /** Blocks users, whatever they were before, and ends their direct messages with the actor. Nobody is told. */
  async block(actor: Actor, targets: Targets): Promise<void> {
    checkActor(actor);
    await this.#changes.block(actor, targets, changeWordsForServer.block);
  }

  /**
   * Makes friends of the actor and of those who have these ids at the provider, unless one of the two has blocked the
   * other; who was no friend before is notified. Unknown ids are ignored. All of it is one transaction.
   * @param options `reset` ends all friendships and invites of the actor before, and tells nobody
   */
  async importFriends(
    actor: Actor,
    provider: FriendProvider,
    providerIds: readonly string[],
    options: { readonly reset?: boolean | undefined } = {},
  ): Promise<void> {
    await this.#changes.importFriends(actor, provider, providerIds, options);
  }

  /** A page of the user's friends, invites and blocks; see `FriendLists.friends`. */
  async list(userId: string, request: FriendListRequest): Promise<Page<FriendItem>> {
    return this.#lists.friends(userId, request, listsForServer);
  }

  /** A page of the user's friends' friends; see `FriendLists.friendsOfFriends`. */
  async friendsOfFriends(userId: string, request: ListRequest): Promise<Page<FriendOfFriendItem>> {
    return this.#lists.friendsOfFriends(userId, request, listsForServer);
  }

  /** What the user has to do with each of these, in no particular order; strangers are left out. */
  async friendStatus(userId: string, otherIds: readonly string[]): Promise<FriendItem[]> {
    if (otherIds.length > maxTargets) throw invalidArgument(`Too many users, at most ${maxTargets} at once.`);
    const ids = otherIds.map((text) => {
      const id = parseUuid(text);
      if (id === null) throw invalidArgument(changeWordsForServer.add.badId(text));
      return id;
    });
    return this.#lists.status(userId, [...new Set(ids)]);
  }

  /** Has this user blocked the other one? */
  async hasBlocked(userId: string, otherId: string): Promise<boolean> {
    return (await this.#db.query(findBlock, [userId, otherId])).length > 0;
  }

  /**
   * Replaces what the user has noted with somebody; without anything between the two nothing happens.
   * @param metadata text of a JSON object; null for an empty one
   */
  async updateMetadata(userId: string, otherId: string, metadata: string | null): Promise<void> {
    if (metadata !== null && !isJsonObject(metadata)) throw invalidArgument(noObject);
    await this.#db.execute(replaceMetadata, [userId, otherId, metadata ?? '{}']);
  }
}

const noObject = 'expects metadata to be an object';

function checkActor({ id }: Actor): void {
  if (parseUuid(id) !== id || isNil(id)) throw invalidArgument(changeWordsForServer.add.badId(id));
}
