import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import type { ListStatements } from './queries.ts';

export interface ListRequest {
  /** Canonical UUID; undefined for all users. */
  readonly userId?: string | undefined;
  readonly limit: number;
  /** '' or undefined for the first page. */
  readonly cursor?: string | undefined;
  /** Only what was bought at this moment or later, and at that or earlier. */
  readonly after?: Instant | undefined;
  readonly before?: Instant | undefined;
}

/** The latest purchases come first. */
export interface Page<Item> {
  readonly items: Item[];
  /** To what is older; '' when there is nothing more. */
  readonly cursor: string;
  /** To what is newer; '' on the first page. */
  readonly prevCursor: string;
}

interface ListedRow {
  readonly user_id: string;
  readonly purchase_time: Instant;
}

/** A place in a list, and which way from it. */
interface Position {
  readonly time: Instant;
  readonly userId: string;
  readonly id: string;
  readonly isNext: boolean;
}

/** Purchases or subscriptions, page by page. Rows that come or change meanwhile cost no other row its place. */
export class Listing<Row extends ListedRow> {
  readonly #db: Database;
  readonly #statements: ListStatements<Row>;
  readonly #kind: string;
  readonly #idOf: (row: Row) => string;

  /** @param kind of the cursors; those of another list mean nothing to this one. */
  constructor(db: Database, statements: ListStatements<Row>, kind: string, idOf: (row: Row) => string) {
    this.#db = db;
    this.#statements = statements;
    this.#kind = kind;
    this.#idOf = idOf;
  }

  /** Null for a cursor that is none, or belongs to another user or other bounds. */
  async page(request: ListRequest): Promise<Page<Row> | null> {
    const { userId, limit, cursor = '', after, before } = request;
    const scope = [userId ?? '', ...[after, before].map((time) => (time === undefined ? '' : instantParam(time)))];
    const position = cursor === '' ? latest : this.#parse(scope, cursor);
    if (position === null) return null;

    const { older, newer, olderOfUser, newerOfUser } = this.#statements;
    const [onward, back] = userId === undefined ? [older, newer] : [olderOfUser, newerOfUser];
    const rows = await this.#db.query(position.isNext ? onward : back, [
      instantParam(after ?? { seconds: Number.NEGATIVE_INFINITY, nanos: 0 }),
      instantParam(before ?? { seconds: Number.POSITIVE_INFINITY, nanos: 0 }),
      instantParam(position.time),
      userId ?? position.userId,
      position.id,
      limit + 1,
    ]);
    const hasMore = rows.length > limit;
    const items = rows.slice(0, limit);
    if (!position.isNext) items.reverse();
    return {
      items,
      // Whoever came from an older page can go back to it.
      cursor: hasMore || !position.isNext ? this.#write(scope, items.at(-1), true) : '',
      prevCursor: position === latest ? '' : this.#write(scope, items[0], false),
    };
  }

  #write(scope: readonly string[], row: Row | undefined, isNext: boolean): string {
    if (row === undefined) return '';
    const { purchase_time: time, user_id: userId } = row;
    return encodeCursor(this.#kind, [...scope, time.seconds, time.nanos, userId, this.#idOf(row), isNext]);
  }

  #parse(scope: readonly string[], text: string): Position | null {
    const guards = [...scope.map((part) => (value: CursorValue) => value === part), ...positionGuards];
    const values = decodeCursor(this.#kind, text, guards)?.slice(scope.length);
    if (values === undefined) return null;
    const [seconds, nanos, userId, id, isNext] = values as [number, number, string, string, boolean];
    return { time: { seconds, nanos }, userId, id, isNext };
  }
}

const latest: Position = {
  time: { seconds: Number.POSITIVE_INFINITY, nanos: 0 },
  userId: nilUuid,
  id: '',
  isNext: true,
};

/** Longer than any id, in characters. */
const maxIdLength = 1024;
/** Any time that a store writes is within a few thousand years. */
const maxSeconds = 1e11;

const positionGuards: readonly ((value: CursorValue) => boolean)[] = [
  (value) => Number.isSafeInteger(value) && Math.abs(Number(value)) < maxSeconds,
  (value) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 1e9,
  (value) => typeof value === 'string' && parseUuid(value) === value,
  (value) => typeof value === 'string' && value.length <= maxIdLength && !value.includes('\0'),
  (value) => typeof value === 'boolean',
];
