import Long from 'long';
import { scanNumber } from './json-reader.ts';
import type { ScalarKind } from './types.ts';

// Text forms of the scalar kinds. Each parser gives undefined for text that has no such value.

export type IntegerKind = 'int32' | 'uint32' | 'int64' | 'uint64';

const ranges: Readonly<Record<IntegerKind, { readonly min: bigint; readonly max: bigint }>> = {
  int32: { min: -(2n ** 31n), max: 2n ** 31n - 1n },
  uint32: { min: 0n, max: 2n ** 32n - 1n },
  int64: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
  uint64: { min: 0n, max: 2n ** 64n - 1n },
};

/** So short that a double holds every digit of it. */
const exactDoubleLength = 15;
/** Digits of the largest uint64. */
const maxIntegerDigits = 20;
const maxFloat = 3.4028234663852886e38;
const minTimestampSeconds = -62_135_596_800;
const maxTimestampSeconds = 253_402_300_799;
const secondsPerDay = 86_400;

export function isIntegerKind(kind: ScalarKind | 'enum' | 'message'): kind is IntegerKind {
  return kind === 'int32' || kind === 'uint32' || kind === 'int64' || kind === 'uint64';
}

/** A JSON number's exact value as that kind: a Long for the 64-bit kinds. Fractions and values out of range: undefined. */
export function parseJsonInteger(kind: IntegerKind, text: string): number | Long | undefined {
  if (scanNumber(text, 0) !== text.length) return undefined;
  if (text.length <= exactDoubleLength) {
    const value = Number(text);
    // Zero may come from an exponent that underflows: 1e-999.
    if (Number.isSafeInteger(value) && (value !== 0 || text === '0')) return fromSafeInteger(kind, value);
  }
  const value = exactInteger(text);
  return value === undefined ? undefined : fromBigInt(kind, value);
}

/** A decimal integer with optional sign: the form of query parameters. */
export function parseDecimalInteger(kind: IntegerKind, text: string): number | Long | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  const value = exactInteger(text.startsWith('+') ? text.slice(1) : text);
  return value === undefined ? undefined : fromBigInt(kind, value);
}

/** A JSON number as float or double; undefined when it is too large for the kind. */
export function parseJsonFloat(kind: 'float' | 'double', text: string): number | undefined {
  if (scanNumber(text, 0) !== text.length) return undefined;
  return inRange(kind, Number(text));
}

/** The names that JSON strings may use for what JSON numbers cannot say. */
export const namedFloats: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** A number as query parameters write it: more liberal than JSON (`+1`, `.5`, `inf`). */
export function parseDecimalFloat(kind: 'float' | 'double', text: string): number | undefined {
  const named = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (named) {
    if (/nan/i.test(text)) return named[1] === '' ? Number.NaN : undefined;
    return named[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  return /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(text) ? inRange(kind, Number(text)) : undefined;
}

/** Standard or URL-safe base64 (not both in one text), padded or not. */
export function parseBase64(text: string): Uint8Array | undefined {
  let end = text.length;
  if (end % 4 === 0) {
    if (text.endsWith('==')) end -= 2;
    else if (text.endsWith('=')) end -= 1;
  } else if (end % 4 === 1) {
    return undefined;
  }
  const digits = end === text.length ? text : text.slice(0, end);
  if (/[^A-Za-z0-9+/]/.test(digits) && /[^A-Za-z0-9_-]/.test(digits)) return undefined;
  return Buffer.from(digits, 'base64');
}

export interface TimestampParts {
  /** Unix seconds. */
  seconds: number;
  nanos: number;
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** RFC 3339 with any offset, up to 9 digits of fraction, years 1 to 9999. */
export function parseTimestamp(text: string): TimestampParts | undefined {
  const match = rfc3339.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const offsetHour = Number(match[9] ?? 0);
  const offsetMinute = Number(match[10] ?? 0);
  if (hour > 23 || minute > 59 || second > 59 || offsetHour > 23 || offsetMinute > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset = (offsetHour * 3600 + offsetMinute * 60) * (match[8] === '-' ? -1 : 1);
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset;
  if (seconds < minTimestampSeconds || seconds > maxTimestampSeconds) return undefined;
  return { seconds, nanos: Number((match[7] ?? '').padEnd(9, '0')) };
}

/** RFC 3339 in UTC with 0, 3, 6 or 9 digits of fraction. Throws RangeError outside the years 1 to 9999. */
export function formatTimestamp({ seconds, nanos }: TimestampParts): string {
  const wholeSeconds = Number.isInteger(seconds) && seconds >= minTimestampSeconds && seconds <= maxTimestampSeconds;
  if (!wholeSeconds || !Number.isInteger(nanos) || nanos < 0 || nanos >= 1e9) {
    throw new RangeError(`timestamp out of range: ${seconds} s ${nanos} ns`);
  }
  const days = Math.floor(seconds / secondsPerDay);
  const time = seconds - days * secondsPerDay;
  return `${formatDay(days)}T${twoDigits[Math.floor(time / 3600)]}:${twoDigits[Math.floor(time / 60) % 60]}:${twoDigits[time % 60]}${formatFraction(nanos)}Z`;
}

const twoDigits: readonly string[] = Array.from({ length: 100 }, (_, number) => String(number).padStart(2, '0'));

// Days since 1970 to a date of the Gregorian calendar, counted in 400-year eras that start on 1 March; several times
// faster than Date.toISOString, of which a list of accounts needs three per row.
function formatDay(days: number): string {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${twoDigits[Math.floor(year / 100)]}${twoDigits[year % 100]}-${twoDigits[month]}-${twoDigits[day]}`;
}

function formatFraction(nanos: number): string {
  if (nanos === 0) return '';
  if (nanos % 1_000_000 === 0) return `.${String(nanos / 1_000_000).padStart(3, '0')}`;
  if (nanos % 1_000 === 0) return `.${String(nanos / 1_000).padStart(6, '0')}`;
  return `.${String(nanos).padStart(9, '0')}`;
}

function inRange(kind: 'float' | 'double', value: number): number | undefined {
  const rounded = kind === 'float' ? Math.fround(value) : value;
  return Math.abs(rounded) <= (kind === 'float' ? maxFloat : Number.MAX_VALUE) ? rounded : undefined;
}

// Compares numbers with numbers: against a bigint it would take ten times as long.
function fromSafeInteger(kind: IntegerKind, value: number): number | Long | undefined {
  switch (kind) {
    case 'int32':
      return value === (value | 0) ? value : undefined;
    case 'uint32':
      return value === value >>> 0 ? value : undefined;
    case 'int64':
      return Long.fromNumber(value);
    default:
      return value >= 0 ? Long.fromNumber(value, true) : undefined;
  }
}

function fromBigInt(kind: IntegerKind, value: bigint): number | Long | undefined {
  const { min, max } = ranges[kind];
  if (value < min || value > max) return undefined;
  if (kind === 'int32' || kind === 'uint32') return Number(value);
  const low = Number(BigInt.asIntN(32, value));
  return Long.fromBits(low, Number(BigInt.asIntN(32, value >> 32n)), kind === 'uint64');
}

/** The value of a decimal number with optional fraction and exponent, unless it is not integral or absurdly large. */
function exactInteger(text: string): bigint | undefined {
  const negative = text.startsWith('-');
  const exponentAt = text.search(/[eE]/);
  const mantissa = text.slice(negative ? 1 : 0, exponentAt < 0 ? text.length : exponentAt);
  const dot = mantissa.indexOf('.');
  const digits = dot < 0 ? mantissa : mantissa.slice(0, dot) + mantissa.slice(dot + 1);
  const fractionLength = dot < 0 ? 0 : mantissa.length - dot - 1;

  let start = 0;
  while (start < digits.length && digits.charCodeAt(start) === 0x30) start++;
  let end = digits.length;
  while (end > start && digits.charCodeAt(end - 1) === 0x30) end--;
  if (start === end) return 0n;

  const exponent = exponentAt < 0 ? 0 : Number(text.slice(exponentAt + 1));
  const zeros = digits.length - end + exponent - fractionLength;
  if (zeros < 0 || end - start + zeros > maxIntegerDigits) return undefined;
  const magnitude = BigInt(digits.slice(start, end) + '0'.repeat(zeros));
  return negative ? -magnitude : magnitude;
}
