import { AppError, Code, internal, internalUnlessTransient, invalidArgument, notFound } from '../../platform/errors.ts';
import {
  checkCustomId,
  checkDeviceId,
  checkEmailCharacters,
  checkEmailShape,
  checkPassword,
  checkUsername,
  isPasswordTooLong,
  type Passwords,
  type SignInAccount,
  type SignInOptions,
  type SignUp,
} from '../accounts/index.ts';
import type { Sessions, TokenPair } from '../sessions/index.ts';
import type { FriendImports } from './friend-imports.ts';
import type { LoginGuard } from './login-guard.ts';
import type { Credential } from './providers/index.ts';

/** What every sign-in carries besides the credential. */
export interface SignInRequest extends SignInOptions {
  /** Session variables, put into both tokens. */
  readonly vars: Readonly<Record<string, string>>;
}

/** A login: both tokens, and whether the account is new. */
export interface Login extends TokenPair {
  readonly created: boolean;
}

interface Dependencies {
  readonly signUp: SignUp;
  readonly passwords: Passwords;
  readonly guard: LoginGuard;
  readonly sessions: Sessions;
  readonly imports: FriendImports;
  /** A login kills the user's older tokens. */
  readonly singleSession: boolean;
}

/** Sign-in, refresh and logout (spec: http-auth-accounts.md, sections 2.3, 2.4 and 3). */
export class Authentication {
  readonly #signUp: SignUp;
  readonly #passwords: Passwords;
  readonly #guard: LoginGuard;
  readonly #sessions: Sessions;
  readonly #imports: FriendImports;
  readonly #singleSession: boolean;

  constructor({ signUp, passwords, guard, sessions, imports, singleSession }: Dependencies) {
    this.#signUp = signUp;
    this.#passwords = passwords;
    this.#guard = guard;
    this.#sessions = sessions;
    this.#imports = imports;
    this.#singleSession = singleSession;
  }

  async withDevice(deviceId: string, request: SignInRequest): Promise<Login> {
    checkDeviceId(deviceId);
    checkNewUsername(request.username);
    return this.#login(await this.#signUp.byDevice(deviceId, request), request.vars);
  }

  async withCustomId(customId: string, request: SignInRequest): Promise<Login> {
    checkCustomId(customId);
    checkNewUsername(request.username);
    return this.#login(await this.#signUp.byCustomId(customId, request), request.vars);
  }

  /**
   * With an address, or with the username alone when `email` is ''. Throws UNAUTHENTICATED on a wrong password, and
   * RESOURCE_EXHAUSTED after too many of them.
   * @param clientAddress where the player is; '' when unknown.
   */
  async withEmail(email: string, password: string, request: SignInRequest, clientAddress: string): Promise<Login> {
    if (email !== '') {
      checkEmailCharacters(email);
      checkEmailShape(email);
    }
    checkPassword(password);
    if (email === '' && request.username === '') {
      throw invalidArgument('Username is required when email address is not supplied.');
    }
    checkNewUsername(request.username);
    const account = await this.#guard.fromAddress(clientAddress, () =>
      email === ''
        ? this.#byUsername(request.username, password)
        : this.#byEmail(email.toLowerCase(), password, request),
    );
    return this.#login(account, request.vars);
  }

  /**
   * With what a third party vouches for.
   * @param sync has friends there imported afterwards.
   */
  async withProvider(verify: Credential, request: SignInRequest, sync = false): Promise<Login> {
    checkNewUsername(request.username);
    const { identity, profile, friends } = await verify();
    const account = await this.#signUp.byIdentity(identity, profile, request);
    const login = await this.#login(account, request.vars);
    if (sync) this.#imports.later(account, friends);
    return login;
  }

  /** New tokens for a refresh token; empty `vars` keep the ones of the login. */
  async refresh(refreshToken: string, vars: Readonly<Record<string, string>>): Promise<Login> {
    if (refreshToken === '') throw invalidArgument('Refresh token is required.');
    const claims = this.#sessions.verifyRefresh(refreshToken);
    if (claims === null) throw new AppError(Code.UNAUTHENTICATED, 'Refresh token invalid or expired.');
    const account = await this.#signUp.byUserId(claims.id);
    const kept = Object.keys(vars).length > 0 ? vars : claims.vars;
    return { created: false, ...this.#sessions.renew(claims, account.username, kept) };
  }

  /** Kills the given tokens of the user, or all of them when none is given. Sockets stay. */
  async logout(userId: string, token: string, refreshToken: string): Promise<void> {
    const session = token === '' ? null : this.#sessions.verify(token);
    if (token !== '' && session?.id !== userId) throw invalidArgument('Session token invalid.');
    const refresh = refreshToken === '' ? null : this.#sessions.verifyRefresh(refreshToken);
    if (refreshToken !== '' && refresh?.id !== userId) throw invalidArgument('Refresh token invalid.');
    try {
      if ((session?.tokenId ?? '') === '' && (refresh?.tokenId ?? '') === '') await this.#sessions.revokeAll(userId);
      else await this.#sessions.revoke(userId, session, refresh);
    } catch (error) {
      throw internalUnlessTransient(error, 'Error processing session logout.');
    }
  }

  async #byUsername(username: string, password: string): Promise<SignInAccount> {
    const found = await this.#signUp.findByUsername(username);
    if (found !== null) return this.#checked(found, password);
    return this.#guard.onUnknown('username', username, () => {
      throw notFound('User account not found.');
    });
  }

  async #byEmail(email: string, password: string, options: SignInOptions): Promise<SignInAccount> {
    const found = await this.#signUp.findByEmail(email);
    if (found !== null) return this.#checked(found, password);
    return this.#guard.onUnknown('email', email, async () => {
      const account = await this.#signUp.createWithEmail(email, () => this.#hash(password), options);
      return account.created ? account : this.#checked(account, password);
    });
  }

  async #checked(account: SignInAccount, password: string): Promise<SignInAccount> {
    return this.#guard.onAccount(account.id, async () => {
      if (await this.#passwords.matches(password, account.password)) return account;
      throw new AppError(Code.UNAUTHENTICATED, 'Invalid credentials.');
    });
  }

  async #hash(password: string): Promise<Buffer> {
    if (isPasswordTooLong(password)) throw internal('Error finding or creating user account.');
    return this.#passwords.hash(password);
  }

  async #login(account: SignInAccount, vars: Readonly<Record<string, string>>): Promise<Login> {
    if (this.#singleSession) await this.#sessions.revokeAll(account.id);
    const tokens = this.#sessions.open({ userId: account.id, username: account.username, vars });
    return { created: account.created, ...tokens };
  }
}

function checkNewUsername(username: string): void {
  if (username !== '') checkUsername(username);
}
