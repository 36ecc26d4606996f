import type { PresenceTracker } from '../../cluster/presence.ts';
import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { onlineFlags, type UserRow } from '../accounts/index.ts';
import {
  type FriendOfFriendRow,
  type FriendRow,
  friendIdsFrom,
  friendsAmong,
  friendsFrom,
  friendsInStateFrom,
  friendsOfFriendsFrom,
} from './queries.ts';
import type { ListWords } from './words.ts';

export interface ListRequest {
  readonly limit: number;
  /** '' for the first page. */
  readonly cursor: string;
}

export interface FriendListRequest extends ListRequest {
  /** Only edges in this state; null for all. */
  readonly state: number | null;
}

/** Somebody a user has to do with. */
export interface FriendItem {
  readonly friend: FriendRow;
  readonly online: boolean;
}

/** A user's friend's friend. */
export interface FriendOfFriendItem {
  /** The friend of both. */
  readonly referrer: string;
  readonly user: UserRow;
  readonly online: boolean;
}

/** Items, and where the next page begins: '' on the last one. */
export interface Page<Item> {
  readonly items: Item[];
  readonly cursor: string;
}

/** Where a page begins, with this edge itself. */
interface Position {
  readonly state: number;
  readonly position: bigint;
}

const friendCursor = 'friend';
const friendOfFriendCursor = 'friend_of_friend';

/** Friends whose friends are looked through by one statement. */
const referrerBatch = 100;
/** Friends whose friends are looked through for one page: one that is not full by then leads on. */
const maxReferrers = 1000;

/** What there is to be read about friends (spec: social.md, sections 1.6, 1.7 and 1.9). */
export class FriendLists {
  readonly #db: Database;
  readonly #presence: PresenceTracker;

  constructor(db: Database, presence: PresenceTracker) {
    this.#db = db;
    this.#presence = presence;
  }

  /**
   * A user's friends, invites and blocks: by state, in each from the oldest on. Whoever goes through all pages gets
   * each of them that stays in its state exactly once, whatever becomes of others meanwhile; one that changes its state
   * may be seen in both or in neither. Throws INVALID_ARGUMENT.
   */
  async friends(userId: string, request: FriendListRequest, words: ListWords): Promise<Page<FriendItem>> {
    checkLimit(request, words);
    const { limit, state, cursor } = request;
    if (state !== null && !isState(state)) throw invalidArgument(words.badState);
    const from = cursor === '' ? { state: state ?? 0, position: 0n } : parsePosition(cursor);
    if (from === null || (state !== null && from.state !== state)) throw invalidArgument(words.badCursor);
    const [statement, first] = state === null ? [friendsFrom, from.state] : [friendsInStateFrom, state];
    const rows = await this.#db.query(statement, [userId, first, from.position, limit + 1]).catch((error) => {
      throw internalUnlessTransient(error, words.failed);
    });
    const next = rows[limit];
    return {
      items: await this.#withOnline(rows.slice(0, limit)),
      cursor: next === undefined ? '' : encodeCursor(friendCursor, [next.state, String(next.position)]),
    };
  }

  /** What a user has to do with each of these, named once; in no particular order, strangers are left out. */
  async status(userId: string, otherIds: readonly string[]): Promise<FriendItem[]> {
    return this.#withOnline(await this.#db.query(friendsAmong, [userId, otherIds]));
  }

  /**
   * Friends of friends who are not the user's own: by friend, then by their friend. A page may have fewer than there
   * is room for, and still lead on. Throws INVALID_ARGUMENT.
   */
  async friendsOfFriends(userId: string, request: ListRequest, words: ListWords): Promise<Page<FriendOfFriendItem>> {
    checkLimit(request, words);
    const { limit, cursor } = request;
    const from = cursor === '' ? [nilUuid, nilUuid] : decodeCursor(friendOfFriendCursor, cursor, [isId, isId]);
    if (from === null) throw invalidArgument(words.badCursor);
    const { rows, next } = await this.#lookThrough(userId, from as [string, string], limit).catch((error) => {
      throw internalUnlessTransient(error, words.failed);
    });
    const flags = await onlineFlags(
      this.#presence,
      rows.map(({ id }) => id),
    );
    return {
      items: rows.map((user, index) => ({ referrer: user.referrer, user, online: flags[index] === true })),
      cursor: next === undefined ? '' : encodeCursor(friendOfFriendCursor, next),
    };
  }

  async #lookThrough(
    userId: string,
    [firstReferrer, firstId]: readonly [string, string],
    limit: number,
  ): Promise<{ rows: FriendOfFriendRow[]; next: [referrer: string, id: string] | undefined }> {
    const rows: FriendOfFriendRow[] = [];
    let nextReferrer: string | undefined = firstReferrer;
    for (let seen = 0; seen < maxReferrers && nextReferrer !== undefined; seen += referrerBatch) {
      const friends: { id: string }[] = await this.#db.query(friendIdsFrom, [userId, nextReferrer, referrerBatch + 1]);
      const referrers = friends.slice(0, referrerBatch).map(({ id }) => id);
      const room = limit + 1 - rows.length;
      const params = [userId, referrers, firstReferrer, firstId, room];
      rows.push(...(await this.#db.query(friendsOfFriendsFrom, params)));
      const first = rows[limit];
      if (first !== undefined) return { rows: rows.slice(0, limit), next: [first.referrer, first.id] };
      nextReferrer = friends[referrerBatch]?.id;
    }
    return { rows, next: nextReferrer === undefined ? undefined : [nextReferrer, nilUuid] };
  }

  async #withOnline(rows: readonly FriendRow[]): Promise<FriendItem[]> {
    const flags = await onlineFlags(
      this.#presence,
      rows.map(({ id }) => id),
    );
    return rows.map((friend, index) => ({ friend, online: flags[index] === true }));
  }
}

function checkLimit({ limit }: ListRequest, { maxLimit, badLimit }: ListWords): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) throw invalidArgument(badLimit);
}

function parsePosition(cursor: string): Position | null {
  const values = decodeCursor(friendCursor, cursor, [isState, isPosition]);
  if (values === null) return null;
  const [state, position] = values as [number, string];
  return { state, position: BigInt(position) };
}

const isState = (value: CursorValue): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 3;
const isPosition = (value: CursorValue): boolean =>
  typeof value === 'string' && /^\d{1,19}$/.test(value) && BigInt(value) <= maxPosition;
const isId = (value: CursorValue): boolean => typeof value === 'string' && parseUuid(value) === value;

/** The column is a bigint. */
const maxPosition = 2n ** 63n - 1n;
