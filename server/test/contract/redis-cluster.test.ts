import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisBus } from '../../cluster/bus-redis.ts';
import type { NewPresence, Presence } from '../../cluster/presence.ts';
import { RedisLink, type RedisLinkOptions } from '../../cluster/redis-link.ts';
import { hashSlot } from '../../cluster/redis-slots.ts';
import { makeStream, streamTopic } from '../../cluster/stream.ts';
import { Code } from '../../platform/errors.ts';
import { unique } from '../../testing/names.ts';
import { redisAvailable, type TestRedis, type TestRedisPlace } from '../../testing/redis.ts';
import { startTestRedisCluster, type TestRedisCluster } from '../../testing/redis-cluster.ts';
import { showAll } from './presence-check.ts';
import { makeNode, type RedisNode } from './redis-presence-nodes.ts';
import { at, CountingLog, eventually, rejection } from './support.ts';

const streams = [makeStream(2, '', '', 'lobby'), makeStream(2, '', '', 'room')];
const someone = { userId: 'ann', username: 'Ann', hidden: false, persistence: false, status: '' };

/** Servers of a Redis Cluster hand slots over, fail, and come back; the first one has a replica. */
describe.skipIf(!redisAvailable)('the ports on a redis cluster that changes', () => {
  let redis: TestRedisCluster;
  let prefix: string;
  let nodes: RedisNode[];
  let a: RedisNode;
  let b: RedisNode;
  let c: RedisNode;
  /** By node, the frames of topic 'x'. */
  let heard: string[][];
  /** By node. */
  let gaps: number[];

  beforeAll(async () => {
    redis = await startTestRedisCluster({ replica: true });
  });
  afterAll(() => redis?.stop());

  beforeEach(async () => {
    // The first server has the first third of the slots.
    do prefix = unique('cluster:');
    while (hashSlot(prefix) >= 5461);
    nodes = await Promise.all(['a', 'b', 'c'].map((name) => makeNode(redis, name, prefix, { impatient: true })));
    [a, b, c] = nodes as [RedisNode, RedisNode, RedisNode];
    heard = nodes.map(() => []);
    gaps = nodes.map(() => 0);
    for (const [i, { bus }] of nodes.entries()) {
      await bus.subscribe('x', (frame) => heard[i]?.push(new TextDecoder().decode(frame)));
      bus.onGap(() => {
        gaps[i] = (gaps[i] ?? 0) + 1;
      });
    }
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
  });

  const home = (): Promise<TestRedis> => redis.owner(a.link.markerKey);
  const say = (node: RedisNode, text: string): Promise<void> => node.bus.publish('x', new TextEncoder().encode(text));

  const enter = async (node: RedisNode, sessionId: string): Promise<Presence[]> => {
    node.presence.openSession(sessionId);
    const presences: NewPresence[] = streams.map((stream) => ({ ...someone, sessionId, stream }));
    await node.presence.trackMany(presences);
    return presences.map((presence) => ({ ...presence, node: node.directory.self.name }));
  };
  const isWhole = (expected: readonly Presence[]): Promise<void> =>
    eventually(10_000, async () => {
      for (const stream of streams) {
        const there = expected.filter((presence) => presence.stream === stream);
        for (const { presence } of nodes) expect(showAll(await presence.list(stream))).toEqual(showAll(there));
      }
    });
  /** Frames get through from everybody to everybody. */
  const isHeard = async (): Promise<void> => {
    for (const node of nodes) {
      // What is said while one of them still looks for the master is a gap to that one.
      await eventually(10_000, async () => {
        const text = unique('marker');
        await say(node, text);
        await eventually(300, () => {
          for (const each of heard) expect(each).toContain(text);
        });
      });
    }
  };
  /** Of any two frames that two nodes have heard, both have heard the same one first. */
  const isOneOrder = (): void => {
    for (const one of heard) {
      for (const other of heard) {
        const [inOne, inOther] = [new Set(one), new Set(other)];
        expect(one.filter((text) => inOther.has(text))).toEqual(other.filter((text) => inOne.has(text)));
      }
    }
  };
  /** Everybody speaks all the time while something happens; refusals are no matter. */
  const whileAllSpeak = async (event: () => Promise<void>): Promise<void> => {
    let isOver = false;
    const speak = async (node: RedisNode, name: string): Promise<void> => {
      while (!isOver) {
        await say(node, unique(name)).catch(() => new Promise((done) => setImmediate(done)));
      }
    };
    const speakers = nodes.map((node, i) => speak(node, at(['a', 'b', 'c'], i)));
    await event();
    isOver = true;
    await Promise.all(speakers);
  };

  it('hears all frames in one order while the master hands over to its replica, and lives on', async () => {
    const [first, replica] = [at(redis.servers, 0), at(redis.servers, 3)];
    const expected = (await Promise.all([enter(a, 'a-0'), enter(b, 'b-0')])).flat();
    for (const [round, next] of [replica, first].entries()) {
      const before = at(heard, 0).length;
      await whileAllSpeak(async () => {
        await eventually(1000, () => expect(at(heard, 0).length).toBeGreaterThan(before + 100));
        await redis.handOver(next);
        await eventually(10_000, async () => {
          expect(await home()).toBe(next);
          expect(gaps.every((count) => count > round)).toBe(true);
          expect(nodes.every(({ bus }) => bus.isWhole)).toBe(true);
        });
      });
      isOneOrder();
      await isHeard();
      await isWhole(expected);
    }
  });

  it('lets nobody publish by a server that is not the master any more', async () => {
    const log = new CountingLog();
    const way = await redis.openWay();
    // It does not look for itself, and does not hear either that the master is another one.
    const link = new RedisLink({ server: way.server, log, prefix, limits: { probeMs: 60_000 } });
    const bus = await RedisBus.open(link, { node: 'd', log });
    const late: string[] = [];
    await bus.subscribe('x', (frame) => late.push(new TextDecoder().decode(frame)));
    for (const next of [at(redis.servers, 3), at(redis.servers, 0)]) {
      const { stream } = link.subscriber;
      stream.pause();
      await redis.handOver(next);
      await isHeard();
      const text = unique('late');
      const refused = await rejection(bus.publish('x', new TextEncoder().encode(text)), Code.UNAVAILABLE);
      expect(refused.retry).toBe('safe');
      stream.resume();
      await eventually(5000, () => bus.publish('x', new TextEncoder().encode(`${text} again`)));
      await isHeard();
      expect(late).toContain(`${text} again`);
      for (const each of [...heard, late]) expect(each).not.toContain(text);
    }
    await bus.close();
    await link.close();
    await way.close();
  });

  it('refuses what would be half done while its slot moves, and has all of it on the other server', async () => {
    const expected = (await Promise.all([enter(a, 'a-0'), enter(a, 'a-1'), enter(b, 'b-0')])).flat();
    const events: number[] = [];
    await c.bus.subscribe(streamTopic(at(streams, 0)), () => events.push(events.length));
    c.presence.openSession('c-0');
    const late = { ...someone, sessionId: 'c-0', stream: at(streams, 0) };
    await redis.move(a.link.markerKey, at(redis.servers, 1), async () => {
      await rejection(c.presence.track(late), Code.UNAVAILABLE);
      await rejection(a.presence.closeStream(at(streams, 0)), Code.UNAVAILABLE);
      expect(events).toEqual([]);
    });
    expect(await home()).toBe(at(redis.servers, 1));
    await isWhole(expected);
    await isHeard();
    expect(gaps.every((count) => count > 0)).toBe(true);
    await eventually(5000, async () => void (await c.presence.track(late)));
    await isWhole([...expected, { ...late, node: c.directory.self.name }]);
    await redis.move(a.link.markerKey, at(redis.servers, 0));
    await isWhole([...expected, { ...late, node: c.directory.self.name }]);
  });

  it('notices that its subscriptions are gone when the slot has moved away and come back', async () => {
    const expected = await enter(a, 'a-0');
    for (let i = 0; i < 3; i++) {
      const before = [...gaps];
      await redis.move(a.link.markerKey, at(redis.servers, 2));
      await redis.move(a.link.markerKey, at(redis.servers, 0));
      await eventually(10_000, () => expect(gaps.every((count, node) => count > at(before, node))).toBe(true));
      await isHeard();
    }
    await isWhole(expected);
    isOneOrder();
  });

  it('restores what a replica had not got when it took over', async () => {
    const [kept, left] = [await enter(a, 'a-0'), await enter(b, 'b-0')];
    const [old, lost] = [await home(), [] as Presence[]];
    let losses = 0;
    a.link.onLost(() => losses++);
    // From here on the replica gets nothing any more.
    await redis.command(old, 'CONFIG', 'SET', 'requirepass', 'secret');
    await redis.command(old, 'CLIENT', 'KILL', 'TYPE', 'replica');
    for (const node of nodes) lost.push(...(await enter(node, `${node.directory.self.name}-1`)));
    await b.presence.untrackSession('b-0');
    await say(a, 'before');
    expect(left).toHaveLength(2);
    await old.kill9();
    await eventually(15_000, async () => expect((await home()).port).not.toBe(old.port));
    await isWhole([...kept, ...lost]);
    await isHeard();
    expect(losses).toBe(1);
    isOneOrder();
    await old.restart();
    await redis.works();
  });

  it('writes everything again when the master comes back empty', async () => {
    const expected = (await Promise.all(nodes.map((node) => enter(node, `${node.directory.self.name}-0`)))).flat();
    const epochs = nodes.map(({ directory }) => directory.self.epoch);
    const master = await home();
    await master.kill9();
    await master.restart();
    await redis.works();
    await isWhole(expected);
    await isHeard();
    expect(nodes.map(({ directory }) => directory.self.epoch)).toEqual(epochs);
    expect((await a.directory.list()).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('keeps what lies at other places apart: a loss there is one there alone', async () => {
    const third = at(redis.servers, 2);
    const tags = Array.from({ length: 100 }, (_, i) => `board ${i}`);
    const owners = await Promise.all(tags.map((tag) => redis.owner(a.link.at(tag).markerKey)));
    const counts = [0, 1, 2].map((i) => owners.filter(({ port }) => port === at(redis.servers, i).port).length);
    // The first one may have failed over to its replica meanwhile.
    for (const count of counts.slice(1)) expect(count).toBeGreaterThan(10);
    const tag = at(
      tags,
      owners.findIndex(({ port }) => port === third.port),
    );
    const [place, other] = [
      a.link.at(tag),
      at(
        tags,
        owners.findIndex(({ port }) => port === at(redis.servers, 1).port),
      ),
    ];
    const lost: string[] = [];
    place.onLost(() => lost.push('place'));
    a.link.onLost(() => lost.push('home'));
    a.link.at(other).onLost(() => lost.push('other'));
    const [id, otherId] = [await place.instanceId(), await a.link.at(other).instanceId()];
    const keys = ['one', 'two'].map((name) => place.key(name)) as [string, string];
    await place.run((client) => client.mset(keys[0], '1', keys[1], '2'));
    expect(await b.link.at(tag).run((client) => client.mget(...keys))).toEqual(['1', '2']);
    await redis.command(third, 'FLUSHALL');
    await eventually(3000, () => expect(lost).toEqual(['place']));
    expect(await place.instanceId()).not.toBe(id);
    expect(await place.run((client) => client.mget(...keys))).toEqual([null, null]);
    await third.kill9();
    await eventually(1000, () => expect(place.isUp).toBe(false));
    expect(a.link.isUp).toBe(true);
    await third.restart();
    await eventually(10_000, () => expect([place.isUp, lost]).toEqual([true, ['place', 'place']]));
    expect(await a.link.at(other).instanceId()).toBe(otherId);
    await redis.works();
  });

  it('finds the others when only one server that is known answers, and says its password to all', async () => {
    for (const server of redis.servers) await redis.command(server, 'CONFIG', 'SET', 'requirepass', 'secret');
    const cluster = [1, at(redis.servers, 2).port].map((port) => ({ host: '127.0.0.1', port }));
    const reached = (server: RedisLinkOptions['server']): TestRedisPlace => ({
      ...redis,
      openWay: async () => ({ ...(await redis.openWay()), server }),
    });
    const node = await makeNode(reached({ cluster, password: 'secret' }), 'd', prefix, { impatient: true });
    await node.bus.subscribe('y', () => {});
    await node.bus.publish('y', new Uint8Array([1]));
    expect((await a.directory.list()).map(({ name }) => name)).toContain('d');
    expect(await node.link.at('x').run((client) => client.ping())).toBe('PONG');
    await node.close();
    for (const server of redis.servers) await redis.command(server, 'CONFIG', 'SET', 'requirepass', '');
  });
});
