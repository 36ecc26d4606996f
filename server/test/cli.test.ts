import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../testing/database.ts';
import { request, signIn } from '../testing/http.ts';
import { listenerKinds } from '../testing/node.ts';
import { TestSocket } from '../testing/socket.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import { CliProcess, killLeftovers, postgresProcesses } from './cli-process.ts';
import { createNakamaDatabase } from './schema-nakama.ts';

const listening = ['--socket.address', '127.0.0.1', '--socket.port', '0'];
const cleanExit = { code: 0, signal: null };

let folder: string;
let dataDir: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-cli-'));
  dataDir = path.join(folder, 'data');
});
afterEach(() => killLeftovers(dataDir));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('start --dev on an embedded database', () => {
  const deviceId = 'a-device-of-the-command-line';
  const start = () => CliProcess.muster(['start', '--dev', '--data_dir', dataDir, ...listening]);
  const expectNothingLeft = async (): Promise<void> => expect(await postgresProcesses(dataDir)).toEqual([]);

  it('comes up in an empty folder, says where, and ends at Ctrl-C', async () => {
    const node = start();
    const { url, port } = await node.started();
    expect(await request({ url }, 'GET', '/healthcheck')).toMatchObject({ status: 200, text: '{}' });
    expect(await request({ url }, 'GET', '/ready')).toMatchObject({ status: 200, text: '{"ready":true}' });
    await waitFor('the banner', () => node.stdout.includes('Muster is up.'));
    expect(node.stdout).toContain(url);
    expect(node.stdout).toContain(`ws://127.0.0.1:${port}/ws`);
    expect(node.stdout).toContain('defaultkey');
    expect((await CliProcess.run(['healthcheck', String(port)])).exit).toEqual(cleanExit);
    await signIn({ url }, { deviceId, username: 'keeper' });
    expect((await postgresProcesses(dataDir)).length).toBeGreaterThan(0);

    expect(await node.stopped('SIGINT')).toEqual(cleanExit);
    expect(node.stderr).toBe('');
    expect(node.log.at(-1)?.msg).toBe('Shutdown complete');
    await expectNothingLeft();
    expect((await CliProcess.run(['healthcheck', String(port)])).exit.code).toBe(1);
  });

  it('finds its data at the next start, and ends at SIGTERM', async () => {
    const node = start();
    expect((await signIn(await node.started(), { deviceId })).username).toBe('keeper');
    expect(await node.stopped('SIGTERM')).toEqual(cleanExit);
    await expectNothingLeft();
  });

  it.each([0, 200])('takes two signals within %d ms for one', async (gapMs) => {
    const node = start();
    await node.started();
    node.kill('SIGINT');
    await sleep(gapMs);
    node.kill('SIGINT');
    expect(await node.exited()).toEqual(cleanExit);
    expect(node.log.at(-1)?.msg).toBe('Shutdown complete');
    await expectNothingLeft();
  });

  it.each(['starting', 'embedded database ready'])(
    'ends in order when asked to while it starts (%s)',
    async (stage) => {
      const node = start();
      await node.logged(stage);
      expect(await node.stopped('SIGINT')).toEqual(cleanExit);
      await expectNothingLeft();
    },
  );

  it('comes up again after it was killed, with its data', async () => {
    const first = start();
    const { url } = await first.started();
    const player = await signIn({ url }, { deviceId });
    const object = { collection: 'saves', key: 'k', value: '{"n":1}' };
    const { authorization } = player;
    await request({ url }, 'PUT', '/v2/storage', { authorization, body: { objects: [object] } });
    expect(await first.stopped('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });

    const second = start();
    const found = await second.started();
    expect((await signIn(found, { deviceId })).id).toBe(player.id);
    const listed = await request(found, 'GET', `/v2/storage/saves/${player.id}`, { authorization });
    expect(listed.body.objects).toMatchObject([{ key: 'k', value: '{"n": 1}' }]);
    expect(await second.stopped()).toEqual(cleanExit);
    await expectNothingLeft();
  });

  it('comes up again after the database was killed, too', async () => {
    const first = start();
    await first.started();
    const pids = await postgresProcesses(dataDir);
    first.kill('SIGKILL');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await first.exited();
    const second = start();
    expect((await signIn(await second.started(), { deviceId })).username).toBe('keeper');
    expect(await second.stopped()).toEqual(cleanExit);
    await expectNothingLeft();
  });

  it.each(listenerKinds)('says that the port is in use and lets the database go, %s listener', async (listener) => {
    const { server, port } = await occupyPort();
    const node = CliProcess.muster([
      ...['start', '--dev', '--data_dir', dataDir, '--socket.listener', listener],
      ...['--socket.address', '127.0.0.1', '--socket.port', String(port)],
    ]);
    expect(await node.exited()).toEqual({ code: 1, signal: null });
    server.close();
    expect(node.stderr).toContain(`127.0.0.1:${port}`);
    expect(node.stderr).toContain('in use');
    expect(node.stderr).not.toContain(' at ');
    expect(node.stdout).not.toContain('Muster is up.');
    await expectNothingLeft();
  });

  it.skipIf(process.platform === 'win32')(
    'ends at Ctrl-C under npm, which reaches the whole process group',
    async () => {
      const npm = CliProcess.npmStart(['--data_dir', dataDir, ...listening]);
      expect((await signIn(await npm.started(), { deviceId })).username).toBe('keeper');
      npm.kill('SIGINT');
      await npm.exited();
      // npm ends as its command was told to; the node itself ended in order.
      expect(npm.log.at(-1)?.msg).toBe('Shutdown complete');
      expect(() => process.kill(-npm.pid, 0)).toThrow('ESRCH');
      await expectNothingLeft();
    },
  );
});

describe('a node that is asked to stop', () => {
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createTestSchema();
  });
  afterAll(() => schema.drop());

  /** A node with a write in flight that waits for a lock, until `release`. */
  const startBusy = async () => {
    const node = CliProcess.muster([
      ...['start', '--dev', '--database.url', schema.url, '--database.statement_timeout_ms', '60000', ...listening],
    ]);
    const at = await node.started();
    const { authorization, token } = await signIn(at);
    const socket = await TestSocket.connect(at, token);
    const locker = new pg.Client(schema.url);
    await locker.connect();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE storage');
    const objects = [{ collection: 'c', key: 'k', value: '{}' }];
    const write = request(at, 'PUT', '/v2/storage', { authorization, body: { objects } }).catch(
      (error: Error) => error,
    );
    await waitFor('the write to wait', async () => {
      const { rows } = await locker.query(
        `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'storage'::regclass`,
      );
      return rows.length > 0;
    });
    return { node, at, socket, write, release: () => locker.end() };
  };

  it('answers what is in flight, tells sockets to go, and takes nothing new', async () => {
    const { node, at, socket, write, release } = await startBusy();
    node.kill('SIGTERM');
    expect(await socket.waitClosed()).toEqual({ code: 1001, reason: 'server shutting down' });
    await expect(signIn(at)).rejects.toThrow();
    expect(node.exit).toBeUndefined();
    await release();
    expect(await write).toMatchObject({ status: 200 });
    expect(await node.exited()).toEqual(cleanExit);
  });

  it('waits no longer when asked again', async () => {
    const { node, socket, write, release } = await startBusy();
    node.kill('SIGINT');
    await socket.waitClosed();
    await sleep(600);
    expect(node.exit).toBeUndefined();
    const askedAt = performance.now();
    node.kill('SIGINT');
    expect(await node.exited()).toEqual(cleanExit);
    // Without, it waits ten seconds.
    expect(performance.now() - askedAt).toBeLessThan(6000);
    await write;
    await release();
  });
});

describe('configuration', () => {
  it('must hold secrets of its own outside dev', async () => {
    const { exit, stdout, stderr } = await CliProcess.run(['start', ...listening]);
    expect(exit.code).toBe(1);
    expect(stdout).toBe('');
    for (const key of ['session.encryption_key', 'session.refresh_encryption_key', 'socket.server_key']) {
      expect(stderr).toContain(key);
    }
    expect(stderr).toContain('MUSTER_SESSION_ENCRYPTION_KEY');
  });

  it('tells everything that is wrong with it', async () => {
    const file = path.join(folder, 'bad.yml');
    await writeFile(
      file,
      'session:\n  token_expiry_sec: soon\n  encryption_key: hunter2hunter2hunter2\nsokcet:\n  port: 1\n',
    );
    const args = ['--config', file, '--socket.port', '70000', '--nope', '1', 'word'];
    const env = { MUSTER_DATABASE_POOL_SIZE: '0' };
    const commands = ['start', 'check'].map((command) => CliProcess.run([command, '--dev', ...args], env));
    for (const { exit, stdout, stderr } of await Promise.all(commands)) {
      expect(exit.code).toBe(1);
      expect(stdout).toBe('');
      const parts = ['session.token_expiry_sec', file, 'sokcet', 'socket.port', '0-65535', 'nope', `'word'`];
      for (const part of [...parts, 'MUSTER_DATABASE_POOL_SIZE']) expect(stderr).toContain(part);
      expect(stderr).not.toContain('hunter2');
    }
  });

  it('can be checked', async () => {
    const checked = await CliProcess.run(['check', '--dev']);
    expect(checked.exit).toEqual(cleanExit);
    expect(checked.stdout).toContain('configuration ok');
  });

  it('serves with secrets of its own, and refuses a schema that is behind', async () => {
    const schema = await createTestSchema();
    const env = {
      DATABASE_URL: schema.url,
      MUSTER_SESSION_ENCRYPTION_KEY: 'one-of-our-own',
      MUSTER_SESSION_REFRESH_ENCRYPTION_KEY: 'another-of-our-own',
      MUSTER_SOCKET_SERVER_KEY: 'and-a-server-key',
    };
    const early = await CliProcess.run(['start', ...listening], env);
    expect(early.exit.code).toBe(1);
    expect(early.stderr).toMatch(/behind this build: 0001_accounts.* Run the migrate command/);
    expect(early.stderr).not.toContain(' at ');
    expect((await CliProcess.run(['migrate', 'up'], env)).exit).toEqual(cleanExit);
    const node = CliProcess.muster(listening, env);
    const { url } = await node.started();
    expect((await request({ url }, 'GET', '/healthcheck')).status).toBe(200);
    await expect(signIn({ url })).rejects.toThrow('Server key invalid');
    expect(await node.stopped('SIGTERM')).toEqual(cleanExit);
    expect(node.stdout).not.toContain('Muster is up.');
    await schema.drop();
  });

  it('says what keeps it from the database, without the password', async () => {
    const { exit, stderr } = await CliProcess.run(['start', '--dev', ...listening], {
      DATABASE_URL: 'postgresql://somebody:hunter2@127.0.0.1:1/muster',
    });
    expect(exit.code).toBe(1);
    expect(stderr).toContain('ECONNREFUSED 127.0.0.1:1');
    expect(stderr).not.toContain('hunter2');
    expect(stderr).not.toContain(' at ');
  });
});

describe('migrate', () => {
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createTestSchema();
  });
  afterAll(() => schema.drop());
  /** The lines that are not log. */
  const migrate = async (...args: string[]) => {
    const { exit, stdout, stderr } = await CliProcess.run(['migrate', ...args], { DATABASE_URL: schema.url });
    return {
      code: exit.code,
      lines: stdout.split('\n').filter((line) => line !== '' && !line.startsWith('{')),
      stderr,
    };
  };

  it('goes up, down, up again, and tells where it is; it needs no secrets', async () => {
    const before = await migrate('status');
    expect(before.code).toBe(0);
    expect(before.lines[0]).toBe('0001_accounts  pending');
    const names = before.lines.map((line) => line.split(' ')[0]);
    expect(names.length).toBeGreaterThanOrEqual(4);

    expect(await migrate('up')).toMatchObject({ code: 0, lines: names.map((name) => `applied ${name}`) });
    expect(await migrate('up')).toMatchObject({ code: 0, lines: ['nothing to do'] });
    const last = names.at(-1) ?? '';
    expect(await migrate('down')).toMatchObject({ code: 0, lines: [`reverted ${last}`] });
    const between = await migrate('status');
    expect(between.lines.at(-1)).toBe(`${last}  pending`);
    expect(between.lines[0]).toMatch(/^0001_accounts {2}applied \d{4}-\d\d-\d\dT/);
    expect(await migrate('up')).toMatchObject({ lines: [`applied ${last}`] });
    expect(await migrate('redo')).toMatchObject({ lines: [`reverted ${last}`, `applied ${last}`] });
    const reverted = names.toReversed().map((name) => `reverted ${name}`);
    expect(await migrate('down', '--limit', '2')).toMatchObject({ lines: reverted.slice(0, 2) });
    expect(await migrate('up', '--limit', '1')).toMatchObject({ lines: [`applied ${names.at(-2)}`] });
    expect(await migrate('down')).toMatchObject({ lines: [reverted[1]] });
    expect(await migrate('down', '--limit', '100')).toMatchObject({ lines: reverted.slice(2) });
    expect(await migrate('down')).toMatchObject({ lines: ['nothing to do'] });
  });

  it('refuses any other direction, before it opens anything', async () => {
    const lines = [[], ['sideways'], ['toString'], ['--limit', '1']];
    for (const { code, stderr } of await Promise.all(lines.map((args) => migrate(...args)))) {
      expect(code).toBe(2);
      expect(stderr).toContain('migrate needs up, down, redo or status');
    }
  });

  it("does not revert what was Nakama's before", async () => {
    const nakama = await createTestSchema();
    await createNakamaDatabase(nakama.url);
    const env = { DATABASE_URL: nakama.url };
    expect((await CliProcess.run(['migrate', 'up'], env)).exit.code).toBe(0);
    for (const direction of ['down', 'redo']) {
      const { exit, stderr } = await CliProcess.run(['migrate', direction], env);
      expect(exit.code).toBe(1);
      expect(stderr).toContain('migration_info');
    }
    const { stdout } = await CliProcess.run(['migrate', 'status'], env);
    expect(stdout).not.toContain('pending');
    await nakama.drop();
  });
});

describe('the command line', () => {
  it('explains itself', async () => {
    const lines = [['--help'], ['help'], ['start', '--help']];
    for (const { exit, stdout, stderr } of await Promise.all(lines.map((args) => CliProcess.run(args)))) {
      expect(exit).toEqual(cleanExit);
      expect(stderr).toBe('');
      for (const part of ['migrate up|down|redo|status', 'healthcheck', '--socket.port', '--data_dir', 'MUSTER_']) {
        expect(stdout).toContain(part);
      }
    }
  });

  it('knows its version', async () => {
    const { exit, stdout } = await CliProcess.run(['--version']);
    expect(exit).toEqual(cleanExit);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('refuses a command it does not have', async () => {
    const { exit, stderr } = await CliProcess.run(['strat']);
    expect(exit.code).toBe(2);
    expect(stderr).toContain('unknown command "strat"');
    expect(stderr).toContain('healthcheck');
  });

  it('refuses to check the health of what is no port', async () => {
    const ports = ['abc', '70000', '-1', ''];
    for (const { exit, stderr } of await Promise.all(ports.map((port) => CliProcess.run(['healthcheck', port])))) {
      expect(exit.code).toBe(2);
      expect(stderr).toContain('needs a port');
    }
  });
});

async function occupyPort(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}
