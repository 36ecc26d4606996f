import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { quiet } from '../testing/store.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';
import { identify, isAlive, pidExists } from './process-lock.ts';

let folder: string;
let dataDir: string;
let started: EmbeddedPostgres[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  dataDir = path.join(folder, 'postgres');
  started = [];
});

afterEach(async () => {
  for (const server of started) await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(dir = dataDir): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir: dir, log: quiet });
  started.push(server);
  return server;
}

/** The pid file goes a moment before the process, and in a container nobody may bury it. */
async function waitForEnd(pid: number): Promise<void> {
  await waitFor('the postmaster to end', async () => {
    const { startTime } = await identify(pid);
    return startTime === 'zombie' || startTime === 'gone' || !(await isAlive({ pid, startTime }));
  });
}

async function ask(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

test('starts, keeps its data, port and password, and stops', async () => {
  const began = performance.now();
  const first = await start();
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(first.owned).toBe(true);
  const settings = `SELECT current_setting('server_encoding') AS encoding, current_setting('lc_messages') AS locale,
    current_setting('fsync') AS fsync, current_setting('max_connections') AS max,
    current_setting('listen_addresses') AS listen, current_setting('unix_socket_directories') AS sockets,
    current_setting('password_encryption') AS hashing, current_database() AS name`;
  expect(await ask(first.url, settings)).toEqual([
    {
      encoding: 'UTF8',
      locale: 'C',
      fsync: 'on',
      max: '200',
      listen: '127.0.0.1',
      sockets: '',
      hashing: 'scram-sha-256',
      name: 'muster',
    },
  ]);
  await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS x');
  await first.stop();
  await first.stop();
  await waitForEnd(first.pid);

  const second = await start();
  expect(second.url).toBe(first.url);
  expect(await ask(second.url, 'SELECT x FROM kept')).toEqual([{ x: 42 }]);
  expect(await readdir(path.dirname(dataDir))).toEqual(['postgres', 'postgres.muster.pid']);
});

test('a password is needed, and nobody else can read it', async () => {
  const server = await start();
  const url = new URL(server.url);
  url.password = 'guess';
  await expect(ask(url.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  expect((await stat(path.join(dataDir, 'muster.password'))).mode & 0o777).toBe(0o600);
  const auth = await readFile(path.join(dataDir, 'pg_hba.conf'), 'utf8');
  const methods = auth.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of methods) expect(line).toMatch(/scram-sha-256$/);
});

test('a second handle shares the first, which alone stops it', async () => {
  const [one, two] = await Promise.all([start(), start()]);
  expect(two.url).toBe(one.url);
  expect(two.pid).toBe(one.pid);
  expect([one.owned, two.owned].filter(Boolean).length).toBe(1);
  const [owner, guest] = one.owned ? [one, two] : [two, one];
  await guest.stop();
  expect(await ask(owner.url, 'SELECT 1 AS x')).toEqual([{ x: 1 }]);
  await owner.stop();
  await waitForEnd(owner.pid);
});

test('the database of a killed process is adopted and stopped', async () => {
  const script = `
    import pino from 'pino';
    import { startEmbeddedPostgres } from './server/store/embedded.ts';
    const server = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: pino({ level: 'silent' }) });
    console.log(server.pid);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    cwd: path.resolve(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const pid = await new Promise<number>((resolve) =>
    child.stdout.once('data', (chunk) => resolve(Number(String(chunk)))),
  );

  const guest = await start();
  expect(guest).toMatchObject({ pid, owned: false });
  await guest.stop();

  // Ctrl-C goes to the whole process group of the terminal; the database is not in it.
  process.kill(-(child.pid as number), 'SIGINT');
  await waitFor('its end', () => child.exitCode !== null || child.signalCode !== null);
  await sleep(200);
  expect(pidExists(pid)).toBe(true);

  const heir = await start();
  expect(heir).toMatchObject({ pid, owned: true });
  await heir.stop();
  await waitForEnd(pid);
});

test('a crash of PostgreSQL leaves nothing in the way', async () => {
  const first = await start();
  await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS x');
  first.kill9();
  const second = await start();
  expect(second.pid).not.toBe(first.pid);
  expect(second.owned).toBe(true);
  expect(await ask(second.url, 'SELECT x FROM kept')).toEqual([{ x: 42 }]);
  // The first handle has nothing to stop any more but what the second started for the same process.
  await second.stop();
  await first.stop();
});

test('a recycled pid in postmaster.pid does not prevent a start', async () => {
  const first = await start();
  await first.stop();
  const lines = [process.pid, dataDir, 1, new URL(first.url).port, '', '127.0.0.1', '', 'ready   ', ''];
  await writeFile(path.join(dataDir, 'postmaster.pid'), lines.join('\n'));
  const second = await start();
  expect(await ask(second.url, 'SELECT 1 AS x')).toEqual([{ x: 1 }]);
});

test('a remembered port that is taken is replaced', async () => {
  const first = await start();
  await first.stop();
  const thief = createServer();
  await new Promise<void>((resolve) => thief.listen(Number(new URL(first.url).port), '127.0.0.1', resolve));
  const second = await start();
  expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
  await new Promise((resolve) => thief.close(resolve));
});

test('an initdb that was interrupted is cleaned up', async () => {
  const draft = `${dataDir}.init-abc123`;
  await mkdir(draft, { recursive: true });
  await writeFile(path.join(draft, 'PG_VERSION'), '18');
  await mkdir(dataDir);
  const server = await start();
  expect(await ask(server.url, 'SELECT 1 AS x')).toEqual([{ x: 1 }]);
  expect(await readdir(path.dirname(dataDir))).toEqual(['postgres', 'postgres.muster.pid']);
});

test('a folder that is not ours is refused', async () => {
  await mkdir(dataDir, { recursive: true });
  await writeFile(path.join(dataDir, 'thesis.txt'), 'precious');
  await expect(start()).rejects.toThrow('neither empty nor');
  await rm(path.join(dataDir, 'thesis.txt'));
  await writeFile(path.join(dataDir, 'PG_VERSION'), '11\n');
  await expect(start()).rejects.toThrow('made by PostgreSQL 11');
});

test.runIf(process.getuid?.() === 0)('a folder that root restored is given to the database user', async () => {
  const first = await start();
  await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS x');
  await first.stop();
  const restored = path.join(folder, 'restored');
  await cp(dataDir, restored, { recursive: true });
  expect((await stat(restored)).uid).toBe(0);
  const second = await start(restored);
  expect(await ask(second.url, 'SELECT x FROM kept')).toEqual([{ x: 42 }]);
});

test('the log does not grow without bounds', async () => {
  const first = await start();
  const log = path.join(dataDir, 'postgres.log');
  await truncate(log, 20 * 1024 * 1024);
  await first.stop();
  await start();
  expect((await stat(log)).size).toBeLessThan(1024 * 1024);
  expect((await stat(`${log}.1`)).size).toBeGreaterThan(16 * 1024 * 1024);
});

test.runIf(process.getuid?.() === 0)('a folder that the database user cannot reach', async () => {
  const closed = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  expect((await stat(closed)).mode & 0o777).toBe(0o700);
  const server = await startEmbeddedPostgres({ dataDir: path.join(closed, 'postgres'), log: quiet });
  expect(await ask(server.url, 'SELECT 1 AS x')).toEqual([{ x: 1 }]);
  await server.stop();
  await rm(closed, { recursive: true, force: true });
});
