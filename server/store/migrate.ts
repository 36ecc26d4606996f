import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Logger } from 'pino';
import { connectionConfig, databaseName, otherDatabase, redactUrl } from './connection-config.ts';
import { sqlState } from './pg-errors.ts';

export interface MigrateOptions {
  /** Folder of the `.sql` files; by default `migrations/` beside the server. */
  readonly dir?: string | undefined;
  readonly log?: Logger | undefined;
  /** Longest wait for another node that is migrating. Default ten minutes. */
  readonly lockTimeoutMs?: number | undefined;
}

export interface MigrationState {
  readonly name: string;
  /** Null if it has not been applied. */
  readonly appliedAt: Date | null;
  /** False if it was applied by another build and this one does not have it. */
  readonly known: boolean;
}

/** The schema of the database is not the one that this build was made for. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch';
}

interface Migration {
  readonly name: string;
  readonly up: string;
  readonly down: string;
  readonly checksum: string;
}

interface Applied {
  readonly name: string;
  readonly runOn: Date;
  readonly checksum: string | null;
}

const migrationTable = 'muster_migration';
const checksumTable = 'muster_migration_checksum';
const lockTable = 'muster_migration_lock';

const defaultDir = fileURLToPath(new URL('../../migrations', import.meta.url));

/**
 * Brings the schema up to date, creating the database if there is none, and returns the names of the migrations that
 * it applied: all that are pending, or the first `count` of them. Safe to call from several nodes at once: one works, the others wait and find nothing to do. Each
 * migration is a transaction of its own, so what was done stays when a later one fails.
 *
 * @throws SchemaMismatch when what has been applied is not what this build has
 */
export async function migrateUp(
  url: string,
  options: MigrateOptions & { readonly count?: number | undefined } = {},
): Promise<string[]> {
  const migrations = await readMigrations(options.dir);
  return withLock(url, options, async (schema) => {
    const applied = await withClient(url, readApplied);
    checkHistory(migrations, applied);
    const count = Math.min(options.count ?? Number.POSITIVE_INFINITY, migrations.length - applied.length);
    return count === 0 ? [] : run(url, schema, options, 'up', migrations, count);
  });
}

/**
 * Takes back the last `count` migrations (1) and returns their names.
 *
 * @throws SchemaMismatch when this build does not have one of them, or when the schema was taken over from Nakama:
 * there the migrations found most tables in place, and taking them back would drop those with all that is in them
 */
export async function migrateDown(
  url: string,
  options: MigrateOptions & { readonly count?: number | undefined } = {},
): Promise<string[]> {
  const migrations = await readMigrations(options.dir);
  return withLock(url, options, async (schema) => {
    const applied = await withClient(url, readApplied);
    checkHistory(migrations, applied);
    if (await withClient(url, hasNakamaTables)) {
      throw new SchemaMismatch(
        "Nothing was reverted: this schema has Nakama's tables (migration_info is one), which would be dropped with their data.",
      );
    }
    const count = Math.min(options.count ?? 1, applied.length);
    return count === 0 ? [] : run(url, schema, options, 'down', migrations, count);
  });
}

/** Every migration that this build has or the database had, in order. Changes nothing. */
export async function migrationStatus(url: string, options: MigrateOptions = {}): Promise<MigrationState[]> {
  const migrations = await readMigrations(options.dir);
  const applied = await withClient(url, readApplied);
  const known = new Set(migrations.map(({ name }) => name));
  const appliedAt = new Map(applied.map(({ name, runOn }) => [name, runOn]));
  return [
    ...applied
      .filter(({ name }) => !known.has(name))
      .map(({ name, runOn }) => ({ name, appliedAt: runOn, known: false })),
    ...migrations.map(({ name }) => ({ name, appliedAt: appliedAt.get(name) ?? null, known: true })),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Returns if exactly the migrations of this build have been applied, in order and unchanged. Changes nothing.
 *
 * @throws SchemaMismatch that says what differs and what to do
 */
export async function assertMigrated(url: string, options: MigrateOptions = {}): Promise<void> {
  const migrations = await readMigrations(options.dir);
  const applied = await withClient(url, readApplied);
  checkHistory(migrations, applied);
  const missing = migrations.slice(applied.length).map(({ name }) => name);
  if (missing.length > 0) {
    throw new SchemaMismatch(
      `The database is behind this build: ${missing.join(', ')} not applied. Run the migrate command, then start again.`,
    );
  }
}

/** What was applied must be the beginning of what this build has. */
function checkHistory(migrations: readonly Migration[], applied: readonly Applied[]): void {
  const known = new Set(migrations.map(({ name }) => name));
  const unknown = applied.filter(({ name }) => !known.has(name)).map(({ name }) => name);
  if (unknown.length > 0) {
    throw new SchemaMismatch(
      `The database has migrations that this build does not know: ${unknown.join(', ')}. Start a build that has them.`,
    );
  }
  for (const [index, { name, checksum }] of applied.entries()) {
    const own = migrations[index] as Migration;
    if (own.name !== name) {
      throw new SchemaMismatch(
        `The migrations of the database are in another order: ${name} was applied where this build has ${own.name}. ` +
          'A migration that was added later must have a higher number than all before it.',
      );
    }
    if (own.checksum !== checksum) {
      throw new SchemaMismatch(
        `Migration ${name} was edited after it had been applied. Restore the file and put the change into a new one.`,
      );
    }
  }
}

const filePattern = /^\d{4}_[a-z0-9_]+\.sql$/;
const upMark = /^-- Up Migration$/m;
const downMark = /^-- Down Migration$/m;

async function readMigrations(dir = defaultDir): Promise<Migration[]> {
  const files = (await readdir(dir)).filter((file) => file.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const file of files) {
    if (!filePattern.test(file)) throw new Error(`Migration ${file} should be called like 0001_name.sql`);
    const text = (await readFile(`${dir}/${file}`, 'utf8')).replaceAll('\r\n', '\n');
    const upAt = text.search(upMark);
    const downAt = text.search(downMark);
    if (upAt < 0 || downAt < upAt) {
      throw new Error(`Migration ${file} needs the lines "-- Up Migration" and, after it, "-- Down Migration"`);
    }
    const up = text.slice(upAt, downAt).trim();
    migrations.push({
      name: file.slice(0, -'.sql'.length),
      up,
      down: text.slice(downAt).trim(),
      // Only what was done to the database: a comment on top or a better way back changes nothing of that.
      checksum: createHash('sha256').update(up).digest('hex'),
    });
  }
  return migrations;
}

async function readApplied(client: pg.Client): Promise<Applied[]> {
  // Both tables come with the first migration, the one for checksums ahead of the other.
  const found = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('${migrationTable}') IS NOT NULL AS exists`,
  );
  if (found.rows[0]?.exists !== true) return [];
  const { rows } = await client.query<Applied>(
    `SELECT m.name, m.run_on AT TIME ZONE 'UTC' AS "runOn", c.checksum
       FROM ${migrationTable} m LEFT JOIN ${checksumTable} c ON c.name = m.name
      ORDER BY m.id`,
  );
  return rows;
}

/** Hands over to node-pg-migrate, which is only loaded here: most starts have nothing to migrate. */
async function run(
  url: string,
  schema: string,
  options: MigrateOptions,
  direction: 'up' | 'down',
  migrations: readonly Migration[],
  count?: number,
): Promise<string[]> {
  const { runner } = await import('node-pg-migrate');
  const { log } = options;
  // The checksum belongs to the transaction of its migration. Its primary key is a second lock: should two nodes ever
  // get past the first, one of them fails here and is rolled back.
  const units = migrations.map(({ name, up, down, checksum }) => ({
    id: `${name}.sql`,
    filePaths: [`${name}.sql`],
    actions: {
      up: (builder: { sql(text: string): void }) => {
        builder.sql(`${up}\n`);
        builder.sql(`INSERT INTO ${checksumTable} (name, checksum) VALUES ('${name}', '${checksum}')`);
      },
      down: (builder: { sql(text: string): void }) => {
        builder.sql(`${down}\n`);
        builder.sql(`DELETE FROM ${checksumTable} WHERE name = '${name}'`);
      },
    },
  }));
  const done = await withClient(url, (dbClient) =>
    runner({
      dbClient,
      dir: options.dir ?? defaultDir,
      ignorePattern: '(?!.*\\.sql$).*',
      migrationLoaderStrategies: [{ extensions: ['.sql'], loader: async () => units }],
      migrationsTable: migrationTable,
      migrationsSchema: schema,
      direction,
      ...(count === undefined ? {} : { count }),
      // The lock is ours, since advisory locks do not exist everywhere; the order was checked under it.
      noLock: true,
      checkOrder: false,
      singleTransaction: false,
      logger: {
        debug: () => {},
        info: (message: string) => log?.debug(message),
        warn: (message: string) => log?.warn(message),
        error: (message: string) => log?.error(message),
      },
    }),
  );
  const names = done.map(({ name }) => name);
  log?.info({ direction, migrations: names }, 'database migrated');
  return names;
}

/**
 * Runs `work` while this process alone may migrate. The lock is a row, locked by a transaction that stays open on a
 * connection of its own, so it is free again when its holder dies.
 */
async function withLock<T>(url: string, options: MigrateOptions, work: (schema: string) => Promise<T>): Promise<T> {
  await ensureDatabase(url);
  return withClient(url, async (client) => {
    const schema = await currentSchema(client, url);
    await racing(() => client.query(`CREATE TABLE IF NOT EXISTS ${lockTable} (id INT PRIMARY KEY)`));
    await racing(() => client.query(`INSERT INTO ${lockTable} (id) VALUES (1) ON CONFLICT DO NOTHING`));
    await client.query(`SET lock_timeout = ${options.lockTimeoutMs ?? defaultLockTimeoutMs}`);
    await client.query('BEGIN');
    try {
      await client.query(`SELECT id FROM ${lockTable} WHERE id = 1 FOR UPDATE`);
    } catch (error) {
      if (sqlState(error) !== lockNotAvailable) throw error;
      throw new Error('Another node has been migrating the database for too long', { cause: error });
    }
    const create = `CREATE TABLE IF NOT EXISTS ${checksumTable} (name VARCHAR(255) PRIMARY KEY, checksum VARCHAR(64) NOT NULL)`;
    await withClient(url, (other) => racing(() => other.query(create)));
    const result = await work(schema);
    await client.query('COMMIT');
    return result;
  });
}

const defaultLockTimeoutMs = 600_000;

async function currentSchema(client: pg.Client, url: string): Promise<string> {
  const { rows } = await client.query<{ schema: string | null }>('SELECT current_schema() AS schema');
  const schema = rows[0]?.schema;
  if (!schema) throw new Error(`No schema to migrate: the search_path of ${redactUrl(url)} names none that exists`);
  return schema;
}

/** Creates the database that the URL names, if the server does not have it. */
async function ensureDatabase(url: string): Promise<void> {
  try {
    // CockroachDB lets one connect to a database that does not exist, and complains at the first statement.
    await withClient(url, (client) => client.query('SELECT current_schema()'));
    return;
  } catch (error) {
    if (sqlState(error) !== noSuchDatabase) throw error;
  }
  const name = databaseName(url);
  if (name === undefined) throw new Error(`${redactUrl(url)} names no database`);
  await withClient(otherDatabase(url, 'postgres'), (client) =>
    racing(async () => {
      const { rows } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
      if (rows.length === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    }),
  );
}

const noSuchDatabase = '3D000';
const lockNotAvailable = '55P03';

/**
 * `IF NOT EXISTS` of PostgreSQL looks first and creates then: two sessions that do it together can both find nothing,
 * and one of them fails on a unique index of the catalogue. The next look finds what the other has made.
 */
const raceStates: ReadonlySet<string | undefined> = new Set([
  '23505',
  '42P04',
  '42P06',
  '42P07',
  '42710',
  '55006',
  '40001',
  'XX000',
]);

async function racing(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return;
    } catch (error) {
      if (attempt === maxRaces || !raceStates.has(sqlState(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20 * attempt * Math.random()));
    }
  }
}

const maxRaces = 20;

/** Does the schema have the table in which Nakama keeps its own account of migrations? */
async function hasNakamaTables(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT 1 FROM information_schema.tables
     WHERE table_schema = current_schema() AND table_name = 'migration_info'`,
  );
  return rows.length > 0;
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(clientConfig(url));
  // A loss shows in the query that it hits; without a listener it would end the process as well.
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Migrations may take their time. Their connections use the parsers of `pg` as they are. */
function clientConfig(url: string): pg.ClientConfig {
  const { types: _, ...config } = connectionConfig({
    url,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 0,
    idleTransactionMs: 0,
    applicationName: 'muster-migrate',
  });
  return config;
}
