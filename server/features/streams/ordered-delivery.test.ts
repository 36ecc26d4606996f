import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StreamPosition } from '../../cluster/stream-frame.ts';
import { systemClock } from '../../platform/clock.ts';
import { Semaphore } from '../../platform/semaphore.ts';
import { OrderStore, type Stored } from '../../testing/order-store.ts';
import { OrderedDelivery, type OrderLimits, type OrderSource, orderLimits } from './ordered-delivery.ts';

const log = pino({ level: 'silent' });

let store: OrderStore;
let heard: string[];

function listen(limits: Partial<OrderLimits> = {}, source: OrderSource<string> = store): OrderedDelivery<string> {
  return new OrderedDelivery({
    name: 'room',
    source,
    deliver: (message) => heard.push(message),
    fetching: new Semaphore(2, 100),
    clock: systemClock,
    log,
    limits: { ...orderLimits, ...limits },
  });
}

const arrive = (delivery: OrderedDelivery<string>, { position, message }: Stored): void =>
  delivery.take(position, message, message.length);

const { holdMs } = orderLimits;
/** Lets that many tries go wrong. */
const passTries = async (tries: number): Promise<void> => {
  for (let n = 0; n < tries; n++) await pass(holdMs);
};
const pass = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
  // The immediates that timers set run a millisecond later with this clock.
  await vi.advanceTimersByTimeAsync(1);
};

beforeEach(() => {
  vi.useFakeTimers();
  store = new OrderStore();
  heard = [];
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('ordered delivery', () => {
  it('delivers what comes in order at once', async () => {
    const delivery = listen();
    await delivery.begin();
    for (let n = 1; n <= 3; n++) {
      arrive(delivery, store.append());
      expect(heard).toHaveLength(n);
    }
    expect(store.asked).toEqual(['head']);
    expect(heard).toEqual(['m1', 'm2', 'm3']);
  });

  it('has early messages wait, and drops second copies', async () => {
    const delivery = listen();
    await delivery.begin();
    const [one, two, three, four] = Array.from({ length: 4 }, () => store.append()) as [Stored, Stored, Stored, Stored];
    arrive(delivery, two);
    arrive(delivery, four);
    arrive(delivery, two);
    await pass(holdMs - 2);
    expect(heard).toEqual([]);
    arrive(delivery, one);
    arrive(delivery, one);
    expect(heard).toEqual(['m1', 'm2']);
    arrive(delivery, three);
    arrive(delivery, four);
    expect(heard).toEqual(['m1', 'm2', 'm3', 'm4']);
    expect(store.asked).toEqual(['head']);
  });

  it('fetches what does not come, in one go, and leaves out what cannot be fetched', async () => {
    const delivery = listen();
    await delivery.begin();
    const all = Array.from({ length: 8 }, (_, n) => store.append(n === 1 || n === 4));
    // Missing: m1 and the notice n2, then m4 and n5, then m7.
    for (const at of [2, 5, 7]) arrive(delivery, all[at] as Stored);
    await pass(holdMs);
    expect(heard).toEqual(['m1', 'm3', 'm4', 'm6', 'm7', 'm8']);
    expect(store.asked).toEqual(['head', '0-8']);
    // Too late for their places, but better than never; the rest has been heard.
    for (const each of [...all, ...all]) arrive(delivery, each);
    expect(heard.slice(6)).toEqual(['n2', 'n5']);
    arrive(delivery, store.append());
    expect(heard.at(-1)).toBe('m9');
  });

  it('begins after what was stored before', async () => {
    const [early, late] = [store.append(), store.append()];
    const delivery = listen();
    const begun = delivery.begin();
    // These arrive while the head is looked up, one of them from before.
    const [third, fourth] = [store.append(), store.append()];
    for (const each of [fourth, late, third]) arrive(delivery, each);
    expect(heard).toEqual([]);
    await begun;
    expect(heard).toEqual(['m3', 'm4']);
    arrive(delivery, early);
    arrive(delivery, late);
    arrive(delivery, store.append());
    await pass(holdMs);
    expect(heard).toEqual(['m3', 'm4', 'm5']);
  });

  it.each(['fails', 'hangs'])('begins with the first to arrive when looking up the head %s', async (how) => {
    const never = new Promise<StreamPosition>(() => {});
    const head = how === 'hangs' ? () => never : () => Promise.reject(new Error('out of reach'));
    const delivery = listen({}, { head, between: (...range) => store.between(...range) });
    store.append();
    const begun = delivery.begin();
    await pass(holdMs);
    await begun;
    arrive(delivery, store.append());
    arrive(delivery, store.append());
    expect(heard).toEqual(['m2', 'm3']);
    delivery.expect(store.append().position);
    await pass(holdMs);
    expect(heard).toEqual(['m2', 'm3', 'm4']);
  });

  it('catches up with what nobody told, but waits for what is under way', async () => {
    const delivery = listen();
    await delivery.begin();
    const [, notice, third] = [store.append(), store.append(true), store.append()];
    delivery.catchUp();
    await pass(0);
    expect(store.asked).toEqual(['head', 'head']);
    arrive(delivery, notice);
    await pass(holdMs);
    expect(heard).toEqual(['m1', 'n2', 'm3']);
    arrive(delivery, third);
    delivery.catchUp();
    await pass(holdMs);
    expect(heard).toHaveLength(3);
    expect(store.asked.filter((what) => what !== 'head')).toEqual(['0-3']);
  });

  it('looks again when another gap comes while it looks for the head', async () => {
    const heads: ((position: StreamPosition) => void)[] = [];
    const delivery = listen(
      {},
      {
        head: () => new Promise((resolve) => heads.push(resolve)),
        between: (...range) => store.between(...range),
      },
    );
    const begun = delivery.begin();
    heads[0]?.({ sequence: 0n, time: 1000n });
    await begun;
    const first = store.append();
    delivery.catchUp();
    await pass(0);
    delivery.catchUp();
    const second = store.append();
    heads[1]?.(first.position);
    await pass(0);
    heads[2]?.(second.position);
    await pass(holdMs);
    expect(heard).toEqual(['m1', 'm2']);
  });

  it('fetches at once when too much waits, and forgets nothing of it', async () => {
    const delivery = listen({ maxHeld: 4 });
    await delivery.begin();
    store.append();
    // Before the fetching is under way they all have come, more than may wait.
    for (let n = 2; n <= 20; n++) arrive(delivery, store.append());
    expect(heard).toEqual([]);
    await pass(0);
    expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => `m${n + 1}`));
    arrive(delivery, store.append());
    expect(heard.at(-1)).toBe('m21');
  });

  it('fetches the newest when more than a limit was missed', async () => {
    const delivery = listen({ maxFetched: 5 });
    await delivery.begin();
    for (let n = 0; n < 20; n++) store.append();
    delivery.catchUp();
    await pass(holdMs);
    expect(heard).toEqual(['m16', 'm17', 'm18', 'm19', 'm20']);
  });

  it('tries again while the store is out of reach', async () => {
    const delivery = listen();
    await delivery.begin();
    store.append();
    arrive(delivery, store.append());
    store.failures = orderLimits.maxTries - 1;
    await passTries(orderLimits.maxTries - 1);
    expect(heard).toEqual([]);
    await pass(holdMs);
    expect(heard).toEqual(['m1', 'm2']);
    // The same for the head.
    store.append();
    store.failures = orderLimits.maxTries - 1;
    delivery.catchUp();
    await passTries(orderLimits.maxTries + 1);
    expect(heard).toEqual(['m1', 'm2', 'm3']);
  });

  it('goes on without the missing when the store stays out of reach', async () => {
    const delivery = listen();
    await delivery.begin();
    store.append();
    arrive(delivery, store.append());
    store.failures = 1000;
    await passTries(orderLimits.maxTries);
    expect(heard).toEqual(['m2']);
    arrive(delivery, store.append());
    expect(heard).toEqual(['m2', 'm3']);
    delivery.catchUp();
    await passTries(orderLimits.maxTries);
    const tries = store.asked.length;
    await pass(10 * holdMs);
    expect(store.asked).toHaveLength(tries);
  });

  it('goes on when sequences begin anew', async () => {
    const delivery = listen();
    await delivery.begin();
    for (let n = 0; n < 5; n++) arrive(delivery, store.append());
    store.startAnew();
    arrive(delivery, store.append());
    arrive(delivery, store.append());
    await pass(holdMs);
    arrive(delivery, store.append());
    expect(heard).toEqual(['m1', 'm2', 'm3', 'm4', 'm5', 'm1', 'm2', 'm3']);
  });

  it('tells when a place was passed', async () => {
    const delivery = listen();
    await delivery.begin();
    const [one, two, three] = [store.append(), store.append(), store.append()];
    arrive(delivery, two);
    const passed: string[] = [];
    for (const { position, message } of [two, three]) void delivery.passed(position)?.then(() => passed.push(message));
    await pass(0);
    expect(passed).toEqual([]);
    arrive(delivery, one);
    expect(delivery.passed(two.position)).toBeUndefined();
    await pass(0);
    expect(passed).toEqual(['m2']);
    delivery.close();
    await pass(0);
    expect(passed).toEqual(['m2', 'm3']);
    expect(delivery.passed(three.position)).toBeUndefined();
  });

  it('delivers nothing after it was closed, and leaves nothing running', async () => {
    const delivery = listen();
    await delivery.begin();
    const [one, two] = [store.append(), store.append()];
    arrive(delivery, two);
    delivery.close();
    arrive(delivery, one);
    delivery.catchUp();
    delivery.expect(store.append().position);
    await pass(10 * holdMs);
    expect(heard).toEqual([]);

    // Also while it fetches.
    const other = listen();
    await other.begin();
    store.append();
    arrive(other, store.append());
    await vi.advanceTimersByTimeAsync(holdMs - 1);
    vi.advanceTimersByTime(1);
    other.close();
    await pass(holdMs);
    expect(heard).toEqual([]);
  });
});
