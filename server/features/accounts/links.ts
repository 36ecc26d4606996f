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

  async unlinkDevice(userId: string, deviceId: string): Promise<void> {
    if (deviceId === '') throw invalidArgument('A device ID must be supplied.');
    await this.#unlink(userId, 'Could not unlink device ID.', {
      matches: (own) => own.devices.includes(deviceId),
      remains: (own) => own.custom_id !== null || own.email !== null || own.has_provider || own.devices.length > 1,
      remove: [
        { statement: deleteDevice, params: [userId, deviceId] },
        { statement: touchUser, params: [userId] },
      ],
    });
  }

  /** @param customId '' removes whatever is set. */
  async unlinkCustomId(userId: string, customId: string): Promise<void> {
    await this.#unlink(userId, 'Error while trying to unlink custom ID.', {
      matches: (own) => customId === '' || own.custom_id === customId,
      remains: (own) => own.email !== null || own.has_provider || own.devices.length > 0,
      remove: [{ statement: clearCustomId, params: [userId] }],
    });
  }

  /** Removes the address and the password. @param email '' removes whatever is set. */
  async unlinkEmail(userId: string, email: string): Promise<void> {
    await this.#unlink(userId, 'Error while trying to unlink email.', {
      matches: (own) => email === '' || own.email === email.toLowerCase(),
      remains: (own) => own.custom_id !== null || own.has_provider || own.devices.length > 0,
      remove: [{ statement: clearEmail, params: [userId] }],
    });
  }

  async #linkColumn(
    statement: Statement<{ id: string }>,
    params: Param[],
    texts: { taken: string; failed: string },
  ): Promise<void> {
    let linked: { id: string }[];
    try {
      linked = await this.#db.query(statement, params);
    } catch (error) {
      // Taken between the look and the write.
      if (violatedConstraint(error) !== undefined) throw alreadyExists(texts.taken);
      throw internalUnlessTransient(error, texts.failed);
    }
    if (linked.length === 0) throw alreadyExists(texts.taken);
  }

  async #unlink(
    userId: string,
    failed: string,
    rule: {
      matches: (own: IdentifiersRow) => boolean;
      remains: (own: IdentifiersRow) => boolean;
      remove: { statement: Statement<never>; params: Param[] }[];
    },
  ): Promise<void> {
    const allowed = await this.#db
      .transaction(async (tx) => {
        await tx.query(lockUser, [userId]);
        const [own] = await tx.query(identifiers, [userId]);
        if (own === undefined || !rule.matches(own) || !rule.remains(own)) return false;
        for (const { statement, params } of rule.remove) await tx.execute(statement, params);
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
