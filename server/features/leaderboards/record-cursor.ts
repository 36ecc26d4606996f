import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { parseUuid } from '../../platform/ids.ts';

/** A place in the order of one board and period (spec: leaderboards-tournaments.md, section 11). */
export interface RecordCursor {
  /** On from there, or the page before. */
  readonly direction: 'next' | 'prev';
  readonly board: string;
  /** Unix seconds. */
  readonly expiry: number;
  readonly score: bigint;
  readonly subscore: bigint;
  readonly ownerId: string;
  /** Of the record that stands, or stood, there; 0: not known. */
  readonly rank: number;
}

/** The record at which a cursor is. */
interface CursorRow {
  readonly score: bigint;
  readonly subscore: bigint;
  readonly owner_id: string;
}

const cursorKind = 'record';

export function writeCursor(
  direction: RecordCursor['direction'],
  board: string,
  expiry: number,
  row: CursorRow,
  rank: number,
): string {
  const values = [direction, board, expiry, String(row.score), String(row.subscore), row.owner_id, rank];
  return encodeCursor(cursorKind, values);
}

/** The cursor, or null for one that we have not written for this board and period. */
export function readCursor(text: string, board: string, expiry: number): RecordCursor | null {
  const values = decodeCursor(cursorKind, text, [
    (value) => value === 'next' || value === 'prev',
    (value) => value === board,
    (value) => value === expiry,
    isScore,
    isScore,
    (value) => typeof value === 'string' && parseUuid(value) === value,
    (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxRank,
  ]);
  if (values === null) return null;
  const [direction, , , score, subscore, ownerId, rank] = values;
  return {
    direction: direction as RecordCursor['direction'],
    board,
    expiry,
    score: BigInt(score as string),
    subscore: BigInt(subscore as string),
    ownerId: ownerId as string,
    rank: rank as number,
  };
}

/** Far from where numbers become inexact. */
const maxRank = 2 ** 48;
const maxScore = 2n ** 63n - 1n;
const isScore = (value: CursorValue): boolean =>
  typeof value === 'string' && /^\d{1,19}$/.test(value) && BigInt(value) <= maxScore;
