import { pino } from 'pino';
import { expect, it } from 'vitest';
import { Disposer } from './dispose.ts';

function setUp(deadlineMs?: number): { disposer: Disposer; lines: string[] } {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  return { disposer: new Disposer(log, deadlineMs), lines };
}

it('releases in reverse order, one after the other', async () => {
  const { disposer } = setUp();
  const order: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    disposer.add(name, async () => {
      order.push(`${name} begins`);
      await new Promise((resolve) => setTimeout(resolve, 1));
      order.push(`${name} ends`);
    });
  }
  expect(await disposer.dispose()).toEqual([]);
  expect(order).toEqual(['c begins', 'c ends', 'b begins', 'b ends', 'a begins', 'a ends']);
});

it('goes on after failures, and reports them', async () => {
  const { disposer, lines } = setUp();
  const released: string[] = [];
  disposer.add('a', () => released.push('a'));
  disposer.add('b', () => Promise.reject(new Error('b failed')));
  disposer.add('c', () => {
    throw new Error('c failed');
  });
  const failures = await disposer.dispose();
  expect(failures.map(({ name }) => name)).toEqual(['c', 'b']);
  expect(released).toEqual(['a']);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('c failed');
});

it('does not wait forever', async () => {
  const { disposer } = setUp(10);
  const released: string[] = [];
  disposer.add('a', () => released.push('a'));
  disposer.add('stuck', () => new Promise(() => undefined));
  const failures = await disposer.dispose();
  expect(String(failures[0]?.error)).toContain('not released within 10 ms');
  expect(released).toEqual(['a']);
});

it('releases once', async () => {
  const { disposer } = setUp();
  let count = 0;
  disposer.add('a', () => count++);
  const first = disposer.dispose();
  expect(disposer.dispose()).toBe(first);
  await first;
  await disposer[Symbol.asyncDispose]();
  expect(count).toBe(1);
  expect(() => disposer.add('b', () => undefined)).toThrow(/after everything was released/);
});

it('releases what was added meanwhile', async () => {
  const { disposer } = setUp();
  const released: string[] = [];
  disposer.add('a', () => {
    disposer.add('b', () => released.push('b'));
    released.push('a');
  });
  await disposer.dispose();
  expect(released).toEqual(['a', 'b']);
});
