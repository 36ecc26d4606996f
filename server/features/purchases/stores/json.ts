import { type Instant, instantFromMillis } from '../../../store/types.ts';
import { refusal } from '../refusals.ts';

/** An object as a store or a client sent it: anything may be in it. */
export type Fields = Readonly<Record<string, unknown>>;

/** The object that the text stands for; null when it stands for none. */
export function parseFields(text: string): Fields | null {
  try {
    return asFields(JSON.parse(text));
  } catch {
    return null;
  }
}

function asFields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

/** '' when it is no text. */
export function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  return typeof value === 'string' ? value : '';
}

export function objectOf(fields: Fields, key: string): Fields | null {
  return asFields(fields[key]);
}

/** The objects of a list; empty when it is none. */
export function listOf(fields: Fields, key: string): Fields[] {
  const value = fields[key];
  return Array.isArray(value) ? value.map(asFields).filter((item) => item !== null) : [];
}

/** A number, also one in quotes; undefined when it is none. */
export function numberOf(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (typeof value !== 'number' && (typeof value !== 'string' || value === '')) return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/** The last moment that the API can write, the end of the year 9999. */
const maxMillis = 253_402_300_799_999;

/** The time of unix milliseconds. Throws for what no store can have meant. */
export function instantOf(millis: number | undefined): Instant {
  if (millis === undefined || !(millis >= 0 && millis <= maxMillis)) throw refusal('receipt has no valid time');
  return instantFromMillis(Math.floor(millis));
}

/** The time of a text such as `2024-02-29T12:34:56.789Z`; undefined when there is none. */
export function timeOf(fields: Fields, key: string): Instant | undefined {
  const text = textOf(fields, key);
  return text === '' ? undefined : instantOf(Date.parse(text));
}
