import type { Logger } from 'pino';
import { AppError, Code } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { muster } from '../../wire/generated/messages.js';
import type { ChangeWatcher, ObjectId, ObjectRow, Storage } from '../storage/index.ts';
import type { Announcements } from './announcements.ts';
import { checkDefinition, type IndexDefinition, type IndexFilter } from './definition.ts';
import { IndexEntry } from './entry.ts';
import { ChangeFeed, type FeedWork } from './feed.ts';
import { type IndexListing, type IndexPage, listIndex } from './listing.ts';
import { loadCollection, loadKey } from './queries.ts';
import { SearchIndex } from './search-index.ts';

/**
 * How often everything is read again: a node that died between a commit and its announcement, or that runs code without
 * the index, tells nobody.
 */
const reloadEveryMs = 600_000;
const rowsPerBatch = 1000;

interface Dependencies {
  readonly db: Database;
  readonly storage: Storage;
  readonly announcements: Announcements;
  /** Whether indexes that answer from memory read the database like the others. */
  readonly disableIndexOnly: boolean;
  readonly log: Logger;
}

/**
 * Searches in stored objects (spec: storage-wallet-purchases.md, section 2). Every node that registered an index holds
 * all of it in memory. Whoever writes tells all nodes the objects' names once it is committed; each reads them from the
 * database.
 */
export class StorageIndexes implements ChangeWatcher, FeedWork {
  readonly #deps: Dependencies;
  readonly #feed: ChangeFeed;
  readonly #indexes = new Map<string, SearchIndex>();
  readonly #filters = new Map<string, IndexFilter>();
  /** Names of the objects that were looked at since everything began to be read again. */
  #refreshed: Set<string> | undefined;
  #isStarted = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#feed = new ChangeFeed(this, deps.log);
  }

  /** nk: registerStorageIndex, to be called before the node starts. Throws for what is no index, with Nakama's texts. */
  register(definition: IndexDefinition): void {
    if (this.#isStarted) {
      throw new AppError(Code.FAILED_PRECONDITION, 'storage indexes must be registered before the server starts');
    }
    checkDefinition(definition, this.#indexes);
    const indexOnly = definition.indexOnly && !this.#deps.disableIndexOnly;
    this.#indexes.set(definition.name, new SearchIndex({ ...definition, indexOnly }));
  }

  /** nk: registerStorageIndexFilter. The index may be registered later. */
  registerFilter(indexName: string, filter: IndexFilter): void {
    this.#filters.set(indexName, filter);
  }

  /** Fills the indexes, or goes on trying to when the database is away. Without any index nothing is done, ever. */
  async start(): Promise<void> {
    this.#isStarted = true;
    if (this.#indexes.size === 0) return;
    this.#deps.storage.watch(this);
    await this.#deps.announcements.start((change) => this.#hear(change));
    this.#feed.changedSomehow();
    await this.#feed.caughtUp();
    this.#timer = setInterval(() => this.changedSomehow(), reloadEveryMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#deps.announcements.stop();
    await this.#feed.stop();
  }

  /**
   * nk: storageIndexList. Throws NOT_FOUND for an unknown index, INVALID_ARGUMENT for a query, a limit or a cursor that
   * is none. Knows everything that was written through this node before, and what it heard of the others.
   */
  async list(listing: IndexListing): Promise<IndexPage> {
    const { storage, log } = this.#deps;
    return await listIndex({ indexes: this.#indexes, storage, feed: this.#feed, log }, listing);
  }

  /** Anything may have been missed. */
  changedSomehow(): void {
    if (this.#indexes.size > 0 && this.#isStarted) this.#feed.changedSomehow();
  }

  watches(id: ObjectId): boolean {
    for (const index of this.#indexes.values()) if (index.covers(id)) return true;
    return false;
  }

  async changed(ids: readonly ObjectId[]): Promise<void> {
    this.#feed.changed(ids);
    await Promise.all([this.#deps.announcements.changed(ids), this.#feed.settled()]);
  }

  async erased(ownerId: string): Promise<void> {
    this.#feed.erased([ownerId]);
    await Promise.all([this.#deps.announcements.erased(ownerId), this.#feed.settled()]);
  }

  #hear({ ids, owner_ids: ownerIds, unknown }: muster.cluster.StorageChange): void {
    if (unknown) this.#feed.changedSomehow();
    const mine = ids.map(({ collection, key, owner_id: ownerId }) => ({ collection, key, ownerId }));
    const watched = mine.filter((id) => this.watches(id));
    if (watched.length > 0) this.#feed.changed(watched);
    if (ownerIds.length > 0) this.#feed.erased(ownerIds);
  }

  async reload(meanwhile: () => Promise<void>): Promise<void> {
    this.#refreshed = new Set();
    try {
      for (const index of this.#indexes.values()) await this.#load(index, meanwhile, this.#refreshed);
    } finally {
      this.#refreshed = undefined;
    }
  }

  async refresh(ids: readonly ObjectId[]): Promise<void> {
    const rows = await this.#deps.storage.read('server', ids);
    for (const id of ids) this.#refreshed?.add(nameOf(id.collection, id.key, id.ownerId));
    for (const index of this.#indexes.values()) {
      const here = ids.filter((id) => index.covers(id));
      if (here.length === 0) continue;
      const found = new Map(rows.map((row) => [nameOf(row.collection, row.key, row.user_id), row]));
      for (const { collection, key, ownerId } of here) {
        const row = found.get(nameOf(collection, key, ownerId));
        if (row === undefined) index.remove({ key, user_id: ownerId });
        else await this.#apply(index, row);
      }
      index.evict();
    }
  }

  idsOf(ownerIds: ReadonlySet<string>): ObjectId[] {
    return [...this.#indexes.values()].flatMap((index) =>
      [...ownerIds].flatMap((ownerId) => [...index.ofOwner(ownerId)].map(({ row }) => idOf(row))),
    );
  }

  /** Reads the newest objects, as many as there is room for, and looks after those that it did not come across. */
  async #load(index: SearchIndex, meanwhile: () => Promise<void>, refreshed: ReadonlySet<string>): Promise<void> {
    const { collection, key, maxEntries } = index.definition;
    const [statement, params] = key === '' ? [loadCollection, [collection]] : [loadKey, [collection, key]];
    const seen = new Set<IndexEntry>();
    for await (const rows of this.#deps.db.stream(statement, params, rowsPerBatch)) {
      for (const row of rows) {
        if (seen.size >= maxEntries) break;
        // The row is as old as the first of them, what was refreshed is newer.
        if (!refreshed.has(nameOf(row.collection, row.key, row.user_id))) await this.#apply(index, row);
        const entry = index.get(row);
        if (entry !== undefined) seen.add(entry);
      }
      await meanwhile();
      if (seen.size >= maxEntries) break;
    }
    const others = [...index.entries()].filter((entry) => !seen.has(entry)).map(({ row }) => idOf(row));
    for (let at = 0; at < others.length; at += rowsPerBatch) await this.refresh(others.slice(at, at + rowsPerBatch));
    index.evict();
  }

  async #apply(index: SearchIndex, row: ObjectRow): Promise<void> {
    if (index.get(row)?.isOf(row)) return;
    const { name } = index.definition;
    try {
      const entry = IndexEntry.of(row, index.definition);
      const isWanted = entry !== undefined && (await this.#passes(name, row));
      if (isWanted) index.set(entry);
      else index.remove(row);
    } catch (error) {
      this.#deps.log.error({ err: error, index: name }, 'could not decide whether to index an object');
    }
  }

  async #passes(name: string, row: ObjectRow): Promise<boolean> {
    const filter = this.#filters.get(name);
    if (filter === undefined) return true;
    const { collection, key, user_id: userId, version, value, read: permissionRead, write: permissionWrite } = row;
    const verdict = await filter({ collection, key, userId, version, permissionRead, permissionWrite, value });
    if (typeof verdict !== 'boolean') throw new TypeError('a storage index filter must answer true or false');
    return verdict;
  }
}

const nameOf = (collection: string, key: string, ownerId: string): string => JSON.stringify([collection, key, ownerId]);

const idOf = ({ collection, key, user_id: ownerId }: ObjectRow): ObjectId => ({ collection, key, ownerId });
