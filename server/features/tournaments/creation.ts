import { parseSchedule } from '../../platform/cron.ts';
import { invalidArgument } from '../../platform/errors.ts';
import {
  checkedMetadata,
  checkedSchedule,
  defaultMaxNumScore,
  type NewBoard,
  noMaxSize,
  parseOperator,
  parseSortOrder,
} from '../leaderboards/index.ts';

export interface NewTournament {
  /** 1 to 128 bytes; leaderboards share the names. */
  readonly id: string;
  /** Seconds that a window is open. */
  readonly duration: number;
  /** Clients may neither write nor delete records. Default true. */
  readonly authoritative?: boolean | undefined;
  /** `asc`, `ascending`, `desc` (default), `descending`. */
  readonly sortOrder?: string | undefined;
  /** `best` (default), `set`, `incr`, `increment`, `decr`, `decrement`. */
  readonly operator?: string | undefined;
  /** Cron text: when a window opens and the records of the one before are reset. Default: one window. */
  readonly resetSchedule?: string | null | undefined;
  /** Text of a JSON object. */
  readonly metadata?: string | null | undefined;
  readonly title?: string | undefined;
  readonly description?: string | undefined;
  /** 0 to 127. */
  readonly category?: number | undefined;
  /** Unix seconds; 0, the default: now. */
  readonly startTime?: number | undefined;
  /** Unix seconds; 0, the default: never. */
  readonly endTime?: number | undefined;
  /** Owners per period; 0, the default: any number. */
  readonly maxSize?: number | undefined;
  /** Scores per owner and period; 0, the default: a million. */
  readonly maxNumScore?: number | undefined;
  readonly joinRequired?: boolean | undefined;
  /** Default false. */
  readonly enableRanks?: boolean | undefined;
}

const maxIdBytes = 128;
const maxTextLength = 255;
const maxInt = 2_147_483_647;
/** The end of the year 9999. */
const maxTime = 253_402_300_799;

/** Throws INVALID_ARGUMENT, in the words that game code knows (spec: leaderboards-tournaments.md, sections 6.2 and 18). */
export function toNewBoard(given: NewTournament): NewBoard {
  const { id, duration, title = '', description = '', category = 0 } = given;
  const { startTime = 0, endTime = 0, maxSize = 0, maxNumScore = 0 } = given;
  check(id !== '' && Buffer.byteLength(id) <= maxIdBytes && !id.includes('\0'), 'expects a tournament ID string');
  check(isWithin(duration, 1, maxInt), 'duration must be > 0');
  const descending = parseSortOrder(given.sortOrder ?? 'desc');
  const operator = parseOperator(given.operator ?? 'best');
  const resetSchedule = checkedSchedule(given.resetSchedule ?? null);
  const metadata = checkedMetadata(given.metadata ?? null);
  check([...title].length <= maxTextLength, 'title must have at most 255 characters');
  check([...description].length <= maxTextLength, 'description must have at most 255 characters');
  check(isWithin(category, 0, 127), 'category must be 0-127');
  check(isWithin(startTime, 0, maxTime), 'startTime must be >= 0.');
  const endText = 'endTime must be > startTime. Use 0 to indicate a tournament that never ends.';
  check(endTime === 0 || isWithin(endTime, startTime + 1, maxTime), endText);
  // As the contract has it, by the start as it was given: 0 makes nothing of it.
  const firstReset = resetSchedule === null || endTime === 0 ? null : parseSchedule(resetSchedule).next(startTime);
  check(firstReset === null || endTime > firstReset, 'endTime must be > the first reset after startTime.');
  check(isWithin(maxSize, 0, maxInt), 'maxSize must be >= 0');
  check(isWithin(maxNumScore, 0, maxInt), 'maxNumScore must be >= 0');
  return {
    ...{ id, duration, descending, operator, resetSchedule, title, description, metadata, category, endTime },
    authoritative: given.authoritative ?? true,
    startTime: startTime === 0 ? null : startTime,
    maxSize: maxSize === 0 ? noMaxSize : maxSize,
    maxNumScore: maxNumScore === 0 ? defaultMaxNumScore : maxNumScore,
    joinRequired: given.joinRequired ?? false,
    enableRanks: given.enableRanks ?? false,
  };
}

const isWithin = (value: number, min: number, max: number): boolean =>
  Number.isInteger(value) && value >= min && value <= max;

function check(holds: boolean, text: string): void {
  if (!holds) throw invalidArgument(text);
}
