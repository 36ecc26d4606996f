import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { internal, internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import { countUnread, type NotificationRow, notificationsAfter } from './queries.ts';

export interface NotificationPage {
  readonly notifications: NotificationRow[];
  readonly cursor: string;
}

/** Just behind this notification, which may be gone by now. */
interface Position {
  readonly time: Instant;
  readonly id: string;
}

const cursorKind = 'notification';
/** Unread notifications are counted up to here. */
const maxUnread = 1000;
const maxServerLimit = 1000;
const start: Position = { time: { seconds: 0, nanos: 0 }, id: nilUuid };
const failed = 'Error retrieving notifications.';

/**
 * What a client lists: oldest first, with a cursor that always leads on from the last notification it has seen, also
 * to those still to come (spec: social.md, section 3.4). Throws INTERNAL for a broken cursor, as the contract has it.
 */
export async function listForClient(
  db: Database,
  userId: string,
  limit: number,
  cursor: string,
): Promise<NotificationPage & { readonly unread: number }> {
  const after = cursor === '' ? null : parse(cursor);
  if (after === undefined) throw internal(failed);
  try {
    const [rows, [unread]] = await Promise.all([
      queryPage(db, userId, limit, after),
      db.query(countUnread, [userId, maxUnread]),
    ]);
    const last = rows.at(-1);
    const next = last === undefined ? cursor || write(start) : write({ time: last.create_time, id: last.id });
    return { notifications: rows, cursor: next, unread: unread?.count ?? 0 };
  } catch (error) {
    throw internalUnlessTransient(error, failed);
  }
}

/** What game code lists: the cursor is '' on the last page. Throws INVALID_ARGUMENT. */
export async function listForServer(
  db: Database,
  userId: string,
  limit: number,
  cursor: string,
): Promise<NotificationPage> {
  if (limit < 1 || limit > maxServerLimit) throw invalidArgument(`expects limit between 1 and ${maxServerLimit}`);
  const after = cursor === '' ? null : parse(cursor);
  if (after === undefined) throw invalidArgument('expects cursor to be a valid cursor');
  const rows = await queryPage(db, userId, limit + 1, after);
  const notifications = rows.slice(0, limit);
  const last = notifications.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return { notifications, cursor: hasMore ? write({ time: last.create_time, id: last.id }) : '' };
}

function queryPage(db: Database, userId: string, limit: number, after: Position | null): Promise<NotificationRow[]> {
  return db.query(notificationsAfter, [
    userId,
    after === null ? null : instantParam(after.time),
    after?.id ?? null,
    limit,
  ]);
}

function write({ time, id }: Position): string {
  return encodeCursor(cursorKind, [time.seconds, time.nanos, id]);
}

function parse(text: string): Position | undefined {
  const values = decodeCursor(cursorKind, text, [isSeconds, isNanos, isId]);
  if (values === null) return undefined;
  const [seconds, nanos, id] = values as [number, number, string];
  return { time: { seconds, nanos }, id };
}

/** Up to the year 9999. */
const maxSeconds = 253_402_300_799;
const isWithin = (value: CursorValue, max: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
const isSeconds = (value: CursorValue): boolean => isWithin(value, maxSeconds);
const isNanos = (value: CursorValue): boolean => isWithin(value, 999_999_999);
const isId = (value: CursorValue): boolean => typeof value === 'string' && parseUuid(value) === value;
