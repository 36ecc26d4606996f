import pg from 'pg';

/**
 * A point in time, exact to PostgreSQL's microsecond (a JavaScript Date would lose three digits, and a keyset cursor
 * built on it would skip or repeat rows). `seconds` is the floor, so `nanos` is never negative. The `infinity` and
 * `-infinity` of PostgreSQL are ±Infinity seconds.
 */
export interface Instant {
  /** Since 1970-01-01T00:00:00Z. */
  readonly seconds: number;
  /** 0 to 999,999,000, a multiple of 1000 when read from the database. */
  readonly nanos: number;
}

type Parser = (text: string) => unknown;

/**
 * Parsers of every connection: int8 -> bigint, json and jsonb -> their text, timestamptz -> Instant, numeric, uuid,
 * date and anything unknown -> string, the rest as `pg` has it (int2, int4, float8 -> number, bool, bytea -> Buffer).
 */
export const typeParsers = {
  getTypeParser(oid: number, format?: 'text' | 'binary'): Parser {
    if (format !== 'binary') {
      const own = parsers[oid];
      if (own !== undefined) return own;
    }
    return pg.types.getTypeParser(oid, format) as Parser;
  },
} as pg.CustomTypesConfig;

const asText: Parser = (text) => text;

/** The type declarations of pg-types show another interface than it has. */
const arrays = pg.types.arrayParser as unknown as { create(text: string, element: Parser): { parse(): unknown } };

const arrayOf =
  (element: Parser): Parser =>
  (text) =>
    arrays.create(text, element).parse();

/** Keyed by type OID, which CockroachDB shares. */
const parsers: Readonly<Record<number, Parser>> = {
  20: BigInt,
  1016: arrayOf(BigInt),
  114: asText,
  199: arrayOf(asText),
  3802: asText,
  3807: arrayOf(asText),
  1082: asText,
  1182: arrayOf(asText),
  1114: parseInstant,
  1115: arrayOf(parseInstant as Parser),
  1184: parseInstant,
  1185: arrayOf(parseInstant as Parser),
  1231: arrayOf(asText),
};

const zero = 48;
const digits2 = (text: string, at: number): number =>
  (text.charCodeAt(at) - zero) * 10 + text.charCodeAt(at + 1) - zero;

/**
 * Reads a timestamp as PostgreSQL prints it with DateStyle ISO in time zone UTC: `2024-02-29 12:34:56.123456+00`. Text
 * without an offset counts as UTC.
 */
export function parseInstant(text: string): Instant {
  // The common shape, by position: four-digit year, no offset but +00, no era.
  const length = text.length;
  if (length >= 22 && text.charCodeAt(4) === 45 && text.endsWith('+00')) {
    const days = daysFromCivil(digits2(text, 0) * 100 + digits2(text, 2), digits2(text, 5), digits2(text, 8));
    const seconds = days * 86_400 + digits2(text, 11) * 3_600 + digits2(text, 14) * 60 + digits2(text, 17);
    let nanos = 0;
    if (text.charCodeAt(19) === 46) {
      let scale = 100_000_000;
      for (let at = 20; at < length - 3; at++) {
        nanos += (text.charCodeAt(at) - zero) * scale;
        scale /= 10;
      }
    }
    return { seconds, nanos };
  }
  return parseRareInstant(text);
}

const rarePattern =
  /^(\d{4,})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?( BC)?$/;

function parseRareInstant(text: string): Instant {
  if (text === 'infinity') return { seconds: Number.POSITIVE_INFINITY, nanos: 0 };
  if (text === '-infinity') return { seconds: Number.NEGATIVE_INFINITY, nanos: 0 };
  const match = rarePattern.exec(text);
  if (match === null) throw new Error('Unreadable timestamp from the database');
  const part = (index: number): number => Number(match[index] ?? 0);
  const year = match[12] === undefined ? part(1) : 1 - part(1);
  const offset = (part(9) * 3_600 + part(10) * 60 + part(11)) * (match[8] === '-' ? -1 : 1);
  return {
    seconds: daysFromCivil(year, part(2), part(3)) * 86_400 + part(4) * 3_600 + part(5) * 60 + part(6) - offset,
    nanos: Number((match[7] ?? '').padEnd(9, '0')),
  };
}

/** The text of an instant as a parameter for a timestamptz; what is finer than a microsecond is cut off. */
export function instantParam(instant: Instant): string {
  if (instant.seconds === Number.POSITIVE_INFINITY) return 'infinity';
  if (instant.seconds === Number.NEGATIVE_INFINITY) return '-infinity';
  const days = Math.floor(instant.seconds / 86_400);
  const second = instant.seconds - days * 86_400;
  const { year, month, day } = civilFromDays(days);
  const pad = (value: number, width: number): string => String(value).padStart(width, '0');
  const date = `${pad(year > 0 ? year : 1 - year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
  const clock = `${pad(Math.floor(second / 3_600), 2)}:${pad(Math.floor(second / 60) % 60, 2)}:${pad(second % 60, 2)}`;
  return `${date} ${clock}.${pad(Math.floor(instant.nanos / 1_000), 6)}+00${year > 0 ? '' : ' BC'}`;
}

/** Drops the fraction: most of the wire format carries whole seconds. */
export function truncateToSeconds(instant: Instant): Instant {
  return { seconds: instant.seconds, nanos: 0 };
}

/** @param millis as Date.now() gives it, whole */
export function instantFromMillis(millis: number): Instant {
  const seconds = Math.floor(millis / 1_000);
  return { seconds, nanos: Math.floor(millis - seconds * 1_000) * 1_000_000 };
}

/** Milliseconds since the epoch, with what lies below a millisecond cut off. */
export function instantToMillis(instant: Instant): number {
  return instant.seconds * 1_000 + Math.floor(instant.nanos / 1_000_000);
}

/** Negative, zero or positive, as for Array.sort. */
export function compareInstants(a: Instant, b: Instant): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return a.nanos - b.nanos;
}

// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that begin in March, so that
// the leap day is the last of its year. Year 0 is 1 BC. Date cannot do it: its range ends before PostgreSQL's.

function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return {
    year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
  };
}
