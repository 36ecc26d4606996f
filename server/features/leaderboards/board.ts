import type { Schedule } from '../../platform/cron.ts';
import type { Instant } from '../../store/types.ts';
import type { Resets } from './resets.ts';

/** What a new score does to an old one. The numbers are those of the table; on the wire they are one more. */
export const Operator = { BEST: 0, SET: 1, INCREMENT: 2, DECREMENT: 3 } as const;
export type Operator = (typeof Operator)[keyof typeof Operator];

/** The maximum size of a tournament without one. */
export const noMaxSize = 2_147_483_647;

/** `max_num_score` where none is given. */
export const defaultMaxNumScore = 1_000_000;

/**
 * A leaderboard or, when its duration is not 0, a tournament (spec: leaderboards-tournaments.md, section 1.1). Of all
 * this only `enableRanks` and `closedTime` ever change; a board of that id with another creation time is another board.
 */
export interface Board {
  readonly id: string;
  /** Clients may neither write nor delete records. */
  readonly authoritative: boolean;
  /** Higher is better. */
  readonly descending: boolean;
  readonly operator: Operator;
  /** Cron text. */
  readonly resetSchedule: string | null;
  /** What that text means; null without one, and for one of another server's database that this one cannot read. */
  readonly schedule: Schedule | null;
  readonly resets: Resets;
  /** The text of a JSON object. */
  readonly metadata: string;
  readonly createTime: Instant;
  /** The creation time as a parameter: statements that write compare it, since what a node knows may be out of date. */
  readonly createdAt: string;
  /** As stored: whether it is ranked depends on the configuration, too (`Records.isRanked`). */
  readonly enableRanks: boolean;

  // What only tournaments have.
  readonly category: number;
  readonly title: string;
  readonly description: string;
  /** Unix seconds. */
  readonly startTime: number;
  /** Unix seconds, 0: never. */
  readonly endTime: number;
  /** Seconds; 0 makes it a plain leaderboard. */
  readonly duration: number;
  /** `noMaxSize` for none. */
  readonly maxSize: number;
  readonly maxNumScore: number;
  readonly joinRequired: boolean;
  /** Unix seconds: windows that opened before are closed; null when none has been yet. */
  readonly closedTime: number | null;
}

/** A board to be created; whoever creates it has checked its fields. */
export type NewBoard = Omit<Board, 'createTime' | 'createdAt' | 'schedule' | 'resets' | 'startTime' | 'closedTime'> & {
  /** Unix seconds; null: the time of creation. */
  readonly startTime: number | null;
};

export function isTournament(board: Pick<Board, 'duration'>): boolean {
  return board.duration > 0;
}
