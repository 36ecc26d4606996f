import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { findBinaries, type RunAs } from './embedded-binaries.ts';
import { Cluster } from './embedded-cluster.ts';
import { identify, isAlive, readIdentity, withFileLock } from './process-lock.ts';

export interface EmbeddedOptions {
  /** Folder of the database cluster; created if missing. */
  readonly dataDir: string;
  /** By default a free one, which is remembered. */
  readonly port?: number | undefined;
  readonly log: Logger;
}

export interface EmbeddedPostgres {
  readonly url: string;
  /** Of the postmaster. */
  readonly pid: number;
  /** False if another live process started it, which also stops it. */
  readonly owned: boolean;
  /** Stops the database, if it is ours to stop. Running it again does nothing. */
  stop(): Promise<void>;
  /** For tests: ends the postmaster as a crash would. */
  kill9(): void;
}

/** Another process may be starting or stopping it. */
const lockTimeoutMs = 120_000;

const logCheckMs = 60_000;

/**
 * Starts a real PostgreSQL of its own on 127.0.0.1, creating it in `dataDir` the first time. It is a daemon: Ctrl-C in
 * the terminal does not reach it, and when this process is killed it lives on and is adopted by the next start.
 * Started as root it runs as another user, since PostgreSQL refuses root.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const dataDir = path.resolve(options.dataDir);
  await mkdir(path.dirname(dataDir), { recursive: true });
  return withFileLock(`${dataDir}.muster.lock`, lockTimeoutMs, () => start(dataDir, options));
}

async function start(dataDir: string, { port, log }: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const began = performance.now();
  const runAs = await chooseUser(dataDir);
  const binaries = await findBinaries(runAs);
  const cluster = new Cluster(dataDir, binaries, runAs, log);
  await cluster.ensureInitialized();
  const running = await cluster.findRunning();
  const pid = running ?? (await cluster.start(port));
  const url = await cluster.ready(pid);

  const ownerFile = `${dataDir}.muster.pid`;
  const owner = await readIdentity(ownerFile);
  const owned = running === undefined || owner === undefined || !(await isAlive(owner));
  const self = await identify(process.pid);
  if (owned) await writeFile(ownerFile, JSON.stringify(self), { mode: 0o600 });
  log.info(
    { pid, port: Number(new URL(url).port), ms: Math.round(performance.now() - began), adopted: running !== undefined },
    'embedded database ready',
  );

  const logKeeper = setInterval(() => void cluster.limitLog(), logCheckMs);
  logKeeper.unref();
  let stopping: Promise<void> | undefined;
  return {
    url,
    pid,
    owned,
    kill9: () => process.kill(pid, 'SIGKILL'),
    stop: () => {
      stopping ??= (async () => {
        clearInterval(logKeeper);
        if (!owned) return;
        await withFileLock(`${dataDir}.muster.lock`, lockTimeoutMs, async () => {
          // Somebody who found the database dead may have started it again and taken over.
          const current = await readIdentity(ownerFile);
          if (current?.pid !== self.pid || current.startTime !== self.startTime) return;
          await cluster.stop();
          await rm(ownerFile, { force: true });
        });
      })();
      return stopping;
    },
  };
}

/** The owner of an existing cluster; for root otherwise a user that is there anyway and may do little. */
async function chooseUser(dataDir: string): Promise<RunAs | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await stat(path.join(dataDir, 'PG_VERSION')).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid };
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find(([login]) => login === name);
    if (account !== undefined) return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new Error(
    'PostgreSQL does not run as root, and there is no user postgres or nobody to run it as. ' +
      'Start as another user, or set DATABASE_URL.',
  );
}
