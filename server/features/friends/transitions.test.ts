import { describe, expect, it } from 'vitest';
import { type Action, afterStep, type News, type Pair, stepOf } from './transitions.ts';

// The table of the spec (social.md, section 1.3), cell by cell: pairs are written as there, `-` for no edge.

const parse = (text: string): Pair => {
  const [own, other] = text.split('/').map((state) => (state === '-' ? undefined : Number(state)));
  return { own, other };
};

const counts = (before: Pair, after: Pair): [own: number, other: number] => {
  const edges = ({ own, other }: Pair): number[] => [own, other].map((state) => (state === undefined ? 0 : 1));
  const [ownBefore = 0, otherBefore = 0] = edges(before);
  const [ownAfter = 0, otherAfter = 0] = edges(after);
  return [ownAfter - ownBefore, otherAfter - otherBefore];
};

type Case = readonly [before: string, action: Action, after: string, own: number, other: number, news?: News];

const table: readonly Case[] = [
  ['-/-', 'add', '1/2', 1, 1, 'invited'],
  ['-/-', 'delete', '-/-', 0, 0],
  ['-/-', 'block', '3/-', 1, 0],
  ['1/2', 'add', '1/2', 0, 0],
  ['1/2', 'delete', '-/-', -1, -1, 'removed'],
  ['1/2', 'block', '3/-', 0, -1],
  ['2/1', 'add', '0/0', 0, 0, 'accepted'],
  ['2/1', 'delete', '-/-', -1, -1, 'removed'],
  ['2/1', 'block', '3/-', 0, -1],
  ['0/0', 'add', '0/0', 0, 0],
  ['0/0', 'delete', '-/-', -1, -1, 'removed'],
  ['0/0', 'block', '3/-', 0, -1],
  ['3/-', 'add', '3/-', 0, 0],
  ['3/-', 'delete', '-/-', -1, 0],
  ['3/-', 'block', '3/-', 0, 0],
  ['-/3', 'add', '-/3', 0, 0],
  ['-/3', 'delete', '-/3', 0, 0],
  ['-/3', 'block', '3/3', 1, 0],
  ['3/3', 'add', '3/3', 0, 0],
  ['3/3', 'delete', '-/3', -1, 0],
  ['3/3', 'block', '3/3', 0, 0],
  // Section 1.8.
  ['-/-', 'import', '0/0', 1, 1, 'joined'],
  ['1/2', 'import', '0/0', 0, 0, 'joined'],
  ['2/1', 'import', '0/0', 0, 0, 'joined'],
  ['0/0', 'import', '0/0', 0, 0],
  ['3/-', 'import', '3/-', 0, 0],
  ['-/3', 'import', '-/3', 0, 0],
  ['3/3', 'import', '3/3', 0, 0],
  ['-/-', 'reset', '-/-', 0, 0],
  ['1/2', 'reset', '-/-', -1, -1],
  ['0/0', 'reset', '-/-', -1, -1],
  ['3/-', 'reset', '3/-', 0, 0],
  ['-/3', 'reset', '-/3', 0, 0],
  ['3/3', 'reset', '3/3', 0, 0],
  // One-sided, as only other software leaves them: a block whose target became a friend by an import.
  ['3/0', 'add', '3/0', 0, 0],
  ['3/0', 'delete', '-/-', -1, -1],
  ['3/0', 'block', '3/-', 0, -1],
  ['0/3', 'delete', '-/3', -1, 0, 'removed'],
  ['-/0', 'add', '-/0', 0, 0],
  ['-/0', 'reset', '-/-', 0, -1],
];

describe('the state machine of friends', () => {
  it.each(table.map((row) => [row.slice(0, 3).join(' '), row] as const))('%s', (_title, row) => {
    const [before, action, after, own, other, news] = row;
    const pair = parse(before);
    const step = stepOf(action, pair) ?? {};
    const left = afterStep(pair, step);
    expect(left).toEqual(parse(after));
    expect(counts(pair, left)).toEqual([own, other]);
    expect(step.news).toBe(news);
  });

  it('touches a block that is blocked again, and nothing of the other user', () => {
    expect(stepOf('block', parse('3/3'))).toEqual({ own: { set: 3 } });
    expect(stepOf('block', parse('3/-'))).toEqual({ own: { set: 3 } });
  });
});
