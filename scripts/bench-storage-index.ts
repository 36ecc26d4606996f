// Prints what searches in a storage index cost: npx tsx --expose-gc scripts/bench-storage-index.ts [entries, default 100000]
// In memory alone: objects are made here, not read from a database.

import { IndexEntry } from '../server/features/storage-index/entry.ts';
import { ordering } from '../server/features/storage-index/ordering.ts';
import { SearchIndex } from '../server/features/storage-index/search-index.ts';
import { Query } from '../server/platform/query/query.ts';

const entries = Number(process.argv[2] ?? 100_000);
const rounds = 20;
const names = ['fire', 'water', 'earth', 'air', 'a team with a longer name'];

const definition = {
  ...{ name: 'bench', collection: 'bench', key: '', fields: ['level', 'name', 'tags', 'open'], sortableFields: [] },
  ...{ maxEntries: entries, indexOnly: false },
};
const index = new SearchIndex(definition);
const heapBefore = heapUsed();
const began = performance.now();
for (let n = 0; n < entries; n++) {
  const value = {
    level: (n * 7919) % 1000,
    name: `${names[n % names.length]} ${n % 1000}`,
    tags: ['x', names[n % 5]],
    open: n % 3 === 0,
  };
  const time = { seconds: 1_700_000_000 + ((n * 31) % entries), nanos: 0 };
  const id = n.toString(16).padStart(12, '0');
  const row = {
    ...{
      collection: 'bench',
      key: `k${n % 10}`,
      user_id: `00000000-0000-4000-8000-${id}`,
      value: JSON.stringify(value),
    },
    ...{ version: `${id}${id}`, read: 2, write: 1, create_time: time, update_time: time },
  };
  const entry = IndexEntry.of(row, definition);
  if (entry !== undefined) index.set(entry);
}
console.log(`${entries} entries made in ${(performance.now() - began).toFixed(0)} ms`);
console.log(`${((heapUsed() - heapBefore) / entries).toFixed(0)} bytes of heap each`);

const searches: [string, string[]][] = [
  ['*', []],
  ['+value.level:>=995', []],
  ['+value.level:>=500 +value.open:T', []],
  ['+value.name:fire\\ 5', []],
  ['+value.tags:water -value.open:T value.level:5', []],
  ['value.level:5 value.level:6 value.level:7', []],
  ['+value.name:f*5', []],
  ['+value.name:/(fire|air)\\ [0-9]+/', []],
  ['+value.name:fure~1', []],
  ['+update_time:>"2023-11-15T00:00:00Z"', ['-value.level']],
  ['*', ['-value.level', 'value.name']],
];
console.log(`${'median ms'.padStart(10)} ${'worst ms'.padStart(9)}  query, order (limit 100)`);
for (const [text, order] of searches) {
  const times = Array.from({ length: rounds }, () => {
    const start = performance.now();
    index.search(new Query(text), ordering(order), 101);
    return performance.now() - start;
  }).sort((a, b) => a - b);
  const [median, worst] = [times[rounds / 2] as number, times.at(-1) as number];
  console.log(`${median.toFixed(2).padStart(10)} ${worst.toFixed(2).padStart(9)}  ${text} ${order.join(' ')}`);
}

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
