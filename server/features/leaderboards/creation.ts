import { parseSchedule } from '../../platform/cron.ts';
import { AppError, Code, invalidArgument } from '../../platform/errors.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { defaultMaxNumScore, type NewBoard, noMaxSize, Operator } from './board.ts';

/** What game code says of a leaderboard that it creates; defaults as its functions have them. */
export interface NewLeaderboard {
  readonly id: string;
  readonly authoritative?: boolean;
  /** `asc`, `ascending`, `desc` (default), `descending`. */
  readonly sortOrder?: string;
  /** `best` (default), `set`, `incr`, `increment`, `decr`, `decrement`. */
  readonly operator?: string;
  /** Cron text. */
  readonly resetSchedule?: string | null;
  /** The text of a JSON object. */
  readonly metadata?: string | null;
  readonly enableRanks?: boolean;
}

/** As the column has it, and as jobs name it. */
const maxIdBytes = 128;

const sortOrders: ReadonlyMap<string, boolean> = new Map([
  ['asc', false],
  ['ascending', false],
  ['desc', true],
  ['descending', true],
]);

const operators: ReadonlyMap<string, Operator> = new Map([
  ['best', Operator.BEST],
  ['set', Operator.SET],
  ['incr', Operator.INCREMENT],
  ['increment', Operator.INCREMENT],
  ['decr', Operator.DECREMENT],
  ['decrement', Operator.DECREMENT],
]);

/** The board to be stored. Throws INVALID_ARGUMENT with the texts of game code (spec: sections 6.1 and 18). */
export function checkedLeaderboard(given: NewLeaderboard): NewBoard {
  return {
    id: checkedId(given.id),
    authoritative: given.authoritative ?? false,
    descending: parseSortOrder(given.sortOrder ?? 'desc'),
    operator: parseOperator(given.operator ?? 'best'),
    resetSchedule: checkedSchedule(given.resetSchedule ?? null),
    metadata: checkedMetadata(given.metadata ?? null),
    enableRanks: given.enableRanks ?? false,
    category: 0,
    title: '',
    description: '',
    startTime: null,
    endTime: 0,
    duration: 0,
    maxSize: noMaxSize,
    maxNumScore: defaultMaxNumScore,
    joinRequired: false,
  };
}

/** The id of a board to be created. */
export function checkedId(id: string): string {
  if (id === '' || id.includes('\0') || Buffer.byteLength(id) > maxIdBytes) {
    throw invalidArgument('expects a leaderboard ID string');
  }
  return id;
}

/** Is it descending? */
export function parseSortOrder(word: string): boolean {
  const descending = sortOrders.get(word);
  if (descending === undefined) throw invalidArgument("expects sort order to be 'asc' or 'desc'");
  return descending;
}

/** All words that any function of game code takes, in any case. */
export function parseOperator(word: string): Operator {
  const operator = operators.get(word.toLowerCase());
  if (operator === undefined) throw invalidArgument("expects operator to be 'best', 'set', 'decr' or 'incr'");
  return operator;
}

export function checkedSchedule(text: string | null): string | null {
  if (text === null) return null;
  try {
    parseSchedule(text);
  } catch (error) {
    throw new AppError(Code.INVALID_ARGUMENT, 'expects reset schedule to be a valid CRON expression', { cause: error });
  }
  return text;
}

/** The metadata of a board: `{}` when there is none. */
export function checkedMetadata(text: string | null): string {
  if (text === null) return '{}';
  if (!isJsonObject(text)) throw invalidArgument('expects metadata to be an object');
  return text;
}
