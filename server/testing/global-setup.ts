import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { startEmbeddedPostgres } from '../store/embedded.ts';
import { isAlive, readIdentity } from '../store/process-lock.ts';
import { openTestRedis, redisAvailable } from './redis.ts';

const log = pino({ level: 'warn' });
const folderPrefix = 'muster-test-';

/**
 * One PostgreSQL and one Redis for the whole test run: those of MUSTER_TEST_DATABASE_URL and MUSTER_TEST_REDIS_URL, or
 * servers that live and die with the run. A test that needs a database takes a schema of its own (`createTestSchema`),
 * one that needs Redis a key prefix.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const stops = [await shareDatabase(), await shareRedis()];
  return async () => {
    for (const stop of stops) await stop();
  };
}

async function shareRedis(): Promise<() => Promise<void>> {
  if (!redisAvailable) return async () => {};
  const redis = await openTestRedis();
  process.env['MUSTER_TEST_REDIS_URL'] = redis.url;
  return () => redis.stop();
}

async function shareDatabase(): Promise<() => Promise<void>> {
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
