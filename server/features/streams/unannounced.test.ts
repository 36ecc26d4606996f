import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { makeStream, type Stream, streamKey } from '../../cluster/stream.ts';
import { decodeStreamFrame } from '../../cluster/stream-frame.ts';
import { unavailable } from '../../platform/errors.ts';
import { Unannounced } from './unannounced.ts';

const log = pino({ level: 'silent' });

/** Keeps what was published as `<stream> <sequence>`; takes nothing while it is cut. */
class LogBus extends MemoryBus {
  isCut = true;
  tries = 0;
  readonly published: string[] = [];

  override async publish(_topic: string, frame: Uint8Array): Promise<void> {
    this.tries++;
    if (this.isCut) throw unavailable('cut');
    const message = decodeStreamFrame(frame);
    if (message?.kind !== 'ordered' || message.envelope !== undefined) throw new Error('not just a place');
    this.published.push(`${message.key} ${message.position.sequence} ${message.position.time}`);
  }
}

let bus: LogBus;
let unannounced: Unannounced;

const stream = (n: number): Stream => makeStream(2, '', '', `room${n}`);
const add = (n: number, sequence: bigint): void =>
  unannounced.add(stream(n), { sequence, time: sequence * 10n }, unavailable('cut'));

beforeEach(() => {
  vi.useFakeTimers();
  bus = new LogBus(new MemoryHub(), 'one', log);
  unannounced = new Unannounced(bus, log);
});
afterEach(() => {
  unannounced.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

it('says how far each stream has come as soon as the bus takes it, once', async () => {
  add(1, 5n);
  add(2, 3n);
  add(1, 7n);
  add(1, 6n);
  await vi.advanceTimersByTimeAsync(5000);
  expect(bus.published).toEqual([]);
  bus.isCut = false;
  await vi.advanceTimersByTimeAsync(500);
  expect(bus.published.sort()).toEqual([`${streamKey(stream(1))} 7 70`, `${streamKey(stream(2))} 3 30`]);
  const { tries } = bus;
  await vi.advanceTimersByTimeAsync(5000);
  expect(bus.tries).toBe(tries);
});

it('does not forget what came while it was saying so', async () => {
  add(1, 5n);
  bus.isCut = false;
  const publish = bus.publish.bind(bus);
  bus.publish = async (topic, frame) => {
    bus.publish = publish;
    add(1, 6n);
    await publish(topic, frame);
  };
  await vi.advanceTimersByTimeAsync(1000);
  expect(bus.published).toEqual([`${streamKey(stream(1))} 5 50`, `${streamKey(stream(1))} 6 60`]);
});

it('asks a bus that is out of reach with a few streams at a time', async () => {
  for (let n = 0; n < 1000; n++) add(n, 1n);
  await vi.advanceTimersByTimeAsync(500);
  expect(bus.tries).toBe(50);
  bus.isCut = false;
  await vi.advanceTimersByTimeAsync(500);
  expect(new Set(bus.published).size).toBe(1000);
});

it('keeps so many streams and no more', async () => {
  for (let n = 0; n < 10_100; n++) add(n, 1n);
  add(0, 2n);
  bus.isCut = false;
  await vi.advanceTimersByTimeAsync(500);
  expect(bus.published).toHaveLength(10_000);
  expect(bus.published).toContain(`${streamKey(stream(0))} 2 20`);
});

it('says nothing after it was closed', async () => {
  add(1, 5n);
  unannounced.close();
  bus.isCut = false;
  add(2, 5n);
  await vi.advanceTimersByTimeAsync(5000);
  expect(bus.tries).toBe(0);
});
