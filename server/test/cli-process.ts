import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../testing/wait.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly port?: number;
  readonly pid?: number;
  readonly worker?: string;
}

const running = new Set<CliProcess>();

/** The program as an operator runs it. */
export class CliProcess {
  stdout = '';
  stderr = '';
  exit: Exit | undefined;
  readonly #child: ChildProcess;
  readonly #isGroup: boolean;

  private constructor(command: string, args: readonly string[], isGroup: boolean, env: Record<string, string>) {
    this.#isGroup = isGroup;
    this.#child = spawn(command, [...args], {
      cwd: root,
      env: { ...cleanEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: isGroup,
    });
    this.#child.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.#child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    running.add(this);
    this.#child.on('close', (code, signal) => {
      this.exit = { code, signal };
      running.delete(this);
    });
  }

  /** `muster <args>` */
  static muster(args: readonly string[], env: Record<string, string> = {}): CliProcess {
    return new CliProcess(process.execPath, ['--import', 'tsx', 'server/main.ts', ...args], false, env);
  }

  /** `npm start -- <args>` as the leader of a process group, as a shell would start it. */
  static npmStart(args: readonly string[]): CliProcess {
    return new CliProcess('npm', ['start', '--', ...args], true, {});
  }

  /** Runs a command to its end. */
  static async run(args: readonly string[], env: Record<string, string> = {}): Promise<CliProcess & { exit: Exit }> {
    const child = CliProcess.muster(args, env);
    await child.exited();
    return child as CliProcess & { exit: Exit };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get log(): LogLine[] {
    const lines = this.stdout.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits for a line of the log. */
  logged(msg: string): Promise<LogLine> {
    return waitFor(
      `"${msg}" in the log of ${this.#child.spawnargs.join(' ')}`,
      () => {
        const line = this.log.find((each) => each.msg === msg);
        if (line === undefined && this.exit !== undefined) {
          throw new Error(`ended before "${msg}": ${JSON.stringify(this.exit)} ${this.stdout} ${this.stderr}`);
        }
        return line;
      },
      60_000,
    );
  }

  /** Waits until it serves, and answers its URL. */
  async started(): Promise<{ url: string; port: number }> {
    const { port = 0 } = await this.logged('Startup done');
    return { url: `http://127.0.0.1:${port}`, port };
  }

  /** To the process, or to all of its group. */
  kill(signal: NodeJS.Signals): void {
    if (this.#isGroup) process.kill(-this.pid, signal);
    else this.#child.kill(signal);
  }

  async exited(deadlineMs = 60_000): Promise<Exit> {
    return waitFor(`${this.#child.spawnargs.join(' ')} to end`, () => this.exit, deadlineMs);
  }

  async stopped(signal: NodeJS.Signals = 'SIGINT'): Promise<Exit> {
    this.kill(signal);
    return this.exited();
  }
}

/** Ends what a failed test left running, with the database of that data folder. */
export async function killLeftovers(dataDir: string): Promise<void> {
  for (const child of running) child.kill('SIGKILL');
  await waitFor('all processes to end', () => running.size === 0);
  for (const pid of await postgresProcesses(dataDir).catch(() => [])) process.kill(pid, 'SIGKILL');
}

/** Without what configures this run, or the server. */
function cleanEnvironment(): Record<string, string | undefined> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(MUSTER_|DATABASE_URL|NODE_OPTIONS|VITEST)/.test(name),
  );
  return Object.fromEntries(entries);
}

/** Processes of the embedded PostgreSQL of a data folder. */
export async function postgresProcesses(dataDir: string): Promise<number[]> {
  const folder = path.join(dataDir, 'postgres');
  if (process.platform !== 'linux') {
    // Gone after an orderly stop.
    const file = path.join(folder, 'postmaster.pid');
    return existsSync(file) ? [Number((await readFile(file, 'utf8')).split('\n')[0])] : [];
  }
  const own = await stat(folder);
  const pids: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // PostgreSQL works in its folder. What is dead, or of another user, has none.
    const cwd = await stat(`/proc/${name}/cwd`).catch(() => undefined);
    if (cwd?.ino === own.ino && cwd.dev === own.dev) pids.push(Number(name));
  }
  return pids;
}
