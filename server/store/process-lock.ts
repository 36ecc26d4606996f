import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';

/** A process, told apart from a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; empty where the system does not tell. */
  readonly startTime: string;
}

export async function identify(pid: number): Promise<ProcessIdentity> {
  return { pid, startTime: await startTimeOf(pid) };
}

/** Is that very process alive? */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (!pidExists(identity.pid)) return false;
  return identity.startTime === '' || (await startTimeOf(identity.pid)) === identity.startTime;
}

export function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not ours to signal, but there.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function startTimeOf(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    try {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8');
      // Field 22; the second field, the name, may hold spaces and brackets.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? 'zombie' : (fields[19] ?? '');
    } catch {
      return 'gone';
    }
  }
  if (process.platform === 'win32') return '';
  return new Promise((resolve) => {
    execFile('ps', ['-o', 'lstart=', '-p', String(pid)], (error, stdout) => resolve(error ? 'gone' : stdout.trim()));
  });
}

export async function readIdentity(file: string): Promise<ProcessIdentity | undefined> {
  return parseIdentity(await readFile(file, 'utf8').catch(() => ''));
}

function parseIdentity(text: string): ProcessIdentity | undefined {
  try {
    const { pid, startTime } = JSON.parse(text) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTime === 'string' ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Runs `work` while no other process holds the lock file. A lock whose process is dead is taken over. The file is
 * created whole, by a hard link, so nobody ever reads half of it.
 */
export async function withFileLock<T>(file: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const nonce = randomUUID();
  const draft = `${file}.${nonce}`;
  await writeFile(draft, JSON.stringify({ ...(await identify(process.pid)), nonce }), { mode: 0o600 });
  const deadline = performance.now() + timeoutMs;
  try {
    while (!(await tryLink(draft, file))) {
      if (performance.now() > deadline) throw new Error(`${file} is held by another process for too long`);
      if (!(await breakStale(file, draft))) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await rm(draft, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function tryLink(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a dead process's lock. Between looking at it and removing it, another process may do the same and a third
 * take the lock, so this too is done by one at a time: under a second lock, which is held for a moment only.
 */
async function breakStale(file: string, draft: string): Promise<boolean> {
  if (!(await isStale(file))) return false;
  const breaking = `${file}.breaking`;
  if (!(await tryLink(draft, breaking))) {
    if (await isStale(breaking)) await rm(breaking, { force: true });
    return false;
  }
  try {
    if (await isStale(file)) await rm(file, { force: true });
  } finally {
    await rm(breaking, { force: true });
  }
  return true;
}

/** Held by a dead process, or by garbage. A lock that does not exist is not stale. */
async function isStale(file: string): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const holder = parseIdentity(text);
  return holder === undefined || !(await isAlive(holder));
}
