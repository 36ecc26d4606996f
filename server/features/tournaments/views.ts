import type { Database } from '../../store/database.ts';
import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import { type Board, noMaxSize } from '../leaderboards/index.ts';
import { isOpen, isReset, type Period, periodAt, previousReset } from './periods.ts';
import { sizesOf } from './tournament-queries.ts';

/** A tournament as it is at some time. Times are unix seconds. */
export interface Tournament {
  readonly board: Board;
  readonly period: Period;
  /** How many take part in the period; 0 without a maximum. */
  readonly size: number;
  /** Is the window open, and is there room? */
  readonly canEnter: boolean;
  /** 0 for none. */
  readonly prevReset: number;
}

export function hasMaxSize({ maxSize }: Pick<Board, 'maxSize'>): boolean {
  return maxSize !== noMaxSize;
}

/** The tournaments as of that second, in the same order. */
export async function viewAt(db: Database, boards: readonly Board[], now: number): Promise<Tournament[]> {
  const periods = boards.map((board) => periodAt(board, now));
  // What was reset is empty, whatever is still counted.
  const counted = boards.flatMap((board, index) => {
    const period = periods[index] as Period;
    return hasMaxSize(board) && !isReset(period, now) ? [[board.id, period.expiry] as const] : [];
  });
  const sizes = new Map<string, number>();
  if (counted.length > 0) {
    const rows = await db.query(sizesOf, [counted.map(([id]) => id), counted.map(([, expiry]) => expiry)]);
    for (const { id, size } of rows) sizes.set(id, size);
  }
  return boards.map((board, index) => {
    const period = periods[index] as Period;
    const size = sizes.get(board.id) ?? 0;
    const canEnter = isOpen(period, now) && (!hasMaxSize(board) || size < board.maxSize);
    return { board, period, size, canEnter, prevReset: previousReset(board, now) };
  });
}

/** A tournament as the API shows it (spec: leaderboards-tournaments.md, section 3.2). */
export function toTournament({ board, period, size, canEnter, prevReset }: Tournament): Init<nakama.api.Tournament> {
  return {
    id: board.id,
    title: board.title,
    description: board.description,
    category: board.category,
    sort_order: board.descending ? 1 : 0,
    size,
    max_size: board.maxSize,
    max_num_score: board.maxNumScore,
    can_enter: canEnter,
    start_active: toUint32(period.startActive),
    end_active: toUint32(period.endActive),
    next_reset: toUint32(period.expiry),
    prev_reset: prevReset,
    metadata: board.metadata,
    create_time: truncateToSeconds(board.createTime),
    start_time: { seconds: board.startTime },
    end_time: board.endTime === 0 ? null : { seconds: board.endTime },
    duration: board.duration,
    operator: board.operator + 1,
    authoritative: board.authoritative,
    join_required: board.joinRequired,
  };
}

/** Times of the far future do not fit. */
const toUint32 = (time: number): number => Math.min(time, 2 ** 32 - 1);
