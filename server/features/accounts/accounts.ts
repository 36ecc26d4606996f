import { AppError, Code, internal, internalUnlessTransient, invalidArgument, notFound } from '../../platform/errors.ts';
import { nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { Sessions, Sockets } from '../sessions/index.ts';
import { checkUsername } from './identifiers.ts';
import {
  type AccountRow,
  accountById,
  deleteUser,
  setDisabled,
  type UserRow,
  updateAccount,
  usersByAny,
} from './queries.ts';

/** What an update may change; undefined leaves alone, '' clears (username and language cannot be cleared). */
export interface AccountChanges {
  username?: string | undefined;
  displayName?: string | undefined;
  avatarUrl?: string | undefined;
  langTag?: string | undefined;
  location?: string | undefined;
  timezone?: string | undefined;
}

interface Dependencies {
  readonly db: Database;
  readonly sessions: Sessions;
  readonly sockets: Sockets;
  /** The last message that a banned user's sockets get. */
  readonly bannedNotice: () => Payload;
}

/** Accounts as clients, console and game code work with them (spec: http-auth-accounts.md, section 5). */
export class Accounts {
  readonly #db: Database;
  readonly #sessions: Sessions;
  readonly #sockets: Sockets;
  readonly #bannedNotice: () => Payload;

  constructor({ db, sessions, sockets, bannedNotice }: Dependencies) {
    this.#db = db;
    this.#sessions = sessions;
    this.#sockets = sockets;
    this.#bannedNotice = bannedNotice;
  }

  /** Throws NOT_FOUND when there is no such account. */
  async get(userId: string): Promise<AccountRow> {
    const rows = await this.#db.query(accountById, [userId]).catch((error) => {
      throw internalUnlessTransient(error, 'Error retrieving user account.');
    });
    const [row] = rows;
    if (row === undefined) throw notFound('Account not found.');
    return row;
  }

  /** Users that match any of the filters, each once, in no particular order; unknown ones are left out. */
  async find(ids: readonly string[], usernames: readonly string[], facebookIds: readonly string[]): Promise<UserRow[]> {
    if (ids.length + usernames.length + facebookIds.length === 0) return [];
    return this.#db.query(usersByAny, [ids, usernames, facebookIds]).catch((error) => {
      throw internalUnlessTransient(error, 'Error retrieving user accounts.');
    });
  }

  /** Throws INVALID_ARGUMENT for a bad or taken username or when nothing is to be changed. */
  async update(userId: string, changes: AccountChanges): Promise<void> {
    const { username, displayName, avatarUrl, langTag, location, timezone } = changes;
    const values = [username, displayName, avatarUrl, langTag, location, timezone];
    if (username !== undefined) checkUsernameToSet(username);
    if (values.every((value) => value === undefined)) throw invalidArgument('No fields to update.');
    try {
      await this.#db.execute(updateAccount, [userId, ...values.map((value) => value ?? null)]);
    } catch (error) {
      if (violatedConstraint(error) === 'users_username_key') {
        // The reference's own words: it wraps its inner error, and clients match on them.
        throw invalidArgument('rpc error: code = AlreadyExists desc = Username is already in use.');
      }
      throw internalUnlessTransient(error, 'Error while trying to update account.');
    }
  }

  /** Deletes the account with all it owns, kills its tokens and ends its sockets. Deleting a missing one is no error. */
  async delete(userId: string): Promise<void> {
    if (userId === nilUuid) throw internal('Error deleting user account.');
    try {
      await this.#db.transaction(async (tx) => {
        const deleted = await tx.execute(deleteUser, [userId]);
        if (deleted === 0) return;
        await this.#sessions.revokeAll(userId, tx);
        tx.afterCommit(() => this.#sockets.disconnectUser(userId));
      });
    } catch (error) {
      throw internalUnlessTransient(error, 'Error deleting user account.');
    }
  }

  /** Bans users: tokens die, sockets are told and closed, signing in is refused. Unknown ids are ignored. */
  async ban(userIds: readonly string[]): Promise<void> {
    if (userIds.includes(nilUuid)) throw invalidArgument('Cannot ban the system user.');
    await this.#db.transaction(async (tx) => {
      const banned = await tx.query(setDisabled, [userIds, true]);
      for (const { id } of banned) {
        await this.#sessions.revokeAll(id, tx);
        tx.afterCommit(() => this.#sockets.disconnectUser(id, EnvelopeFrame.of(this.#bannedNotice())));
      }
    });
  }

  /** Lifts a ban; tokens that died stay dead. */
  async unban(userIds: readonly string[]): Promise<void> {
    await this.#db.query(setDisabled, [userIds, false]);
  }
}

function checkUsernameToSet(username: string): void {
  // Here the length is checked first (spec: section 5.2).
  const length = Buffer.byteLength(username);
  if (length === 0 || length > 128) {
    throw new AppError(Code.INVALID_ARGUMENT, 'Username invalid, must be 1-128 bytes.');
  }
  checkUsername(username);
}
