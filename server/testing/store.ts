import { type Logger, pino } from 'pino';
import { Database, type DatabaseOptions } from '../store/database.ts';
import { sql } from '../store/sql.ts';
import { createTestSchema } from './database.ts';

export const quiet: Logger = pino({ level: 'silent' });

/** A database client over a schema of its own; `await using` cleans up. */
export async function openTestDatabase(options: Partial<DatabaseOptions> = {}) {
  const schema = await createTestSchema();
  const db = new Database({ url: schema.url, ...options }, quiet);
  return {
    db,
    url: schema.url,
    [Symbol.asyncDispose]: async () => {
      await db.close();
      await schema.drop();
    },
  };
}

/** Ends every other backend of an application name, as an operator or a failover would. */
export const killBackends = sql<{ killed: boolean }>(
  'test_kill_backends',
  'SELECT pg_terminate_backend(pid) AS killed FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()',
  'write',
);

/** What became of a promise, and how long it took. */
export async function outcome(promise: Promise<unknown>) {
  const began = performance.now();
  try {
    return { value: await promise, error: undefined, ms: performance.now() - began };
  } catch (error) {
    return { value: undefined, error, ms: performance.now() - began };
  }
}
