/** A point in time as queries compare it. */
export interface DateValue {
  /** Microseconds since 1970-01-01T00:00:00Z, whole. */
  readonly micros: number;
}

/** A keyword (truth values are `T` and `F`), a number, or a date. */
export type FieldValue = string | number | DateValue;

/** What a document has under one name: one value, or several in their order. */
export type FieldValues = FieldValue | readonly FieldValue[];

/** What a query is asked about. */
export interface QueryDocument {
  /** By full name: `value.level`; undefined when the document has no such field. */
  values(field: string): FieldValues | undefined;
}

/** Below this many levels JSON is not looked at. */
const maxDepth = 64;

/**
 * Adds the fields of a JSON value under a path: members become `path.name`, items of arrays are values of the path
 * itself, null is nothing (spec: storage-wallet-purchases.md, section 2.2).
 */
export function addJsonFields(fields: Map<string, FieldValues>, path: string, value: unknown, depth = 0): void {
  if (value === null || value === undefined || depth > maxDepth) return;
  if (Array.isArray(value)) {
    for (const item of value) addJsonFields(fields, path, item, depth + 1);
  } else if (typeof value === 'object') {
    for (const [name, member] of Object.entries(value)) addJsonFields(fields, `${path}.${name}`, member, depth + 1);
  } else {
    addValue(fields, path, toFieldValue(value as string | number | boolean));
  }
}

function toFieldValue(value: string | number | boolean): FieldValue {
  if (typeof value === 'boolean') return value ? 'T' : 'F';
  return typeof value === 'string' ? (parseDate(value) ?? value) : value;
}

function addValue(fields: Map<string, FieldValues>, path: string, value: FieldValue): void {
  const before = fields.get(path);
  if (before === undefined) fields.set(path, value);
  else if (isList(before)) (before as FieldValue[]).push(value);
  else fields.set(path, [before, value]);
}

export const isList = (values: FieldValues): values is readonly FieldValue[] => Array.isArray(values);

const rfc3339Pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const datePattern = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d)?$/;

/** The instant of a full RFC 3339 text, else undefined. */
export function parseRfc3339(text: string): DateValue | undefined {
  const fraction = rfc3339Pattern.exec(text);
  if (fraction === null) return undefined;
  const [, digits = ''] = fraction;
  return instantOf(text.replace(digits, ''), Math.floor(Number(`0${digits}`) * 1_000_000));
}

/** Texts that are taken for dates: RFC 3339, or a date with or without a time, in UTC then. */
function parseDate(text: string): DateValue | undefined {
  if (text.length < 10 || text.charCodeAt(4) !== 45) return undefined;
  if (!datePattern.test(text)) return parseRfc3339(text);
  return instantOf(text.length === 10 ? `${text}T00:00:00Z` : `${text.replace(' ', 'T')}Z`, 0);
}

function instantOf(wholeSeconds: string, micros: number): DateValue | undefined {
  const millis = Date.parse(wholeSeconds);
  // Date.parse takes the 31st of every month and moves on.
  const day = Number(wholeSeconds.slice(8, 10));
  const lastDay = new Date(
    Date.UTC(Number(wholeSeconds.slice(0, 4)), Number(wholeSeconds.slice(5, 7)), 0),
  ).getUTCDate();
  return Number.isNaN(millis) || day > lastDay ? undefined : { micros: millis * 1000 + micros };
}
