import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Bus } from '../cluster/bus.ts';
import { MemoryBus } from '../cluster/bus-memory.ts';
import { RedisBus } from '../cluster/bus-redis.ts';
import type { SharedCounters } from '../cluster/counters.ts';
import { FallbackCounters } from '../cluster/counters-fallback.ts';
import { MemoryCounters } from '../cluster/counters-memory.ts';
import { RedisCounters } from '../cluster/counters-redis.ts';
import { MemoryHub } from '../cluster/memory-hub.ts';
import type { NodeId } from '../cluster/nodes.ts';
import { MemoryNodes } from '../cluster/nodes-memory.ts';
import { RedisNodes } from '../cluster/nodes-redis.ts';
import type { PresenceTracker } from '../cluster/presence.ts';
import { MemoryPresence } from '../cluster/presence-memory.ts';
import { RedisPresence } from '../cluster/presence-redis.ts';
import type { RankIndex } from '../cluster/rank-index.ts';
import { RedisRankIndex } from '../cluster/rank-index-redis.ts';
import { RedisLink, type RedisLinkOptions } from '../cluster/redis-link.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { namesRedis } from '../platform/config-options-redis.ts';
import type { Disposer } from '../platform/dispose.ts';
import { subsystem } from '../platform/log.ts';

/** What the nodes share, or what stands in for it on a node by itself. */
export interface ClusterPorts {
  readonly bus: Bus;
  readonly presence: PresenceTracker;
  /** Never UNAVAILABLE: while Redis is away the node counts by itself. */
  readonly counters: SharedCounters;
  /** Only with Redis. */
  readonly rankIndex?: RankIndex;
  /** No other node can join: what this one counts for itself holds altogether. */
  readonly isAlone: boolean;
}

/** How long a node that starts waits for Redis. */
const startWaitMs = 10_000;

interface Parts {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Joins the cluster on the configured Redis; without one the node has the ports to itself, in memory. */
export async function joinCluster({ config, log, clock }: Parts, disposer: Disposer): Promise<ClusterPorts> {
  const parts = { config, log: subsystem(log, 'cluster'), clock };
  return namesRedis(config) ? joinRedis(parts, disposer) : stayAlone(parts, disposer);
}

async function stayAlone({ config, log, clock }: Parts, disposer: Disposer): Promise<ClusterPorts> {
  const hub = new MemoryHub();
  const nodes = new MemoryNodes(hub, { name: config.name, clock, log });
  await nodes.start();
  disposer.add('node directory', () => nodes.stop());
  const bus = new MemoryBus(hub, config.name, log);
  disposer.add('bus', () => bus.close());
  return { bus, presence: new MemoryPresence(hub, nodes), counters: new MemoryCounters(hub, clock), isAlone: true };
}

async function joinRedis({ config, log, clock }: Parts, disposer: Disposer): Promise<ClusterPorts> {
  const link = new RedisLink({ server: redisServer(config), prefix: `${config.redis.key_prefix}:`, log });
  disposer.add('Redis', () => link.close());
  await link.ready(startWaitMs);
  const name = nodeName(config);
  const bus = await RedisBus.open(link, { node: name, log });
  disposer.add('bus', () => bus.close());
  const nodes = new RedisNodes(link, { name, clock, log, bus });
  const presence = await RedisPresence.open(link, { bus, nodes, log });
  disposer.add('presences', () => presence.close());
  const rankIndex = new RedisRankIndex(link, nodes);
  disposer.add('rank index', () => rankIndex.close());

  const tend = (what: string, work: Promise<unknown>): void => {
    work.catch((error) => log.warn({ err: error }, `could not ${what}`));
  };
  nodes.onGone((node: NodeId, cause) => {
    log.info({ node, cause }, 'a node is gone');
    tend('sweep the presences of a node that is gone', presence.sweep(node));
    tend('drop the ranks that a node which is gone may have been changing', rankIndex.sweep(node));
  });
  nodes.onSelfLost((lost, cause) => {
    log.warn({ lost, cause }, 'this node was given up by the others');
    if (cause === 'died') tend('bring presences back', presence.reannounce());
  });
  await nodes.start();
  disposer.add('node directory', () => nodes.stop());
  tend('sweep presences that nobody holds', presence.sweepOrphans());
  log.info({ node: nodes.self }, 'joined the cluster');
  const counters = new FallbackCounters({
    shared: new RedisCounters(link),
    isUp: (key) => link.at(key).isUp,
    own: new MemoryCounters(new MemoryHub(), clock),
    clock,
  });
  return { bus, presence, counters, rankIndex, isAlone: false };
}

/** Names must differ between nodes: one that was not given a name makes one up. */
function nodeName(config: Config): string {
  return config.source('name').kind === 'default' ? `node-${randomBytes(5).toString('hex')}` : config.name;
}

function redisServer({ redis }: Config): RedisLinkOptions['server'] {
  if (redis.sentinels.length === 0 && redis.cluster.length === 0) return redis.url;
  const url = redis.url === '' ? undefined : new URL(redis.url);
  const account = {
    ...(url?.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url?.password ? { password: decodeURIComponent(url.password) } : {}),
  };
  if (redis.cluster.length > 0) {
    const cluster = redis.cluster.map((address) => parseAddress(address, 6379));
    return { cluster, ...account, ...(url?.protocol === 'rediss:' ? { tls: {} } : {}) };
  }
  return {
    sentinels: redis.sentinels.map((address) => parseAddress(address, 26_379)),
    name: redis.sentinel_master,
    ...account,
    ...(url && url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
  };
}

function parseAddress(address: string, defaultPort: number): { host: string; port: number } {
  const [host = '', port = defaultPort] = address.split(':');
  return { host, port: Number(port) };
}
