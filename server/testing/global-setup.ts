import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { startEmbeddedPostgres } from '../store/embedded.ts';

/**
 * One database server for the whole test run: that of MUSTER_TEST_DATABASE_URL, or an embedded one that lives and dies
 * with the run. A test that needs a database takes a schema of its own (`createTestSchema`).
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env['MUSTER_TEST_DATABASE_URL']) return async () => {};
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  const postgres = await startEmbeddedPostgres({
    dataDir: path.join(folder, 'postgres'),
    log: pino({ level: 'warn' }),
  });
  process.env['MUSTER_TEST_DATABASE_URL'] = postgres.url;
  return async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
