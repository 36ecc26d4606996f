import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import { exportRows } from '../export-items.ts';
import { lockAllPairs } from './edges.ts';
import { allFriends, forgetCounts, forgetEdges } from './queries.ts';
import { toFriend } from './wire.ts';

/**
 * Removes all friendships, invites and blocks of a user, and those of others towards the user, and takes them out of
 * everybody's counts. To be called before the user itself is deleted, and before the transaction locks other users:
 * it locks everybody concerned, in the order of their ids. Nobody is told.
 */
export async function eraseFriends(tx: Transaction, userId: string): Promise<void> {
  await lockAllPairs(tx, userId);
  // Sent together and run one after the other.
  await Promise.all([tx.execute(forgetCounts, [userId]), tx.execute(forgetEdges, [userId])]);
}

/** All friends, invites and blocks of a user, as lists have them; who is online is no part of it. */
export function exportFriends(db: Database, userId: string): AsyncIterable<string> {
  return exportRows(db, allFriends, userId, 'nakama.api.Friend', (friend) => toFriend({ friend, online: false }));
}
