import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../platform/config.ts';
import type { Disposer } from '../platform/dispose.ts';
import { subsystem } from '../platform/log.ts';
import { startEmbeddedPostgres } from '../store/embedded.ts';
import { assertMigrated, migrateUp } from '../store/migrate.ts';

/** The configured database, or an embedded PostgreSQL under the data folder that stops with the disposer. */
export async function openDatabaseUrl(config: Config, log: Logger, disposer: Disposer): Promise<string> {
  if (config.database.url !== '') return config.database.url;
  const embeddedLog = subsystem(log, 'embedded-postgres');
  const embedded = await startEmbeddedPostgres({ dataDir: join(config.data_dir, 'postgres'), log: embeddedLog });
  disposer.add('embedded PostgreSQL', () => embedded.stop());
  return embedded.url;
}

/** Brings the schema up to date where that is allowed, and refuses to run on one that does not fit this build. */
export async function prepareSchema(config: Config, url: string, log: Logger): Promise<void> {
  const options = { log: subsystem(log, 'migrate') };
  if (config.database.auto_migrate) await migrateUp(url, options);
  await assertMigrated(url, options);
}
