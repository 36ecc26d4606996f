import { pino } from 'pino';
import { beforeEach, expect, it } from 'vitest';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { MemoryNodes } from '../../cluster/nodes-memory.ts';
import { MemoryPresence } from '../../cluster/presence-memory.ts';
import { makeStream, StreamMode } from '../../cluster/stream.ts';
import { systemClock } from '../../platform/clock.ts';
import { newId } from '../../platform/ids.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import type { SocketSession } from '../../wire/session.ts';
import { Streams } from './streams.ts';

const log = pino({ level: 'silent' });
const room = makeStream(StreamMode.CHANNEL, '', '', 'room');
const membership = { hidden: false, persistence: false, status: '' };
const hello = payload('stream_data', { data: 'hello' });

/** A session that keeps the names of what it is sent. */
function session(userId = newId()): SocketSession & { readonly heard: string[] } {
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
    send: (frame) => heard.push(EnvelopeFrame.fromBytes(frame.protobuf).toMessage().content?.name ?? 'ack'),
    close: () => undefined,
  };
}

let hub: MemoryHub;
let one: { streams: Streams; presence: MemoryPresence };
let two: { streams: Streams; presence: MemoryPresence };

async function node(name: string): Promise<{ streams: Streams; presence: MemoryPresence }> {
  const nodes = new MemoryNodes(hub, { name, clock: systemClock, log });
  await nodes.start();
  const presence = new MemoryPresence(hub, nodes);
  const bus = new MemoryBus(hub, name, log);
  const streams = new Streams({ bus, presence, log, countEvent: () => undefined });
  streams.describe(StreamMode.CHANNEL, 'members', (_stream, joins, leaves) =>
    payload('channel_presence_event', { joins, leaves }),
  );
  return { streams, presence };
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
