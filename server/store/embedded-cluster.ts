import { randomBytes } from 'node:crypto';
import { chown, copyFile, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import type { Logger } from 'pino';
import { type Binaries, type RunAs, runCommand } from './embedded-binaries.ts';
import { pidExists } from './process-lock.ts';

const user = 'postgres';
const database = 'muster';

/** Beside the files of PostgreSQL itself, in its folder. */
const passwordFile = 'muster.password';
const portFile = 'muster.port';
const logFile = 'postgres.log';

const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;

/** postgres.log is moved to postgres.log.1 at this size. */
const maxLogBytes = 16 * 1024 * 1024;

/** The files and the server process of one database cluster. */
export class Cluster {
  readonly #dataDir: string;
  readonly #binaries: Binaries;
  readonly #runAs: RunAs | undefined;
  readonly #log: Logger;

  constructor(dataDir: string, binaries: Binaries, runAs: RunAs | undefined, log: Logger) {
    this.#dataDir = dataDir;
    this.#binaries = binaries;
    this.#runAs = runAs;
    this.#log = log;
  }

  /** Runs initdb beside the final place and moves the result there, so a crash on the way leaves nothing half made. */
  async ensureInitialized(): Promise<void> {
    const parent = path.dirname(this.#dataDir);
    const draftPrefix = `${path.basename(this.#dataDir)}.init-`;
    for (const name of await readdir(parent)) {
      if (name.startsWith(draftPrefix)) await rm(path.join(parent, name), { recursive: true, force: true });
    }
    const version = await readFile(this.#file('PG_VERSION'), 'utf8').catch(() => undefined);
    if (version !== undefined) {
      const major = this.#binaries.version.split('.')[0];
      if (version.trim() === major) return this.#takeOver();
      throw new Error(
        `${this.#dataDir} was made by PostgreSQL ${version.trim()}, but this build brings ${major}. ` +
          'Dump it with the old build and restore it with this one.',
      );
    }
    const found = await readdir(this.#dataDir).catch(() => []);
    if (found.length > 0) throw new Error(`${this.#dataDir} is neither empty nor a PostgreSQL data folder`);

    const draft = await mkdtemp(path.join(parent, draftPrefix));
    const secret = await mkdtemp(path.join(tmpdir(), 'muster-'));
    try {
      const password = randomBytes(24).toString('base64url');
      const secretFile = path.join(secret, 'password');
      await writeFile(secretFile, `${password}\n`, { mode: 0o600 });
      await this.#give(secretFile);
      await this.#give(secret);
      await this.#give(draft);
      const { code, output } = await this.#command(
        this.#binaries.initdb,
        [
          `--pgdata=${this.#pathFor(draft)}`,
          `--username=${user}`,
          `--pwfile=${secretFile}`,
          '--auth=scram-sha-256',
          '--encoding=UTF8',
          '--locale=C',
          '--no-instructions',
        ],
        draft,
        startTimeoutMs,
      );
      if (code !== 0) throw new Error(`Cannot create the embedded database: ${output.trim()}`);
      await writeFile(path.join(draft, passwordFile), password, { mode: 0o600 });
      await this.#give(path.join(draft, passwordFile));
      await rename(draft, this.#dataDir);
    } finally {
      await rm(secret, { recursive: true, force: true });
      await rm(draft, { recursive: true, force: true });
    }
  }

  /** A folder that was restored or copied by root belongs to root, and PostgreSQL insists on its own. */
  async #takeOver(): Promise<void> {
    const { uid } = await stat(this.#dataDir);
    if (this.#runAs === undefined || uid === this.#runAs.uid) return;
    const owner = `${this.#runAs.uid}:${this.#runAs.gid}`;
    for (const [command, mode] of [
      ['chown', owner],
      ['chmod', 'u+rwX,go-rwx'],
    ] as const) {
      const { code, output } = await runCommand(command, ['-R', mode, this.#dataDir], { cwd: '/' });
      if (code !== 0) throw new Error(`Cannot give ${this.#dataDir} to user ${owner}: ${output.trim()}`);
    }
  }

  /** The postmaster that serves this folder, left over or started by another process. */
  async findRunning(): Promise<number | undefined> {
    const pid = await this.#recordedPid();
    if (pid === undefined) return undefined;
    return pidExists(pid) && (await this.#serves(pid)) ? pid : undefined;
  }

  /** Starts the postmaster and returns its pid. */
  async start(port: number | undefined): Promise<number> {
    await this.#dropForeignPidFile();
    await this.limitLog();
    const deadline = performance.now() + startTimeoutMs;
    let chosen = port ?? (await this.#rememberedPort()) ?? (await freePort());
    for (;;) {
      const from = await stat(this.#file(logFile)).then(
        ({ size }) => size,
        () => 0,
      );
      const settings = [
        `-p ${chosen}`,
        '-c listen_addresses=127.0.0.1',
        '-c unix_socket_directories=',
        '-c max_connections=200',
      ].join(' ');
      const { code, output } = await this.#pgCtl(
        [
          'start',
          '-w',
          '-t',
          String(startTimeoutMs / 1_000),
          '-l',
          this.#pathFor(this.#dataDir, logFile),
          '-o',
          settings,
        ],
        startTimeoutMs + 5_000,
      );
      if (code === 0) {
        const pid = await this.#recordedPid();
        if (pid === undefined) throw new Error('The embedded database ended right after its start');
        await writeFile(this.#file(portFile), String(chosen));
        return pid;
      }
      const said = (await readFile(this.#file(logFile), 'utf8').catch(() => '')).slice(from).trim();
      if (performance.now() > deadline) throw new Error(`Cannot start the embedded database: ${output}\n${said}`);
      if (said.includes('Address already in use') && port === undefined) {
        chosen = await freePort();
      } else if (said.includes('shared memory block') && said.includes('still in use')) {
        // The children of a killed postmaster need a moment to notice that it is gone.
        await new Promise((resolve) => setTimeout(resolve, 200));
      } else {
        throw new Error(`Cannot start the embedded database: ${output.trim()}\n${said}`);
      }
    }
  }

  /** Waits until it answers, creates our database in it if need be, and returns the URL. */
  async ready(pid: number): Promise<string> {
    const password = (await readFile(this.#file(passwordFile), 'utf8').catch(() => '')).trim();
    if (password === '') throw new Error(`${this.#dataDir} is not ours: it holds no ${passwordFile}`);
    const deadline = performance.now() + startTimeoutMs;
    for (;;) {
      const port = await this.#recordedPort();
      const base = `postgresql://${user}:${password}@127.0.0.1:${port}`;
      try {
        await this.#ensureDatabase(`${base}/postgres`);
        return `${base}/${database}`;
      } catch (error) {
        if ((await this.findRunning()) !== pid || performance.now() > deadline) {
          throw new Error('The embedded database does not answer', { cause: error });
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async #ensureDatabase(url: string): Promise<void> {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {});
    await client.connect();
    try {
      const { rows } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
      if (rows.length === 0) await client.query(`CREATE DATABASE ${database}`);
    } finally {
      await client.end();
    }
  }

  /** Disconnects all clients and stops; harder if that takes too long. */
  async stop(): Promise<void> {
    for (const mode of ['fast', 'immediate']) {
      const { code, output } = await this.#pgCtl(
        ['stop', '-m', mode, '-w', '-t', String(stopTimeoutMs / 1_000)],
        stopTimeoutMs + 5_000,
      );
      if (code === 0 || (await this.findRunning()) === undefined) return;
      this.#log.warn({ mode, output: output.trim() }, 'embedded database does not stop');
    }
    throw new Error('The embedded database does not stop');
  }

  async limitLog(): Promise<void> {
    const file = this.#file(logFile);
    try {
      const { size } = await stat(file);
      if (size < maxLogBytes) return;
      // PostgreSQL keeps the file open for appending, so it is emptied, not replaced.
      await copyFile(file, `${file}.1`);
      await truncate(file, 0);
    } catch {
      // No log yet, or the folder is gone.
    }
  }

  /**
   * A crash leaves postmaster.pid behind. PostgreSQL sees for itself that its process is dead, but not if the number
   * meanwhile belongs to another process of the same user. The file may go only if no process at all works in the
   * folder: PostgreSQL needs it to notice children that survived.
   */
  async #dropForeignPidFile(): Promise<void> {
    const pid = await this.#recordedPid();
    if (pid === undefined || !pidExists(pid) || process.platform !== 'linux') return;
    for (const name of await readdir('/proc')) {
      if (/^\d+$/.test(name) && (await this.#serves(Number(name)))) return;
    }
    await rm(this.#file('postmaster.pid'), { force: true });
  }

  /** PostgreSQL works in its data folder, which tells its processes from others with a recycled pid. */
  async #serves(pid: number): Promise<boolean> {
    if (process.platform !== 'linux') {
      if (process.platform === 'win32') return true;
      const { output } = await runCommand('ps', ['-o', 'command=', '-p', String(pid)], { cwd: '/' });
      return output.includes('postgres') && output.includes(this.#dataDir);
    }
    try {
      const [cwd, own] = await Promise.all([stat(`/proc/${pid}/cwd`), stat(this.#dataDir)]);
      return cwd.ino === own.ino && cwd.dev === own.dev;
    } catch {
      return false;
    }
  }

  async #recordedPid(): Promise<number | undefined> {
    const pid = Number((await this.#postmasterLines())[0]);
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  }

  async #recordedPort(): Promise<number | undefined> {
    const port = Number((await this.#postmasterLines())[3]);
    return Number.isInteger(port) && port > 0 ? port : undefined;
  }

  async #postmasterLines(): Promise<string[]> {
    return (await readFile(this.#file('postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  }

  async #rememberedPort(): Promise<number | undefined> {
    const port = Number(await readFile(this.#file(portFile), 'utf8').catch(() => ''));
    return Number.isInteger(port) && port > 0 ? port : undefined;
  }

  #pgCtl(args: readonly string[], timeoutMs: number): Promise<{ code: number | null; output: string }> {
    return this.#command(
      this.#binaries.pgCtl,
      [`--pgdata=${this.#pathFor(this.#dataDir)}`, ...args],
      this.#dataDir,
      timeoutMs,
    );
  }

  #command(file: string, args: readonly string[], cwd: string, timeoutMs: number) {
    return runCommand(file, args, { runAs: this.#runAs, cwd, timeoutMs });
  }

  /**
   * A path as the database's user can reach it. That user may not be let into the folders above (a checkout below
   * /root); but its programs are started with the folder as their working directory, which they may always enter.
   */
  #pathFor(directory: string, file?: string): string {
    const base = this.#runAs !== undefined && process.platform === 'linux' ? '/proc/self/cwd' : directory;
    return file === undefined ? base : path.join(base, file);
  }

  #file(name: string): string {
    return path.join(this.#dataDir, name);
  }

  async #give(file: string): Promise<void> {
    if (this.#runAs !== undefined) await chown(file, this.#runAs.uid, this.#runAs.gid);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('No free port'));
      });
    });
  });
}
