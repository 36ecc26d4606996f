import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisBus } from '../../cluster/bus-redis.ts';
import { scriptFrameHeader } from '../../cluster/bus-redis-frame.ts';
import type { RedisSenderLimits } from '../../cluster/bus-redis-sender.ts';
import { RedisNodes } from '../../cluster/nodes-redis.ts';
import { RedisLink, type RedisLinkLimits } from '../../cluster/redis-link.ts';
import { systemClock } from '../../platform/clock.ts';
import { Code } from '../../platform/errors.ts';
import { unique } from '../../testing/names.ts';
import { redisAvailable, startTestRedis, type TestRedis, type TestRedisPlace } from '../../testing/redis.ts';
import { startTestRedisCluster } from '../../testing/redis-cluster.ts';
import { type BusCluster, busContract } from './bus.ts';
import { type NodesCluster, nodesContract } from './nodes.ts';
import { at, CountingLog, eventually, Random, rejection } from './support.ts';

if (redisAvailable) {
  contracts('redis', () => startTestRedis());
  contracts('redis cluster', () => startTestRedisCluster());
  describe('redis faults', faults);
} else {
  describe.skip('redis', () => it('needs redis-server', () => {}));
}

function contracts(name: string, start: () => Promise<TestRedisPlace>): void {
  let redis: TestRedisPlace;
  beforeAll(async () => {
    redis = await start();
  });
  afterAll(() => redis?.stop());

  busContract(name, () => makeBusCluster(redis));
  nodesContract(name, () => makeNodesCluster(redis));
}

function faults(): void {
  let redis: TestRedis;
  let nodes: Node[];
  let a: Node;
  let b: Node;

  const open = async (name: string, options: NodeOptions = {}): Promise<Node> => {
    const node = await makeNode(redis, name, options);
    nodes.push(node);
    return node;
  };

  beforeEach(async () => {
    redis = await startTestRedis();
    nodes = [];
    [a, b] = [await open('a'), await open('b')];
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    await redis.stop();
  });

  it('hears again, and says so, when Redis was killed and comes back empty', async () => {
    const order: string[] = [];
    const heard: string[] = [];
    a.bus.onGap(async () => {
      await new Promise((done) => setTimeout(done, 5));
      order.push('first');
    });
    a.bus.onGap(() => void order.push('second'));
    a.link.onLost(() => order.push('lost'));
    await a.bus.subscribe('x', (frame) => heard.push(text(frame)));
    const before = await a.link.instanceId();
    const open = rejection(a.bus.ask('b', 'none', bytes('1'), 5000), Code.UNAVAILABLE, Code.UNIMPLEMENTED);
    await redis.kill9();
    await open;
    await eventually(1000, () => expect(a.link.isUp).toBe(false));
    const start = performance.now();
    expect((await rejection(a.bus.publish('x', bytes('lost')), Code.UNAVAILABLE)).retry).toBe('safe');
    expect((await rejection(a.bus.ask('b', 'none', bytes('1'), 9000), Code.UNAVAILABLE)).retry).toBe('safe');
    expect(performance.now() - start).toBeLessThan(4000);
    await redis.restart();
    const back = performance.now();
    await eventually(2000, () => expect([a.bus.isWhole, b.bus.isWhole]).toEqual([true, true]));
    expect(performance.now() - back).toBeLessThan(2000);
    await b.bus.publish('x', bytes('found'));
    await eventually(1000, () => expect(heard).toEqual(['found']));
    // Once for the connection, and perhaps once more because the state is gone.
    await eventually(1000, () => expect(order.slice(0, 3)).toEqual(['lost', 'first', 'second']));
    expect(await a.link.instanceId()).not.toBe(before);
    expect(a.log.errors + b.log.errors).toBe(0);
  });

  it('answers in bounded time while Redis stands still, and goes on afterwards without a gap', async () => {
    const c = await open('c', { link: { silentProbes: 60 } });
    const heard: string[] = [];
    let gaps = 0;
    await c.bus.subscribe('x', (frame) => heard.push(text(frame)));
    c.bus.onGap(() => void gaps++);
    redis.pause();
    const start = performance.now();
    const failed = await Promise.all([
      rejection(c.bus.publish('x', bytes('late')), Code.UNAVAILABLE),
      rejection(c.bus.ask('b', 'none', bytes('1'), 9000), Code.UNAVAILABLE),
      rejection(
        c.link.run((commands) => commands.get('x')),
        Code.UNAVAILABLE,
      ),
      rejection(
        c.bus.subscribe('y', () => {}),
        Code.UNAVAILABLE,
      ),
    ]);
    expect(performance.now() - start).toBeLessThan(4000);
    expect(failed.slice(0, 3).map(({ retry }) => retry)).toEqual(['unknown', 'unknown', 'unknown']);
    redis.resume();
    await eventually(3000, () => expect(c.link.isUp).toBe(true));
    await c.bus.publish('x', bytes('next'));
    expect(heard).toEqual(['late', 'next']);
    expect(gaps).toBe(0);
  });

  it('gives a silent connection up, and a server that does not greet as well', async () => {
    const c = await open('c', { link: { probeMs: 40, commandTimeoutMs: 200 } });
    let gaps = 0;
    c.bus.onGap(() => void gaps++);
    c.proxy.stall();
    const before = c.proxy.attempts.length;
    // More than one round: the new connections are taken, and nothing is said on them.
    await eventually(10_000, () => expect(c.proxy.attempts.length).toBeGreaterThan(before + 3));
    c.proxy.heal();
    await eventually(3000, () => expect(gaps).toBeGreaterThan(0));
    await c.bus.publish('x', bytes('1'));
  });

  it('tries to connect at most five times a second', async () => {
    a.proxy.cut();
    const since = performance.now();
    await eventually(10_000, () => expect(performance.now() - since).toBeGreaterThan(4000));
    const attempts = a.proxy.attempts.filter((time) => time >= since);
    expect(attempts.length).toBeGreaterThan(4);
    for (const time of attempts) {
      expect(attempts.filter((other) => other >= time && other < time + 990).length).toBeLessThan(6);
    }
    a.proxy.heal();
    await eventually(3000, () => expect(a.bus.isWhole).toBe(true));
  });

  it('notices the loss of its subscriptions alone', async () => {
    const heard: string[] = [];
    let gaps = 0;
    b.bus.onGap(() => void gaps++);
    const many = Array.from({ length: 20_000 }, (_, i) => `many${i}`);
    await Promise.all(many.map((topic) => b.bus.subscribe(topic, (frame) => heard.push(text(frame)))));
    await a.link.commands.client('KILL', 'TYPE', 'pubsub');
    await eventually(1000, () => expect(b.bus.isWhole).toBe(false));
    // Waits for the subscriptions to be back, and for its own one as at any time.
    await b.bus.publish('many7', bytes('meanwhile'));
    expect(heard.splice(0)).toEqual(['meanwhile']);
    await eventually(5000, () => expect(gaps).toBe(1));
    await Promise.all(many.map((topic, i) => a.bus.publish(topic, bytes(`${i}`))));
    await b.bus.fence();
    expect(heard).toEqual(many.map((_, i) => `${i}`));
  });

  it('notices a flush on a connection that stays', async () => {
    let lost = 0;
    const c = await open('c', { link: { probeMs: 40 } });
    c.link.onLost(() => lost++);
    await a.link.commands.flushall();
    await eventually(2000, () => expect(lost).toBe(1));
    const [first, second] = await Promise.all([a.link.instanceId(), c.link.instanceId()]);
    expect(second).not.toBe(first);
    await c.bus.fence();
    expect(lost).toBe(1);
  });

  it('takes no more than it may keep while it cannot send', async () => {
    const c = await open('c', { bus: { maxPending: 100 } });
    c.proxy.cut();
    await eventually(1000, () => expect(c.bus.isWhole).toBe(false));
    const results = await Promise.all(
      Array.from({ length: 150 }, () =>
        rejection(c.bus.publish('x', bytes('1')), Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED),
      ),
    );
    expect(results.filter(({ code }) => code === Code.RESOURCE_EXHAUSTED)).toHaveLength(50);
    expect(new Set(results.map(({ retry }) => retry))).toEqual(new Set(['safe']));
    c.proxy.heal();
    await eventually(3000, () => expect(c.bus.isWhole).toBe(true));
    await Promise.all(Array.from({ length: 90 }, () => c.bus.publish('x', bytes('1'))));
  });

  it('misses nothing while subscriptions come and go', async () => {
    const random = new Random(11);
    for (let i = 0; i < 400; i++) {
      const heard: string[] = [];
      const subscription = await a.bus.subscribe('x', (frame) => heard.push(text(frame)));
      const publisher = random.pick([a, b]);
      await publisher.bus.publish('x', bytes(`${i}`));
      if (publisher === b) await a.bus.fence();
      expect(heard).toEqual([`${i}`]);
      void subscription.close();
      for (let turn = random.below(4); turn > 0; turn--) await new Promise((done) => setImmediate(done));
    }
  });

  it('drops and counts frames that only newer nodes understand', async () => {
    const heard: string[] = [];
    await b.bus.subscribe('x', (frame) => heard.push(text(frame)));
    for (const frame of [[2, 0, 65], [1, 9, 65], [], [1]]) {
      await a.link.commands.publish(a.link.channel('x'), Buffer.from(frame));
    }
    await a.bus.publish('x', bytes('1'));
    await b.bus.fence();
    expect(heard).toEqual(['1']);
    expect([a.bus.droppedFrames, b.bus.droppedFrames]).toEqual([0, 4]);
  });

  it('carries frames that a script publishes, in order, and can be waited for', async () => {
    const heard: string[] = [];
    for (const topic of ['x', 'y']) await a.bus.subscribe(topic, (frame) => heard.push(text(frame)));
    const script =
      "for i = 1, 3 do redis.call('PUBLISH', KEYS[1], ARGV[1] .. i) redis.call('PUBLISH', KEYS[2], ARGV[1] .. i) end";
    const channels = ['x', 'y'].map((topic) => a.link.channel(topic));
    await Promise.all([
      a.link.run((commands) => commands.eval(script, 2, ...channels, scriptFrameHeader)),
      a.bus.fence(),
    ]);
    expect(heard).toEqual(['1', '1', '2', '2', '3', '3']);
  });

  it('asks the later one of two processes with one name, and the earlier one never again', async () => {
    const later = await open('b');
    for (const [node, name] of [
      [b, 'early'],
      [later, 'late'],
    ] as const)
      node.bus.answer('who', async () => bytes(name));
    const who = async (): Promise<string> => text(await a.bus.ask('b', 'who', bytes(''), 2000));
    expect([await who(), await who()]).toEqual(['late', 'late']);
    await a.link.commands.client('KILL', 'TYPE', 'pubsub');
    await eventually(3000, () => expect([a, b, later].map((node) => node.bus.isWhole)).toEqual([true, true, true]));
    await eventually(1000, async () => expect(await who()).toBe('late'));
    expect(text(await b.bus.ask('a', 'who', bytes(''), 2000).catch((error: Error) => bytes(error.message)))).toContain(
      'no questions',
    );
  });

  it('ends while Redis stands still', async () => {
    redis.pause();
    const start = performance.now();
    await Promise.all([a.bus.close(), rejection(b.bus.publish('x', bytes('1')), Code.UNAVAILABLE)]);
    await a.link.close();
    expect(performance.now() - start).toBeLessThan(3000);
    redis.resume();
  });

  it('refuses a topic that Redis would call by another name', async () => {
    await rejection(a.bus.publish('a\ud800', bytes('1')), Code.INVALID_ARGUMENT);
    await rejection(
      a.bus.subscribe('\udc00', () => {}),
      Code.INVALID_ARGUMENT,
    );
    const heard: string[] = [];
    await b.bus.subscribe('{\u{1f600} *?[a]}', (frame) => heard.push(text(frame)));
    await a.bus.publish('{\u{1f600} *?[a]}', bytes('1'));
    await b.bus.fence();
    expect(heard).toEqual(['1']);
  });

  it('ends while Redis is away', async () => {
    await redis.kill9();
    const pending = rejection(a.bus.publish('x', bytes('1')), Code.UNAVAILABLE);
    const start = performance.now();
    await a.bus.close();
    await a.link.close();
    await pending;
    await rejection(
      a.link.run(async () => 1),
      Code.UNAVAILABLE,
    );
    expect(performance.now() - start).toBeLessThan(500);
  });

  it('does not open without Redis', async () => {
    await redis.kill9();
    const log = new CountingLog();
    const link = new RedisLink({ server: redis.url, log });
    await rejection(RedisBus.open(link, { node: 'c', log }), Code.UNAVAILABLE);
    await link.close();
  });

  it('carries very many frames, in order', async () => {
    const count = 50_000;
    const c = await open('c');
    const heard = [0, 0];
    const body = new Uint8Array(200);
    await a.bus.subscribe('x', () => {});
    for (const [i, node] of [b, c].entries()) {
      await node.bus.subscribe('x', (frame) => {
        if (new DataView(frame.buffer, frame.byteOffset).getUint32(0) === heard[i]) heard[i] = (heard[i] ?? 0) + 1;
      });
    }
    const start = performance.now();
    let next = 0;
    const publish = async (): Promise<void> => {
      while (next < count) {
        const frame = Uint8Array.from(body);
        new DataView(frame.buffer).setUint32(0, next++);
        await a.bus.publish('x', frame);
      }
    };
    await Promise.all(Array.from({ length: 256 }, publish));
    const rate = count / (performance.now() - start);
    await Promise.all([b.bus.fence(), c.bus.fence()]);
    expect(heard).toEqual([count, count]);
    console.log(`${rate.toFixed(0)}k frames/s to three subscribers`);
  });
}

interface NodeOptions {
  readonly prefix?: string;
  readonly link?: Partial<RedisLinkLimits>;
  readonly bus?: Partial<RedisSenderLimits>;
}

type Node = Awaited<ReturnType<typeof makeNode>>;

/** A node with a way to Redis of its own, which can be cut. */
async function makeNode(redis: TestRedisPlace, name: string, options: NodeOptions = {}) {
  const log = new CountingLog();
  const proxy = await redis.openWay();
  const link = new RedisLink({
    server: proxy.server,
    log,
    prefix: options.prefix ?? 'test',
    limits: options.link ?? {},
  });
  const bus = await RedisBus.open(link, { node: name, log, limits: options.bus ?? {} });
  const close = async (): Promise<void> => {
    await bus.close();
    await link.close();
    await proxy.close();
  };
  return { proxy, link, bus, log, close };
}

async function makeBusCluster(redis: TestRedisPlace): Promise<BusCluster> {
  const prefix = unique('bus');
  const nodes = await Promise.all(['a', 'b', 'c'].map((name) => makeNode(redis, name, { prefix })));
  return {
    buses: nodes.map(({ bus }) => bus),
    settleMs: 2000,
    crash: async (index) => at(nodes, index).proxy.cut(),
    loggedErrors: () => nodes.reduce((sum, { log }) => sum + log.errors, 0),
    close: async () => void (await Promise.all(nodes.map((node) => node.close()))),
  };
}

async function makeNodesCluster(redis: TestRedisPlace): Promise<NodesCluster> {
  const prefix = unique('nodes');
  const closers: (() => Promise<void>)[] = [];
  return {
    settleMs: 3000,
    add: async (name, address) => {
      const { proxy, link, bus, log, close } = await makeNode(redis, name, { prefix });
      const options = { name, clock: systemClock, log, bus, heartbeatMs: 50, deadMs: 300 };
      const directory = new RedisNodes(link, address === undefined ? options : { ...options, address });
      closers.push(async () => {
        proxy.heal();
        await directory.stop();
        await close();
      });
      return { directory, freeze: async () => proxy.stall(), thaw: async () => proxy.heal() };
    },
    close: async () => void (await Promise.all(closers.map((close) => close()))),
  };
}

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const text = (frame: Uint8Array): string => new TextDecoder().decode(frame);
