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
import { newId } from '../../platform/ids.ts';
import { waitFor } from '../../testing/wait.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import type { nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import type { StoredPayload, StreamOrder } from './orders.ts';
import { Streams } from './streams.ts';

// Users who are sent away: what they hear last, and that they hear nothing more, whatever the bus does.

const log = pino({ level: 'silent' });
const channel = makeStream(StreamMode.GROUP, newId());
const membership = { hidden: false, persistence: true, status: '' };

type TestSession = SocketSession & { readonly heard: string[] };

/** A session that keeps the texts it is sent. */
function session(userId = newId()): TestSession {
  const heard: string[] = [];
  return {
    id: newId(),
    user: { id: userId, username: 'player', vars: {}, tokenId: '', expiresAt: 0 },
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

/** What both nodes store messages in. */
class Store implements StreamOrder {
  readonly #all: (StoredPayload & { position: StreamPosition })[] = [];

  append(data: string, leaverId?: string): StoredPayload & { position: StreamPosition } {
    const sequence = BigInt(this.#all.length + 1);
    const time = sequence * 5n;
    const stored = { time, message: payload('stream_data', { data }), leaverId, position: { sequence, time } };
    this.#all.push(stored);
    return stored;
  }

  get place(): bigint {
    return this.#all.at(-1)?.time ?? 0n;
  }

  async head(): Promise<StreamPosition> {
    return { sequence: BigInt(this.#all.length), time: this.place };
  }

  async between(_stream: unknown, after: bigint, upTo: bigint): Promise<StoredPayload[]> {
    return this.#all.filter(({ time }) => time > after && time <= upTo);
  }
}

class FaultyBus extends MemoryBus {
  /** Loses what others publish. */
  isDeaf = false;
  /** Keeps what others publish, for later. */
  isSlow = false;
  #late: (() => void)[] = [];

  override subscribe(topic: string, handler: (frame: Uint8Array) => void): Promise<Subscription> {
    return super.subscribe(topic, (frame) => {
      if (this.isSlow) this.#late.push(() => handler(frame));
      else if (!this.isDeaf) handler(frame);
    });
  }

  catchUp(): void {
    this.isSlow = false;
    for (const handle of this.#late.splice(0)) handle();
  }
}

interface TestNode {
  readonly streams: Streams;
  readonly bus: FaultyBus;
  readonly presence: MemoryPresence;
}

let hub: MemoryHub;
let store: Store;
let one: TestNode;
let two: TestNode;
let admin: TestSession;
let user: TestSession;

async function node(name: string): Promise<TestNode> {
  const nodes = new MemoryNodes(hub, { name, clock: systemClock, log });
  await nodes.start();
  const bus = new FaultyBus(hub, name, log);
  const presence = new MemoryPresence(hub, nodes);
  const streams = new Streams({ bus, presence, clock: systemClock, log, countEvent: () => undefined });
  streams.order(StreamMode.GROUP, store);
  streams.describe(StreamMode.GROUP, 'members', () => payload('channel_presence_event', {}));
  return { streams, bus, presence };
}

const say = ({ streams }: TestNode, data: string, leaverId?: string): Promise<void> => {
  const { position, message } = store.append(data, leaverId);
  return streams.sendInOrder(channel, position, message, leaverId);
};
const join = ({ streams }: TestNode, session: TestSession, entry?: bigint) =>
  streams.join(session, channel, membership, entry);
const isPresent = async (session: TestSession): Promise<boolean> =>
  (await one.presence.list(channel)).some(({ sessionId }) => sessionId === session.id);

beforeEach(async () => {
  hub = new MemoryHub();
  store = new Store();
  [one, two] = [await node('one'), await node('two')];
  [admin, user] = [session(), session()];
  one.streams.sessionOpened(admin);
  two.streams.sessionOpened(user);
  await join(one, admin);
  await join(two, user);
});

afterEach(async () => {
  await one.streams.sessionClosed(admin);
  await two.streams.sessionClosed(user);
  for (const { streams } of [one, two]) streams.close();
});

it('lets users hear their last message and nothing after it, on whichever node they are', async () => {
  const here = session(user.user.id);
  one.streams.sessionOpened(here);
  await join(one, here);
  await say(one, 'a');
  await say(one, 'sent away', user.user.id);
  // Nobody has taken them off the stream yet.
  await say(one, 'b');
  await two.streams.send(channel, payload('stream_data', { data: 'placeless' }));
  for (const { heard } of [user, here]) expect(heard).toEqual(['a', 'sent away']);
  expect(admin.heard).toEqual(['a', 'sent away', 'b', 'placeless']);
  expect(two.streams.isMember(user, channel)).toBe(false);
  await one.streams.sessionClosed(here);
});

it('takes them off the stream when whoever sent them away does not come to it', async () => {
  await say(one, 'sent away', user.user.id);
  expect(await isPresent(user)).toBe(true);
  await waitFor('the presence to go', async () => !(await isPresent(user)));
  expect(await isPresent(admin)).toBe(true);
});

it('does so also when the message is fetched later', async () => {
  two.bus.isDeaf = true;
  await say(one, 'sent away', user.user.id);
  await say(one, 'b');
  two.bus.isDeaf = false;
  await two.streams.resync();
  await waitFor('the last message', () => user.heard.includes('sent away'));
  await say(one, 'c');
  expect(user.heard).toEqual(['sent away']);
});

it('keeps who has come back, if the message about their leave is late', async () => {
  const other = session();
  two.streams.sessionOpened(other);
  await join(two, other);
  two.bus.isSlow = true;
  await say(one, 'sent away', user.user.id);
  await one.streams.removeUser(channel, user.user.id);
  // The session joins again before its node has heard of any of it.
  await join(two, user, store.place);
  two.bus.catchUp();
  await say(one, 'b');
  expect(user.heard).toEqual(['sent away', 'b']);
  expect(await isPresent(user)).toBe(true);
  // The next time it goes as before.
  await say(one, 'sent away again', user.user.id);
  await say(one, 'c');
  expect(user.heard.at(-1)).toBe('sent away again');
  await two.streams.sessionClosed(other);
});

it('keeps who has come back while their former presence was removed, though nobody else is there', async () => {
  two.bus.isSlow = true;
  await one.streams.removeUser(channel, user.user.id);
  const joining = join(two, user);
  two.bus.catchUp();
  await joining;
  await say(one, 'a');
  expect(user.heard).toEqual(['a']);
});

it('does not bring back who has left, however late their join is announced', async () => {
  const other = session();
  two.streams.sessionOpened(other);
  await join(two, other);
  two.bus.isSlow = true;
  const again = session(user.user.id);
  two.streams.sessionOpened(again);
  await join(two, again);
  await two.streams.leave(again, channel);
  two.bus.catchUp();
  expect(two.streams.isMember(again, channel)).toBe(false);
  await say(one, 'a');
  expect([again.heard, user.heard]).toEqual([[], ['a']]);
  await two.streams.sessionClosed(again);
  await two.streams.sessionClosed(other);
});

it.each([
  ['a removal', () => one.streams.removeUser(channel, user.user.id)],
  ['the end of the stream', () => one.streams.empty(channel)],
])('says nothing more after a gap to who was off the stream by %s in it', async (_what, remove) => {
  two.bus.isDeaf = true;
  await remove();
  two.bus.isDeaf = false;
  await two.streams.resync();
  expect(two.streams.isMember(user, channel)).toBe(false);
  await say(one, 'a');
  expect(user.heard).toEqual([]);
  await join(two, user, store.place);
  await say(one, 'b');
  expect(user.heard).toEqual(['b']);
});

it('keeps who is not listed after a gap as long as their own node knows that they are there', async () => {
  // Others took this node for dead, or Redis lost its state: it is about to put its presences back.
  two.presence.list = async () => [];
  await two.streams.resync();
  await say(one, 'a');
  expect(user.heard).toEqual(['a']);
});
