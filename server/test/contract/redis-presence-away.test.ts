import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NewPresence } from '../../cluster/presence.ts';
import { makeStream, type Stream, streamTopic } from '../../cluster/stream.ts';
import { Code } from '../../platform/errors.ts';
import { unique } from '../../testing/names.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { makeNode, type RedisNode } from './redis-presence-nodes.ts';
import { eventually, rejection } from './support.ts';

const [lobby, room] = [makeStream(2, '', '', 'lobby'), makeStream(2, '', '', 'room')];
const someone = { userId: 'ann', username: 'Ann', hidden: false, persistence: false, status: '' };
const faults = ['cut', 'stall'] as const;

describe.skipIf(!redisAvailable)('presence: redis, while it is out of reach or slow', () => {
  let redis: TestRedis;
  let a: RedisNode;
  let b: RedisNode;

  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    const prefix = unique('presence:');
    const [one, two] = await Promise.all(['a', 'b'].map((name) => makeNode(redis, name, prefix, { impatient: true })));
    [a, b] = [one as RedisNode, two as RedisNode];
  });
  afterEach(async () => {
    a.proxy.heal();
    await Promise.all([a.close(), b.close()]);
  });

  /** A session of the node on both streams. */
  const enter = async (node: RedisNode, sessionId: string): Promise<void> => {
    node.presence.openSession(sessionId);
    await node.presence.trackMany([lobby, room].map((stream) => on(stream, sessionId)));
  };
  const on = (stream: Stream, sessionId: string): NewPresence => ({ ...someone, sessionId, stream });
  const sessionsOn = async (stream: Stream, node: RedisNode): Promise<string[]> =>
    (await node.presence.list(stream)).map(({ sessionId }) => sessionId).sort();

  it.each(faults)('a session leaves a stream nevertheless (%s)', async (fault) => {
    for (const sessionId of ['a-0', 'a-1']) await enter(a, sessionId);
    await enter(b, 'b-0');
    a.proxy[fault]();
    const untrack = (sessionId: string, stream = lobby): Promise<boolean> =>
      a.presence.untrack(sessionId, stream, someone.userId);
    expect(await Promise.all([untrack('a-0'), untrack('a-0'), untrack('a-0', makeStream(9))])).toEqual([
      true,
      true,
      false,
    ]);
    // Of a session of another node nobody here could remember it.
    await rejection(untrack('b-0'), Code.UNAVAILABLE);
    expect(await sessionsOn(lobby, b)).toEqual(['a-0', 'a-1', 'b-0']);
    a.proxy.heal();
    for (const node of [a, b]) {
      await eventually(5000, async () => expect(await sessionsOn(lobby, node)).toEqual(['a-1', 'b-0']));
      expect(await sessionsOn(room, node)).toEqual(['a-0', 'a-1', 'b-0']);
    }
    expect(await untrack('a-0')).toBe(false);
    expect(a.presence.localCount()).toBe(3);
  });

  it('a session that leaves and comes back is there in the end', async () => {
    await enter(a, 'a-0');
    a.proxy.cut();
    expect(await a.presence.untrack('a-0', lobby, someone.userId)).toBe(true);
    const back = eventually(5000, async () => void (await a.presence.track(on(lobby, 'a-0'))));
    a.proxy.heal();
    await back;
    expect(await sessionsOn(lobby, b)).toEqual(['a-0']);
    await a.presence.reannounce();
    expect(await sessionsOn(lobby, b)).toEqual(['a-0']);
  });

  it.each(faults)('a node knows at a glance what it holds itself (%s)', async (fault) => {
    for (const sessionId of ['a-0', 'a-1']) await enter(a, sessionId);
    await enter(b, 'b-0');
    expect(await a.presence.glance([lobby, room])).toEqual([3, 3]);
    a.proxy[fault]();
    const since = performance.now();
    expect(await a.presence.glance([lobby, room])).toEqual([2, 2]);
    // `counts` would have waited for 300 ms, or for a second.
    expect(performance.now() - since).toBeLessThan(250);
    a.proxy.heal();
    await eventually(5000, async () => expect(await a.presence.glance([lobby, room])).toEqual([3, 3]));
  });

  it('a list resolves after the events of all that it shows', async () => {
    let events = 0;
    await b.bus.subscribe(streamTopic(lobby), () => {
      events++;
    });
    b.link.subscriber.stream.pause();
    await enter(a, 'a-0');
    let listed: string[] | undefined;
    const listing = sessionsOn(lobby, b).then((sessions) => {
      listed = sessions;
    });
    // Behind the list, on the connection for commands.
    await b.link.run((client) => client.ping());
    await sleep(20);
    expect(listed).toBeUndefined();
    b.link.subscriber.stream.resume();
    await listing;
    expect([listed, events]).toEqual([['a-0'], 1]);
  });
});
