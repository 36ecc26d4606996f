import { Cron } from 'croner';
import { invalidArgument } from './errors.ts';

/**
 * When something recurs. Times are unix seconds, UTC; parts of seconds count as the second they are in. What is asked
 * about the period of the question before costs nothing, anything else about a tenth of a millisecond.
 */
export interface Schedule {
  /** The first instant after that second; null when there is none. */
  next(afterSec: number): number | null;
  /** The last instant before that second; null when there is none. */
  prev(beforeSec: number): number | null;
}

/**
 * Reads a reset schedule (spec: leaderboards-tournaments.md, section 4): minute, hour, day of month, month, day of week;
 * a sixth field is the year, and with seven the first are the seconds. What is after the seventh is not looked at.
 * @throws INVALID_ARGUMENT what the grammar does not have, and ranges that are empty. As 7 is Sunday, which is 0, a
 *   range up to it is one of them.
 */
export function parseSchedule(text: string): Schedule {
  if (text.length > maxTextLength) throw invalidArgument(`Schedules have at most ${maxTextLength} characters.`);
  const words = expandAliases(text).split(blanks).filter(Boolean).slice(0, 7);
  if (words.length < 5) throw invalidArgument('A schedule has at least five fields.');
  if (words.length === 5) words.push('*');
  if (words.length === 6) words.unshift('0');
  const [second, minute, hour, date, month, weekday, year] = words as FieldTexts;
  const time = [readList(second, fields.second), readList(minute, fields.minute), readList(hour, fields.hour)];
  const dates = readList(date, fields.date, readDate);
  const months = readList(month, fields.month);
  const weekdays = readList(weekday, fields.weekday, readWeekday);
  const rest = [months, weekdays, readList(year, fields.year)];
  const lastDate = weekdays[0] === '*' ? longestOf(months) : 31;
  // croner does not take the last workday in a list.
  const choices = [dates.filter((entry) => entry === 'LW'), dates.filter((entry) => entry !== 'LW')];
  return new CronSchedule(
    choices
      // It would look for a 30th of February through all years, for 20 ms.
      .filter((entries) => entries.some((entry) => !(Number.parseInt(entry, 10) > lastDate)))
      .map((entries) => [...time, entries, ...rest].join(' ')),
  );
}

type FieldTexts = [string, string, string, string, string, string, string];

/** The width of the column. */
const maxTextLength = 64;
const blanks = /\s+/;

const aliases: readonly [string, string][] = [
  ['@yearly', '0 0 0 1 1 * *'],
  ['@annually', '0 0 0 1 1 * *'],
  ['@monthly', '0 0 0 1 * * *'],
  ['@weekly', '0 0 0 * * 0 *'],
  ['@daily', '0 0 0 * * * *'],
  ['@hourly', '0 0 * * * * *'],
];

const expandAliases = (text: string): string =>
  aliases.reduce((result, [alias, fields]) => result.replaceAll(alias, fields), text);

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** From `min` on; three letters do as well. */
  readonly names?: readonly string[];
  /** What a star is to croner, where it is not just a star, which for years would have no end. */
  readonly any?: string;
}

const fields = {
  second: { name: 'second', min: 0, max: 59 },
  minute: { name: 'minute', min: 0, max: 59 },
  hour: { name: 'hour', min: 0, max: 23 },
  date: { name: 'day of month', min: 1, max: 31 },
  month: {
    name: 'month',
    min: 1,
    max: 12,
    names: 'january february march april may june july august september october november december'.split(' '),
  },
  weekday: {
    name: 'day of week',
    min: 0,
    max: 6,
    names: 'sunday monday tuesday wednesday thursday friday saturday'.split(' '),
  },
  year: { name: 'year', min: 1970, max: 2099, any: '1970-2099' },
} as const satisfies Record<string, Field>;

const entryPattern = /^(?:(?<all>[*?])|(?:\*|(?<first>[a-z0-9]+)(?:-(?<last>[a-z0-9]+))?)(?:\/(?<step>\d{1,4}))?)$/;

/**
 * The entries of a list as croner has them: numbers, and the specials of days. Beside a bare star nothing else counts,
 * and only a star says to croner that the other field alone chooses days.
 * @param special what the entries that only this field has are to croner; null for others.
 */
function readList(text: string, field: Field, special: (entry: string) => string | null = () => null): string[] {
  const entries = text.toLowerCase().split(',').filter(Boolean);
  if (entries.length === 0) throw badField(text, field);
  const read = new Set(entries.flatMap((entry) => special(entry) ?? readRange(entry, field)));
  return read.has('*') ? [field.any ?? '*'] : [...read];
}

function readDate(entry: string): string | null {
  if (entry === 'l' || entry === 'lw') return entry.toUpperCase();
  const day = /^(\d{1,2})w$/.exec(entry)?.[1];
  return day === undefined ? null : `${readValue(day, fields.date)}W`;
}

function readWeekday(entry: string): string | null {
  const [, last, nth, index] = /^(?:([a-z0-9]+)l|([a-z0-9]+)#([1-5]))$/.exec(entry) ?? [];
  if (last !== undefined) return `${readValue(last, fields.weekday)}L`;
  return nth === undefined ? null : `${readValue(nth, fields.weekday)}#${index}`;
}

function readRange(entry: string, field: Field): string[] {
  const parts = entryPattern.exec(entry)?.groups;
  if (parts === undefined) throw badField(entry, field);
  if (parts.all !== undefined) return ['*'];
  const first = parts.first === undefined ? field.min : readValue(parts.first, field);
  const step = parts.step === undefined ? 1 : Number(parts.step);
  let last = parts.first === undefined || parts.step !== undefined ? field.max : first;
  if (parts.last !== undefined) last = readValue(parts.last, field);
  if (step < 1 || step > field.max || last < first) throw badField(entry, field);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) => String(first + index * step));
}

function readValue(text: string, field: Field): number {
  const named = field.names?.findIndex((name) => name === text || name.slice(0, 3) === text) ?? -1;
  if (named >= 0) return field.min + named;
  const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (field === fields.weekday && value === 7) return 0;
  if (value >= field.min && value <= field.max) return value;
  throw badField(text, field);
}

const badField = (text: string, field: Field): Error => invalidArgument(`Bad ${field.name} "${text}" in a schedule.`);

/** The days of the longest of these months. */
function longestOf(months: readonly string[]): number {
  if (months[0] === '*') return 31;
  return Math.max(...months.map((month) => new Date(Date.UTC(2000, Number(month), 0)).getUTCDate()));
}

const endOfYears = Date.UTC(fields.year.max + 1, 0, 1) / 1000;

class CronSchedule implements Schedule {
  readonly #patterns: readonly string[];
  /**
   * The instants around the last question, infinite where there is none: nearly all questions are about one period, and
   * that there is no more is not looked for again.
   */
  #period = { from: Number.POSITIVE_INFINITY, until: Number.NEGATIVE_INFINITY };

  /** @param patterns of croner; any of them will do. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns;
  }

  next(afterSec: number): number | null {
    const { until } = this.#periodOf(Math.floor(afterSec));
    return Number.isFinite(until) ? until : null;
  }

  prev(beforeSec: number): number | null {
    const { from } = this.#periodOf(Math.floor(beforeSec) - 1);
    return Number.isFinite(from) ? from : null;
  }

  #periodOf(second: number): { readonly from: number; readonly until: number } {
    if (this.#period.from <= second && second < this.#period.until) return this.#period;
    const at = Math.min(Math.max(second, -1), endOfYears);
    // Not kept: each has 80 KB, for ten thousand years.
    const crons = this.#patterns.map((pattern) => new Cron(pattern, { mode: '7-part', utcOffset: 0 }));
    const last = crons.flatMap((cron) => cron.previousRuns(1, new Date((at + 1) * 1000)));
    const next = crons.flatMap((cron) => cron.nextRun(new Date(at * 1000)) ?? []);
    this.#period = {
      from: Math.max(...last.map((date) => date.getTime() / 1000)),
      until: Math.min(...next.map((date) => date.getTime() / 1000)),
    };
    return this.#period;
  }
}
