import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../platform/clock.ts';
import { Semaphore } from '../../platform/semaphore.ts';
import { OrderStore, type Stored } from '../../testing/order-store.ts';
import { Random } from '../../testing/random.ts';
import { OrderedDelivery, type OrderLimits, orderLimits } from './ordered-delivery.ts';

const log = pino({ level: 'silent' });
const { holdMs } = orderLimits;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

let store: OrderStore;
let heard: string[];

function listen(limits: Partial<OrderLimits>): OrderedDelivery<string> {
  return new OrderedDelivery({
    name: 'room',
    source: store,
    deliver: (message) => heard.push(message),
    fetching: new Semaphore(2, 100),
    clock: systemClock,
    log,
    limits: { ...orderLimits, ...limits },
  });
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('ordered delivery, whatever happens to the frames', () => {
  interface Fate {
    /** Chances, per frame. */
    readonly lost: number;
    readonly doubled: number;
    /** Longest way of a frame, in ms. */
    readonly delay: number;
    /** Chance that the store fails, per question. */
    readonly storeFails: number;
  }

  /** Stores and sends 80 messages and notices; answers what a listener who came when `first` were stored should hear. */
  async function run(random: Random, fate: Fate, limits: Partial<OrderLimits>): Promise<Stored[]> {
    const delivery = listen(limits);
    const first = random.below(20);
    let isLost = false;
    for (let n = 0; n < 80; n++) {
      if (n === first) {
        const begun = delivery.begin();
        await pass(holdMs);
        await begun;
        store.mayFail = () => random.chance(fate.storeFails);
      }
      const stored = store.append(random.chance(0.2), BigInt(1 + random.below(3)));
      const copies = random.chance(fate.lost) ? 0 : random.chance(fate.doubled) ? 2 : 1;
      isLost ||= copies === 0 && n >= first;
      for (let copy = 0; copy < copies; copy++) {
        setTimeout(() => delivery.take(stored.position, stored.message, 2), random.below(fate.delay + 1));
      }
      // Now and then the bus notices.
      if (isLost && random.chance(0.1)) {
        delivery.catchUp();
        isLost = false;
      }
      if (random.chance(0.5)) await pass(random.below(40));
    }
    await pass(2000);
    delivery.catchUp();
    await pass(20 * holdMs);
    delivery.close();
    return store.all.slice(first);
  }

  const expectRight = (expected: Stored[], seed: number): void => {
    const places = new Set(expected.map(({ message }) => message));
    // Nothing twice, and nothing from before ...
    expect(new Set(heard).size, `seed ${seed}`).toBe(heard.length);
    for (const message of heard) expect(places.has(message), `seed ${seed}: ${message}`).toBe(true);
    // ... and every message, in order.
    const messages = expected.flatMap(({ message, isNotice }) => (isNotice ? [] : [message]));
    expect(
      heard.filter((message) => message.startsWith('m')),
      `seed ${seed}`,
    ).toEqual(messages);
  };

  it.each<[string, Fate, Partial<OrderLimits>]>([
    ['late and doubled', { lost: 0, doubled: 0.3, delay: 400, storeFails: 0 }, {}],
    ['lost', { lost: 0.2, doubled: 0.1, delay: 50, storeFails: 0 }, {}],
    ['lost, and some later than anybody waits', { lost: 0.1, doubled: 0.2, delay: 1500, storeFails: 0 }, {}],
    ['lost, with a store that fails now and then', { lost: 0.2, doubled: 0.1, delay: 300, storeFails: 0.15 }, {}],
    ['lost, with hardly any room', { lost: 0.2, doubled: 0.1, delay: 400, storeFails: 0 }, { maxHeld: 3 }],
  ])('every message once and in order: frames %s', async (_name, fate, limits) => {
    for (let seed = 1; seed <= 60; seed++) {
      store = new OrderStore();
      heard = [];
      expectRight(await run(new Random(seed), fate, limits), seed);
    }
  });

  it('no notice is lost that arrives in time', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      store = new OrderStore();
      heard = [];
      const fate = { lost: 0, doubled: 0.2, delay: holdMs - 1, storeFails: 0 };
      const expected = await run(new Random(seed), fate, { maxHeld: 1000 });
      expect(heard, `seed ${seed}`).toEqual(expected.map(({ message }) => message));
    }
  });
});
