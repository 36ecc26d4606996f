import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestSchema, type TestSchema } from '../testing/database.ts';
import { otherDatabase } from './connection-config.ts';
import { assertMigrated, migrateDown, migrateUp, migrationStatus, SchemaMismatch } from './migrate.ts';

const realDir = fileURLToPath(new URL('../../migrations', import.meta.url));

let schema: TestSchema;
let folder: string;
/** A copy of the real migrations, to be meddled with. */
let dir: string;
let client: pg.Client;

beforeEach(async () => {
  schema = await createTestSchema();
  folder = await mkdtemp(path.join(tmpdir(), 'muster-migrate-'));
  dir = path.join(folder, 'migrations');
  await cp(realDir, dir, { recursive: true });
  client = new pg.Client(schema.url);
  await client.connect();
});

afterEach(async () => {
  await client.end();
  await schema.drop();
  await rm(folder, { recursive: true, force: true });
});

async function rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return (await client.query(text, values)).rows;
}

async function tables(): Promise<unknown[]> {
  const found = await rows(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1',
    [schema.name],
  );
  return found.map(({ name }) => name).filter((name) => !String(name).startsWith('muster_migration'));
}

const addMigration = (name: string, up: string, down = 'SELECT 1;') =>
  writeFile(path.join(dir, `${name}.sql`), `-- Up Migration\n${up}\n-- Down Migration\n${down}\n`);

test('up, down, up', async () => {
  const names = await migrateUp(schema.url);
  expect(names.slice(0, 4)).toEqual(['0001_accounts', '0002_sessions', '0003_storage', '0004_messages']);
  expect(await migrateUp(schema.url)).toEqual([]);
  await assertMigrated(schema.url);
  const before = await tables();
  expect(before).toEqual(expect.arrayContaining(['users', 'user_device', 'user_tombstone', 'storage', 'message']));
  expect(await rows('SELECT id, username, lang_tag, metadata::text AS metadata FROM users')).toEqual([
    { id: '00000000-0000-0000-0000-000000000000', username: '', lang_tag: 'en', metadata: '{}' },
  ]);

  expect(await migrateDown(schema.url)).toEqual([names.at(-1)]);
  await expect(assertMigrated(schema.url)).rejects.toThrow(/behind this build: \S+ not applied/);
  expect(await migrateDown(schema.url, { count: 100 })).toEqual(names.slice(0, -1).reverse());
  expect(await tables()).toEqual([]);
  expect(await migrateDown(schema.url)).toEqual([]);

  expect(await migrateUp(schema.url)).toEqual(names);
  expect(await tables()).toEqual(before);
});

test('status names all, with the time of their application', async () => {
  expect((await migrationStatus(schema.url)).every(({ appliedAt, known }) => appliedAt === null && known)).toBe(true);
  await migrateUp(schema.url);
  await addMigration('9999_new', 'SELECT 1;');
  const status = await migrationStatus(schema.url, { dir });
  expect(status.at(-1)).toEqual({ name: '9999_new', appliedAt: null, known: true });
  expect(status[0]).toMatchObject({ name: '0001_accounts', known: true });
  expect(Math.abs(Number(status[0]?.appliedAt) - Date.now())).toBeLessThan(60_000);
});

test('reading the state of an untouched database changes nothing', async () => {
  await expect(assertMigrated(schema.url)).rejects.toBeInstanceOf(SchemaMismatch);
  await migrationStatus(schema.url);
  expect(await rows('SELECT 1 FROM information_schema.tables WHERE table_schema = $1', [schema.name])).toEqual([]);
});

test('constraints and indexes have the names that error mapping relies on', async () => {
  await migrateUp(schema.url);
  const found = await rows('SELECT indexname AS name FROM pg_indexes WHERE schemaname = $1', [schema.name]);
  const names = found.map(({ name }) => name);
  const fields = ['username', 'email', 'facebook_id', 'google_id', 'gamecenter_id', 'steam_id', 'custom_id'];
  for (const field of [...fields, 'facebook_instant_game_id', 'apple_id'])
    expect(names).toContain(`users_${field}_key`);
  expect(names).toEqual(expect.arrayContaining(['users_pkey', 'user_device_pkey', 'storage_pkey', 'message_pkey']));
});

test('accounts take their devices, objects and messages with them', async () => {
  await migrateUp(schema.url);
  const id = '6b8f4d2e-0000-4000-8000-000000000001';
  await rows('INSERT INTO users (id, username) VALUES ($1, $2)', [id, 'a']);
  await rows('INSERT INTO user_device (id, user_id) VALUES ($1, $2)', ['device', id]);
  await rows(`INSERT INTO storage (collection, key, user_id, version) VALUES ('c', 'k', $1, 'v')`, [id]);
  await rows(
    `INSERT INTO message (id, sender_id, username, stream_mode, stream_subject, stream_descriptor, stream_label)
     VALUES ($1, $1, 'a', 2, $1, $1, 'room')`,
    [id],
  );
  await rows('DELETE FROM users WHERE id = $1', [id]);
  for (const table of ['user_device', 'storage', 'message']) expect(await rows(`SELECT * FROM ${table}`)).toEqual([]);
});

test('several nodes at once: each migration is applied once', async () => {
  const results = await Promise.all(Array.from({ length: 4 }, () => migrateUp(schema.url)));
  expect(results.filter((names) => names.length > 0).length).toBe(1);
  const applied = await rows('SELECT name FROM muster_migration ORDER BY id');
  expect(applied.map(({ name }) => name)).toEqual(results.flat());
  await Promise.all(Array.from({ length: 4 }, () => assertMigrated(schema.url)));
});

test('a node that waits for too long for another gives up', async () => {
  await migrateUp(schema.url);
  await client.query('BEGIN; SELECT * FROM muster_migration_lock FOR UPDATE');
  await expect(migrateUp(schema.url, { lockTimeoutMs: 200 })).rejects.toThrow('Another node');
  await client.query('ROLLBACK');
  expect(await migrateUp(schema.url)).toEqual([]);
});

test('a migration that fails leaves nothing of itself, and all before it', async () => {
  await addMigration('9998_good', 'CREATE TABLE good (id int);', 'DROP TABLE good;');
  await addMigration('9999_bad', 'CREATE TABLE half (id int); SELECT no_such_function();');
  await expect(migrateUp(schema.url, { dir })).rejects.toThrow('no_such_function');
  expect(await tables()).toEqual(expect.arrayContaining(['good', 'users']));
  expect(await tables()).not.toContain('half');
  await expect(assertMigrated(schema.url, { dir })).rejects.toThrow('9999_bad not applied');
  await addMigration('9999_bad', 'CREATE TABLE half (id int);');
  expect(await migrateUp(schema.url, { dir })).toEqual(['9999_bad']);
  await assertMigrated(schema.url, { dir });
});

test('divergence: unknown, edited, another order', async () => {
  await addMigration('9998_theirs', 'SELECT 1;');
  await migrateUp(schema.url, { dir });
  for (const work of [assertMigrated, migrateUp, migrateDown]) {
    await expect(work(schema.url)).rejects.toThrow(/does not know: 9998_theirs/);
  }
  expect((await migrationStatus(schema.url)).at(-1)).toMatchObject({ name: '9998_theirs', known: false });

  await addMigration('9997_late', 'SELECT 2;');
  await expect(assertMigrated(schema.url, { dir })).rejects.toThrow(/another order: 9998_theirs .* has 9997_late/);
  await expect(migrateUp(schema.url, { dir })).rejects.toBeInstanceOf(SchemaMismatch);
  await rm(path.join(dir, '9997_late.sql'));

  await addMigration('9998_theirs', 'SELECT 1; ');
  await assertMigrated(schema.url, { dir });
  await addMigration('9998_theirs', 'SELECT 11;');
  await expect(assertMigrated(schema.url, { dir })).rejects.toThrow(/9998_theirs was edited/);
  await expect(migrateUp(schema.url, { dir })).rejects.toThrow(/9998_theirs was edited/);
});

test('line ends and a better way back are no edit', async () => {
  await migrateUp(schema.url, { dir });
  const file = path.join(dir, '0001_accounts.sql');
  const text = await readFile(file, 'utf8');
  await writeFile(file, `${text.replaceAll('\n', '\r\n')}SELECT 1;\r\n`);
  await assertMigrated(schema.url, { dir });
});

test('misnamed and misshapen files are refused', async () => {
  await writeFile(path.join(dir, 'oops.sql'), 'SELECT 1;');
  await expect(migrateUp(schema.url, { dir })).rejects.toThrow('oops.sql should be called');
  await rm(path.join(dir, 'oops.sql'));
  await writeFile(path.join(dir, '9999_plain.sql'), 'SELECT 1;');
  await expect(migrateUp(schema.url, { dir })).rejects.toThrow('-- Up Migration');
});

test('an existing Nakama database is taken over with its rows', async () => {
  // As a Nakama 3 server leaves it, with more columns' worth of rows than ours would make.
  const nil = '00000000-0000-0000-0000-000000000000';
  const id = '6b8f4d2e-0000-4000-8000-000000000002';
  const sql = await readFile(path.join(realDir, '0001_accounts.sql'), 'utf8');
  const users = /CREATE TABLE IF NOT EXISTS users \(.*?\n\);/s.exec(sql)?.[0] ?? '';
  const devices = /CREATE TABLE IF NOT EXISTS user_device \(.*?\n\);/s.exec(sql)?.[0] ?? '';
  await client.query(users.replace('IF NOT EXISTS ', ''));
  await client.query(devices.replace('IF NOT EXISTS ', ''));
  await client.query('CREATE TABLE migration_info (id text PRIMARY KEY, applied_at timestamptz)');
  await rows('INSERT INTO users (id, username) VALUES ($1, $2)', [nil, '']);
  await rows(
    `INSERT INTO users (id, username, wallet, email) VALUES ($1, 'old', '{"coins": 9007199254740993}', 'a@b.c')`,
    [id],
  );
  await rows('INSERT INTO user_device (id, user_id) VALUES ($1, $2)', ['old-device', id]);

  expect((await migrateUp(schema.url)).length).toBeGreaterThanOrEqual(4);
  await assertMigrated(schema.url);
  expect(await rows('SELECT username, wallet::text AS wallet, email FROM users WHERE id = $1', [id])).toEqual([
    { username: 'old', wallet: '{"coins": 9007199254740993}', email: 'a@b.c' },
  ]);
  expect(await rows('SELECT count(*)::int AS n FROM users')).toEqual([{ n: 2 }]);
  expect(await rows('SELECT user_id FROM user_device')).toEqual([{ user_id: id }]);
  expect(await tables()).toContain('migration_info');
});

test('a database that does not exist is made, by many at once', async () => {
  const base = process.env['MUSTER_TEST_DATABASE_URL'] ?? '';
  const name = `${schema.name}_Made`;
  const url = otherDatabase(base, name);
  try {
    await expect(assertMigrated(url)).rejects.toThrow('does not exist');
    const results = await Promise.all(Array.from({ length: 4 }, () => migrateUp(url)));
    expect(results.filter((names) => names.length > 0).length).toBe(1);
    await assertMigrated(url);
  } finally {
    await client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  }
});

test('a search_path that names no schema is refused', async () => {
  const url = schema.url.replace(schema.name, 'no_such_schema');
  await expect(migrateUp(url)).rejects.toThrow('No schema to migrate');
});
