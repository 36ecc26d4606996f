import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../testing/database.ts';
import { request, signIn } from '../testing/http.ts';
import { unique } from '../testing/names.ts';
import { listenerKinds } from '../testing/node.ts';
import { openTestRedis, redisAvailable } from '../testing/redis.ts';
import { type Envelope, TestSocket } from '../testing/socket.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import { CliProcess, killLeftovers, postgresProcesses } from './cli-process.ts';

const cleanExit = { code: 0, signal: null };
const join = { channel_join: { target: 'everybody', type: 1, persistence: false } };

let folder: string;
let dataDir: string;
let schema: TestSchema;
let redis: { readonly url: string; stop(): Promise<void> };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-workers-'));
  dataDir = path.join(folder, 'data');
  schema = await createTestSchema();
  if (redisAvailable) redis = await openTestRedis();
});
afterAll(async () => {
  await killLeftovers(dataDir);
  if (redisAvailable) await redis.stop();
  await schema.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Flags for two workers that meet nobody else. */
const twoWorkers = (flags: Record<string, string> = {}): string[] => {
  const settings: Record<string, string> = {
    workers: '2',
    'socket.address': '127.0.0.1',
    'socket.port': '0',
    'redis.url': redis.url,
    'redis.key_prefix': unique('workers'),
    'database.url': schema.url,
    ...flags,
  };
  return Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
};

async function start(flags: Record<string, string> = {}): Promise<{ main: CliProcess; url: string; port: number }> {
  const main = CliProcess.muster(['start', '--dev', ...twoWorkers(flags)]);
  const { port = 0 } = await main.logged('All workers are up');
  return { main, url: `http://127.0.0.1:${port}`, port };
}

/** The processes of a worker, the present one last. */
const pidsOf = (main: CliProcess, worker: string): number[] =>
  main.log.flatMap((line) => (line.msg === 'worker process started' && line.worker === worker ? (line.pid ?? []) : []));

const allPids = (main: CliProcess): number[] =>
  main.log.flatMap(({ msg, pid }) => (msg === 'worker process started' ? (pid ?? []) : []));

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const expectAllGone = (main: CliProcess): Promise<unknown> =>
  waitFor('the workers to be gone', () => allPids(main).length > 0 && !allPids(main).some(exists));

describe.skipIf(!redisAvailable).each(listenerKinds)('two workers on one port, %s listener', (listener) => {
  let main: CliProcess;
  let at: { url: string; port: number };
  let metricsPort: number;
  /** A socket on each worker. */
  let sockets: TestSocket[];

  beforeAll(async () => {
    metricsPort = await twoFreePorts();
    const flags = { name: 'w', 'socket.listener': listener, 'metrics.prometheus_port': String(metricsPort) };
    const { main: started, ...where } = await start(flags);
    [main, at] = [started, where];
  });

  const socketsOn = async (worker: number): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort + worker}/`)).text();
    return Number(/^nakama_sessions(?:\{.*\})? (\d+)$/m.exec(text)?.[1]);
  };

  /** Connects until a socket lands on that worker. */
  const connectTo = async (worker: number): Promise<TestSocket> => {
    for (let attempt = 0; attempt < 200; attempt++) {
      const before = await socketsOn(worker);
      const socket = await TestSocket.connect(at, (await signIn(at)).token);
      if ((await socketsOn(worker)) > before) return socket;
      await socket.close();
    }
    throw new Error(`no socket landed on worker ${worker}`);
  };

  const chat = async (from: TestSocket, to: TestSocket): Promise<void> => {
    const { channel } = await from.request(join);
    const content = JSON.stringify({ text: unique('hello') });
    await from.request({ channel_message_send: { channel_id: channel.id, content } });
    await to.take('the message', (envelope: Envelope) => envelope.channel_message?.content === content);
  };

  it('come up, each by its name, and say where once', async () => {
    await waitFor('the banner', () => main.stdout.includes('Muster is up.'));
    const ups = main.log.filter(({ msg }) => msg === 'Startup done');
    expect(ups.map(({ worker, port }) => [worker, port]).sort()).toEqual([
      ['w-0', at.port],
      ['w-1', at.port],
    ]);
    expect(main.log.filter(({ msg }) => msg === 'All workers are up')).toMatchObject([
      { workers: 2, metrics_ports: [metricsPort, metricsPort + 1] },
    ]);
    expect(main.stdout.split('Muster is up.')).toHaveLength(2);
    expect(main.stdout).toContain(at.url);
    expect(main.stderr).toBe('');
    expect((await request(at, 'GET', '/ready')).status).toBe(200);
  });

  it('do not share the port with another server', async () => {
    const flags = { 'socket.listener': listener, 'socket.port': String(at.port) };
    const { exit, stderr } = await CliProcess.run(['start', '--dev', ...twoWorkers(flags)]);
    expect(exit.code).toBe(1);
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${at.port}: in use`);
  });

  it('both take connections, and their sockets meet', async () => {
    sockets = [await connectTo(0), await connectTo(1)];
    const [zero, one] = sockets as [TestSocket, TestSocket];
    await zero.request(join);
    await one.request(join);
    await chat(zero, one);
    await chat(one, zero);
  });

  it('killed: the port serves on, and the worker is back under its name', async () => {
    const [zero, one] = sockets as [TestSocket, TestSocket];
    const answers: { askedAt: number; answer: number | string }[] = [];
    let isBack = false;
    const asking = Array.from({ length: 4 }, async () => {
      while (!isBack) answers.push({ askedAt: performance.now(), answer: await askOnce(at.port) });
    });
    await waitFor('requests to flow', () => answers.length > 20);

    const [victim = 0] = pidsOf(main, 'w-0');
    process.kill(victim, 'SIGKILL');
    await main.logged('a worker has died, starting another');
    const goneAt = performance.now();
    await zero.waitClosed();
    await one.take('the leave of who was on it', (envelope) => envelope.channel_presence_event?.leaves !== undefined);
    await waitFor('the worker to be back', () => main.log.filter(isStart('w-0')).length === 2, 20_000);
    isBack = true;
    await Promise.all(asking);

    // What the killed one had taken is reset, and nothing else: the port never refuses, and none waits in vain.
    expect(answers.filter(({ answer }) => answer !== 200 && answer !== 'ECONNRESET')).toEqual([]);
    expect(answers.filter(({ askedAt, answer }) => answer !== 200 && askedAt > goneAt)).toEqual([]);
    expect(answers.filter(({ askedAt }) => askedAt > goneAt).length).toBeGreaterThan(20);
    expect(pidsOf(main, 'w-0')).toHaveLength(2);
    expect(pidsOf(main, 'w-1')).toHaveLength(1);

    expect(one.closed).toBeUndefined();
    const next = await connectTo(0);
    await next.request(join);
    await chat(next, one);
    await chat(one, next);
    sockets = [next, one];
  });

  it('end in order, all of them, at SIGTERM', async () => {
    main.kill('SIGTERM');
    for (const socket of sockets) {
      expect(await socket.waitClosed()).toEqual({ code: 1001, reason: 'server shutting down' });
    }
    expect(await main.exited()).toEqual(cleanExit);
    expect(allPids(main).filter(exists)).toEqual([]);
    expect(main.log.filter(({ msg }) => msg === 'Shutdown complete').map(({ worker }) => worker)).toHaveLength(3);
    expect(main.log.at(-1)).toMatchObject({ msg: 'Shutdown complete' });
    expect(main.stderr).toBe('');
    expect(await askOnce(at.port)).toBe('ECONNREFUSED');
  });
});

const isStart =
  (name: string) =>
  ({ msg, worker }: { msg: string; worker?: string }): boolean =>
    msg === 'Startup done' && worker === name;

describe.skipIf(!redisAvailable)('a supervisor', () => {
  it('that is killed does not leave its workers behind', async () => {
    const { main, ...at } = await start();
    const socket = await TestSocket.connect(at, (await signIn(at)).token);
    main.kill('SIGKILL');
    await expectAllGone(main);
    expect((await socket.waitClosed()).code).toBe(1001);
    expect(await askOnce(at.port)).toBe('ECONNREFUSED');
  });

  it('lets calls in flight end, and waits no longer when asked again', async () => {
    const { main, ...at } = await start({ 'database.statement_timeout_ms': '60000' });
    const { authorization, token } = await signIn(at);
    const socket = await TestSocket.connect(at, token);
    const locker = new pg.Client(schema.url);
    await locker.connect();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE storage');
    const objects = [{ collection: 'c', key: 'k', value: '{}' }];
    const write = request(at, 'PUT', '/v2/storage', { authorization, body: { objects } }).catch((error) => error);
    await waitFor('the write to wait', async () => {
      const locks = `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'storage'::regclass`;
      return (await locker.query(locks)).rows.length > 0;
    });
    main.kill('SIGINT');
    await socket.waitClosed();
    await sleep(600);
    expect(main.exit).toBeUndefined();
    const askedAt = performance.now();
    main.kill('SIGINT');
    expect(await main.exited()).toEqual(cleanExit);
    // Without, it waits ten seconds.
    expect(performance.now() - askedAt).toBeLessThan(6000);
    expect(allPids(main).filter(exists)).toEqual([]);
    await write;
    await locker.end();
  });

  it('ends in order when asked to while workers start', async () => {
    const main = CliProcess.muster(['start', '--dev', ...twoWorkers()]);
    await main.logged('worker process started');
    expect(await main.stopped('SIGTERM')).toEqual(cleanExit);
    expect(allPids(main).filter(exists)).toEqual([]);
    expect(main.stdout).not.toContain('Muster is up.');
  });

  it('gives up when a worker cannot start, and says why once', async () => {
    const metricsPort = await twoFreePorts();
    const taken = await listenOn(metricsPort + 1);
    const flags = { 'metrics.prometheus_port': String(metricsPort) };
    const { exit, stderr, stdout, log } = await CliProcess.run(['start', '--dev', ...twoWorkers(flags)]);
    taken.close();
    expect(exit).toEqual({ code: 1, signal: null });
    expect(stderr.match(/EADDRINUSE/g)).toHaveLength(1);
    expect(stderr).not.toContain(' at ');
    expect(stdout).not.toContain('Muster is up.');
    expect(log.filter(({ msg }) => msg === 'worker process started')).toHaveLength(2);
    expect(log.flatMap(({ pid }) => pid ?? []).filter(exists)).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')(
    'starts the embedded database once, and ends with it at Ctrl-C under npm',
    async () => {
      const flags = { data_dir: dataDir, 'database.url': '' };
      const npm = CliProcess.npmStart(twoWorkers(flags));
      const { port } = await npm.logged('All workers are up');
      expect(npm.log.filter(({ msg }) => msg === 'embedded database ready')).toHaveLength(1);
      const at = { url: `http://127.0.0.1:${port}` };
      const players = await Promise.all(Array.from({ length: 8 }, () => signIn(at)));
      expect(new Set(players.map(({ id }) => id)).size).toBe(8);
      npm.kill('SIGINT');
      await npm.exited();
      // npm ends as its command was told to; the supervisor itself ended in order.
      expect(npm.log.at(-1)).toMatchObject({ msg: 'Shutdown complete' });
      expect(() => process.kill(-npm.pid, 0)).toThrow('ESRCH');
      expect(await postgresProcesses(dataDir)).toEqual([]);
    },
  );
});

it('needs Redis, and says so', async () => {
  const { exit, stdout, stderr } = await CliProcess.run(['start', '--dev', '--workers', '2']);
  expect(exit.code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain('--workers 2 needs Redis');
  expect(stderr).toContain('redis.url');
});

/** The status of a request on a connection of its own, or how it failed. */
function askOnce(port: number): Promise<number | string> {
  return new Promise((resolve) => {
    const asked = get({ host: '127.0.0.1', port, path: '/healthcheck', agent: false, timeout: 5000 }, (response) => {
      response.resume();
      response.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    asked.on('timeout', () => {
      resolve('no answer');
      asked.destroy();
    });
    asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** A free port that is followed by another. */
async function twoFreePorts(): Promise<number> {
  for (;;) {
    const first = await listenOn(0);
    const { port } = first.address() as AddressInfo;
    const second = await listenOn(port + 1).catch(() => undefined);
    await Promise.all([first, second].map((each) => new Promise((closed) => (each ? each.close(closed) : closed(0)))));
    if (second !== undefined) return port;
  }
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, () => resolve(server));
  });
}
