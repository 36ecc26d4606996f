import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../platform/clock.ts';
import { Cached, type Reading, renewalMs } from './cached.ts';

function setup({ freshMs = 100_000, usableMs = 1_000_000 } = {}) {
  const clock = new ManualClock();
  const readings: ((result: 'ok' | 'failed') => void)[] = [];
  let mode: 'ok' | 'failed' | 'manual' = 'ok';
  let reads = 0;
  const cached = new Cached<string>(clock, async (): Promise<Reading<string>> => {
    const name = `value ${++reads}`;
    const result = mode === 'manual' ? await new Promise((resolve) => readings.push(resolve)) : mode;
    if (result === 'failed') throw new Error('cannot be read');
    const now = clock.now();
    return { value: name, freshUntil: now + freshMs, usableUntil: now + usableMs };
  });
  return {
    clock,
    cached,
    readings,
    reads: () => reads,
    become: (next: typeof mode) => {
      mode = next;
    },
  };
}

describe('what is kept of third parties', () => {
  it('is read once until it is no longer fresh', async () => {
    const { cached, clock } = setup();
    expect(await cached.get()).toBe('value 1');
    clock.advance(99_999);
    expect(await cached.get()).toBe('value 1');
    clock.advance(1);
    expect(await cached.get()).toBe('value 2');
  });

  it('is read once for all who ask meanwhile', async () => {
    const { cached, readings, become, reads } = setup();
    become('manual');
    const asked = [cached.get(), cached.get(), cached.get()];
    expect(reads()).toBe(1);
    readings[0]?.('ok');
    expect(await Promise.all(asked)).toEqual(['value 1', 'value 1', 'value 1']);
  });

  it('fails for all who ask when there is nothing, and is tried again for the next', async () => {
    const { cached, become, reads } = setup();
    become('failed');
    const outcomes = await Promise.allSettled([cached.get(), cached.get()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(reads()).toBe(1);
    become('ok');
    expect(await cached.get()).toBe('value 2');
  });

  it('serves on while it cannot be read again, is tried now and then, and goes in the end', async () => {
    const { cached, clock, become, reads } = setup();
    await cached.get();
    become('failed');
    clock.advance(100_000);
    for (let i = 0; i < 10; i++) expect(await cached.get()).toBe('value 1');
    expect(reads()).toBe(2);
    clock.advance(renewalMs);
    expect(await cached.get()).toBe('value 1');
    expect(reads()).toBe(3);
    clock.advance(1_000_000);
    await expect(cached.get()).rejects.toThrow('cannot be read');
    become('ok');
    expect(await cached.get()).toBe('value 5');
  });

  it('is read again for who misses something, but not at once', async () => {
    const { cached, clock, reads } = setup();
    const first = await cached.get();
    expect(await cached.newerThan(first)).toBe(first);
    expect(reads()).toBe(1);
    clock.advance(renewalMs);
    const both = await Promise.all([cached.newerThan(first), cached.newerThan(first)]);
    expect(both).toEqual(['value 2', 'value 2']);
    // Whoever looked at the old one sees the new one, which was read already.
    expect(await cached.newerThan(first)).toBe('value 2');
    expect(reads()).toBe(2);
  });

  it('stays what it was for who misses something when it cannot be read', async () => {
    const { cached, clock, become } = setup();
    const first = await cached.get();
    become('failed');
    clock.advance(renewalMs);
    expect(await cached.newerThan(first)).toBe(first);
  });

  it('is read again when the clock was put back', async () => {
    const { cached, clock } = setup();
    const first = await cached.get();
    clock.setNow(0);
    expect(await cached.newerThan(first)).toBe('value 2');
  });
});
