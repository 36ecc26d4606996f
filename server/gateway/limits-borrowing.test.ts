import { describe, expect, it } from 'vitest';
import type { Attempt, SharedCounters } from '../cluster/counters.ts';
import { MemoryCounters } from '../cluster/counters-memory.ts';
import { MemoryHub } from '../cluster/memory-hub.ts';
import { ManualClock } from '../platform/clock.ts';
import { internal } from '../platform/errors.ts';
import { Random } from '../testing/random.ts';
import { BorrowingBuckets } from './limits-borrowing.ts';

const rate = { perSecond: 100, burst: 160 };
/** The sixteenth part of the burst. */
const chunk = 10;

/** Shared counters that tell how often they were asked, and may hold their answers back or fail. */
class SlowCounters implements SharedCounters {
  asked = 0;
  isBroken = false;
  #gate: Promise<void> = Promise.resolve();
  readonly #counters: MemoryCounters;

  constructor(clock: ManualClock) {
    this.#counters = new MemoryCounters(new MemoryHub(), clock);
  }

  /** Answers nothing until the function that it returns is called. */
  hold(): () => void {
    let open = (): void => {};
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return open;
  }

  async take(...args: Parameters<SharedCounters['take']>): Promise<boolean> {
    this.asked++;
    await this.#gate;
    if (this.isBroken) throw internal('broken');
    return this.#counters.take(...args);
  }

  attempt(): Promise<Attempt | null> {
    throw new Error('not for buckets');
  }

  reset(): Promise<void> {
    throw new Error('not for buckets');
  }
}

function setup(count: number, budget = rate) {
  const clock = new ManualClock();
  const counters = new SlowCounters(clock);
  const failures: unknown[] = [];
  const nodes = Array.from(
    { length: count },
    () =>
      new BorrowingBuckets({
        name: 'calls',
        counters,
        clock,
        rate: budget,
        maxKeys: 100,
        failed: (error) => failures.push(error),
      }),
  );
  return { clock, counters, nodes, failures };
}

/** Lets all answers arrive. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Calls one after the other, the answers in between; how many passed. */
async function call(nodes: readonly BorrowingBuckets[], times: number, key = 'k'): Promise<number> {
  let passed = 0;
  for (let i = 0; i < times; i++) {
    if (nodes[i % nodes.length]?.take(key)) passed++;
    await settle();
  }
  return passed;
}

describe('borrowed budgets', () => {
  it('cost callers within the free share nothing', async () => {
    const { clock, counters, nodes } = setup(2);
    for (let second = 0; second < 20; second++) {
      expect(await call(nodes, 2 * 6)).toBe(12);
      clock.advance(1000);
    }
    expect(counters.asked).toBe(0);
  });

  it.each([1, 2, 8])('are one budget for a burst over %s nodes, and little more', async (count) => {
    const { nodes } = setup(count);
    const passed = await call(nodes, 1000);
    expect(passed).toBeGreaterThanOrEqual(rate.burst);
    expect(passed).toBeLessThanOrEqual(rate.burst + count * (chunk + 1));
  });

  it.each([1, 2, 8])('are one rate over %s nodes, and little more', async (count) => {
    const { clock, nodes } = setup(count);
    await call(nodes, 1000);
    let passed = 0;
    for (let step = 0; step < 400; step++) {
      clock.advance(50);
      passed += await call(nodes, 16);
    }
    expect(passed).toBeGreaterThan(0.95 * 20 * rate.perSecond);
    expect(passed).toBeLessThanOrEqual(20 * rate.perSecond * (1 + count / 16) + count * (chunk + 1));
  });

  it('are exact to a token per node where the burst is small', async () => {
    const { clock, nodes } = setup(2, { perSecond: 1, burst: 5 });
    const passed = await call(nodes, 20);
    expect(passed).toBeGreaterThanOrEqual(5);
    expect(passed).toBeLessThanOrEqual(7);
    clock.advance(1000);
    expect(await call(nodes, 10)).toBeLessThanOrEqual(2);
  });

  it('are whole again after a pause in which they fill up', async () => {
    for (const budget of [rate, { perSecond: 1, burst: 5 }]) {
      const { clock, nodes } = setup(2, budget);
      await call(nodes, 1000);
      clock.advance((budget.burst * 1000) / budget.perSecond + 1);
      const passed = await call(nodes, budget.burst);
      // Each node still pays for the call that told it of the end.
      expect(passed).toBeGreaterThanOrEqual(budget.burst - 2);
    }
  });

  it('ask for a chunk at a time', async () => {
    const { counters, nodes } = setup(1);
    await call(nodes, rate.burst - 1);
    expect(counters.asked).toBeLessThanOrEqual(rate.burst / chunk);
    expect(counters.asked).toBeGreaterThan(rate.burst / chunk - 2);
  });

  it('let a whole burst pass while the answer is under way, and have it paid before more passes', async () => {
    const { clock, counters, nodes } = setup(2);
    const answer = counters.hold();
    const burst = (node: BorrowingBuckets | undefined): number => {
      let passed = 0;
      while (node?.take('k')) passed++;
      return passed;
    };
    expect(nodes.map(burst)).toEqual([rate.burst, rate.burst]);
    answer();
    await settle();
    // What was paid and the free shares cover one budget; the other is owed.
    const owedFor = (rate.burst - 2 * chunk) / rate.perSecond;
    let passed = await call(nodes, 100);
    for (let step = 0; step < 10 * owedFor; step++) {
      clock.advance(100);
      passed += await call(nodes, 40);
    }
    expect(passed).toBeLessThanOrEqual(owedFor * rate.perSecond * (2 / 16) + 2 * (chunk + 1));
    passed = 0;
    for (let step = 0; step < 100; step++) {
      clock.advance(100);
      passed += await call(nodes, 40);
    }
    expect(passed).toBeGreaterThan(0.95 * 10 * rate.perSecond);
  });

  it('leave the free share to callers whose budget is used up elsewhere', async () => {
    const { clock, nodes } = setup(2);
    const [one, two] = nodes;
    if (one === undefined || two === undefined) throw new Error('there are two');
    await call([one], 1000);
    expect(await call([two], 100)).toBeGreaterThanOrEqual(chunk);
    clock.advance(1000);
    expect(two.take('k')).toBe(true);
  });

  it('are one per caller', async () => {
    const { nodes } = setup(2);
    await call(nodes, 1000, 'greedy');
    expect(await call(nodes, 100, 'other')).toBe(100);
  });

  it('report what goes wrong, and leave the free share', async () => {
    const { clock, counters, nodes, failures } = setup(1);
    counters.isBroken = true;
    expect(await call(nodes, 1000)).toBe(chunk + 1);
    expect(failures).toHaveLength(1);
    counters.isBroken = false;
    clock.advance(100);
    await call(nodes, 1);
    expect(await call(nodes, 50)).toBe(50);
  });

  it('hold for any mix of callers, nodes and pauses', async () => {
    const seed = 21;
    const random = new Random(seed);
    const { clock, nodes } = setup(3);
    const passed = new Map<string, number>();
    for (let step = 0; step < 20_000; step++) {
      const key = `k${random.below(4)}`;
      if (random.pick(nodes).take(key)) passed.set(key, (passed.get(key) ?? 0) + 1);
      if (random.chance(0.3)) await settle();
      if (random.chance(0.1)) clock.advance(random.below(10));
    }
    const seconds = clock.monotonic() / 1000;
    const most = (rate.burst + rate.perSecond * seconds) * (1 + 3 / 16) + 3 * 60;
    for (const [key, count] of passed) expect(count, `${key}, seed ${seed}`).toBeLessThanOrEqual(most);
    expect(passed.size).toBe(4);
  });
});
