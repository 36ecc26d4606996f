import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisCounters } from '../../cluster/counters-redis.ts';
import type { NewPresence, Presence } from '../../cluster/presence.ts';
import { PresenceCalls } from '../../cluster/presence-redis-scripts.ts';
import { RedisLink } from '../../cluster/redis-link.ts';
import { makeStream, type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { allChanges, decodeStreamFrame, type StreamMessage } from '../../cluster/stream-frame.ts';
import { AppError, Code } from '../../platform/errors.ts';
import { unique } from '../../testing/names.ts';
import { redisAvailable, startTestRedis, type TestRedis, type TestRedisPlace } from '../../testing/redis.ts';
import { startTestRedisCluster } from '../../testing/redis-cluster.ts';
import { countersContract } from './counters.ts';
import { presenceContract } from './presence.ts';
import { StreamLog, showAll } from './presence-check.ts';
import type { PresenceCluster } from './presence-cluster.ts';
import { giveUp, makeNode, type RedisNode, rejoin } from './redis-presence-nodes.ts';
import { at, CountingLog, eventually, Random, rejection } from './support.ts';

if (redisAvailable) suites();
else describe.skip('redis', () => it('needs redis-server', () => {}));

function suites(): void {
  contracts('redis', { start: startTestRedis, seeds: 30 });
  contracts('redis cluster', { start: startTestRedisCluster, seeds: 10 });
  describe('presence: redis, faults', faults);
}

function contracts(
  name: string,
  { start, seeds }: { readonly start: () => Promise<TestRedisPlace>; readonly seeds: number },
): void {
  let redis: TestRedisPlace;
  beforeAll(async () => {
    redis = await start();
  });
  afterAll(() => redis?.stop());

  presenceContract(name, () => makePresenceCluster(redis), { seeds, steps: 100, timeoutMs: 60_000 });

  countersContract(name, async () => {
    const prefix = unique('counters:');
    const ways = await Promise.all([0, 1, 2].map(() => redis.openWay()));
    const links = ways.map(({ server }) => new RedisLink({ server, log: new CountingLog(), prefix }));
    return {
      counters: links.map((link) => new RedisCounters(link)),
      advance: (ms) => sleep(ms),
      now: () => Date.now(),
      close: async () => void (await Promise.all([...links, ...ways].map((each) => each.close()))),
    };
  });
}

/** What a real server between the nodes adds to the contract: it can be lost, and so can the way to it. */
function faults(): void {
  let redis: TestRedis;
  let prefix: string;
  let nodes: RedisNode[];
  let a: RedisNode;
  let b: RedisNode;
  let c: RedisNode;
  let log: Map<string, StreamLog>;
  /** Sessions whose leaves were heard. */
  let left: Set<string>;

  beforeEach(async () => {
    redis = await startTestRedis();
    prefix = unique('faults:');
    nodes = await Promise.all(['a', 'b', 'c'].map((name) => makeNode(redis, name, prefix, { impatient: true })));
    [a, b, c] = nodes as [RedisNode, RedisNode, RedisNode];
    log = new Map();
    left = new Set();
    for (const stream of streams) await listen(c, stream);
  });
  afterEach(async () => {
    for (const node of nodes) node.proxy.heal();
    await Promise.all(nodes.map((node) => node.close()));
    await redis.stop();
  });

  /** Folds what the node hears, as the port's documentation says. */
  const listen = async ({ bus, presence }: RedisNode, stream: Stream): Promise<void> => {
    const key = streamKey(stream);
    let since: StreamMessage[] = [];
    log.set(key, new StreamLog([]));
    await bus.subscribe(streamTopic(stream), (frame) => {
      const message = decodeStreamFrame(frame);
      if (message === undefined) return;
      since.push(message);
      for (const presence of allChanges(message).leaves) left.add(presence.sessionId);
      log.get(key)?.hear(message);
    });
    bus.onGap(async () => {
      since = [];
      const fresh = new StreamLog(await presence.list(stream));
      for (const message of since) fresh.hear(message);
      log.set(key, fresh);
    });
  };
  const open = (node: RedisNode, sessionId: string): NewPresence[] => {
    node.presence.openSession(sessionId);
    return streams.map((stream) => ({ ...someone, sessionId, stream }));
  };
  /** Every node lists exactly those, and so does who listened all the time. What is in doubt may be there or not. */
  const isWhole = (expected: readonly Presence[], withinMs: number, doubts: ReadonlySet<string> = new Set()) =>
    eventually(withinMs, async () => {
      const held: string[] = [];
      for (const stream of streams) {
        const list = await c.presence.list(stream);
        held.push(...list.map(({ node }) => node));
        for (const { presence } of nodes) expect(showAll(await presence.list(stream))).toEqual(showAll(list));
        expect(showAll(log.get(streamKey(stream))?.members.values() ?? [])).toEqual(showAll(list));
        const certain = list.filter((one) => !doubts.has(placeOf(one)));
        expect(showAll(certain)).toEqual(
          showAll(expected.filter((one) => streamKey(one.stream) === streamKey(stream))),
        );
      }
      for (const { presence, directory } of nodes) {
        expect(presence.localCount()).toBe(held.filter((node) => node === directory.self.name).length);
      }
    });
  const fullOf = async (node: RedisNode, sessions: number): Promise<Presence[][]> => {
    const { name } = node.directory.self;
    const all = Array.from({ length: sessions }, (_, i) => open(node, `${name}-${i}`));
    await Promise.all(all.map((presences) => node.presence.trackMany(presences)));
    return all.map((presences) => presences.map((presence) => ({ ...presence, node: name })));
  };
  /** Nothing is left in Redis when all sessions are closed. */
  const isEmpty = async (): Promise<void> => {
    const keys = await c.link.run((client) => client.keys(`${prefix}presence:*`));
    expect(keys.map((key) => key.slice(`${prefix}presence:`.length)).sort()).toEqual([
      'born',
      'marks',
      'reign',
      'stamp',
    ]);
  };

  it.each([
    ['killed and started again, empty', () => redis.kill9(), () => redis.restart()],
    ['flushed', () => c.link.run((client) => client.flushall()), async () => {}],
  ])('writes everything again when Redis was %s', async (what, fail, repair) => {
    const [ofA, ofB] = [await fullOf(a, 25), await fullOf(b, 25)];
    await isWhole([...ofA, ...ofB].flat(), 1000);
    await fail();
    // Sessions go on ending.
    await Promise.all([a.presence.untrackSession('a-0'), a.presence.untrackSession('a-1')]);
    await repair();
    await Promise.all([a.presence.untrackSession('a-2'), b.presence.untrackSession('b-0')]);
    const expected = [...ofA.slice(3), ...ofB.slice(1)].flat();
    await isWhole(expected, 10_000);
    if (what === 'flushed') expect([...left].sort()).toEqual(['a-0', 'a-1', 'a-2', 'b-0']);
    await Promise.all([a.presence.reannounce(), b.presence.reannounce()]);
    await isWhole(expected, 1000);
    for (const { node, sessionId } of expected) await (node === 'a' ? a : b).presence.untrackSession(sessionId);
    await isWhole([], 1000);
    await isEmpty();
  });

  it('refuses a node that is not registered any more, and does not know it', async () => {
    const [held] = await fullOf(b, 1);
    const [first] = open(b, 'paused') as [NewPresence];
    await a.presence.trackMany(open(a, 'a-0'));
    const lost = b.directory.self;
    await giveUp(a.link, lost);
    await Promise.all(
      [
        b.presence.track(first),
        b.presence.update({ ...(held?.[0] as Presence), status: 'new' }),
        b.presence.trackMany([first]),
        b.presence.untrack('a-0', first.stream, someone.userId),
        b.presence.untrackUser(someone.userId, first.stream),
        b.presence.closeStream(first.stream),
        b.presence.sweep(a.directory.self),
      ].map((refused) => rejection(refused, Code.UNAVAILABLE)),
    );
    expect(await c.presence.counts(streams)).toEqual(streams.map(() => 2));
    expect(await c.presence.sweep(lost)).toBe(streams.length);
    expect(await c.presence.counts(streams)).toEqual(streams.map(() => 1));
  });

  it('takes sessions over into a new epoch, when told to, swept or not', async () => {
    const held = (await fullOf(b, 30)).flat();
    const unswept = await rejoin(a, b);
    await b.presence.reannounce();
    expect(await a.presence.sweep(unswept)).toBe(0);
    await isWhole(held, 1000);
    expect(await a.presence.sweep(await rejoin(a, b))).toBe(held.length);
    await rejection(b.presence.track(at(held, 0)), Code.UNAVAILABLE);
    await b.presence.reannounce();
    await isWhole(held, 1000);
    for (const { problem } of log.values()) expect(problem).toBeUndefined();
  });

  it('announces each leave once when two nodes sweep, in batches', async () => {
    const held = (await fullOf(b, 150)).flat();
    const more = await Promise.all(
      Array.from({ length: 100 }, (_, i) => b.presence.track(at(open(b, `more-${i}`), 0))),
    );
    await b.link.close();
    const swept = await Promise.all([a.presence.sweep(b.directory.self), c.presence.sweep(b.directory.self)]);
    expect(swept.reduce((sum, count) => sum + count, 0)).toBe(held.length + more.length);
    for (const [i, { members, entries, problem }] of [...log.values()].entries()) {
      await eventually(1000, () => expect(members.size).toBe(0));
      expect(problem).toBeUndefined();
      expect(entries.filter((entry) => !entry.startsWith('leaves []'))).toHaveLength(i === 0 ? 2 : 1);
    }
  });

  it('sweeps nodes of which nobody has heard since they died', async () => {
    await fullOf(a, 2);
    await fullOf(b, 2);
    await b.link.close();
    await giveUp(a.link, b.directory.self);
    expect(await a.presence.sweepOrphans()).toBe(2 * streams.length);
    expect(await a.presence.counts(streams)).toEqual(streams.map(() => 2));
  });

  it('knows, once Redis is in reach again, what happened meanwhile on either side', async () => {
    const held = await fullOf(a, 3);
    a.proxy.cut();
    await a.presence.untrackSession('a-0');
    await rejection(a.presence.track(at(open(a, 'late'), 0)), Code.UNAVAILABLE);
    expect((await b.presence.counts(streams)).every((count) => count === 3)).toBe(true);
    expect(await c.presence.untrackUser(someone.userId, at(streams, 1))).toBe(3);
    a.proxy.heal();
    await isWhole(
      held.slice(1).flatMap(([first, _gone, ...rest]) => [first as Presence, ...rest]),
      5000,
    );
    for (const { problem } of log.values()) expect(problem).toBeUndefined();
  });

  it('takes back what was carried out after it was given up', async () => {
    const held = (await fullOf(a, 1)).flat();
    a.proxy.stall();
    const error = await rejection(a.presence.trackMany(open(a, 'late')), Code.UNAVAILABLE);
    expect(error.retry).toBe('unknown');
    await sleep(1000);
    a.proxy.heal();
    await isWhole(held, 5000);
    await a.presence.untrackSession('late');
    await a.presence.untrackSession('a-0');
    await isWhole([], 1000);
    for (const { problem } of log.values()) expect(problem).toBeUndefined();
  });

  it('notices itself that Redis has lost what it wrote', async () => {
    const held = (await fullOf(a, 2)).flat();
    await a.link.run(async (client) => client.del(...(await client.keys(`${prefix}presence:*`))));
    await rejection(a.presence.track(at(held, 0)), Code.UNAVAILABLE);
    expect((await a.presence.track(at(held, 0))).isNew).toBe(false);
    await isWhole(held, 1000);
  });

  it('puts right what an older state of Redis brings back', async () => {
    const [gone, ...held] = await fullOf(a, 3);
    const copy = (from: string, to: string): Promise<unknown> =>
      c.link.run(async (client) => {
        const keys = await client.keys(`${from}*`);
        await Promise.all(keys.map((key) => client.copy(key, key.replace(from, to), 'REPLACE')));
      });
    await copy(`${prefix}presence:`, `${prefix}old:`);
    await a.presence.untrackSession(at(gone ?? [], 0).sessionId);
    const fresh = open(a, 'fresh').map((presence) => ({ ...presence, node: 'a' }));
    await a.presence.trackMany(fresh);
    await copy(`${prefix}old:`, `${prefix}presence:`);
    await a.presence.reannounce();
    expect(showAll(await b.presence.list(at(streams, 0)))).toEqual(showAll([...held.flat(), ...fresh].filter(inLobby)));
  });

  it('knows what a server that took over had not got, whoever has written to it before', async () => {
    const calls = new PresenceCalls(c.link);
    await fullOf(a, 3);
    const seen = {
      stamp: Number(await c.link.run((client) => client.get(`${prefix}presence:stamp`))),
      server: 'before',
    };
    // The new one had got all but two changes.
    await c.link.run((client) => client.hset(`${prefix}presence:reign`, 'id', seen.server));
    await c.link.run((client) => client.set(`${prefix}presence:stamp`, seen.stamp - 2));
    const attach = (node: RedisNode, generation: number, stamp: number) =>
      calls.attach({ ...node.directory.self, generation: `${generation}` }, { ...seen, stamp });
    expect((await attach(b, 1000, seen.stamp - 2)).intact).toBe(true);
    await fullOf(c, 3);
    const now = await attach(a, 1000, seen.stamp);
    expect(now.stamp).toBeGreaterThan(seen.stamp);
    expect(now.intact).toBe(false);
    // What was seen on this server itself it has, if it is not newer than the last.
    const again = { stamp: now.stamp, server: now.server };
    expect((await calls.attach({ ...b.directory.self, generation: '1001' }, again)).intact).toBe(true);
    expect((await calls.attach({ ...b.directory.self, generation: '1002' }, { ...again, stamp: 1e18 })).intact).toBe(
      false,
    );
  });

  it('refuses commands that were under way since before a repair', async () => {
    const { link, directory, presence } = a;
    const late = new PresenceCalls(link);
    const actor = { ...directory.self, generation: '1' };
    await presence.reannounce();
    await rejection(late.close(actor, streamKey(at(streams, 0))), Code.UNAVAILABLE);
    await rejection(late.attach(actor, { stamp: 0, server: '' }), Code.UNAVAILABLE);
    expect([...log.values()].flatMap(({ entries }) => entries)).toEqual([]);
  });

  it.each([1, 2, 3, 4, 5, 6])('ends up right whatever breaks meanwhile (seed %i)', async (seed) => {
    const flushes = seed % 2 === 0;
    const random = new Random(seed);
    const own: Session[] = [];
    let brokenFor = 0;
    for (let step = 0; step < 40; step++) {
      if (brokenFor === 0 && random.chance(0.3)) {
        at(nodes, random.below(2)).proxy[random.pick(['cut', 'stall'] as const)]();
        brokenFor = 1 + random.below(3);
      } else if (brokenFor > 0 && --brokenFor === 0) {
        for (const { proxy } of nodes) proxy.heal();
      }
      if (flushes && random.chance(0.1)) await c.link.run((client) => client.flushall());

      const sessions = new Set<Session>();
      for (let i = random.below(8); i >= 0; i--) {
        if (own.length < 4 || random.chance(0.2)) {
          const node = at(nodes, random.below(2));
          own.push({ node, id: `${node.directory.self.name}-${step}-${i}`, isOpen: true, on: new Map() });
          node.presence.openSession(at(own, own.length - 1).id);
        }
        sessions.add(random.pick(own));
      }
      await Promise.all(
        [...sessions].map((one) =>
          act(one, random.pick(streams), random.below(11), { status: `${step}`, other: c, flushes }),
        ),
      );
    }

    for (const { proxy } of nodes) proxy.heal();
    const states = own.filter(({ isOpen }) => isOpen).flatMap(({ on }) => [...on.values()]);
    const doubts = new Set(states.filter(({ inDoubt }) => inDoubt).map(({ presence }) => placeOf(presence)));
    const certain = states.filter(({ inDoubt }) => !inDoubt).map(({ presence }) => presence);
    await isWhole(certain, 10_000, doubts);
    if (!flushes) for (const { problem } of log.values()) expect(problem).toBeUndefined();
    await Promise.all(own.map(({ node, id }) => node.presence.untrackSession(id)));
    await isWhole([], 2000);
    await isEmpty();
  });
}

type State = { presence: Presence; inDoubt: boolean };
type Session = { node: RedisNode; id: string; isOpen: boolean; on: Map<string, State> };

interface Around {
  readonly status: string;
  readonly other: RedisNode;
  readonly flushes: boolean;
}

async function act(session: Session, stream: Stream, die: number, { status, other, flushes }: Around): Promise<void> {
  const { node, id, on, isOpen } = session;
  const tracker = node.presence;
  const presence = { ...someone, sessionId: id, stream, status, node: node.directory.self.name };
  const key = streamKey(stream);
  if (!isOpen) return;
  try {
    if (die < 1) {
      session.isOpen = false;
      await tracker.untrackSession(id);
    } else if (die < 5) {
      const { isNew, members } = await tracker.track(presence);
      const now = members.find(({ sessionId }) => sessionId === id);
      on.set(key, { presence: isNew ? presence : (now ?? presence), inDoubt: false });
    } else if (die < 7) {
      await tracker.update(presence);
      on.set(key, { presence, inDoubt: false });
    } else if (die < 9) {
      await tracker.untrack(id, stream, someone.userId);
      on.delete(key);
    } else {
      const wasThere = await other.presence.untrack(id, stream, someone.userId);
      const known = on.get(key);
      // What is in doubt may still be under way.
      if (known === undefined || known.inDoubt) return;
      if (!flushes) expect(wasThere).toBe(true);
      // Or its node had not put it back into Redis yet.
      if (wasThere) on.delete(key);
      else known.inDoubt = true;
    }
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== Code.UNAVAILABLE) throw error;
    if (error.retry === 'unknown') on.set(key, { presence, inDoubt: true });
  }
}

const inLobby = ({ stream }: NewPresence): boolean => stream === streams[0];

const placeOf = ({ sessionId, stream }: NewPresence): string => `${sessionId} ${streamKey(stream)}`;

const streams = [
  makeStream(2, '', '', 'lobby'),
  makeStream(3, '11111111-1111-4111-8111-111111111111'),
  makeStream(0, '22222222-2222-4222-8222-222222222222'),
  makeStream(2, '', '', 'läuft: 1.2'),
];

const someone = { userId: 'ann', username: 'Ann', hidden: false, persistence: false, status: '' };

async function makePresenceCluster(redis: TestRedisPlace): Promise<PresenceCluster> {
  const prefix = unique('presence:');
  const nodes = await Promise.all(['a', 'b', 'c'].map((name) => makeNode(redis, name, prefix)));
  const all = [...nodes];
  return {
    nodes,
    settleMs: 2000,
    crash: async (index) => {
      // Nothing of it reaches Redis any more.
      await at(nodes, index).link.close();
      await at(nodes, index).presence.close();
      return at(nodes, index).directory.self;
    },
    restart: async (index) => {
      const node = await makeNode(redis, at(nodes, index).directory.self.name, prefix);
      nodes[index] = node;
      all.push(node);
      return node;
    },
    rejoin: (index) => rejoin(at(nodes, 0), at(nodes, index)),
    close: async () => void (await Promise.all(all.map((node) => node.close()))),
  };
}
