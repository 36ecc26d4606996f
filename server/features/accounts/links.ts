import {
  AppError,
  alreadyExists,
  internalUnlessTransient,
  invalidArgument,
  permissionDenied,
} from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Param, Statement } from '../../store/sql.ts';
import {
  checkCustomIdToLink,
  checkDeviceId,
  checkEmailCharacters,
  checkEmailShape,
  checkPassword,
  isPasswordTooLong,
} from './identifiers.ts';
import {
  builtInProviders,
  type Identity,
  identityParams,
  importProviderEmail,
  type Profile,
  type Provider,
  providerColumn,
  providerLabel,
  providerParams,
  remapFormerId,
  runTaking,
  splitIdentity,
  statementsOf,
} from './identities.ts';
import {
  clearCustomId,
  clearEmail,
  deleteDevice,
  deviceOwner,
  type IdentifiersRow,
  identifiers,
  insertDevice,
  linkCustomId,
  linkEmail,
  lockUser,
  touchUser,
} from './link-queries.ts';
import type { Passwords } from './passwords.ts';

/** Adds and removes what an account can sign in with (spec: http-auth-accounts.md, section 4). */
export class Links {
  readonly #db: Database;
  readonly #passwords: Passwords;

  constructor(db: Database, passwords: Passwords) {
    this.#db = db;
    this.#passwords = passwords;
  }

  /** Linking one's own device again is no error. Throws ALREADY_EXISTS when another user has it. */
  async linkDevice(userId: string, deviceId: string): Promise<void> {
    checkDeviceId(deviceId);
    try {
      await this.#db.transaction(async (tx) => {
        const [inserted] = await tx.query(insertDevice, [userId, deviceId]);
        const [owner] = inserted ? [inserted] : await tx.query(deviceOwner, [deviceId]);
        if (owner?.user_id !== userId) throw alreadyExists('Device ID already in use.');
        await tx.execute(touchUser, [userId]);
      });
    } catch (error) {
      if (error instanceof AppError && error.message === 'Device ID already in use.') throw error;
      throw internalUnlessTransient(error, 'Error linking Device ID.');
    }
  }

  /** Throws ALREADY_EXISTS when another user has it. */
  async linkCustomId(userId: string, customId: string): Promise<void> {
    checkCustomIdToLink(customId);
    await this.#linkColumn(linkCustomId, [userId, customId], {
      taken: 'Custom ID is already in use.',
      failed: 'Error while trying to link Custom ID.',
    });
  }

  /** Sets address and password. Throws ALREADY_EXISTS when another user has the address. */
  async linkEmail(userId: string, email: string, password: string): Promise<void> {
    if (email === '' || password === '') throw invalidArgument('Email address and password is required.');
    checkEmailCharacters(email);
    checkPassword(password);
    checkEmailShape(email);
    // The reference stores no password at all then, which locks the player out (docs/compatibility.md).
    if (isPasswordTooLong(password)) throw invalidArgument('Password must be at most 72 bytes long.');
    const hash = await this.#passwords.hash(password);
    await this.#linkColumn(linkEmail, [userId, email.toLowerCase(), hash], {
      taken: 'Email is already in use.',
      failed: 'Error while trying to link email.',
    });
  }

  /**
   * In place of whoever the user was to that provider before. Fills in the profile where it is blank, and takes over the
   * address unless another user has it. Throws ALREADY_EXISTS when another user has the identity.
   */
  async linkIdentity(userId: string, identity: Identity, profile: Profile): Promise<void> {
    const label = providerLabel(identity.provider);
    const { link } = statementsOf(identity.provider);
    const { displayName, avatarUrl, email } = profile;
    const failed = `Error while trying to link ${label} ID.`;
    await remapFormerId(this.#db, identity, profile).catch((error) => {
      throw internalUnlessTransient(error, failed);
    });
    const params = [userId, displayName || null, avatarUrl || null, ...identityParams(identity)];
    await this.#linkColumn(link, params, { taken: `${label} ID is already in use.`, failed });
    if (email !== '') await importProviderEmail(this.#db, userId, identity.provider, email);
  }

  async unlinkDevice(userId: string, deviceId: string): Promise<void> {
    if (deviceId === '') throw invalidArgument('A device ID must be supplied.');
    await this.#unlink(userId, 'Could not unlink device ID.', {
      kind: deviceKind(deviceId),
      id: deviceId,
      remove: [
        { statement: deleteDevice, params: [userId, deviceId] },
        { statement: touchUser, params: [userId] },
      ],
    });
  }

  /** @param customId '' removes whatever is set. */
  async unlinkCustomId(userId: string, customId: string): Promise<void> {
    await this.#unlink(userId, 'Error while trying to unlink custom ID.', {
      kind: 'custom',
      id: customId,
      remove: [{ statement: clearCustomId, params: [userId] }],
    });
  }

  /** Removes the address and the password. @param email '' removes whatever is set. */
  async unlinkEmail(userId: string, email: string): Promise<void> {
    await this.#unlink(userId, 'Error while trying to unlink email.', {
      kind: 'email',
      id: email.toLowerCase(),
      remove: [{ statement: clearEmail, params: [userId] }],
    });
  }

  /** What was taken over with the identity stays. @param id '' removes whatever is set. */
  async unlinkIdentity(userId: string, { provider, id }: Identity): Promise<void> {
    await this.#unlink(userId, `Error while trying to unlink ${providerLabel(provider)} ID.`, {
      kind: provider,
      id,
      remove: [{ statement: statementsOf(provider).clear, params: [userId, ...providerParams(provider)] }],
    });
  }

  async #linkColumn(
    statement: Statement<{ id: string }>,
    params: Param[],
    texts: { taken: string; failed: string },
  ): Promise<void> {
    let linked: { id: string }[];
    try {
      linked = await runTaking(this.#db, statement, params);
    } catch (error) {
      if (violatedConstraint(error) !== undefined) throw alreadyExists(texts.taken);
      throw internalUnlessTransient(error, texts.failed);
    }
    if (linked.length === 0) throw alreadyExists(texts.taken);
  }

  async #unlink(userId: string, failed: string, { kind, id, remove }: Removal): Promise<void> {
    const allowed = await this.#db
      .transaction(async (tx) => {
        await tx.query(lockUser, [userId]);
        const [row] = await tx.query(identifiers, [userId]);
        if (row === undefined || !mayRemove(heldBy(row), kind, id)) return false;
        for (const { statement, params } of remove) await tx.execute(statement, params);
        return true;
      })
      .catch((error) => {
        throw internalUnlessTransient(error, failed);
      });
    if (!allowed) {
      throw permissionDenied('Cannot unlink last account identifier. Check profile exists and is not last link.');
    }
  }
}

/** Sorts of identifiers: each device is one of its own, since there may be many. */
type Kind = 'custom' | 'email' | `device:${string}` | Provider;

const deviceKind = (id: string): Kind => `device:${id}`;

interface Removal {
  readonly kind: Kind;
  /** What has to be set; '' for anything or nothing. */
  readonly id: string;
  readonly remove: readonly { readonly statement: Statement<never>; readonly params: Param[] }[];
}

/** What is expected has to be there, and something else has to be left to sign in with (spec: section 4.2). */
function mayRemove(held: ReadonlyMap<Kind, string>, kind: Kind, id: string): boolean {
  return (id === '' || held.get(kind) === id) && [...held.keys()].some((each) => each !== kind);
}

function heldBy(row: IdentifiersRow): Map<Kind, string> {
  const held = new Map<Kind, string>();
  if (row.custom_id !== null) held.set('custom', row.custom_id);
  // Addresses of providers are kept as they spelled them.
  if (row.email !== null) held.set('email', row.email.toLowerCase());
  for (const provider of builtInProviders) {
    const id = row[providerColumn(provider)];
    if (id !== null) held.set(provider, id);
  }
  for (const id of row.devices) held.set(deviceKind(id), id);
  for (const { provider, id } of row.identities.map(splitIdentity)) held.set(`oidc:${provider}`, id);
  return held;
}
