import { expect, it } from 'vitest';
import { ManualClock, systemClock } from './clock.ts';

it('moves only when told to', () => {
  const clock = new ManualClock(1000);
  expect([clock.now(), clock.monotonic()]).toEqual([1000, 0]);
  clock.advance(5);
  expect([clock.now(), clock.monotonic()]).toEqual([1005, 5]);
  clock.setNow(10);
  expect([clock.now(), clock.monotonic()]).toEqual([10, 5]);
  expect(() => clock.advance(-1)).toThrow(RangeError);
});

it('tells the time', () => {
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
  const first = systemClock.monotonic();
  expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first);
});
