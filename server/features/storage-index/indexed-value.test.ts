import { expect, it } from 'vitest';
import { indexedValue } from './indexed-value.ts';
import { FirstOf } from './ordering.ts';

it.each([
  [
    '{"a": 1, "b": {"d": [1, 2.50, "x"], "c": null}, "z": true}',
    ['b', 'z'],
    '{"b":{"c":null,"d":[1,2.50,"x"]},"z":true}',
  ],
  ['{"a": 9007199254740993, "b": -1e3}', ['b', 'a'], '{"a":9007199254740993,"b":-1e3}'],
  ['{"a": "1 \\"2\\" \\\\", "b": 3}', ['a'], '{"a":"1 \\"2\\" \\\\"}'],
  ['{"__proto__": 1, "5": 2}', ['__proto__', '5', 'none'], '{"5":2,"__proto__":1}'],
  ['{"a": [{}, [], ""]}', ['a'], '{"a":[{},[],""]}'],
])('%s with only %j', (text, names, expected) => {
  expect(indexedValue(text, names)).toBe(expected);
});

it('finds the first in order without sorting all', () => {
  const numbers = Array.from({ length: 1000 }, (_, index) => (index * 7919) % 1000);
  for (const count of [1, 10, 999, 1000, 2000]) {
    const first = new FirstOf<number>(count, (a, b) => a - b);
    for (const number of numbers) first.add(number);
    expect(first.sorted()).toEqual([...numbers].sort((a, b) => a - b).slice(0, count));
  }
});
