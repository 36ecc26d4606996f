import { randomInt } from 'node:crypto';
import type { Param } from '../../store/sql.ts';
import type { Transaction } from '../../store/transaction.ts';
import {
  changeCount,
  deleteEdges,
  deleteEdgesBackTo,
  deleteEdgesOf,
  deleteGroups,
  insertEdges,
  type LockedGroup,
  lockGroup,
  shareUsers,
  statesOf,
  updateEdges,
} from './queries.ts';
import { GroupState, isMember } from './roles.ts';

/** A group under lock, and what some users are to it. */
export interface GroupView {
  /** Undefined when there is none. */
  readonly group: LockedGroup | undefined;
  /** Names of those users who exist, by id. */
  readonly usernames: ReadonlyMap<string, string>;
  /** Their states, by user; strangers are not in it. */
  readonly states: ReadonlyMap<string, number>;
}

/** Locks a group until the transaction ends, after the users that are to be concerned. */
export async function lockGroupWith(tx: Transaction, groupId: string, userIds: readonly string[]): Promise<GroupView> {
  const ids = [...new Set(userIds)].sort();
  // Sent together and run one after the other.
  const [users, [group], states] = await Promise.all([
    tx.query(shareUsers, [ids]),
    tx.query(lockGroup, [groupId]),
    tx.query(statesOf, [groupId, ids]),
  ]);
  return {
    group,
    usernames: new Map(users.map(({ id, username }) => [id, username])),
    states: new Map(states.map(({ user_id, state }) => [user_id, state])),
  };
}

/** Deletes groups that are under lock, with all their edges. */
export async function deleteGroupsIn(tx: Transaction, groupIds: readonly string[]): Promise<void> {
  // In this order: the first finds its edges through those of the second.
  await Promise.all([deleteEdgesBackTo, deleteEdgesOf, deleteGroups].map((each) => tx.execute(each, [groupIds])));
}

/** What is added to the time for the position of the nth edge of a statement: two of them never have the same. */
export const placeOffset = (n: number): number => n * 1000 + randomInt(1000);

type Edge = readonly [sourceId: string, destinationId: string];

/**
 * Collects changes of a group's edges, and writes them with the count that goes with them in a few statements. Both
 * edges of a membership always change together.
 */
export class EdgeChanges {
  readonly #groupId: string;
  readonly #removed: Edge[] = [];
  readonly #set: (readonly [...Edge, number])[] = [];
  readonly #made: (readonly [...Edge, number, number])[] = [];
  #members = 0;
  #places = 0;

  constructor(groupId: string) {
    this.#groupId = groupId;
  }

  /** Makes `to` of what the user is to the group; undefined and null stand for a stranger. */
  add(userId: string, from: number | undefined, to: number | null): void {
    this.#members += Number(isMember(to)) - Number(isMember(from));
    const there: Edge = [this.#groupId, userId];
    const back: Edge = [userId, this.#groupId];
    if (from !== undefined && (to === null || to === GroupState.BANNED)) this.#removed.push(there, back);
    if (to === null) return;
    if (from !== undefined && to !== GroupState.BANNED) {
      this.#set.push([...there, to], [...back, to]);
      return;
    }
    const place = placeOffset(this.#places++);
    this.#made.push([...there, to, place]);
    if (to !== GroupState.BANNED) this.#made.push([...back, to, place]);
  }

  async write(tx: Transaction): Promise<void> {
    const statements = [
      [deleteEdges, this.#removed],
      [updateEdges, this.#set],
      [insertEdges, this.#made],
    ] as const;
    const needed = statements.filter(([, rows]) => rows.length > 0);
    const written = needed.map(([statement, rows]) => tx.execute(statement, columns(rows)));
    if (this.#members !== 0) written.push(tx.execute(changeCount, [this.#groupId, this.#members]));
    await Promise.all(written);
  }
}

const columns = (rows: readonly (readonly Param[])[]): Param[][] =>
  (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? null));
