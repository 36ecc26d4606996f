import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument, notFound } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import { checkMetadata, refuseBadText } from './metadata.ts';
import { deleteLedgerItem, type LedgerRow, ledgerAfter, ledgerBefore, mergeLedgerMetadata } from './queries.ts';

/** Most items of one page; a greater limit gets as many, and a cursor for the rest. */
export const maxLedgerPage = 1000;
const defaultLedgerPage = 100;

/** One change of a wallet as it was recorded. */
export interface LedgerItem {
  readonly id: string;
  readonly userId: string;
  /** JSON text, exact; `parseAmounts` reads it. */
  readonly changeset: string;
  /** JSON text. */
  readonly metadata: string;
  readonly createTime: Instant;
  readonly updateTime: Instant;
}

export interface LedgerRequest {
  readonly userId: string;
  /** Default 100; 0 or less gets nothing. The doors have bounds of their own. */
  readonly limit?: number | undefined;
  /** '' or undefined for the first page. */
  readonly cursor?: string | undefined;
  /** Only items created after this moment, and before that. */
  readonly after?: Instant | undefined;
  readonly before?: Instant | undefined;
}

export interface LedgerPage {
  /** Newest first. */
  readonly items: LedgerItem[];
  /** To what is older; '' when there is nothing more. */
  readonly nextCursor: string;
  /** To what is newer; '' on the first page. */
  readonly prevCursor: string;
}

/** A place in a ledger, and which way from it. */
interface Position {
  readonly time: Instant;
  readonly id: string;
  readonly isNext: boolean;
}

/** The changes of wallets that were made with `updateLedger` (spec: storage-wallet-purchases.md, sections 3.3, 3.4). */
export class Ledger {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * A page of a user's ledger. Throws INVALID_ARGUMENT for a bad user id, and for a cursor that is none or belongs to
   * another user or other bounds.
   */
  async list(request: LedgerRequest): Promise<LedgerPage> {
    const userId = parseUuid(request.userId);
    if (userId === null) throw invalidArgument('expects a valid user id');
    const scope = scopeOf(userId, request);
    const cursor = request.cursor ?? '';
    const position = cursor === '' ? newest : parseCursor(scope, cursor);
    const limit = Math.min(request.limit ?? defaultLedgerPage, maxLedgerPage);
    if (limit <= 0) return { items: [], nextCursor: '', prevCursor: '' };

    const rows = await this.#db.query(position.isNext ? ledgerBefore : ledgerAfter, [
      userId,
      instantParam(request.after ?? { seconds: Number.NEGATIVE_INFINITY, nanos: 0 }),
      instantParam(request.before ?? { seconds: Number.POSITIVE_INFINITY, nanos: 0 }),
      instantParam(position.time),
      position.id,
      limit + 1,
    ]);
    const hasMore = rows.length > limit;
    const page = rows.slice(0, limit);
    if (!position.isNext) page.reverse();
    const cursorAt = (row: LedgerRow | undefined, isNext: boolean): string =>
      row === undefined ? '' : writeCursor(scope, { time: row.create_time, id: row.id, isNext });
    return {
      items: page.map(toItem),
      // Whoever came from an older page can go back to it.
      nextCursor: hasMore || !position.isNext ? cursorAt(page.at(-1), true) : '',
      prevCursor: position === newest ? '' : cursorAt(page[0], false),
    };
  }

  /**
   * Merges an object into an item's metadata: its top-level keys replace those of the same name. Throws NOT_FOUND when
   * there is no such item, INVALID_ARGUMENT for a bad id or metadata.
   * @param metadata the text of a JSON object
   */
  async updateMetadata(itemId: string, metadata: string): Promise<LedgerItem> {
    const id = parseItemId(itemId);
    checkMetadata(metadata);
    const [row] = await this.#db.query(mergeLedgerMetadata, [id, metadata]).catch(refuseBadText);
    // The reference's own words, which game code may match on.
    if (row === undefined) throw notFound('sql: no rows in result set');
    return toItem(row);
  }

  /** Removes an item from a user's ledger; the wallet stays as it is. Returns whether there was one. */
  async delete(userId: string, itemId: string): Promise<boolean> {
    const owner = parseUuid(userId);
    if (owner === null) throw invalidArgument('expects a valid user id');
    return (await this.#db.execute(deleteLedgerItem, [parseItemId(itemId), owner])) > 0;
  }
}

function parseItemId(text: string): string {
  const id = parseUuid(text);
  if (id === null) throw invalidArgument('expects a valid item id');
  return id;
}

const toItem = (row: LedgerRow): LedgerItem => ({
  id: row.id,
  userId: row.user_id,
  changeset: row.changeset,
  metadata: row.metadata,
  createTime: row.create_time,
  updateTime: row.update_time,
});

const newest: Position = {
  time: { seconds: Number.POSITIVE_INFINITY, nanos: 0 },
  id: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  isNext: true,
};

const cursorKind = 'wallet_ledger';

/** What a cursor is bound to. */
function scopeOf(userId: string, { after, before }: LedgerRequest): string[] {
  return [userId, ...[after, before].map((time) => (time === undefined ? '' : instantParam(time)))];
}

const writeCursor = (scope: readonly string[], { time, id, isNext }: Position): string =>
  encodeCursor(cursorKind, [...scope, time.seconds, time.nanos, id, isNext]);

function parseCursor(scope: readonly string[], text: string): Position {
  const guards = [
    ...scope.map((part) => (value: CursorValue) => value === part),
    (value: CursorValue) => Number.isSafeInteger(value) && Math.abs(Number(value)) < maxSeconds,
    (value: CursorValue) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 1e9,
    (value: CursorValue) => typeof value === 'string' && parseUuid(value) !== null,
    (value: CursorValue) => typeof value === 'boolean',
  ];
  const values = decodeCursor(cursorKind, text, guards)?.slice(scope.length);
  if (values === undefined) throw invalidArgument('wallet ledger cursor invalid');
  const [seconds, nanos, id, isNext] = values;
  return { time: { seconds: Number(seconds), nanos: Number(nanos) }, id: String(id), isNext: isNext === true };
}

/** Any time that we write is within a few thousand years. */
const maxSeconds = 1e11;
