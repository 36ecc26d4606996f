import type { Logger } from 'pino';
import {
  AppError,
  alreadyExists,
  Code,
  internalUnlessTransient,
  invalidArgument,
  notFound,
} from '../../platform/errors.ts';
import { nilUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Param } from '../../store/sql.ts';
import type { Transaction } from '../../store/transaction.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { Sessions, Sockets } from '../sessions/index.ts';
import { checkUsername } from './identifiers.ts';
import {
  type AccountRow,
  accountById,
  setDisabled,
  signInById,
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
  /** The text of a JSON object; clients cannot set it. */
  metadata?: string | undefined;
}

/** One account's part of an update by server code. */
export interface AccountUpdate extends AccountChanges {
  /** Canonical UUID. */
  readonly userId: string;
}

interface Dependencies {
  readonly db: Database;
  readonly sessions: Sessions;
  readonly sockets: Sockets;
  /** The last message that a banned user's sockets get. */
  readonly bannedNotice: () => Payload;
  readonly log: Logger;
}

/** Accounts as clients, console and game code work with them (spec: http-auth-accounts.md, section 5). */
export class Accounts {
  readonly #db: Database;
  readonly #sessions: Sessions;
  readonly #sockets: Sockets;
  readonly #bannedNotice: () => Payload;

  constructor({ db, sessions, sockets, bannedNotice, log }: Dependencies) {
    this.#db = db;
    this.#sessions = sessions;
    this.#sockets = sockets;
    this.#bannedNotice = bannedNotice;
    sessions.onRevokedAll((userId) => {
      this.#expel(userId).catch((error) => log.warn({ err: error, uid: userId }, 'could not look at an account'));
    });
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
    const { username } = changes;
    if (username !== undefined) checkUsernameToSet(username);
    const params = updateParams(userId, changes);
    try {
      await this.#db.execute(updateAccount, params);
    } catch (error) {
      if (violatedConstraint(error) === usernameKey) {
        // The reference's own words: it wraps its inner error, and clients match on them.
        throw invalidArgument('rpc error: code = AlreadyExists desc = Username is already in use.');
      }
      throw internalUnlessTransient(error, 'Error while trying to update account.');
    }
  }

  /**
   * Updates accounts as server code does, inside its transaction, in the order given: a name that one account gives up
   * is free for the next. An empty username leaves it alone; unknown accounts are skipped. Throws INVALID_ARGUMENT for a
   * bad username or metadata or when nothing is to be changed, ALREADY_EXISTS for a taken username.
   */
  async updateIn(tx: Transaction, updates: readonly AccountUpdate[]): Promise<void> {
    const params = updates.map(({ userId, ...changes }) => {
      const username = changes.username === '' ? undefined : changes.username;
      if (username !== undefined) checkUsername(username);
      if (changes.metadata !== undefined && !isJsonObject(changes.metadata)) {
        throw invalidArgument('Metadata must be a JSON object.');
      }
      return updateParams(userId, { ...changes, username });
    });
    try {
      // Sent together and run one after the other.
      await Promise.all(params.map((each) => tx.execute(updateAccount, each)));
    } catch (error) {
      if (violatedConstraint(error) === usernameKey) throw alreadyExists('Username is already in use.');
      throw internalUnlessTransient(error, 'Error while trying to update account.');
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

  /** Ends this node's sockets of a user who is banned or gone, in case the order to do so has not got here. */
  async #expel(userId: string): Promise<void> {
    if (this.#sockets.ofUser(userId).size === 0) return;
    const [account] = await this.#db.query(signInById, [userId]);
    if (account === undefined) this.#sockets.closeUser(userId);
    else if (account.disabled) this.#sockets.closeUser(userId, EnvelopeFrame.of(this.#bannedNotice()));
  }
}

const usernameKey = 'users_username_key';

function updateParams(userId: string, changes: AccountChanges): Param[] {
  const { username, displayName, avatarUrl, langTag, location, timezone, metadata } = changes;
  const values = [username, displayName, avatarUrl, langTag, location, timezone, metadata];
  if (values.every((value) => value === undefined)) throw invalidArgument('No fields to update.');
  return [userId, ...values.map((value) => value ?? null)];
}

function checkUsernameToSet(username: string): void {
  // Here the length is checked first (spec: section 5.2).
  const length = Buffer.byteLength(username);
  if (length === 0 || length > 128) {
    throw new AppError(Code.INVALID_ARGUMENT, 'Username invalid, must be 1-128 bytes.');
  }
  checkUsername(username);
}
