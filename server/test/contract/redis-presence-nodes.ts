import { expect } from 'vitest';
import { RedisBus } from '../../cluster/bus-redis.ts';
import type { NodeId } from '../../cluster/nodes.ts';
import { nodesTopic, RedisNodes } from '../../cluster/nodes-redis.ts';
import { callRegister } from '../../cluster/nodes-redis-script.ts';
import { RedisPresence } from '../../cluster/presence-redis.ts';
import { RedisLink } from '../../cluster/redis-link.ts';
import { systemClock } from '../../platform/clock.ts';
import type { TestRedisPlace } from '../../testing/redis.ts';
import { CountingLog, eventually } from './support.ts';

export type RedisNode = Awaited<ReturnType<typeof makeNode>>;

/** Times are short, so that tests are. */
const patience = { offlineWaitMs: 300, commandTimeoutMs: 1000, connectTimeoutMs: 1000, probeMs: 100, silentProbes: 30 };
const impatience = { ...patience, retryMinMs: 20, retryMaxMs: 100, attemptGapMs: 20 };

/** A node with all its ports on that Redis; `prefix` is its cluster's. */
export async function makeNode(redis: TestRedisPlace, name: string, prefix: string, { impatient = false } = {}) {
  const log = new CountingLog();
  const proxy = await redis.openWay();
  const link = new RedisLink({ server: proxy.server, log, prefix, limits: impatient ? impatience : {} });
  await link.ready(5000);
  const bus = await RedisBus.open(link, { node: name, log });
  // Nobody dies by himself: the tests say who is given up, and when he notices.
  const timing = { heartbeatMs: 60_000, deadMs: 600_000 };
  const directory = new RedisNodes(link, { name, clock: systemClock, log, bus, ...timing });
  const presence = await RedisPresence.open(link, { bus, nodes: directory, log });
  await directory.start();
  await presence.reannounce();
  const close = async (): Promise<void> => {
    await presence.close();
    await directory.stop();
    await bus.close();
    await link.close();
    await proxy.close();
  };
  return { proxy, link, bus, directory, presence, close };
}

/** Ends the registration of a node as others do that have not heard of it for too long. */
export async function giveUp(link: RedisLink, { name, epoch }: NodeId): Promise<void> {
  const nobody = { instance: '', register: '', since: 0, version: 0, stepMs: 0, deadMs: 0, fresh: '' };
  await link.run((redis) => callRegister(link, redis, { op: 'leave', name, epoch, ...nobody }));
}

/** Lets a node find that it was given up. Returns its former life. */
export async function rejoin(by: RedisNode, { directory }: RedisNode): Promise<NodeId> {
  const lost = directory.self;
  await giveUp(by.link, lost);
  await by.bus.publish(nodesTopic, new Uint8Array());
  await eventually(5000, () => expect(directory.self.epoch).toBeGreaterThan(lost.epoch));
  return lost;
}
