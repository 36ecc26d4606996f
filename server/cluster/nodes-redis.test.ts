import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../platform/clock.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../testing/redis.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import type { ClusterLog } from './bus.ts';
import { RedisBus } from './bus-redis.ts';
import { RedisNodes } from './nodes-redis.ts';
import { callRegister, liveNodesKey, type RegisterReply, type RegisterRequest } from './nodes-redis-script.ts';
import { RedisLink } from './redis-link.ts';

const log: ClusterLog = { warn() {}, error() {} };
const deadMs = 6 * 50;
/** Back before the others take it for dead, as with the usual times. */
const limits = { probeMs: 50, silentProbes: 200, retryMaxMs: 50, attemptGapMs: 10 };

interface Node {
  readonly name: string;
  readonly proxy: RedisProxy;
  readonly link: RedisLink;
  readonly bus: RedisBus;
  readonly directory: RedisNodes;
  readonly heard: string[];
}

describe.skipIf(!redisAvailable)('nodes in a Redis that loses its state', () => {
  let redis: TestRedis;
  let nodes: Node[];
  let a: Node;
  let b: Node;
  let c: Node;

  async function open(name: string, prefix = 'test', heartbeatMs = 50): Promise<Node> {
    const proxy = await new RedisProxy(redis.port).listen();
    const link = new RedisLink({ server: proxy.url, log, prefix, limits });
    const bus = await RedisBus.open(link, { node: name, log });
    const directory = new RedisNodes(link, {
      name,
      clock: systemClock,
      log,
      bus,
      heartbeatMs,
      deadMs: 6 * heartbeatMs,
    });
    const heard: string[] = [];
    directory.onGone((node, cause) => heard.push(`${node.name} ${cause}`));
    directory.onSelfLost((_, cause) => heard.push(`self ${cause}`));
    await directory.start();
    const node = { name, proxy, link, bus, directory, heard };
    nodes.push(node);
    return node;
  }

  const heard = (): string[][] => nodes.map((node) => node.heard);
  const epochs = (): number[] => nodes.map(({ directory }) => directory.self.epoch);
  const listed = async (node: Node): Promise<string> => (await node.directory.list()).map(({ name }) => name).join();
  /** Long enough for an end that must not happen. */
  const pass = (): Promise<void> => sleep(2 * deadMs);

  const gone = (...expected: string[][]): Promise<unknown> =>
    waitFor(`${JSON.stringify(expected)}, not ${JSON.stringify(heard())}`, () =>
      expected.every((each, i) => JSON.stringify(nodes[i]?.heard) === JSON.stringify(each)),
    );

  beforeEach(async () => {
    redis = await startTestRedis();
    nodes = [];
    [a, b, c] = [await open('a'), await open('b'), await open('c')];
    // So that they know of each other.
    for (const { directory } of nodes) await directory.list();
  });
  afterEach(async () => {
    redis.resume();
    for (const { proxy } of nodes) proxy.heal();
    await Promise.all(
      nodes.map(async ({ directory, bus, link, proxy }) => {
        await directory.stop();
        await bus.close();
        await link.close();
        await proxy.close();
      }),
    );
    await redis.stop();
  });

  it('ends no epoch when it is flushed, again and again', async () => {
    const before = epochs();
    for (let i = 0; i < 5; i++) {
      await a.link.run((commands) => commands.flushall());
      await waitFor('the list to be whole', async () => (await listed(b)) === 'a,b,c');
    }
    await pass();
    expect(epochs()).toEqual(before);
    expect(heard()).toEqual([[], [], []]);
    expect(await a.link.commands.hgetall(liveNodesKey(a.link))).toEqual(
      Object.fromEntries(nodes.map(({ directory: { self } }) => [self.name, String(self.epoch)])),
    );
  });

  it('ends no epoch when it is killed and comes back empty after the dead time', async () => {
    const before = epochs();
    await redis.kill9();
    await pass();
    await redis.restart();
    await waitFor('the list to be whole', async () => (await listed(b).catch(() => '')) === 'a,b,c');
    await pass();
    expect(epochs()).toEqual(before);
    expect(heard()).toEqual([[], [], []]);
    await c.directory.stop();
    await gone(['c left'], ['c left'], []);
  });

  it('takes nobody for dead because it stood still', async () => {
    for (let i = 0; i < 3; i++) {
      redis.pause();
      await pass();
      redis.resume();
      await waitFor('Redis to answer', () => nodes.every(({ link }) => link.isUp));
    }
    await pass();
    expect(heard()).toEqual([[], [], []]);
  });

  it('does not forget by a flush that an epoch had ended', async () => {
    const lost = c.directory.self.epoch;
    c.proxy.stall();
    await gone(['c died'], ['c died'], []);
    await a.link.run((commands) => commands.flushall());
    await waitFor('the others to be back', async () => (await listed(a)) === 'a,b');
    c.proxy.heal();
    await gone(['c died'], ['c died'], ['self died']);
    expect(c.directory.self.epoch).toBeGreaterThan(lost);
    await waitFor('the list to be whole', async () => (await listed(a)) === 'a,b,c');
  });

  it('notices who died while it was away', async () => {
    await redis.kill9();
    c.proxy.cut();
    await redis.restart();
    await gone(['c died'], ['c died'], []);
  });

  it('ends the epoch of a node that is cut off, which finds out and rejoins', async () => {
    const lost = c.directory.self.epoch;
    c.proxy.cut();
    await gone(['c died'], ['c died'], []);
    c.proxy.heal();
    await gone(['c died'], ['c died'], ['self died']);
    expect(c.directory.self.epoch).toBeGreaterThan(lost);
  });

  it('lets a node stop that cannot reach it', async () => {
    c.proxy.cut();
    await c.directory.stop();
    await gone(['c died'], ['c died'], []);
    expect(c.heard).toEqual([]);
  });

  it('tells of a start and of an end at once, not at the next heartbeat', async () => {
    const d = await open('d', 'slow', 60_000);
    const e = await open('e', 'slow', 60_000);
    await e.directory.stop();
    await e.bus.close();
    await waitFor('the end to be heard', () => d.heard.length > 0);
    expect(d.heard).toEqual(['e left']);
    const again = await open('d', 'slow', 60_000);
    await waitFor('the replacement to be heard', () => d.heard.length > 1);
    expect([d.heard, again.heard]).toEqual([['e left', 'self replaced'], ['d replaced']]);
  });

  const call = (op: RegisterRequest['op'], more: Partial<RegisterRequest>): Promise<RegisterReply> => {
    const seen = { register: '', since: 0, version: 0, fresh: 'fresh', stepMs: 100, deadMs };
    const caller = { name: 'd', instance: 'one', epoch: 0, info: JSON.stringify({ instance: 'one', startedAt: 1 }) };
    return callRegister(a.link, a.link.commands, { op, ...seen, ...caller, ...more });
  };

  it('gives a node that never heard of its new epoch the same one again', async () => {
    const first = await call('join', {});
    const again = await call('join', {});
    expect(again.epoch).toBe(first.epoch);
    expect((await call('join', { instance: 'two' })).state).toBe('replaced');
    expect((await call('beat', { epoch: first.epoch - 1 })).state).toBe('died');
    expect((await call('beat', { epoch: first.epoch - 1, instance: 'two' })).state).toBe('replaced');
  });

  it('learns of an end even when the ended node is the first to come back after a flush', async () => {
    const { epoch } = await call('join', {});
    await call('leave', { epoch });
    await a.link.commands.flushall();
    const node = { name: 'd', epoch, info: '{}' };
    expect((await call('restore', { epoch, nodes: [node], ended: [] })).state).toBe('in');
    const survivor = { name: 'e', epoch: epoch + 1, info: '{}' };
    const ended = [{ name: 'd', epoch, cause: 'died' }] as const;
    const reply = await call('restore', { ...survivor, nodes: [survivor, node], ended });
    expect(reply.ended).toEqual(ended);
    expect((await call('beat', { epoch })).state).toBe('died');
    expect((await call('restore', { epoch, nodes: [node], ended: [] })).state).toBe('died');
    expect((await call('join', { epoch })).epoch).toBeGreaterThan(epoch);
  });

  it('goes on with greater epochs after a flush, and never gives one twice', async () => {
    const given: number[] = [];
    for (let i = 0; i < 50; i++) {
      const { epoch } = await call('join', { isNew: true, instance: `${i}` });
      given.push(epoch);
      if (i % 10 === 9) await a.link.commands.flushall();
    }
    expect(given).toEqual([...new Set(given)].sort((x, y) => x - y));
  });

  it('remembers a bounded number of ends, and takes what it has forgotten for ended', async () => {
    const { epoch: early } = await call('join', { isNew: true });
    await call('leave', { epoch: early });
    for (let i = 0; i < 1100; i++) {
      const name = `crashing-${i % 500}`;
      const { epoch } = await call('join', { isNew: true, name });
      await call('leave', { name, epoch });
    }
    const { commands } = a.link;
    expect(await commands.zcard(a.link.key('nodes:ended'))).toBe(1024);
    expect(await commands.hlen(a.link.key('nodes:floors'))).toBeLessThanOrEqual(1024);
    expect((await call('beat', { epoch: early })).state).toBe('died');
    expect(await listed(b)).toBe('a,b,c');
  });
});
