import pg from 'pg';
import { createJobs, type JobRun, type Jobs } from '../features/jobs/index.ts';
import type { Clock } from '../platform/clock.ts';
import { systemClock } from '../platform/clock.ts';
import { type ConfigOverrides, configFrom } from '../platform/config.ts';
import { Metrics } from '../platform/metrics.ts';
import { Database } from '../store/database.ts';
import { migrateUp } from '../store/migrate.ts';
import { sql } from '../store/sql.ts';
import { createTestSchema } from './database.ts';
import { quiet } from './store.ts';

/** A node as far as jobs are concerned: its own connections, its own runner. */
export interface JobNode {
  readonly jobs: Jobs;
  readonly db: Database;
  readonly metrics: Metrics;
  start(): Promise<void>;
  /** As the node's end in order. */
  stop(): Promise<void>;
}

export interface JobNodeOptions {
  readonly config?: ConfigOverrides;
  readonly clock?: Clock;
  /** Another way to the same database. */
  readonly url?: string;
}

/** A database for several nodes, which `close` ends with it. */
export async function openJobs() {
  const schema = await createTestSchema();
  await migrateUp(schema.url);
  const client = new pg.Client(schema.url);
  await client.connect();
  await client.query('CREATE TABLE mark (key TEXT NOT NULL, node TEXT NOT NULL)');
  const nodes: JobNode[] = [];
  return {
    url: schema.url,
    /** A connection of the test's own. */
    sql: client,
    /** A node that has not started yet: its kinds are still to be defined. Leases outlast pauses of a busy machine. */
    node({ config, clock = systemClock, url = schema.url }: JobNodeOptions = {}): JobNode {
      const name = `node${nodes.length + 1}`;
      const values = configFrom({
        name,
        'jobs.poll_ms': 20,
        'jobs.lease_ms': 10_000,
        'jobs.drain_ms': 2000,
        ...config,
      });
      const db = new Database({ url, poolSize: 8, sharedClients: 2, applicationName: name }, quiet);
      const metrics = new Metrics(values);
      const feature = createJobs({ config: values, log: quiet, clock, metrics, db });
      let stopping: Promise<void> | undefined;
      const node = {
        jobs: feature.jobs,
        db,
        metrics,
        start: async () => feature.start?.(),
        stop() {
          stopping ??= (async () => {
            await feature.stop?.();
            await db.close(1000);
          })();
          return stopping;
        },
      };
      nodes.push(node);
      return node;
    },
    async close(): Promise<void> {
      await Promise.all(nodes.map((node) => node.stop()));
      await client.end();
      await schema.drop();
    },
  };
}

export type JobWorld = Awaited<ReturnType<typeof openJobs>>;

/** In the table that `openJobs` makes: what a job has done, once for each time that it was committed. */
export const markDone = sql<never>('test_mark', 'INSERT INTO mark (key, node) VALUES ($1, $2)', 'write');

/** A handler that waits to be let go. */
export function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const runs: JobRun[] = [];
  return {
    runs,
    open,
    async run(run: JobRun): Promise<void> {
      runs.push(run);
      await opened;
    },
  };
}
