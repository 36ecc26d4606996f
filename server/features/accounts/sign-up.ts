import {
  AppError,
  alreadyExists,
  Code,
  internalUnlessTransient,
  notFound,
  permissionDenied,
} from '../../platform/errors.ts';
import { generateUsername, newId } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { checkUsername } from './identifiers.ts';
import {
  type Identity,
  identityParams,
  importProviderEmail,
  type Profile,
  remapFormerId,
  statementsOf,
} from './identities.ts';
import { fillProfile } from './identity-queries.ts';
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
  /** The parameters by which it is found. */
  readonly key: readonly Param[];
  /** The parameters that follow id and username in the insert; made only when an account is made. */
  readonly values: () => Promise<readonly Param[]> | readonly Param[];
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
    return this.#findOrCreate(single(signInByDevice, insertWithDevice, id), options);
  }

  async byCustomId(id: string, options: SignInOptions): Promise<SignInAccount> {
    return this.#findOrCreate(single(signInByCustomId, insertWithCustomId, id), options);
  }

  /**
   * By what a third party has verified (spec: section 3.6). A new account takes over the profile, and the address unless
   * somebody has it.
   */
  async byIdentity(identity: Identity, profile: Profile, options: SignInOptions): Promise<SignInAccount> {
    const { find, insert } = statementsOf(identity.provider);
    const key = identityParams(identity);
    const { displayName, avatarUrl, email, username } = profile;
    const shown = [displayName || null, avatarUrl || null];
    const found = (await this.#find(find, key)) ?? (await this.#findFormer(identity, profile));
    if (found !== null) {
      // What comes of it is not worth failing a login.
      if (identity.provider === 'google') await this.#db.execute(fillProfile, [found.id, ...shown]).catch(() => 0);
      return found;
    }
    const identifier = { find, insert, key, values: () => [...shown, ...key] };
    const account = await this.#createSuggested(identifier, options, username);
    if (account.created && email !== '') await importProviderEmail(this.#db, account.id, identity.provider, email);
    return account;
  }

  /** Null when nobody has that address. Throws PERMISSION_DENIED when banned. */
  async findByEmail(email: string): Promise<SignInAccount | null> {
    return this.#find(signInByEmail, [email]);
  }

  /** Null when nobody has that name. Throws PERMISSION_DENIED when banned. */
  async findByUsername(username: string): Promise<SignInAccount | null> {
    return this.#find(signInByUsername, [username]);
  }

  /**
   * For an address that nobody had; whoever got it meanwhile is answered. Throws NOT_FOUND when none is to be made.
   * @param hash makes the bcrypt hash for the new account.
   */
  async createWithEmail(email: string, hash: () => Promise<Buffer>, options: SignInOptions): Promise<SignInAccount> {
    const values = async () => [email, await hash()];
    return this.#create({ find: signInByEmail, insert: insertWithEmail, key: [email], values }, options);
  }

  /** Throws NOT_FOUND when the account is gone, PERMISSION_DENIED when banned. */
  async byUserId(userId: string): Promise<SignInAccount> {
    const account = await this.#find(signInById, [userId]);
    if (account === null) throw notFound('User account not found.');
    return account;
  }

  async #findOrCreate(identifier: Identifier, options: SignInOptions): Promise<SignInAccount> {
    return (await this.#find(identifier.find, identifier.key)) ?? this.#create(identifier, options);
  }

  async #findFormer(identity: Identity, profile: Profile): Promise<SignInAccount | null> {
    const hasFormer = await remapFormerId(this.#db, identity, profile).catch((error) => {
      throw internalUnlessTransient(error, 'Error finding user account.');
    });
    return hasFormer ? this.#find(statementsOf(identity.provider).find, identityParams(identity)) : null;
  }

  /** Whoever asks for no name gets the suggested one, if nobody has it and it is one. */
  async #createSuggested(identifier: Identifier, options: SignInOptions, suggested: string): Promise<SignInAccount> {
    if (options.username !== '' || !isUsername(suggested)) return this.#create(identifier, options);
    return this.#create(identifier, { ...options, username: suggested }).catch((error) => {
      if (error instanceof AppError && error.code === Code.ALREADY_EXISTS) return this.#create(identifier, options);
      throw error;
    });
  }

  async #create(identifier: Identifier, { create, username }: SignInOptions): Promise<SignInAccount> {
    if (!create) throw notFound('User account not found.');
    const id = newId();
    const name = username === '' ? generateUsername() : username;
    try {
      await this.#db.execute(identifier.insert, [id, name, ...(await identifier.values())]);
      return { id, username: name, created: true, password: null };
    } catch (error) {
      const constraint = violatedConstraint(error);
      // Someone signed in with the same identifier at the same time: it is their account, and now ours to use. Looked
      // for first, because whoever asked twice asked for the same username, too.
      const raced = constraint === undefined ? null : await this.#find(identifier.find, identifier.key);
      if (raced !== null) return raced;
      if (constraint === 'users_username_key') throw alreadyExists('Username is already in use.');
      throw internalUnlessTransient(error, 'Error finding or creating user account.');
    }
  }

  async #find(statement: Statement<SignInRow>, key: readonly Param[]): Promise<SignInAccount | null> {
    const rows = await this.#db.query(statement, key).catch((error) => {
      throw internalUnlessTransient(error, 'Error finding user account.');
    });
    const [row] = rows;
    if (row === undefined) return null;
    if (row.disabled) throw permissionDenied('User account banned.');
    return { id: row.id, username: row.username, created: false, password: row.password };
  }
}

/** An identifier that is one value, and all there is to insert. */
function single(find: Statement<SignInRow>, insert: Statement<never>, value: string): Identifier {
  return { find, insert, key: [value], values: () => [value] };
}

function isUsername(text: string): boolean {
  try {
    checkUsername(text);
    return true;
  } catch {
    return false;
  }
}
