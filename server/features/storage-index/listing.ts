import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument, notFound } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import { Query, QueryError } from '../../platform/query/query.ts';
import type { ObjectId, ObjectRow, Storage } from '../storage/index.ts';
import type { IndexEntry } from './entry.ts';
import type { ChangeFeed } from './feed.ts';
import { ordering } from './ordering.ts';
import type { SearchIndex } from './search-index.ts';

export interface IndexListing {
  readonly name: string;
  /** '' or `*` for everything. */
  readonly query: string;
  /** 1 to 10000. */
  readonly limit: number;
  /** Field names, `-name` for the largest first; without any, the oldest objects come first. */
  readonly order?: readonly string[];
  /** Whose permissions hold; '' or undefined for server code, which sees everything. */
  readonly callerId?: string | undefined;
  /** '' or undefined for the first page. */
  readonly cursor?: string | undefined;
}

export interface IndexPage {
  /** May be fewer than the limit although more follow: what the caller may not see is left out. */
  readonly objects: ObjectRow[];
  /** Where the next page begins; '' on the last one. */
  readonly cursor: string;
}

interface Sources {
  readonly indexes: ReadonlyMap<string, SearchIndex>;
  readonly storage: Storage;
  readonly feed: ChangeFeed;
  readonly log: Logger;
}

const maxLimit = 10_000;
const cursorKind = 'storage-index';

/** A page of an index (spec: storage-wallet-purchases.md, section 2.5). */
export async function listIndex({ indexes, storage, feed, log }: Sources, listing: IndexListing): Promise<IndexPage> {
  const { name, query: text, limit, order = [], callerId = '', cursor = '' } = listing;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) throw invalidArgument(`limit must be 1-${maxLimit}`);
  const caller = callerId === '' ? undefined : parseUuid(callerId);
  if (caller === null) throw invalidArgument('expects caller id to be valid identifier');
  const index = indexes.get(name);
  if (index === undefined) throw notFound(`index "${name}" not found`);
  const { maxEntries, indexOnly } = index.definition;
  if (limit > maxEntries) log.warn({ index: name, limit, maxEntries }, 'limit above the size of the storage index');
  const offset = cursor === '' ? 0 : offsetOf(cursor, listing);
  const query = compile(text);

  await feed.settled();
  const end = offset + limit;
  const hits = index.search(query, ordering(order), end + 1);
  const page = hits.slice(offset, end);
  const objects = indexOnly
    ? page.map(({ row }) => row).filter(({ read, user_id }) => caller === undefined || read === 2 || user_id === caller)
    : (await current(page, storage, feed)).filter(
        ({ read, user_id }) => caller === undefined || read === 2 || (read === 1 && user_id === caller),
      );
  return {
    objects,
    cursor: hits.length > end ? encodeCursor(cursorKind, [digest(text), end, limit, digest(order)]) : '',
  };
}

function compile(text: string): Query {
  try {
    return new Query(text);
  } catch (error) {
    throw error instanceof QueryError ? invalidArgument(error.message) : error;
  }
}

/** What the database has of these, in their order; where it has something else, the indexes look again. */
async function current(page: readonly IndexEntry[], storage: Storage, feed: ChangeFeed): Promise<ObjectRow[]> {
  const ids = page.map(({ row: { collection, key, user_id: ownerId } }): ObjectId => ({ collection, key, ownerId }));
  const rows = await storage.read('server', ids);
  const stale: ObjectId[] = [];
  // Both have one order, and none of the rows is of an object that is not in the page.
  let at = 0;
  for (const [place, { row }] of page.entries()) {
    const found = rows[at];
    const isThere = found?.key === row.key && found.user_id === row.user_id;
    if (!isThere || found?.version !== row.version) stale.push(ids[place] as ObjectId);
    if (isThere) at++;
  }
  if (stale.length > 0) feed.changed(stale);
  return rows;
}

const digest = (content: string | readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(content)).digest('base64url');

/** The cursor holds digests: queries may be longer than a cursor should be. */
function offsetOf(cursor: string, { query, limit, order = [] }: IndexListing): number {
  const values = decodeCursor(cursorKind, cursor, [isText, isCount, isCount, isText]);
  if (values === null) throw invalidArgument('invalid cursor');
  const [queryDigest, offset, cursorLimit, orderDigest] = values;
  if (queryDigest !== digest(query)) throw invalidArgument('invalid cursor: query mismatch');
  if (cursorLimit !== limit) throw invalidArgument('invalid cursor: limit mismatch');
  if (orderDigest !== digest(order)) throw invalidArgument('invalid cursor: order mismatch');
  return offset as number;
}

const isText = (value: CursorValue): boolean => typeof value === 'string';
const isCount = (value: CursorValue): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
