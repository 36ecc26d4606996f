import { randomBytes } from 'node:crypto';
import type { Features } from '../app/features.ts';
import { createTestSchema } from './database.ts';
import { launchNode, listenerKinds, type TestNode, type TestNodeOptions, topology } from './node.ts';
import { openTestRedis } from './redis.ts';

/**
 * What a suite runs on: one node with one of the listeners and everything in memory, or two nodes, with one listener
 * each, that share PostgreSQL and Redis.
 */
export type ServerKind = 'uws' | 'node' | 'two nodes';

const alsoOnTwoNodes =
  process.env['MUSTER_TEST_TWO_NODES'] === '1' && process.env['MUSTER_TEST_LISTENERS'] === undefined;

/**
 * What the suites run on in this topology; a suite that needs no particular listener takes the first. Where they run on
 * two nodes as well, which have one listener each, one listener is enough for a node alone (`MUSTER_TEST_LISTENERS` asks
 * for others); what depends on the listener has suites of its own in server/test/transports.
 */
export const serverKinds: readonly [ServerKind, ...ServerKind[]] =
  topology === 'cluster' ? ['two nodes'] : alsoOnTwoNodes ? ['node'] : (listenerKinds as [ServerKind, ...ServerKind[]]);

/** What comes to the server: each sort takes the nodes in turn. */
export type Arrival = 'call' | 'socket';

/**
 * What clients talk to, whether it is one node or several. `request`, `signIn`, `TestSocket.connect` and the doors take
 * it as they take a node, and go to another node each time. A test written that way holds for both, because whatever
 * was done before, on whichever node, is known when a request, a handshake or `TestSocket.request` begins, and has
 * reached the sockets when `TestSocket.settle` ends. (That other nodes may by rights hear of it a moment later, of a
 * logout say, is the subject of server/test/cluster.) What is done at the same time has no order, least of all on two
 * nodes; and a frame given to `TestSocket.send` goes out at once.
 */
export interface TestServer {
  readonly nodes: readonly TestNode[];
  /** The node whose turn it is. Calls begin with the first node, sockets with the second. */
  next(arrival?: Arrival): TestNode;
  /** What server code works with, on the node whose turn it is. */
  readonly features: Features;
  /** Sockets of all nodes that are open, or that a node is not done with yet. */
  readonly openSockets: number;
  readonly databaseUrl: string;
  /** Lines of level error and above that the nodes logged. */
  readonly errors: readonly string[];
  /** Stops the nodes and drops their schema. */
  stop(): Promise<void>;
}

export interface TestServerOptions extends TestNodeOptions {
  /** Default: the first of `serverKinds`. */
  readonly kind?: ServerKind;
}

/**
 * Starts what the topology asks for, on a database schema of its own unless it is given one. Configuration, clock,
 * hooks and extra features are those of every node.
 *
 *     describe.each(serverKinds)('friends on %s', (kind) => {
 *       let server: TestServer;
 *       beforeAll(async () => {
 *         server = await startTestServer({ kind });
 *       });
 *       afterAll(() => server?.stop());
 *
 * `describeDoors` and `onEachServer` do that, too.
 */
export async function startTestServer({
  kind = serverKinds[0],
  databaseUrl,
  ...options
}: TestServerOptions = {}): Promise<TestServer> {
  const schema = databaseUrl === undefined ? await createTestSchema() : undefined;
  const url = databaseUrl ?? schema?.url ?? '';
  const { nodes, release } = await (kind === 'two nodes'
    ? launchCluster(options, url)
    : launchAlone(kind, options, url));
  const turns = { call: 0, socket: 1 };
  const next = (arrival: Arrival = 'call'): TestNode => nodes[turns[arrival]++ % nodes.length] as TestNode;
  return {
    nodes,
    next,
    get features() {
      return next().app.features;
    },
    get openSockets() {
      return nodes.reduce((sum, node) => sum + socketsOf(node), 0);
    },
    databaseUrl: url,
    get errors() {
      return nodes.flatMap((node) => node.errors);
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await release();
      await schema?.drop();
    },
  };
}

interface Launched {
  readonly nodes: readonly TestNode[];
  /** Gives back what the nodes shared. */
  release(): Promise<void>;
}

async function launchAlone(
  listener: 'uws' | 'node',
  { config, ...options }: TestNodeOptions,
  databaseUrl: string,
): Promise<Launched> {
  const node = await launchNode({ ...options, config: { 'socket.listener': listener, ...config } }, databaseUrl);
  return { nodes: [node], release: async () => {} };
}

async function launchCluster({ config, ...options }: TestNodeOptions, databaseUrl: string): Promise<Launched> {
  const redis = await openTestRedis();
  const shared = { 'redis.url': redis.url, 'redis.key_prefix': `test-${randomBytes(8).toString('hex')}` };
  const nodes = ['one', 'two'].map((name, index) => {
    const listener = listenerKinds[index] ?? listenerKinds[0] ?? 'auto';
    return launchNode({ ...options, config: { name, 'socket.listener': listener, ...shared, ...config } }, databaseUrl);
  });
  return { nodes: await Promise.all(nodes), release: () => redis.stop() };
}

// A socket is the features' until the last of them has let it go: then its leaves are on the bus.
function socketsOf({ app }: TestNode): number {
  return Math.max(app.openSockets, app.features.sessions.sockets.count);
}

/** Where requests and sockets go: a node, or a server whose nodes take turns. */
export type Target = Pick<TestNode, 'url'> | TestServer;

export interface Entrance {
  readonly url: string;
  /** Waits until this node has heard what the others did; missing where there are no others. */
  readonly catchUp?: () => Promise<void>;
}

/** Where the next one that comes to the target goes in. */
export async function enter(target: Target, arrival: Arrival): Promise<Entrance> {
  if (!('nodes' in target)) return { url: target.url };
  const { url, catchUp } = target.next(arrival);
  if (target.nodes.length === 1) return { url };
  await catchUp();
  return { url, catchUp };
}
