import { describe, expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { TokenBuckets } from './token-bucket.ts';

const rate = { perSecond: 10, burst: 20 };

function drain(buckets: TokenBuckets, key: string): number {
  let taken = 0;
  while (buckets.take(key, rate)) taken++;
  return taken;
}

it('allows a burst, then the rate', () => {
  const clock = new ManualClock();
  const buckets = new TokenBuckets(clock, 100);
  expect(drain(buckets, 'a')).toBe(20);
  expect(drain(buckets, 'b')).toBe(20);
  clock.advance(99);
  expect(drain(buckets, 'a')).toBe(0);
  clock.advance(1);
  expect(drain(buckets, 'a')).toBe(1);
  clock.advance(1000);
  expect(drain(buckets, 'a')).toBe(10);
  clock.advance(60_000);
  expect(drain(buckets, 'a')).toBe(20);
});

it('takes all of a cost or nothing', () => {
  const clock = new ManualClock();
  const buckets = new TokenBuckets(clock, 100);
  expect(buckets.take('a', rate, 15)).toBe(true);
  expect(buckets.take('a', rate, 6)).toBe(false);
  expect(buckets.take('a', rate, 5)).toBe(true);
  expect(buckets.take('b', rate, 21)).toBe(false);
});

it('keeps to the rate over a long time', () => {
  const clock = new ManualClock();
  const buckets = new TokenBuckets(clock, 100);
  let taken = drain(buckets, 'a');
  for (let i = 0; i < 10_000; i++) {
    clock.advance(7);
    taken += drain(buckets, 'a');
  }
  expect(taken).toBe(20 + 700);
});

describe('the number of keys', () => {
  it('stays bounded', () => {
    const buckets = new TokenBuckets(new ManualClock(), 50);
    for (let i = 0; i < 1000; i++) buckets.take(`k${i}`, rate);
    expect(buckets.size).toBe(50);
  });

  it('shrinks again once buckets are full', () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, 50);
    for (let i = 0; i < 50; i++) buckets.take(`k${i}`, rate);
    clock.advance(1000);
    for (let i = 0; i < 20; i++) buckets.take(`n${i}`, rate);
    expect(buckets.size).toBeLessThan(30);
  });

  it('does not let a flood of keys refill a drained bucket', () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, 50);
    for (let i = 0; i < 49; i++) buckets.take(`k${i}`, rate);
    drain(buckets, 'victim');
    for (let i = 0; i < 10_000; i++) buckets.take(`flood${i}`, rate);
    expect(buckets.take('victim', rate)).toBe(false);
    expect(buckets.size).toBe(50);
  });

  it('may be one', () => {
    const buckets = new TokenBuckets(new ManualClock(), 1);
    expect(drain(buckets, 'a')).toBe(20);
    expect(buckets.take('b', rate)).toBe(true);
    expect(buckets.size).toBe(1);
  });
});
