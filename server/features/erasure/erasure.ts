import { internal, internalUnlessTransient } from '../../platform/errors.ts';
import { nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { UserData } from '../feature.ts';
import type { Sessions, Sockets } from '../sessions/index.ts';
import { deleteUser, recordDeletion } from './queries.ts';

interface Dependencies {
  readonly db: Database;
  readonly sessions: Sessions;
  readonly sockets: Sockets;
  /** What each feature keeps of a user, in the order in which they are to be asked. */
  readonly userData: readonly UserData[];
}

/**
 * Takes a user out of every feature, in one transaction (spec: http-auth-accounts.md, section 5.4). What stays is the
 * mark that kills the user's tokens, until the last of them has expired, and the tombstone if one is asked for.
 */
export class Erasure {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Deletes the account with all it owns, kills its tokens and ends its sockets on all nodes. Deleting a missing one is
   * no error.
   * @param record leaves a tombstone that says when it was; clients cannot ask for it.
   */
  async deleteAccount(userId: string, { record = false } = {}): Promise<void> {
    const failed = 'Error deleting user account.';
    if (userId === nilUuid) throw internal(failed);
    const { db, userData, sessions, sockets } = this.#deps;
    try {
      await db.transaction(async (tx) => {
        for (const part of userData) await part.erase?.(tx, userId);
        const deleted = await tx.execute(deleteUser, [userId]);
        if (deleted === 0) return;
        if (record) await tx.execute(recordDeletion, [userId]);
        await sessions.revokeAll(userId, tx);
        tx.afterCommit(() => sockets.disconnectUser(userId));
      });
    } catch (error) {
      throw internalUnlessTransient(error, failed);
    }
  }
}
