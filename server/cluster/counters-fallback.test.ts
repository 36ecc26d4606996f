import { describe, expect, it } from 'vitest';
import { ManualClock } from '../platform/clock.ts';
import { internal, unavailable } from '../platform/errors.ts';
import type { Attempt, SharedCounters } from './counters.ts';
import { FallbackCounters } from './counters-fallback.ts';
import { MemoryCounters } from './counters-memory.ts';
import { MemoryHub } from './memory-hub.ts';

const rate = { perSecond: 1, burst: 2 };
const policy = { limit: 2, windowMs: 60_000, lockMs: 60_000, attemptMs: 60_000 };

type Mood = 'fine' | 'unavailable' | 'silent' | 'broken';

/** Counters in memory that can be put out of order. */
class MoodyCounters implements SharedCounters {
  mood: Mood = 'fine';
  asked = 0;
  readonly #counters: SharedCounters;
  #release = (): void => {};

  constructor(clock: ManualClock) {
    this.#counters = new MemoryCounters(new MemoryHub(), clock);
  }

  take(...args: Parameters<SharedCounters['take']>): Promise<boolean> {
    return this.#answer(() => this.#counters.take(...args));
  }

  async attempt(...args: Parameters<SharedCounters['attempt']>): Promise<Attempt | null> {
    const attempt = await this.#answer(() => this.#counters.attempt(...args));
    if (attempt === null) return null;
    return {
      failed: () => this.#answer(() => attempt.failed()),
      released: () => this.#answer(() => attempt.released()),
    };
  }

  reset(key: string): Promise<void> {
    return this.#answer(() => this.#counters.reset(key));
  }

  /** Gives the answer that was held back. */
  speak(): void {
    this.#release();
  }

  async #answer<T>(work: () => Promise<T>): Promise<T> {
    this.asked++;
    if (this.mood === 'unavailable') throw unavailable('gone');
    if (this.mood === 'broken') throw internal('broken');
    const answer = await work();
    if (this.mood === 'silent') {
      await new Promise<void>((resolve) => {
        this.#release = resolve;
      });
    }
    return answer;
  }
}

function setup() {
  const clock = new ManualClock();
  const shared = new MoodyCounters(clock);
  const link = { isUp: true };
  const node = (): FallbackCounters =>
    new FallbackCounters({
      shared,
      isUp: () => link.isUp,
      own: new MemoryCounters(new MemoryHub(), clock),
      clock,
    });
  return { clock, shared, link, one: node(), two: node() };
}

async function fail(counters: SharedCounters): Promise<boolean> {
  const attempt = await counters.attempt('k', policy);
  await attempt?.failed();
  return attempt !== null;
}

describe('counters with a fallback', () => {
  it('are the shared ones while those answer', async () => {
    const { one, two } = setup();
    expect([await one.take('k', rate), await two.take('k', rate), await one.take('k', rate)]).toEqual([
      true,
      true,
      false,
    ]);
    expect([await fail(one), await fail(two), await fail(one)]).toEqual([true, true, false]);
    await two.reset('k');
    expect(await fail(one)).toBe(true);
  });

  it.each(['link down', 'unavailable'] as const)('count per node while out of reach: %s', async (how) => {
    const { shared, link, one, two } = setup();
    expect([await fail(one), await fail(two)]).toEqual([true, true]);
    if (how === 'unavailable') shared.mood = how;
    else link.isUp = false;
    for (const node of [one, two]) {
      expect([await node.take('k', rate, 2), await node.take('k', rate)]).toEqual([true, false]);
      expect([await fail(node), await fail(node), await fail(node)]).toEqual([true, true, false]);
      await node.reset('k');
      expect(await fail(node)).toBe(true);
    }
  });

  it('do not even ask while the link is down', async () => {
    const { shared, link, one } = setup();
    link.isUp = false;
    await one.take('k', rate);
    await fail(one);
    expect(shared.asked).toBe(0);
  });

  it('are the shared ones again as soon as those answer', async () => {
    const { shared, one } = setup();
    expect([await fail(one), await fail(one)]).toEqual([true, true]);
    shared.mood = 'unavailable';
    expect(await fail(one)).toBe(true);
    shared.mood = 'fine';
    expect(await fail(one)).toBe(false);
  });

  it('count a failure on the node when the shared ones went away during the attempt', async () => {
    const { shared, one } = setup();
    const attempts = [await one.attempt('k', policy), await one.attempt('k', policy)];
    shared.mood = 'unavailable';
    for (const attempt of attempts) await attempt?.failed();
    expect(await fail(one)).toBe(false);
  });

  it('wait for silence once only, then leave the shared ones alone for a second', async () => {
    const { clock, shared, one } = setup();
    shared.mood = 'silent';
    expect(await one.take('k', rate)).toBe(true);
    expect(shared.asked).toBe(1);
    for (let i = 0; i < 3; i++) await fail(one);
    expect(shared.asked).toBe(1);
    shared.mood = 'fine';
    clock.advance(1000);
    await one.take('k', rate);
    expect(shared.asked).toBe(2);
  });

  it('give back leave that came too late', async () => {
    const { clock, shared, one, two } = setup();
    const single = { ...policy, limit: 1 };
    shared.mood = 'silent';
    await one.attempt('k', single);
    shared.mood = 'fine';
    expect(await two.attempt('k', single)).toBeNull();
    shared.speak();
    await new Promise(setImmediate);
    clock.advance(1000);
    expect(await one.attempt('k', single)).not.toBeNull();
  });

  it('hide no mistakes', async () => {
    const { shared, one } = setup();
    shared.mood = 'broken';
    await expect(one.take('k', rate)).rejects.toThrow('broken');
    await expect(fail(one)).rejects.toThrow('broken');
  });
});
