export type CursorValue = string | number | boolean;

/** Longest cursor that is looked at, in characters; ours are far shorter. */
const maxLength = 4096;

/**
 * An opaque position in a list, for the client to send back: URL-safe base64 without padding.
 * @param kind which list; a cursor of one list means nothing to another.
 */
export function encodeCursor(kind: string, values: readonly CursorValue[]): string {
  return Buffer.from(JSON.stringify([kind, ...values])).toString('base64url');
}

type Guard = (value: CursorValue) => boolean;

/**
 * The values of a cursor of that kind, or null for anything else: cursors are untrusted input. Accepts both base64
 * alphabets, with or without padding.
 * @param guards one for each value, in order; without them the caller checks the values itself.
 */
export function decodeCursor(kind: string, text: string, guards?: readonly Guard[]): CursorValue[] | null {
  if (text.length > maxLength || !/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return null;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
  } catch {
    return null;
  }
  if (!Array.isArray(parsed) || parsed[0] !== kind) return null;
  const values: unknown[] = parsed.slice(1);
  if (!values.every(isCursorValue)) return null;
  if (guards === undefined) return values;
  const isValid = values.length === guards.length && guards.every((guard, index) => guard(values[index] ?? ''));
  return isValid ? values : null;
}

function isCursorValue(value: unknown): value is CursorValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
