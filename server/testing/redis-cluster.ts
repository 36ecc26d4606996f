import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { hashSlot } from '../cluster/redis-slots.ts';
import { freePort } from './ports.ts';
import { RedisProxy, type RedisWay, startTestRedis, type TestRedis, type TestRedisPlace } from './redis.ts';
import { sleep, waitFor } from './wait.ts';

/** A Redis Cluster of a test's own. Servers remember who they are, and nothing else, when they are restarted. */
export interface TestRedisCluster extends TestRedisPlace {
  /** First three masters with a third of the slots each, then the replica of the first one if there is one. */
  readonly servers: readonly TestRedis[];
  /** `host:port` of the masters. */
  readonly addresses: readonly string[];
  /** The server that owns the key's slot, as most of the others have it. */
  owner(key: string): Promise<TestRedis>;
  /** Sends one command to one server. */
  command(server: TestRedis, ...words: readonly (string | number)[]): Promise<unknown>;
  /** Gives the key's slot to the server, with all that is in it. `between` is called when half of the keys have moved. */
  move(key: string, to: TestRedis, between?: () => Promise<void>): Promise<void>;
  /** Makes a replica the master, with its master's help. */
  handOver(to: TestRedis): Promise<void>;
  /** Resolves when all servers that run find that the cluster works. */
  works(): Promise<void>;
}

/** How long the servers take to find that one of them is gone. */
const nodeTimeoutMs = 600;
const masters = 3;

/** @param replica with a replica of the first master, which takes over when that is gone */
export async function startTestRedisCluster({ replica = false } = {}): Promise<TestRedisCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-redis-'));
  const busPorts = await Promise.all(Array.from({ length: masters + (replica ? 1 : 0) }, freePort));
  const servers = await Promise.all(
    busPorts.map((busPort, i) =>
      startTestRedis([
        ...['--cluster-enabled', 'yes', '--cluster-config-file', `nodes-${i}.conf`, '--dir', directory],
        ...['--cluster-port', String(busPort), '--cluster-node-timeout', String(nodeTimeoutMs)],
        ...['--repl-diskless-sync-delay', '0'],
      ]),
    ),
  );
  const clients = new Map(servers.map((server) => [server, new Redis(server.url, { lazyConnect: true })]));
  const command: TestRedisCluster['command'] = async (server, ...words) => {
    const [name = '', ...args] = words;
    return await clients.get(server)?.call(String(name), ...args);
  };
  for (const client of clients.values()) client.on('error', () => {});
  await assemble(servers, busPorts, command);
  const cluster: TestRedisCluster = {
    servers,
    addresses: servers.slice(0, masters).map(({ port }) => `127.0.0.1:${port}`),
    command,
    openWay: () => openWay(servers),
    owner: (key) => owner(servers, command, hashSlot(key)),
    move: (key, to, between) => move(cluster, hashSlot(key), to, between),
    handOver: (to) => handOver(to, command),
    works: () => works(servers, command),
    async stop() {
      for (const client of clients.values()) client.disconnect();
      await Promise.all(servers.map((server) => server.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
  return cluster;
}

type Command = TestRedisCluster['command'];

const slotCount = 16_384;

/** Makes a cluster of the servers, as `redis-cli --cluster create` does. */
async function assemble(servers: readonly TestRedis[], busPorts: readonly number[], command: Command): Promise<void> {
  const [first, ...others] = servers as [TestRedis, ...TestRedis[]];
  const bounds = Array.from({ length: masters + 1 }, (_, i) => Math.floor((i * slotCount) / masters));
  for (const [i, server] of servers.entries()) {
    await command(server, 'CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
    const [start = 0, end = 0] = [bounds[i], bounds[i + 1]];
    if (i < masters) await command(server, 'CLUSTER', 'ADDSLOTSRANGE', start, end - 1);
  }
  for (const server of others) await command(server, 'CLUSTER', 'MEET', '127.0.0.1', first.port, busPorts[0] ?? 0);
  await works(servers, command);
  const firstId = await command(first, 'CLUSTER', 'MYID');
  for (const server of servers.slice(masters)) {
    await command(server, 'CLUSTER', 'REPLICATE', String(firstId));
    await replicates(server, command);
  }
  // Who has not heard of the replica yet would give it no vote.
  const knows = async (server: TestRedis): Promise<boolean> =>
    ((await command(server, 'CLUSTER', 'REPLICAS', String(firstId))) as string[]).length === servers.length - masters;
  for (const server of servers) await waitFor('all to know the replica', () => knows(server));
}

const replicates = (server: TestRedis, command: Command): Promise<unknown> =>
  waitFor('the replica to have all', async () =>
    String(await command(server, 'INFO', 'replication')).includes('master_link_status:up'),
  );

async function handOver(to: TestRedis, command: Command): Promise<void> {
  await replicates(to, command);
  // The others have one vote for this in two node timeouts.
  await sleep(2 * nodeTimeoutMs);
  const isMaster = async (): Promise<boolean> => String(await command(to, 'ROLE')).startsWith('master');
  await command(to, 'CLUSTER', 'FAILOVER');
  await waitFor('the replica to be the master', isMaster);
}

async function works(servers: readonly TestRedis[], command: Command): Promise<void> {
  const knows = async (server: TestRedis): Promise<boolean> => {
    const info = String(await command(server, 'CLUSTER', 'INFO'));
    return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${servers.length}`);
  };
  for (const server of servers) {
    await waitFor('the cluster to work', () => !runs(server) || knows(server).catch(() => false), 20_000);
  }
}

function runs({ pid }: TestRedis): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function owner(servers: readonly TestRedis[], command: Command, slot: number): Promise<TestRedis> {
  const votes = new Map<number, number>();
  for (const server of servers.filter(runs)) {
    const ranges = (await command(server, 'CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    const found = ranges.find(([start, end]) => start <= slot && slot <= end);
    if (found !== undefined) votes.set(found[2][1], (votes.get(found[2][1]) ?? 0) + 1);
  }
  const [port] = [...votes].sort((a, b) => b[1] - a[1])[0] ?? [];
  const server = servers.find((one) => one.port === port);
  if (server === undefined) throw new Error(`nobody has slot ${slot}`);
  return server;
}

/** What `redis-cli --cluster reshard` does for one slot. */
async function move(
  { servers, command, addresses }: TestRedisCluster,
  slot: number,
  to: TestRedis,
  between: () => Promise<void> = async () => {},
): Promise<void> {
  const from = await owner(servers, command, slot);
  const [fromId, toId] = [String(await command(from, 'CLUSTER', 'MYID')), String(await command(to, 'CLUSTER', 'MYID'))];
  await command(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
  await command(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
  const keys = async (count: number): Promise<string[]> =>
    (await command(from, 'CLUSTER', 'GETKEYSINSLOT', slot, count)) as string[];
  const migrate = async (some: readonly string[]): Promise<void> => {
    if (some.length > 0) await command(from, 'MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...some);
  };
  const all = await keys(100_000);
  await migrate(all.slice(0, all.length / 2));
  await between();
  for (let some = await keys(1000); some.length > 0; some = await keys(1000)) await migrate(some);
  const masterServers = servers.filter(({ port }) => addresses.includes(`127.0.0.1:${port}`));
  for (const server of [to, from, ...masterServers.filter((one) => one !== to && one !== from)]) {
    await command(server, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId);
  }
}

/** A proxy before each server. */
async function openWay(servers: readonly TestRedis[]): Promise<RedisWay> {
  const proxies = await Promise.all(servers.map(({ port }) => new RedisProxy(port).listen()));
  const each = (action: (proxy: RedisProxy) => void): void => {
    for (const proxy of proxies) action(proxy);
  };
  const ports = new Map(servers.map(({ port }, i) => [port, proxies[i]?.port ?? 0]));
  return {
    server: {
      cluster: servers.map(({ port }) => ({ host: '127.0.0.1', port })),
      reach: ({ host, port }) => ({ host, port: ports.get(port) ?? port }),
    },
    get attempts() {
      return proxies.flatMap(({ attempts }) => attempts).sort((a, b) => a - b);
    },
    stall: () => each((proxy) => proxy.stall()),
    cut: () => each((proxy) => proxy.cut()),
    heal: () => each((proxy) => proxy.heal()),
    close: async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))),
  };
}
