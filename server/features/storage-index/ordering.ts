import { type FieldValue, type FieldValues, isList } from '../../platform/query/query.ts';
import type { IndexEntry } from './entry.ts';

export type Compare = (a: IndexEntry, b: IndexEntry) => number;

/**
 * Compares entries by field names, `-name` for the largest first; those that lack a field come last. Among equals the
 * older object is first, on every node.
 */
export function ordering(names: readonly string[]): Compare {
  const keys = names.map((name) => {
    const descending = name.startsWith('-');
    return { field: descending ? name.slice(1) : name, sign: descending ? -1 : 1 };
  });
  return (a, b) => {
    for (const { field, sign } of keys) {
      const difference = compareFields(a.values(field), b.values(field), sign);
      if (difference !== 0) return difference;
    }
    return byAge(a, b);
  };
}

const byAge: Compare = (a, b) =>
  a.createTime.micros - b.createTime.micros ||
  compareTexts(a.row.key, b.row.key) ||
  compareTexts(a.row.user_id, b.row.user_id);

const compareTexts = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

function compareFields(a: FieldValues | undefined, b: FieldValues | undefined, sign: number): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  return sign * compareValues(foremost(a, sign), foremost(b, sign));
}

/** Of several values the one that brings the entry to the front. */
function foremost(values: FieldValues, sign: number): FieldValue {
  if (!isList(values)) return values;
  return values.reduce((best, value) => (sign * compareValues(value, best) < 0 ? value : best));
}

/** Numbers before dates before keywords. */
function compareValues(a: FieldValue, b: FieldValue): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'object' && typeof b === 'object') return a.micros - b.micros;
  return rankOf(a) - rankOf(b);
}

const ranks: Readonly<Record<string, number>> = { number: 0, object: 1, string: 2 };
const rankOf = (value: FieldValue): number => ranks[typeof value] as number;

/** The first `count` of the items in order, without sorting all of them. */
export class FirstOf<T> {
  readonly #count: number;
  readonly #compare: (a: T, b: T) => number;
  #items: T[] = [];
  /** What is not before it cannot be among the first. */
  #last: T | undefined;

  constructor(count: number, compare: (a: T, b: T) => number) {
    this.#count = count;
    this.#compare = compare;
  }

  add(item: T): void {
    if (this.#last !== undefined && this.#compare(item, this.#last) >= 0) return;
    this.#items.push(item);
    if (this.#items.length < 2 * this.#count + 100) return;
    this.#items = this.sorted();
    this.#last = this.#items.at(-1);
  }

  sorted(): T[] {
    return this.#items.sort(this.#compare).slice(0, this.#count);
  }
}
