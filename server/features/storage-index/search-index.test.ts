import { expect, it } from 'vitest';
import { Query } from '../../platform/query/query.ts';
import { Random } from '../../testing/random.ts';
import type { ObjectRow } from '../storage/index.ts';
import { IndexEntry } from './entry.ts';
import { ordering } from './ordering.ts';
import { SearchIndex } from './search-index.ts';

const definition = {
  ...{ name: 'i', collection: 'c', key: '', fields: ['a', 'b'], sortableFields: [], maxEntries: 50, indexOnly: false },
};

it('finds by keyword what looking at everything finds, through writes, removals and evictions', () => {
  const random = new Random(20_240_502);
  const index = new SearchIndex(definition);
  const words = ['x', 'y', '5', 'T'];
  const values = [...words, ['x', 'y'], ['x', 'x'], 5, true, null, { c: 'x' }, '2024-05-01'];
  const value = (): string => JSON.stringify({ a: random.pick(values), b: random.pick(values) });
  let [found, evictions] = [0, 0];
  for (let round = 0; round < 3000; round++) {
    const time = { seconds: round, nanos: 0 };
    const row: ObjectRow = {
      ...{ collection: 'c', key: `k${random.below(20)}`, user_id: `user-${random.below(5)}`, value: value() },
      ...{ version: String(round), read: 1, write: 1, create_time: time, update_time: time },
    };
    const entry = IndexEntry.of(row, definition);
    if (random.chance(0.2) || entry === undefined) index.remove(row);
    else index.set(entry);
    const before = index.size;
    index.evict();
    if (index.size < before) {
      evictions++;
      expect(index.size).toBe(50);
    }
    const clauses = Array.from({ length: 2 }, () => {
      const field = random.pick(['value.a', 'value.b', 'value.b.c', 'user_id']);
      return `${random.pick(['+', '+', '-', ''])}${field}:${random.pick([...words, 'user-1'])}`;
    });
    const query = new Query(clauses.join(' '));
    const expected = [...index.entries()].filter((each) => query.matches(each)).sort(ordering([]));
    expect(index.search(query, ordering([]), 1000)).toEqual(expected);
    found += expected.length;
  }
  expect(found).toBeGreaterThan(1000);
  expect(evictions).toBeGreaterThan(10);
  // Nothing stays behind of what was removed.
  for (const { row } of [...index.entries()]) index.remove(row);
  for (const word of words) expect(index.search(new Query(`+value.a:${word}`), ordering([]), 10)).toEqual([]);
});
