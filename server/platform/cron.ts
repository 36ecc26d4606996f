import { invalidArgument } from './errors.ts';

/**
 * When something recurs. Times are unix seconds, UTC; parts of seconds count as the second they are in. Cheap: about a
 * microsecond, and well below a millisecond when there is no such instant.
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
  const ascending = (list: List): number[] => [...list.values].sort((a, b) => a - b);
  const hours = ascending(readList(hour, fields.hour));
  const minutes = ascending(readList(minute, fields.minute));
  const seconds = ascending(readList(second, fields.second));
  return new CronSchedule({
    up: { hours, minutes, seconds },
    down: { hours: hours.toReversed(), minutes: minutes.toReversed(), seconds: seconds.toReversed() },
    days: new Days(date, weekday),
    months: readList(month, fields.month).values,
    years: readList(year, fields.year).values,
  });
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
  year: { name: 'year', min: 1970, max: 2099 },
} as const satisfies Record<string, Field>;

interface List {
  readonly values: ReadonlySet<number>;
  /** Without a bare `*` or `?`. */
  readonly isRestricted: boolean;
}

const entryPattern = /^(?:(?<all>[*?])|(?<first>[a-z0-9]+|\*)(?:-(?<last>[a-z0-9]+))?(?:\/(?<step>\d{1,4}))?)$/;

/** @param special takes the entries that only this field has, and says whether it was one. */
function readList(text: string, field: Field, special: (entry: string) => boolean = () => false): List {
  const values = new Set<number>();
  let isRestricted = true;
  const entries = text.toLowerCase().split(',').filter(Boolean);
  if (entries.length === 0) throw badField(text, field);
  for (const entry of entries) {
    if (special(entry)) continue;
    const parts = entryPattern.exec(entry)?.groups;
    if (parts === undefined) throw badField(entry, field);
    if (parts.all !== undefined) isRestricted = false;
    for (const value of range(parts, entry, field)) values.add(value);
  }
  return { values, isRestricted };
}

function range(parts: Record<string, string | undefined>, entry: string, field: Field): number[] {
  const isAll = parts.all !== undefined || parts.first === '*';
  if (parts.first === '*' && parts.last !== undefined) throw badField(entry, field);
  const first = isAll ? field.min : readValue(parts.first as string, field);
  const step = parts.step === undefined ? 1 : Number(parts.step);
  let last = isAll || parts.step !== undefined ? field.max : first;
  if (parts.last !== undefined) last = readValue(parts.last, field);
  if (step < 1 || step > field.max || last < first) throw badField(entry, field);
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) => first + index * step);
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

/** Bit of a day of the month. */
const bit = (day: number): number => 1 << (day - 1);

/** The two fields that choose days: where both are restricted, either will do. */
class Days {
  readonly #dates: List;
  readonly #weekdays: List;
  /** `15W`. */
  readonly #nearest: number[] = [];
  #last = false;
  #lastWorkday = false;
  /** `5L`: the weekdays. */
  readonly #lastOf: number[] = [];
  /** `5#3`: weekday and which. */
  readonly #nth: [number, number][] = [];

  constructor(date: string, weekday: string) {
    this.#dates = readList(date, fields.date, (entry) => {
      const day = /^(\d{1,2})w$/.exec(entry)?.[1];
      if (day !== undefined) this.#nearest.push(readValue(day, fields.date));
      else if (entry === 'l') this.#last = true;
      else if (entry === 'lw') this.#lastWorkday = true;
      else return false;
      return true;
    });
    this.#weekdays = readList(weekday, fields.weekday, (entry) => {
      const [, last, nth, index] = /^(?:([a-z0-9]+)l|([a-z0-9]+)#([1-5]))$/.exec(entry) ?? [];
      if (last !== undefined) this.#lastOf.push(readValue(last, fields.weekday));
      else if (nth !== undefined) this.#nth.push([readValue(nth, fields.weekday), Number(index)]);
      else return false;
      return true;
    });
  }

  /** The days of a month that match, as bits. */
  of(year: number, month: number): number {
    const length = new Date(Date.UTC(year, month, 0)).getUTCDate();
    const firstWeekday = new Date(Date.UTC(year, month - 1, 1)).getUTCDay();
    const all = 0x7fffffff >>> (31 - length);
    if (!this.#dates.isRestricted && !this.#weekdays.isRestricted) return all;
    const byDate = this.#dates.isRestricted ? this.#byDate(firstWeekday, length) : 0;
    const byWeekday = this.#weekdays.isRestricted ? this.#byWeekday(firstWeekday, length) : 0;
    return (byDate | byWeekday) & all;
  }

  #byDate(firstWeekday: number, length: number): number {
    let days = 0;
    for (const day of this.#dates.values) days |= bit(day);
    if (this.#last) days |= bit(length);
    if (this.#lastWorkday) days |= bit(nearestWorkday(length, firstWeekday, length));
    for (const day of this.#nearest) if (day <= length) days |= bit(nearestWorkday(day, firstWeekday, length));
    return days;
  }

  #byWeekday(firstWeekday: number, length: number): number {
    const firstOf = (weekday: number): number => 1 + ((weekday - firstWeekday + 7) % 7);
    let days = 0;
    for (const weekday of this.#weekdays.values)
      for (let day = firstOf(weekday); day <= length; day += 7) days |= bit(day);
    for (const [weekday, index] of this.#nth) {
      const day = firstOf(weekday) + (index - 1) * 7;
      if (day <= length) days |= bit(day);
    }
    for (const weekday of this.#lastOf) days |= bit(firstOf(weekday) + 7 * Math.floor((length - firstOf(weekday)) / 7));
    return days;
  }
}

/** Monday to Friday nearest to that day, in its month. */
function nearestWorkday(day: number, firstWeekday: number, length: number): number {
  const weekday = (firstWeekday + day - 1) % 7;
  if (weekday === 6) return day > 1 ? day - 1 : day + 2;
  if (weekday === 0) return day < length ? day + 1 : day - 2;
  return day;
}

interface Times {
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
}

interface Parts {
  readonly up: Times;
  readonly down: Times;
  readonly days: Days;
  readonly months: ReadonlySet<number>;
  readonly years: ReadonlySet<number>;
}

const daySec = 86_400;
const endOfYears = Date.UTC(fields.year.max + 1, 0, 1) / 1000;
/** Months since year 0: as many as a search ever looks at. */
const monthRange = { min: fields.year.min * 12, max: fields.year.max * 12 + 11 };

/** Only UTC functions of Date here: the time zone of the process does not matter. */
class CronSchedule implements Schedule {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  next(afterSec: number): number | null {
    return this.#search(Math.max(Math.floor(afterSec) + 1, 0), 1);
  }

  prev(beforeSec: number): number | null {
    return this.#search(Math.min(Math.floor(beforeSec), endOfYears) - 1, -1);
  }

  /** The first instant at or after `fromSec`, or, with step -1, the last at or before it. */
  #search(fromSec: number, step: 1 | -1): number | null {
    if (!(fromSec >= 0 && fromSec < endOfYears)) return null;
    const times = step === 1 ? this.#parts.up : this.#parts.down;
    const midnight = Math.floor(fromSec / daySec) * daySec;
    const date = new Date(midnight * 1000);
    const today = bit(date.getUTCDate());
    const firstMonth = date.getUTCFullYear() * 12 + date.getUTCMonth();
    const time = (this.#daysOf(firstMonth) & today) === 0 ? null : timeFrom(times, fromSec - midnight, step);
    if (time !== null) return midnight + time;
    for (let month = firstMonth; month >= monthRange.min && month <= monthRange.max; month += step) {
      let days = this.#daysOf(month);
      if (month === firstMonth) days &= step === 1 ? ~(today | (today - 1)) : today - 1;
      if (days === 0) continue;
      const day = 32 - Math.clz32(step === 1 ? days & -days : days);
      return (
        Date.UTC(Math.floor(month / 12), month % 12, day) / 1000 +
        (timeFrom(times, step === 1 ? 0 : daySec - 1, step) ?? 0)
      );
    }
    return null;
  }

  #daysOf(month: number): number {
    const { days, months, years } = this.#parts;
    const year = Math.floor(month / 12);
    const monthOfYear = (month % 12) + 1;
    return years.has(year) && months.has(monthOfYear) ? days.of(year, monthOfYear) : 0;
  }
}

/** The first time of day, in seconds, from there in that direction. */
function timeFrom({ hours, minutes, seconds }: Times, fromSec: number, step: 1 | -1): number | null {
  const fromHour = Math.floor(fromSec / 3600);
  const fromMinute = Math.floor(fromSec / 60) % 60;
  const fromSecond = fromSec % 60;
  const at = (hour: number, minute: number, second: number): number => hour * 3600 + minute * 60 + second;
  const [firstMinute = 0] = minutes;
  const [firstSecond = 0] = seconds;
  for (const hour of hours) {
    if ((hour - fromHour) * step < 0) continue;
    if (hour !== fromHour) return at(hour, firstMinute, firstSecond);
    for (const minute of minutes) {
      if ((minute - fromMinute) * step < 0) continue;
      if (minute !== fromMinute) return at(hour, minute, firstSecond);
      const second = seconds.find((one) => (one - fromSecond) * step >= 0);
      if (second !== undefined) return at(hour, minute, second);
    }
  }
  return null;
}
