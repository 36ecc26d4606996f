import { type Logger, pino } from 'pino';
import { App } from '../app/app.ts';
import type { Features } from '../app/features.ts';
import type { Bus } from '../cluster/bus.ts';
import { RedisBus } from '../cluster/bus-redis.ts';
import type { Feature, FeatureKit } from '../features/feature.ts';
import type { Hooks } from '../gateway/hooks.ts';
import type { Clock } from '../platform/clock.ts';
import { type ConfigOverrides, configFrom } from '../platform/config.ts';
import type { DatabaseTime } from '../store/database-time.ts';
import { createTestSchema } from './database.ts';

export interface TestNodeOptions {
  /** Configuration besides the kit's own: a free port, cheap passwords, long-lived tokens. */
  readonly config?: ConfigOverrides;
  readonly clock?: Clock;
  /** In place of the database's time, to move a test to another one. Jobs go by the database itself. */
  readonly time?: DatabaseTime;
  readonly hooks?: Hooks;
  readonly extraFeatures?: (kit: FeatureKit, features: Features) => Feature[];
  /** An existing database instead of a schema of the node's own. */
  readonly databaseUrl?: string;
}

export interface TestNode {
  readonly app: App;
  readonly port: number;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly databaseUrl: string;
  /** Lines of level error and above that the node logged. */
  readonly errors: readonly string[];
  /** Resolves when the node has heard everything that was said on the bus before, by whichever node. */
  catchUp(): Promise<void>;
  /** Stops the node and drops its schema. */
  stop(): Promise<void>;
}

export const serverKey = 'defaultkey';

/** Which listeners the suites run on; `MUSTER_TEST_LISTENERS=node` narrows it down. */
export const listenerKinds = (process.env.MUSTER_TEST_LISTENERS ?? 'uws,node').split(',') as ('uws' | 'node')[];

/** What the suites of server/test/api run on: each topology is a project of vitest.config.ts. */
export const topology = process.env['MUSTER_TEST_TOPOLOGY'] === 'cluster' ? 'cluster' : 'single';

/**
 * Starts one whole node on a free port, on a database schema of its own unless it is given one. For suites about a
 * node: its bytes, its connections, its limits, what becomes of it in a cluster. Suites about what the server does
 * take `startTestServer`, and then run on one node and on two.
 */
export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  if (options.databaseUrl !== undefined) return await launchNode(options, options.databaseUrl);
  if (topology === 'cluster') {
    throw new Error('suites that run on two nodes as well take startTestServer (server/testing/server.ts)');
  }
  const schema = await createTestSchema();
  const node = await launchNode(options, schema.url);
  return {
    ...node,
    async stop() {
      await node.stop();
      await schema.drop();
    },
  };
}

/** A node on that database, which stays when the node stops. */
export async function launchNode(options: TestNodeOptions, databaseUrl: string): Promise<TestNode> {
  const config = configFrom({
    'database.url': databaseUrl,
    'database.pool_size': 4,
    'database.shared_clients': 2,
    'socket.address': '127.0.0.1',
    'socket.port': 0,
    'auth.bcrypt_cost': 4,
    'session.token_expiry_sec': 7200,
    'session.refresh_token_expiry_sec': 14400,
    ...options.config,
  });
  const errors: string[] = [];
  const { clock, time, hooks, extraFeatures } = options;
  let bus: Bus | undefined;
  const app = await App.start({
    config,
    log: capturingLogger(errors),
    ...(clock === undefined ? {} : { clock }),
    ...(time === undefined ? {} : { time }),
    ...(hooks === undefined ? {} : { hooks }),
    extraFeatures: (kit, features) => {
      bus = kit.bus;
      return extraFeatures?.(kit, features) ?? [];
    },
  });
  return {
    app,
    port: app.port,
    url: `http://127.0.0.1:${app.port}`,
    databaseUrl,
    errors,
    async catchUp() {
      if (bus instanceof RedisBus) await bus.fence();
    },
    stop: () => app.stop(),
  };
}

/** Keeps error lines for the test to look at; prints everything when MUSTER_TEST_LOG names a level. */
function capturingLogger(errors: string[]): Logger {
  const level = process.env.MUSTER_TEST_LOG;
  const order = ['debug', 'info', 'warn', 'error'];
  return pino(
    { level: level ?? 'error' },
    {
      write(line: string) {
        if ((JSON.parse(line) as { level: number }).level >= 50) errors.push(line);
        if (level !== undefined && order.includes(level)) process.stderr.write(line);
      },
    },
  );
}
