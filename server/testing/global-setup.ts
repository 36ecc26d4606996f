import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { startEmbeddedPostgres } from '../store/embedded.ts';
import { isAlive, readIdentity } from '../store/process-lock.ts';

const log = pino({ level: 'warn' });
const folderPrefix = 'muster-test-';

/**
 * One database server for the whole test run: that of MUSTER_TEST_DATABASE_URL, or an embedded one that lives and dies
 * with the run. A test that needs a database takes a schema of its own (`createTestSchema`).
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env['MUSTER_TEST_DATABASE_URL']) return async () => {};
  await removeLeftovers();
  const folder = await mkdtemp(path.join(tmpdir(), folderPrefix));
  const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'postgres'), log });
  process.env['MUSTER_TEST_DATABASE_URL'] = postgres.url;
  return async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

/** A run that was killed leaves its server running: it is a daemon. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(folderPrefix)) continue;
    const folder = path.join(tmpdir(), name);
    const dataDir = path.join(folder, 'postgres');
    try {
      const owner = await readIdentity(`${dataDir}.muster.pid`);
      if (owner === undefined) {
        // Perhaps one that is just starting.
        if (Date.now() - (await stat(folder)).mtimeMs < 3_600_000) continue;
      } else {
        if (await isAlive(owner)) continue;
        await (await startEmbeddedPostgres({ dataDir, log })).stop();
      }
      await rm(folder, { recursive: true, force: true });
    } catch (error) {
      log.warn({ err: error, folder }, 'cannot remove what an earlier test run left');
    }
  }
}
