import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Subscription } from '../../cluster/bus.ts';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { MemoryNodes } from '../../cluster/nodes-memory.ts';
import { MemoryPresence } from '../../cluster/presence-memory.ts';
import { makeStream, StreamMode } from '../../cluster/stream.ts';
import type { StreamPosition } from '../../cluster/stream-frame.ts';
import { systemClock } from '../../platform/clock.ts';
import { unavailable } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { waitFor } from '../../testing/wait.ts';
import { EnvelopeFrame, type Payload, payload } from '../../wire/envelope.ts';
import type { nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import type { StreamOrder } from './orders.ts';
import { Streams } from './streams.ts';

// Messages with places, on two nodes whose bus does not do as it should.

const log = pino({ level: 'silent' });
const room = makeStream(StreamMode.CHANNEL, '', '', 'room');
const membership = { hidden: false, persistence: true, status: '' };

/** A session that keeps the texts it is sent. */
function session(): SocketSession & { readonly heard: string[] } {
  const heard: string[] = [];
  return {
    id: newId(),
    user: { id: newId(), username: 'player', vars: {}, tokenId: '', expiresAt: 0 },
    format: 'protobuf',
    lang: 'en',
    clientAddress: '',
    clientPort: '',
    connectedAt: 0,
    closed: false,
    heard,
    send: (frame) => {
      const { content } = EnvelopeFrame.fromBytes(frame.protobuf).toMessage();
      if (content?.name === 'stream_data') heard.push((content.message as nakama.realtime.StreamData).data);
    },
    close: () => undefined,
  };
}

const saying = (data: string): Payload => payload('stream_data', { data });

/** What both nodes store messages in. */
class Store implements StreamOrder {
  readonly #all: { time: bigint; message: Payload }[] = [];
  heads = 0;

  append(data: string): { position: StreamPosition; message: Payload } {
    const sequence = BigInt(this.#all.length + 1);
    const stored = { time: sequence * 5n, message: saying(data) };
    this.#all.push(stored);
    return { position: { sequence, time: stored.time }, message: stored.message };
  }

  async head(): Promise<StreamPosition> {
    this.heads++;
    const sequence = BigInt(this.#all.length);
    return { sequence, time: sequence * 5n };
  }

  async between(_stream: unknown, after: bigint, upTo: bigint): Promise<{ time: bigint; message: Payload }[]> {
    return this.#all.filter(({ time }) => time > after && time <= upTo);
  }
}

class FaultyBus extends MemoryBus {
  /** Loses what others publish. */
  isDeaf = false;
  /** Takes nothing, and says so. */
  isCut = false;
  /** Takes everything and loses it, as when the node dies at that moment. */
  isDead = false;

  override async publish(topic: string, frame: Uint8Array): Promise<void> {
    if (this.isCut) throw unavailable('cut');
    if (!this.isDead) await super.publish(topic, frame);
  }

  override subscribe(topic: string, handler: (frame: Uint8Array) => void): Promise<Subscription> {
    return super.subscribe(topic, (frame) => {
      if (!this.isDeaf) handler(frame);
    });
  }
}

interface TestNode {
  readonly streams: Streams;
  readonly bus: FaultyBus;
  readonly listener: ReturnType<typeof session>;
}

let hub: MemoryHub;
let store: Store;
let one: TestNode;
let two: TestNode;

async function node(name: string): Promise<TestNode> {
  const nodes = new MemoryNodes(hub, { name, clock: systemClock, log });
  await nodes.start();
  const bus = new FaultyBus(hub, name, log);
  const presence = new MemoryPresence(hub, nodes);
  const streams = new Streams({ bus, presence, clock: systemClock, log, countEvent: () => undefined });
  streams.order(StreamMode.CHANNEL, store);
  const listener = session();
  streams.sessionOpened(listener);
  return { streams, bus, listener };
}

const send = ({ streams }: TestNode, stored: ReturnType<Store['append']>): Promise<void> =>
  streams.sendInOrder(room, stored.position, stored.message);

const bothHear = (...texts: string[]): Promise<true> =>
  waitFor(
    `both to hear ${texts}`,
    () => `${one.listener.heard}` === `${texts}` && `${two.listener.heard}` === `${texts}`,
  );

beforeEach(async () => {
  hub = new MemoryHub();
  store = new Store();
  store.append('history');
  one = await node('one');
  two = await node('two');
  for (const { streams, listener } of [one, two]) await streams.join(listener, room, membership);
});

afterEach(async () => {
  for (const { streams, listener } of [one, two]) {
    await streams.sessionClosed(listener);
    streams.close();
  }
});

it('delivers in the order of the places, whichever node publishes first; the sender waits for its turn', async () => {
  const [a, b, c] = [store.append('a'), store.append('b'), store.append('c')];
  const sent: string[] = [];
  const sending = [send(two, c).then(() => sent.push('c')), send(one, b).then(() => sent.push('b'))];
  await new Promise(setImmediate);
  expect([one.listener.heard, two.listener.heard, sent]).toEqual([[], [], []]);
  await send(two, a);
  await Promise.all(sending);
  expect(sent.sort()).toEqual(['b', 'c']);
  await bothHear('a', 'b', 'c');
});

it('looks up where to begin once per node and stream, and leaves what is older to history', async () => {
  expect(store.heads).toBe(2);
  const other = session();
  one.streams.sessionOpened(other);
  await one.streams.join(other, room, membership);
  expect(store.heads).toBe(2);
  await send(one, store.append('a'));
  await bothHear('a');
  expect(other.heard).toEqual(['a']);

  // A node that listens anew has to look again.
  await one.streams.leave(one.listener, room);
  await one.streams.leave(other, room);
  await send(two, store.append('b'));
  await one.streams.join(one.listener, room, membership);
  await send(one, store.append('c'));
  expect(one.listener.heard).toEqual(['a', 'c']);
  expect(store.heads).toBe(3);
  await one.streams.sessionClosed(other);
});

it('leaves no hole when a node dies between storing and publishing', async () => {
  two.bus.isDead = true;
  await send(two, store.append('a'));
  expect(one.listener.heard).toEqual([]);
  two.bus.isDead = false;
  await send(one, store.append('b'));
  await bothHear('a', 'b');
});

it('delivers what the bus does not take at once here, and there as soon as it takes frames again', async () => {
  one.bus.isCut = true;
  await send(one, store.append('a'));
  await send(one, store.append('b'));
  expect(one.listener.heard).toEqual(['a', 'b']);
  expect(two.listener.heard).toEqual([]);
  one.bus.isCut = false;
  await bothHear('a', 'b');
  // Without anything else being said. And the order goes on.
  await send(two, store.append('c'));
  await bothHear('a', 'b', 'c');
});

it('delivers what was lost in a gap, once and in order', async () => {
  two.bus.isDeaf = true;
  const [a, b, c] = [store.append('a'), store.append('b'), store.append('c')];
  await send(one, a);
  await send(one, b);
  two.bus.isDeaf = false;
  const sending = send(one, c);
  await two.streams.resync();
  await sending;
  await bothHear('a', 'b', 'c');

  // Also when nothing follows, or nothing was lost.
  two.bus.isDeaf = true;
  await send(one, store.append('d'));
  two.bus.isDeaf = false;
  await Promise.all([one.streams.resync(), two.streams.resync()]);
  await bothHear('a', 'b', 'c', 'd');
});

it('delivers what has no place at once, and what has one on modes without an order', async () => {
  await one.streams.send(room, saying('placeless'));
  await bothHear('placeless');
  const other = makeStream(StreamMode.PARTY, newId());
  for (const { streams, listener } of [one, two]) await streams.join(listener, other, membership);
  const { position, message } = store.append('a');
  await one.streams.sendInOrder(other, { ...position, sequence: 100n }, message);
  await bothHear('placeless', 'a');
});
