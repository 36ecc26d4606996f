import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { instantParam, parseInstant } from '../../store/types.ts';
import type { Boards } from '../leaderboards/index.ts';
import { type PlaceRow, tournamentsAfter } from './tournament-queries.ts';
import { type Tournament, viewAt } from './views.ts';

export interface TournamentListRequest {
  /** Both inclusive. */
  readonly categoryStart: number;
  readonly categoryEnd: number;
  /** Unix seconds: those that start then or later; null: all. */
  readonly startTime: number | null;
  /** Unix seconds: those that end by then; 0: those that never end; null: all that have not ended. */
  readonly endTime: number | null;
  readonly limit: number;
  /** '' for the first page. */
  readonly cursor: string;
}

export interface TournamentPage {
  readonly tournaments: Tournament[];
  /** '' on the last page. */
  readonly cursor: string;
}

const cursorKind = 'tournament';
const maxLimit = 100;
/** Beyond all that is stored. */
const latest = 253_402_300_799;

/**
 * Tournaments by their start, then by their end, the latest first and those that never end last, then by category and id
 * (spec: leaderboards-tournaments.md, section 15). Upcoming ones are included. Throws INVALID_ARGUMENT.
 */
export async function listTournaments(
  { db, boards }: { readonly db: Database; readonly boards: Boards },
  request: TournamentListRequest,
  now: number,
): Promise<TournamentPage> {
  const { categoryStart, categoryEnd, startTime, endTime, limit, cursor } = request;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) throw invalidArgument('limit must be 1-100');
  if (categoryEnd < categoryStart) throw invalidArgument('category end must be >= category start');
  if (endTime !== null && endTime > 0 && endTime < (startTime ?? 0)) {
    throw invalidArgument('end time must be >= start time');
  }
  const ends = endTime === null ? [true, now, latest] : endTime === 0 ? [true, 1, 0] : [false, 1, endTime];
  const rows = await db.query(tournamentsAfter, [
    ...[categoryStart, categoryEnd, startTime ?? 0, ...ends, limit + 1, ...placeOf(cursor)],
  ]);
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  return {
    tournaments: await viewAt(db, await boards.find(page.map(({ id }) => id)), now),
    cursor: last === undefined ? '' : encodeCursor(cursorKind, toPlace(last)),
  };
}

type Place = [start: string, end: string, category: number, id: string];

const beforeAll: Place = ['0001-01-01 00:00:00+00', '0001-01-01 00:00:00+00', 0, ''];

const toPlace = (row: PlaceRow): Place => [
  instantParam(row.start_time),
  instantParam(row.end_time),
  row.category,
  row.id,
];

function placeOf(cursor: string): Place {
  if (cursor === '') return beforeAll;
  const values = decodeCursor(cursorKind, cursor, [isTime, isTime, isCategory, isId]);
  if (values === null) throw invalidArgument('Cursor is invalid or expired.');
  return values as Place;
}

const isTime = (value: CursorValue): boolean =>
  typeof value === 'string' &&
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00$/.test(value) &&
  instantParam(parseInstant(value)) === value;
const isCategory = (value: CursorValue): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 127;
const isId = (value: CursorValue): boolean => typeof value === 'string' && !value.includes('\0');
