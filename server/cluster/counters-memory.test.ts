import { describe, expect, it } from 'vitest';
import { ManualClock } from '../platform/clock.ts';
import { MemoryCounters } from './counters-memory.ts';
import { MemoryHub } from './memory-hub.ts';

const rate = { perSecond: 1, burst: 1 };
const policy = { limit: 2, windowMs: 1000, lockMs: 10_000, attemptMs: 60_000 };

describe('bounds of the in-memory counters', () => {
  it('forgets the bucket that was not used for longest', async () => {
    const counters = new MemoryCounters(new MemoryHub(), new ManualClock(), 3);
    for (const key of ['a', 'b', 'c']) await counters.take(key, rate);
    expect(await counters.take('a', rate)).toBe(false);
    await counters.take('d', rate);
    expect(await counters.take('a', rate)).toBe(false);
    expect(await counters.take('b', rate)).toBe(true);
  });

  it('cannot be talked out of a lock by failures of other keys', async () => {
    const counters = new MemoryCounters(new MemoryHub(), new ManualClock(), 10);
    for (let i = 0; i < 2; i++) await (await counters.attempt('victim', policy))?.failed();
    for (let i = 0; i < 1000; i++) await (await counters.attempt(`noise ${i}`, policy))?.failed();
    expect(await counters.attempt('victim', policy)).toBeNull();
  });

  it('goes by the monotonic clock, whatever happens to the wall clock', async () => {
    const clock = new ManualClock();
    const counters = new MemoryCounters(new MemoryHub(), clock);
    for (let i = 0; i < 2; i++) await (await counters.attempt('k', policy))?.failed();
    clock.setNow(clock.now() + 3_600_000);
    expect(await counters.attempt('k', policy)).toBeNull();
    clock.setNow(0);
    clock.advance(10_000);
    expect(await counters.attempt('k', policy)).not.toBeNull();
  });
});
