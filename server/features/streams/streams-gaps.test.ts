import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryBus } from '../../cluster/bus-memory.ts';
import { MemoryHub } from '../../cluster/memory-hub.ts';
import { MemoryNodes } from '../../cluster/nodes-memory.ts';
import type { Presence } from '../../cluster/presence.ts';
import { MemoryPresence } from '../../cluster/presence-memory.ts';
import { makeStream, StreamMode, streamTopic } from '../../cluster/stream.ts';
import { encodePresences, type PresenceEvent } from '../../cluster/stream-frame.ts';
import { systemClock } from '../../platform/clock.ts';
import { newId } from '../../platform/ids.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import type { nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import { Streams } from './streams.ts';
import { ToldPresences } from './told-presences.ts';

// What listeners are told when nodes repeat themselves, or frames were lost (invariant P2).

const log = pino({ level: 'silent' });
const room = makeStream(StreamMode.CHANNEL, '', '', 'room');
const membership = { hidden: false, persistence: false, status: '' };

function presence(userId: string): Presence {
  return { node: 'two', sessionId: `s-${userId}`, userId, username: '', stream: room, ...membership };
}

/** Keeps who it was told comes and goes, and the names of everything else. */
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
      if (content?.name !== 'channel_presence_event') {
        heard.push(content?.name ?? 'ack');
        return;
      }
      const { joins, leaves } = content.message as nakama.realtime.ChannelPresenceEvent;
      heard.push(...leaves.map((leave) => `-${leave.user_id}`), ...joins.map((join) => `+${join.user_id}`));
    },
    close: () => undefined,
  };
}

describe('on a stream', () => {
  let tracker: MemoryPresence;
  let streams: Streams;
  let listener: ReturnType<typeof session>;
  let say: (event: Partial<PresenceEvent>, occasion?: { sweep: boolean }) => Promise<void>;

  beforeEach(async () => {
    const hub = new MemoryHub();
    const nodes = new MemoryNodes(hub, { name: 'one', clock: systemClock, log });
    await nodes.start();
    tracker = new MemoryPresence(hub, nodes);
    const bus = new MemoryBus(hub, 'one', log);
    streams = new Streams({ bus, presence: tracker, clock: systemClock, log, countEvent: () => undefined });
    streams.describe(StreamMode.CHANNEL, 'members', (_stream, joins, leaves) =>
      payload('channel_presence_event', { joins, leaves }),
    );
    listener = session();
    streams.sessionOpened(listener);
    await streams.join(listener, room, membership);
    listener.heard.length = 0;
    say = ({ joins = [], leaves = [] }, occasion) =>
      bus.publish(streamTopic(room), encodePresences(room, { joins, leaves }, occasion));
  });

  it('tells once what a node says twice', async () => {
    const bob = presence('bob');
    await say({ joins: [bob] });
    await say({ joins: [bob] });
    await say({ leaves: [bob] });
    await say({ leaves: [bob] });
    await say({ leaves: [presence('never heard of')] });
    expect(listener.heard).toEqual(['+bob', '-bob']);
  });

  it('keeps its own sessions when its node was given up, for it comes back with them', async () => {
    const [own] = await tracker.list(room);
    await say({ leaves: [own as Presence] }, { sweep: true });
    expect(streams.isMember(listener, room)).toBe(true);
    await say({ joins: [own as Presence] });
    await streams.send(room, payload('stream_data', { data: 'hello' }));
    expect(listener.heard).toEqual([`-${listener.user.id}`, `+${listener.user.id}`, 'stream_data']);
  });

  it('tells the others what someone who joins finds, and they have missed', async () => {
    await say({ joins: [presence('gone')] });
    const [missed, comer] = [session(), session()];
    for (const each of [missed, comer]) streams.sessionOpened(each);
    // Nobody hears of this one.
    const list = tracker.track.bind(tracker);
    tracker.track = async (track) => {
      const { isNew, members } = await list(track);
      return { isNew, members: [...members, { ...presence(missed.user.id), sessionId: missed.id }] };
    };
    await streams.join(comer, room, membership);
    expect(listener.heard).toEqual(['+gone', `+${comer.user.id}`, '-gone', `+${missed.user.id}`]);
  });
});

describe('a list', () => {
  const [ann, bob, cid] = [presence('ann'), presence('bob'), presence('cid')];
  const list = async (told: ToldPresences, members: Presence[], meanwhile: Partial<PresenceEvent> = {}) => {
    let missed: PresenceEvent = { joins: [], leaves: [] };
    const fetch = async (): Promise<Presence[]> => {
      told.take({ joins: [], leaves: [], ...meanwhile });
      return members;
    };
    const result = await told.whileListing(fetch, (event) => {
      missed = event;
    });
    return { result, missed };
  };

  it('says what was missed before, in either direction', async () => {
    const told = new ToldPresences();
    expect(await list(told, [ann, bob])).toEqual({ result: [ann, bob], missed: { joins: [ann, bob], leaves: [] } });
    expect(told.isComplete).toBe(true);
    expect((await list(told, [bob, cid])).missed).toEqual({ joins: [cid], leaves: [ann] });
    expect((await list(told, [bob, cid])).missed).toEqual({ joins: [], leaves: [] });
  });

  it('has who came while it was fetched, so that whoever gets it does not miss them', async () => {
    const told = new ToldPresences();
    expect((await list(told, [ann], { joins: [bob] })).result).toEqual([ann, bob]);
  });

  it('gives way to what was said meanwhile, even if it was no news', async () => {
    const told = new ToldPresences();
    await list(told, [ann]);
    // The node of ann has just put her back; the list is from before.
    expect(await list(told, [], { joins: [ann] })).toEqual({ result: [ann], missed: { joins: [], leaves: [] } });
  });

  it('decides who is known to be absent: before, a leave is news', async () => {
    const told = new ToldPresences();
    expect(told.take({ joins: [], leaves: [ann] }).leaves).toEqual([ann]);
    await list(told, []);
    expect(told.take({ joins: [], leaves: [ann] }).leaves).toEqual([]);
  });
});
