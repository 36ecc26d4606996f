import { pino } from 'pino';
import { beforeEach, expect, it } from 'vitest';
import type { Subscription } from '../../cluster/bus.ts';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { MemoryNodes } from '../../cluster/nodes-memory.ts';
import { MemoryPresence } from '../../cluster/presence-memory.ts';
import { makeStream, StreamMode } from '../../cluster/stream.ts';
import { systemClock } from '../../platform/clock.ts';
import { newId } from '../../platform/ids.ts';
import { waitFor } from '../../testing/wait.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import type { nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import { Streams } from './streams.ts';

const log = pino({ level: 'silent' });
const room = makeStream(StreamMode.CHANNEL, '', '', 'room');
const membership = { hidden: false, persistence: false, status: '' };
const hello = payload('stream_data', { data: 'hello' });

/** A session that keeps the names of what it is sent, and who it was told comes and goes. */
function session(userId = newId()): SocketSession & { readonly heard: string[]; readonly seen: string[] } {
  const heard: string[] = [];
  const seen: string[] = [];
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
    seen,
    send: (frame) => {
      const { content } = EnvelopeFrame.fromBytes(frame.protobuf).toMessage();
      heard.push(content?.name ?? 'ack');
      if (content?.name !== 'channel_presence_event') return;
      const { joins, leaves } = content.message as nakama.realtime.ChannelPresenceEvent;
      seen.push(...leaves.map((leave) => `-${leave.user_id}`), ...joins.map((join) => `+${join.user_id}`));
    },
    close: () => undefined,
  };
}

/** A bus that loses what others publish while it is deaf. */
class DeafBus extends MemoryBus {
  isDeaf = false;

  override subscribe(topic: string, handler: (frame: Uint8Array) => void): Promise<Subscription> {
    return super.subscribe(topic, (frame) => {
      if (!this.isDeaf) handler(frame);
    });
  }
}

interface TestNode {
  readonly streams: Streams;
  readonly presence: MemoryPresence;
  readonly bus: DeafBus;
}

let hub: MemoryHub;
let one: TestNode;
let two: TestNode;

async function node(name: string): Promise<TestNode> {
  const nodes = new MemoryNodes(hub, { name, clock: systemClock, log });
  await nodes.start();
  const presence = new MemoryPresence(hub, nodes);
  const bus = new DeafBus(hub, name, log);
  const streams = new Streams({ bus, presence, clock: systemClock, log, countEvent: () => undefined });
  streams.describe(StreamMode.CHANNEL, 'members', (_stream, joins, leaves) =>
    payload('channel_presence_event', { joins, leaves }),
  );
  return { streams, presence, bus };
}

beforeEach(async () => {
  hub = new MemoryHub();
  one = await node('one');
  two = await node('two');
});

it('reaches the members on all nodes, and nobody else', async () => {
  const [here, there, outside] = [session(), session(), session()];
  for (const each of [here, outside]) one.streams.sessionOpened(each);
  two.streams.sessionOpened(there);
  await one.streams.join(here, room, membership);
  await two.streams.join(there, room, membership);
  await one.streams.send(room, hello);
  expect(here.heard).toEqual(['channel_presence_event', 'channel_presence_event', 'stream_data']);
  expect(there.heard).toEqual(['channel_presence_event', 'stream_data']);
  expect(outside.heard).toEqual([]);
});

it('sends nothing more to a member that another node took off the stream', async () => {
  const [kicked, other] = [session(), session()];
  one.streams.sessionOpened(kicked);
  two.streams.sessionOpened(other);
  await one.streams.join(kicked, room, membership);
  await two.streams.join(other, room, membership);
  kicked.heard.length = 0;

  await two.presence.untrackUser(kicked.user.id, room);
  expect(one.streams.isMember(kicked, room)).toBe(false);
  await two.streams.send(room, hello);
  expect(kicked.heard).toEqual([]);
  expect(other.heard.at(-1)).toBe('stream_data');

  // It may come back.
  await one.streams.join(kicked, room, membership);
  await two.streams.send(room, hello);
  expect(kicked.heard).toEqual(['channel_presence_event', 'stream_data']);
});

it('keeps a hidden member that changes its membership', async () => {
  const member = session();
  one.streams.sessionOpened(member);
  await one.streams.join(member, room, { ...membership, hidden: true });
  await one.streams.update(member, room, membership);
  await one.streams.send(room, hello);
  expect(one.streams.isMember(member, room)).toBe(true);
  expect(member.heard).toEqual(['channel_presence_event', 'stream_data']);
});

it('lets go of everybody when the stream is closed, and of its topic', async () => {
  const member = session();
  one.streams.sessionOpened(member);
  await one.streams.join(member, room, membership);
  await two.presence.closeStream(room);
  expect(one.streams.isMember(member, room)).toBe(false);
  member.heard.length = 0;
  await two.streams.send(room, hello);
  expect(member.heard).toEqual([]);
});

it('tells listeners after a gap who came and went meanwhile, once', async () => {
  const [listener, leaver, stayer, comer] = [session(), session(), session(), session()];
  one.streams.sessionOpened(listener);
  for (const each of [leaver, stayer, comer]) two.streams.sessionOpened(each);
  await two.streams.join(leaver, room, membership);
  await one.streams.join(listener, room, membership);
  await two.streams.join(stayer, room, membership);
  listener.seen.length = 0;

  one.bus.isDeaf = true;
  await two.streams.leave(leaver, room);
  await two.streams.join(comer, room, membership);
  one.bus.isDeaf = false;
  expect(listener.seen).toEqual([]);
  await one.streams.resync();
  expect(listener.seen).toEqual([`-${leaver.user.id}`, `+${comer.user.id}`]);
  await one.streams.resync();
  await two.streams.leave(stayer, room);
  expect(listener.seen).toEqual([`-${leaver.user.id}`, `+${comer.user.id}`, `-${stayer.user.id}`]);
});

it('tells nothing twice when it happens while the stream is looked at', async () => {
  const [listener, comer, goer] = [session(), session(), session()];
  one.streams.sessionOpened(listener);
  for (const each of [comer, goer]) two.streams.sessionOpened(each);
  await one.streams.join(listener, room, membership);
  await two.streams.join(goer, room, membership);
  listener.seen.length = 0;

  const list = one.presence.list.bind(one.presence);
  one.presence.list = async (stream) => {
    await two.streams.join(comer, room, membership);
    const members = await list(stream);
    await two.streams.leave(goer, room);
    await two.streams.send(room, hello);
    return members;
  };
  await one.streams.resync();
  expect(listener.seen).toEqual([`+${comer.user.id}`, `-${goer.user.id}`]);
  expect(listener.heard.at(-1)).toBe('stream_data');
});

it('does not list somebody whose leave the listener has heard by the time the join is answered', async () => {
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const head = async () => {
    await begun;
    return { sequence: 0n, time: 0n };
  };
  one.streams.order(StreamMode.CHANNEL, { head, between: async () => [] });
  const [leaver, joiner] = [session(), session()];
  two.streams.sessionOpened(leaver);
  one.streams.sessionOpened(joiner);
  await two.streams.join(leaver, room, membership);

  const joining = one.streams.join(joiner, room, membership);
  await waitFor('the join itself', () => joiner.seen.length === 1);
  await two.streams.leave(leaver, room);
  begin();
  const { members } = await joining;
  expect(joiner.seen).toEqual([`+${joiner.user.id}`, `-${leaver.user.id}`]);
  expect(members.map(({ userId }) => userId)).toEqual([joiner.user.id]);
});
