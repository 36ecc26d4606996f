import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { RedisLinkOptions } from '../cluster/redis-link.ts';
import { freePort } from './ports.ts';
import { waitFor } from './wait.ts';

/** One or several servers of a test's own, to which nodes have ways of their own. */
export interface TestRedisPlace {
  /** Ends it for good. */
  stop(): Promise<void>;
  openWay(): Promise<RedisWay>;
}

/** One node's way to Redis, which can be stopped up or cut while the other nodes' stay open. */
export interface RedisWay {
  readonly server: RedisLinkOptions['server'];
  /** `performance.now()` of every connection that was attempted. */
  readonly attempts: readonly number[];
  /** Nothing passes any more, in either direction, until `heal`; then all of it does. */
  stall(): void;
  /** Ends all connections, and every new one at once, until `heal`. */
  cut(): void;
  heal(): void;
  close(): Promise<void>;
}

/** A Redis of a test's own, which may be treated badly. It keeps nothing on disk. */
export interface TestRedis extends TestRedisPlace {
  readonly url: string;
  readonly port: number;
  /** Of the present process. */
  readonly pid: number;
  /** As a crash would; `restart` brings it back. */
  kill9(): Promise<void>;
  /** A new, empty process on the same port. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay, answers stop. */
  pause(): void;
  resume(): void;
}

/** False when this machine has no redis-server: suites that need one are left out then, but never in CI. */
export const redisAvailable: boolean = findRedis();

function findRedis(): boolean {
  if (spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0) return true;
  if (process.env['CI'] === 'true') throw new Error('redis-server is not installed, and CI must not go without');
  // Once, though every test file asks: workers inherit the note.
  if (process.env['MUSTER_TEST_WITHOUT_REDIS'] === undefined) {
    console.error('!!! redis-server is not installed: EVERYTHING THAT NEEDS REDIS IS NOT TESTED !!!');
    process.env['MUSTER_TEST_WITHOUT_REDIS'] = 'said';
  }
  return false;
}

/** A server for tests that only talk to it: that of MUSTER_TEST_REDIS_URL, or one of their own. Use an own prefix. */
export async function openTestRedis(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const url = process.env['MUSTER_TEST_REDIS_URL'];
  return url ? { url, stop: async () => {} } : await startTestRedis();
}

/** @param more arguments for redis-server */
export async function startTestRedis(more: readonly string[] = []): Promise<TestRedis> {
  const port = await freePort();
  let child = await launch(port, more);
  // A test that fails half-way leaves no server behind.
  const atExit = (): void => void child.kill('SIGKILL');
  process.once('exit', atExit);
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid ?? 0;
    },
    async stop() {
      process.off('exit', atExit);
      await end();
    },
    kill9: end,
    async restart() {
      await end();
      child = await launch(port, more);
    },
    openWay: () => new RedisProxy(port).listen(),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
  };
}

async function launch(port: number, more: readonly string[]): Promise<ChildProcess> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...more];
  const child = spawn('redis-server', [...args, '--loglevel', 'warning'], { stdio: 'ignore' });
  await waitFor('redis-server to start', () => {
    if (child.exitCode !== null) throw new Error(`redis-server has exited with ${child.exitCode}`);
    return answers(port);
  });
  return child;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const settle = (yes: boolean) => (): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.on('data', settle(true)).on('error', settle(false)).on('close', settle(false));
  });
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

export class RedisProxy implements RedisWay {
  readonly attempts: number[] = [];
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #state: 'open' | 'stalled' | 'cut' = 'open';

  /** @param target the port of the Redis. */
  constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#serve(client));
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  get server(): string {
    return this.url;
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<this> {
    this.#port = await listen(this.#server);
    return this;
  }

  stall(): void {
    this.#state = 'stalled';
    for (const socket of this.#sockets) socket.pause();
  }

  cut(): void {
    this.#state = 'cut';
    for (const socket of this.#sockets) socket.destroy();
  }

  heal(): void {
    this.#state = 'open';
    for (const socket of this.#sockets) socket.resume();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((closed) => this.#server.close(closed));
  }

  #serve(client: Socket): void {
    this.attempts.push(performance.now());
    if (this.#state === 'cut') {
      client.destroy();
      return;
    }
    const upstream = connect(this.#target, '127.0.0.1');
    const relay = (from: Socket, to: Socket): void => {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('data', (chunk) => to.write(chunk));
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      if (this.#state === 'stalled') from.pause();
    };
    relay(client, upstream);
    relay(upstream, client);
  }
}
