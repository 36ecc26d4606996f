import type { Param } from '../../store/sql.ts';
import type { Transaction } from '../../store/transaction.ts';
import {
  changeCounts,
  type EdgeRow,
  edgesBetween,
  edgesOf,
  insertEdges,
  lockUsers,
  removeEdges,
  updateEdges,
} from './queries.ts';
import type { EdgeChange, Pair, Step } from './transitions.ts';

// Whatever changes edges locks both users first (see `lockUsers`), all of them at once.

/** The edges between a user and others, by the other's id. */
export type Pairs = ReadonlyMap<string, Pair>;

export const strangers: Pair = { own: undefined, other: undefined };

/** Locks a user and some others, and reads what is between them; `users` are those that exist. */
export async function lockPairs(
  tx: Transaction,
  userId: string,
  otherIds: readonly string[],
): Promise<{ users: ReadonlySet<string>; pairs: Pairs }> {
  const [users, rows] = await Promise.all([
    tx.query(lockUsers, [[userId, ...otherIds].sort()]),
    tx.query(edgesBetween, [userId, otherIds]),
  ]);
  return { users: new Set(users.map(({ id }) => id)), pairs: toPairs(userId, rows) };
}

/**
 * As `lockPairs`, with everybody who has to do with the user besides. Somebody who came to that between the look and
 * the lock is locked out of turn, when the count changes: the database then picks who has to try again.
 */
export async function lockAllPairs(
  tx: Transaction,
  userId: string,
  otherIds: readonly string[] = [],
): Promise<{ users: ReadonlySet<string>; pairs: Pairs }> {
  const known = toPairs(userId, await tx.query(edgesOf, [userId]));
  const ids = [...new Set([userId, ...otherIds, ...known.keys()])].sort();
  const [users, rows] = await Promise.all([tx.query(lockUsers, [ids]), tx.query(edgesOf, [userId])]);
  return { users: new Set(users.map(({ id }) => id)), pairs: toPairs(userId, rows) };
}

function toPairs(userId: string, rows: readonly EdgeRow[]): Pairs {
  const pairs = new Map<string, Pair>();
  for (const { source_id, destination_id, state } of rows) {
    const isOwn = source_id === userId;
    const otherId = isOwn ? destination_id : source_id;
    const pair = pairs.get(otherId) ?? strangers;
    pairs.set(otherId, isOwn ? { ...pair, own: state } : { ...pair, other: state });
  }
  return pairs;
}

/** JSON that an edge gets, or that is merged into what it has; null for none. */
export interface Notes {
  readonly own: string | null;
  readonly other: string | null;
}

type Change = readonly [sourceId: string, destinationId: string, state: number, metadata: string | null];

/** Collects changes of edges, and writes them with the counts that go with them in a few statements. */
export class EdgeChanges {
  readonly #made: Change[] = [];
  readonly #set: Change[] = [];
  readonly #removed: (readonly [sourceId: string, destinationId: string])[] = [];
  readonly #counts = new Map<string, number>();

  add(userId: string, otherId: string, step: Step, notes: Notes): void {
    this.#addEdge(userId, otherId, step.own, notes.own);
    this.#addEdge(otherId, userId, step.other, notes.other);
  }

  #addEdge(sourceId: string, destinationId: string, change: EdgeChange | undefined, metadata: string | null): void {
    if (change === undefined) return;
    if (change === 'remove') {
      this.#removed.push([sourceId, destinationId]);
      this.#count(sourceId, -1);
    } else if ('make' in change) {
      this.#made.push([sourceId, destinationId, change.make, metadata]);
      this.#count(sourceId, 1);
    } else {
      this.#set.push([sourceId, destinationId, change.set, metadata]);
    }
  }

  #count(userId: string, change: number): void {
    this.#counts.set(userId, (this.#counts.get(userId) ?? 0) + change);
  }

  async write(tx: Transaction): Promise<void> {
    const counts = [...this.#counts].filter(([, change]) => change !== 0);
    const statements = [
      [removeEdges, this.#removed],
      [updateEdges, this.#set],
      [insertEdges, this.#made],
      [changeCounts, counts],
    ] as const;
    const needed = statements.filter(([, rows]) => rows.length > 0);
    // Sent together and run one after the other.
    await Promise.all(needed.map(([statement, rows]) => tx.execute(statement, columns(rows))));
  }
}

const columns = (rows: readonly (readonly Param[])[]): Param[][] =>
  (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? null));
