import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { listAll, listOther, listOwn, listPublic, type ObjectRow } from './queries.ts';
import type { Caller } from './storage.ts';

export interface ListRequest {
  readonly collection: string;
  /** Only this owner's objects; undefined for all owners. */
  readonly ownerId: string | undefined;
  /** 0 or more. */
  readonly limit: number;
  /** '' for the first page. */
  readonly cursor: string;
}

export interface ObjectPage {
  readonly objects: ObjectRow[];
  /** Where the next page begins; '' on the last one. */
  readonly cursor: string;
}

/** Where a page begins: just after this object. */
interface Position {
  readonly key: string;
  readonly ownerId: string;
  readonly read: number;
}

const cursorKind = 'storage';

/**
 * A page of a collection, as far as the caller may see it (spec: storage-wallet-purchases.md, section 1.9).
 * Throws INVALID_ARGUMENT for a broken cursor.
 */
export async function listObjects(db: Database, caller: Caller, request: ListRequest): Promise<ObjectPage> {
  const after = request.cursor === '' ? null : parseCursor(request.cursor);
  if (request.limit === 0) return { objects: [], cursor: '' };
  const rows = await queryPage(db, caller, request, after).catch((error) => {
    throw internalUnlessTransient(error, 'Error listing storage objects.');
  });
  const objects = rows.slice(0, request.limit);
  const last = objects.at(-1);
  if (rows.length <= request.limit || last === undefined) return { objects, cursor: '' };
  return { objects, cursor: encodeCursor(cursorKind, [last.key, last.user_id, last.read]) };
}

async function queryPage(
  db: Database,
  caller: Caller,
  { collection, ownerId, limit }: ListRequest,
  after: Position | null,
): Promise<ObjectRow[]> {
  const count = limit + 1;
  const key = after?.key ?? null;
  const owner = after?.ownerId ?? null;
  const read = after?.read ?? null;
  if (caller === 'server') {
    if (ownerId === undefined) return db.query(listAll, [collection, key, owner, read, count]);
    return db.query(listOwn, [collection, ownerId, 0, key, read, count]);
  }
  if (ownerId === undefined) {
    // A cursor of another listing may say less than public, server code may have stored more.
    return db.query(listPublic, [collection, key, owner, read === null ? null : Math.max(read, 2), count]);
  }
  if (ownerId === caller.userId) return db.query(listOwn, [collection, ownerId, 1, key, read, count]);
  return db.query(listOther, [collection, ownerId, key, count]);
}

/** Only what we write ourselves: the database would choke on anything else. */
function parseCursor(text: string): Position {
  const [key, ownerId, read] = decodeCursor(cursorKind, text, [isKey, isOwnerId, isPermission]) ?? [];
  if (typeof key !== 'string' || typeof ownerId !== 'string' || typeof read !== 'number') {
    throw invalidArgument('Malformed cursor was used.');
  }
  return { key, ownerId, read };
}

const isKey = (value: CursorValue): boolean => typeof value === 'string' && !value.includes('\0');
const isOwnerId = (value: CursorValue): boolean => typeof value === 'string' && parseUuid(value) === value;
const isPermission = (value: CursorValue): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxPermission;

/** The column is a smallint. */
const maxPermission = 32_767;
