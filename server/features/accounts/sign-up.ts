import { alreadyExists, internalUnlessTransient, notFound, permissionDenied } from '../../platform/errors.ts';
import { generateUsername, newId } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Param, Statement } from '../../store/sql.ts';
import {
  insertWithCustomId,
  insertWithDevice,
  insertWithEmail,
  type SignInRow,
  signInByCustomId,
  signInByDevice,
  signInByEmail,
  signInById,
  signInByUsername,
} from './queries.ts';

/** An account as sign-in sees it. */
export interface SignInAccount {
  readonly id: string;
  readonly username: string;
  readonly created: boolean;
  /** bcrypt hash, null when the account has no password. */
  readonly password: Buffer | null;
}

/** How a player identifies: which account that is, and how to make one. */
interface Identifier {
  readonly find: Statement<SignInRow>;
  readonly insert: Statement<never>;
  readonly value: string;
  /** Columns besides id, username and the identifier; made only when an account is made. */
  readonly extra?: () => Promise<Param[]>;
}

export interface SignInOptions {
  /** Make the account when there is none. */
  readonly create: boolean;
  /** For a new account; '' has one generated. */
  readonly username: string;
}

/** Finds or makes accounts by what a player signs in with (spec: http-auth-accounts.md, section 3.1). */
export class SignUp {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async byDevice(id: string, options: SignInOptions): Promise<SignInAccount> {
    return this.#findOrCreate({ find: signInByDevice, insert: insertWithDevice, value: id }, options);
  }

  async byCustomId(id: string, options: SignInOptions): Promise<SignInAccount> {
    return this.#findOrCreate({ find: signInByCustomId, insert: insertWithCustomId, value: id }, options);
  }

  /** Null when nobody has that address. Throws PERMISSION_DENIED when banned. */
  async findByEmail(email: string): Promise<SignInAccount | null> {
    return this.#find(signInByEmail, email);
  }

  /** Null when nobody has that name. Throws PERMISSION_DENIED when banned. */
  async findByUsername(username: string): Promise<SignInAccount | null> {
    return this.#find(signInByUsername, username);
  }

  /**
   * For an address that nobody had; whoever got it meanwhile is answered. Throws NOT_FOUND when none is to be made.
   * @param hash makes the bcrypt hash for the new account.
   */
  async createWithEmail(email: string, hash: () => Promise<Buffer>, options: SignInOptions): Promise<SignInAccount> {
    const extra = async (): Promise<Param[]> => [await hash()];
    return this.#create({ find: signInByEmail, insert: insertWithEmail, value: email, extra }, options);
  }

  /** Throws NOT_FOUND when the account is gone, PERMISSION_DENIED when banned. */
  async byUserId(userId: string): Promise<SignInAccount> {
    const account = await this.#find(signInById, userId);
    if (account === null) throw notFound('User account not found.');
    return account;
  }

  async #findOrCreate(identifier: Identifier, options: SignInOptions): Promise<SignInAccount> {
    return (await this.#find(identifier.find, identifier.value)) ?? this.#create(identifier, options);
  }

  async #create(identifier: Identifier, { create, username }: SignInOptions): Promise<SignInAccount> {
    if (!create) throw notFound('User account not found.');
    const id = newId();
    const name = username === '' ? generateUsername() : username;
    try {
      const extra = (await identifier.extra?.()) ?? [];
      await this.#db.execute(identifier.insert, [id, name, identifier.value, ...extra]);
      return { id, username: name, created: true, password: null };
    } catch (error) {
      const constraint = violatedConstraint(error);
      // Someone signed in with the same identifier at the same time: it is their account, and now ours to use. Looked
      // for first, because whoever asked twice asked for the same username, too.
      const raced = constraint === undefined ? null : await this.#find(identifier.find, identifier.value);
      if (raced !== null) return raced;
      if (constraint === 'users_username_key') throw alreadyExists('Username is already in use.');
      throw internalUnlessTransient(error, 'Error finding or creating user account.');
    }
  }

  async #find(statement: Statement<SignInRow>, value: string): Promise<SignInAccount | null> {
    const rows = await this.#db.query(statement, [value]).catch((error) => {
      throw internalUnlessTransient(error, 'Error finding user account.');
    });
    const [row] = rows;
    if (row === undefined) return null;
    if (row.disabled) throw permissionDenied('User account banned.');
    return { id: row.id, username: row.username, created: false, password: row.password };
  }
}
