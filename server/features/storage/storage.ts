import { createHash } from 'node:crypto';
import { AppError, Code, internal, internalUnlessTransient } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { Param, Statement } from '../../store/sql.ts';
import type { Transaction } from '../../store/transaction.ts';
import {
  type AckRow,
  deleteObject,
  insertObject,
  type ObjectRow,
  readObject,
  readObjects,
  replaceObject,
  upsertObject,
  type WriteRow,
} from './queries.ts';

/** Who acts: a user, held to the objects' permissions, or server code, which is not. */
export type Caller = { readonly userId: string } | 'server';

export interface ObjectId {
  readonly collection: string;
  readonly key: string;
  /** Canonical UUID; the nil UUID owns what belongs to the server. */
  readonly ownerId: string;
}

export interface ObjectWrite extends ObjectId {
  /** The text of a JSON object, which the caller has checked (`isJsonObject`); its MD5 is the new version. */
  readonly value: string;
  /** '' whatever is there; '*' nothing may be there; else exactly this version must be there. */
  readonly version: string;
  /** 0 nobody, 1 owner, 2 everybody. */
  readonly permissionRead: number;
  /** 0 nobody, 1 owner. */
  readonly permissionWrite: number;
}

export interface ObjectAck extends ObjectId, AckRow {}

export interface ObjectDelete extends ObjectId {
  /** '' any version. */
  readonly version: string;
}

/** Who wants to know which objects of some collections were changed. */
export interface ChangeWatcher {
  watches(id: ObjectId): boolean;
  /**
   * These may have been written or deleted, and it is committed; so may be more. Never rejects; writes resolve when it
   * has.
   */
  changed(ids: readonly ObjectId[]): Promise<void>;
  /** All objects of a user are gone. */
  erased(ownerId: string): Promise<void>;
}

type RejectReason = 'version' | 'permission';

/** Works on a whole database or inside somebody's transaction. */
type Executor = Pick<Transaction, 'query'>;

/** A write that lost: someone else's version is there, or the object may not be written. */
class WriteRejected extends AppError {
  readonly reason: RejectReason;
  readonly collection: string;

  constructor(reason: RejectReason, collection: string) {
    const why = reason === 'version' ? 'version check failed' : 'permission denied';
    super(Code.INVALID_ARGUMENT, `Storage write rejected - ${why}.`);
    this.reason = reason;
    this.collection = collection;
  }
}

class DeleteRejected extends AppError {
  constructor() {
    super(Code.INVALID_ARGUMENT, 'Storage delete rejected - not found, version check failed, or permission denied.');
  }
}

/** Stored objects (spec: storage-wallet-purchases.md, section 1). */
export class Storage {
  readonly #db: Database;
  readonly #countReject: (collection: string, reason: RejectReason) => void;
  #watcher: ChangeWatcher | undefined;

  constructor(db: Database, countReject: (collection: string, reason: RejectReason) => void) {
    this.#db = db;
    this.#countReject = countReject;
  }

  /** There is one watcher at most. It is told of what anybody changes through this node. */
  watch(watcher: ChangeWatcher): void {
    this.#watcher = watcher;
  }

  /** To be called in the transaction that deletes a user, whose objects go with them. */
  eraseOwner(tx: Transaction, ownerId: string): void {
    const watcher = this.#watcher;
    if (watcher !== undefined) tx.afterCommit(() => watcher.erased(ownerId));
  }

  /** The objects that exist and that the caller may see, each once, in the order of `ids`. */
  async read(caller: Caller, ids: readonly ObjectId[]): Promise<ObjectRow[]> {
    const viewer = caller === 'server' ? null : caller.userId;
    const [first] = ids;
    if (first === undefined) return [];
    try {
      if (ids.length === 1) {
        return await this.#db.query(readObject, [first.collection, first.key, first.ownerId, viewer]);
      }
      const rows = await this.#db.query(readObjects, [
        ids.map((id) => id.collection),
        ids.map((id) => id.key),
        ids.map((id) => id.ownerId),
        viewer,
      ]);
      // An id that was given twice counts where it came first; of equal keys a map keeps the last.
      const position = new Map(ids.map((id, index) => [identity(id), index] as const).reverse());
      const rank = (row: ObjectRow): number => position.get(identity({ ...row, ownerId: row.user_id })) ?? 0;
      return rows.sort((a, b) => rank(a) - rank(b));
    } catch (error) {
      throw internalUnlessTransient(error, 'Error reading storage objects.');
    }
  }

  /**
   * Writes all objects or none; acks come in the order of `writes`. Throws INVALID_ARGUMENT when a version or a
   * permission does not hold. Inside a transaction nothing holds until that commits.
   */
  async write(caller: Caller, writes: readonly ObjectWrite[], tx?: Transaction): Promise<ObjectAck[]> {
    try {
      return await this.#announcing(writes, tx, () => {
        const [single] = writes;
        if (tx !== undefined) return writeSorted(tx, caller, writes);
        if (writes.length === 1 && single) return writeOne(this.#db, caller, single).then((ack) => [ack]);
        return this.#db.transaction((own) => writeSorted(own, caller, writes));
      });
    } catch (error) {
      if (error instanceof WriteRejected) {
        this.#countReject(error.collection, error.reason);
        throw error;
      }
      throw internalUnlessTransient(error, 'Error writing storage objects.');
    }
  }

  /**
   * Deletes all objects or none. For users a missing object is an error as much as one they may not delete; server
   * code may delete what is not there, unless it names a version.
   */
  async delete(caller: Caller, deletes: readonly ObjectDelete[], tx?: Transaction): Promise<void> {
    const run = async (executor: Executor): Promise<void> => {
      for (const { collection, key, ownerId, version } of inLockOrder(deletes)) {
        const deleted = await executor.query(deleteObject, [collection, key, ownerId, version, caller === 'server']);
        if (deleted.length === 0 && (caller !== 'server' || version !== '')) {
          throw new DeleteRejected();
        }
      }
    };
    try {
      await this.#announcing(deletes, tx, async () => {
        if (tx !== undefined) await run(tx);
        else if (deletes.length === 1) await run(this.#db);
        else if (deletes.length > 1) await this.#db.transaction(run);
      });
    } catch (error) {
      if (error instanceof DeleteRejected) throw error;
      throw internalUnlessTransient(error, 'Error deleting storage objects.');
    }
  }

  /** Changes objects, and tells the watcher of those it watches once that is committed, or may be. */
  async #announcing<T>(ids: readonly ObjectId[], tx: Transaction | undefined, change: () => Promise<T>): Promise<T> {
    const watcher = this.#watcher;
    const watched = watcher === undefined ? [] : ids.filter((id) => watcher.watches(id));
    if (watcher === undefined || watched.length === 0) return await change();
    const announce = (): Promise<void> => watcher.changed(watched);
    try {
      const result = await change();
      if (tx === undefined) await announce();
      else tx.afterCommit(announce);
      return result;
    } catch (error) {
      const mayHold = error instanceof AppError && error.retry === 'unknown';
      if (tx === undefined && mayHold) await announce();
      throw error;
    }
  }
}

async function writeSorted(tx: Executor, caller: Caller, writes: readonly ObjectWrite[]): Promise<ObjectAck[]> {
  const acks = new Map<ObjectWrite, ObjectAck>();
  for (const write of inLockOrder(writes)) acks.set(write, await writeOne(tx, caller, write));
  return writes.flatMap((write) => acks.get(write) ?? []);
}

/** How often a write tries again when the object came, went or changed while it waited for it. */
const maxLooks = 5;

async function writeOne(executor: Executor, caller: Caller, write: ObjectWrite): Promise<ObjectAck> {
  const { collection, key, ownerId, value, permissionRead, permissionWrite } = write;
  const newVersion = createHash('md5').update(value).digest('hex');
  const isServer = caller === 'server';
  const params = [collection, key, ownerId, value, newVersion, permissionRead, permissionWrite];
  const ack = ({ version, create_time, update_time }: AckRow): ObjectAck => ({
    collection,
    key,
    ownerId,
    version,
    create_time,
    update_time,
  });

  for (let look = 0; look < maxLooks; look++) {
    const [stored] = await executor.query(...writeStatement(write.version, params, isServer));
    if (stored?.written) return ack(stored);
    if (write.version === '*') throw new WriteRejected('version', collection);
    const mayWrite = stored === undefined || isServer || stored.write === 1;
    if (!mayWrite) throw new WriteRejected('permission', collection);
    if (write.version !== '') throw new WriteRejected('version', collection);
    const isSame = stored?.version === newVersion && stored.read === permissionRead && stored.write === permissionWrite;
    if (isSame) return ack(stored);
  }
  throw internal('Error writing storage objects.');
}

function writeStatement(version: string, params: Param[], isServer: boolean): [Statement<WriteRow>, Param[]] {
  if (version === '') return [upsertObject, [...params, isServer]];
  if (version === '*') return [insertObject, params];
  return [replaceObject, [...params, isServer, version]];
}

/** One order for every batch, so that batches never deadlock each other; equal ids keep the caller's order. */
function inLockOrder<T extends ObjectId>(ids: readonly T[]): T[] {
  const compare = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return [...ids].sort(
    (a, b) => compare(a.collection, b.collection) || compare(a.key, b.key) || compare(a.ownerId, b.ownerId),
  );
}

const identity = (id: ObjectId): string => JSON.stringify([id.collection, id.key, id.ownerId]);
