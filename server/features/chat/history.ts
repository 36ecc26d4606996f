import { decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import type { Channel } from './channel-id.ts';
import { streamParams } from './message-log.ts';
import { type MessageRow, messagesAfter, messagesBefore } from './queries.ts';

export interface HistoryRequest {
  readonly limit: number;
  /** Oldest first, or newest first. */
  readonly forward: boolean;
  /** '' for the first page. */
  readonly cursor: string;
}

/** Cursors are '' where there is nothing to fetch. */
export interface HistoryPage {
  readonly messages: MessageRow[];
  readonly nextCursor: string;
  readonly prevCursor: string;
  /** Lists what is newer than this page, also what is yet to come; for use with `forward`. */
  readonly cacheableCursor: string;
}

/** A place in a listing: before or behind a message. */
interface Position {
  readonly time: Instant;
  readonly id: string;
  readonly isNext: boolean;
}

const cursorKind = 'chat';

/** A page of a channel's stored messages (spec: realtime.md, section 14.7). Throws INVALID_ARGUMENT for bad cursors. */
export async function listMessages(db: Database, channel: Channel, request: HistoryRequest): Promise<HistoryPage> {
  const { limit, forward, cursor } = request;
  const position = cursor === '' ? null : parseCursor(channel, forward, cursor);
  const isNext = position?.isNext ?? true;
  const statement = forward === isNext ? messagesAfter : messagesBefore;
  const rows = await db
    .query(statement, [
      ...streamParams(channel),
      position === null ? null : instantParam(position.time),
      position?.id ?? null,
      limit + 1,
    ])
    .catch((error) => {
      throw internalUnlessTransient(error, 'Error listing channel messages.');
    });
  const hasMore = rows.length > limit;
  const messages = rows.slice(0, limit);
  if (!isNext) messages.reverse();

  const first = messages[0];
  const last = messages.at(-1);
  if (first === undefined || last === undefined) {
    const cacheable = position === null ? '' : writeCursor(channel, true, { ...position, isNext: true });
    return { messages, nextCursor: '', prevCursor: '', cacheableCursor: cacheable };
  }
  const at = (row: MessageRow, next: boolean): string =>
    writeCursor(channel, forward, { time: row.create_time, id: row.id, isNext: next });
  return {
    messages,
    nextCursor: hasMore || !isNext ? at(last, true) : '',
    prevCursor: position !== null && (hasMore || isNext) ? at(first, false) : '',
    cacheableCursor: writeCursor(channel, true, { time: last.create_time, id: last.id, isNext: true }),
  };
}

function writeCursor(channel: Channel, forward: boolean, { time, id, isNext }: Position): string {
  return encodeCursor(cursorKind, [channel.id, forward, time.seconds, time.nanos, id, isNext]);
}

function parseCursor(channel: Channel, forward: boolean, text: string): Position {
  const [channelId, direction, seconds, nanos, id, isNext] = decodeCursor(cursorKind, text) ?? [];
  const isValid =
    channelId === channel.id &&
    direction === forward &&
    Number.isSafeInteger(seconds) &&
    Number.isSafeInteger(nanos) &&
    typeof id === 'string' &&
    parseUuid(id) !== null &&
    typeof isNext === 'boolean';
  if (!isValid) throw invalidArgument('Cursor is invalid or expired.');
  return { time: { seconds: Number(seconds), nanos: Number(nanos) }, id, isNext };
}
