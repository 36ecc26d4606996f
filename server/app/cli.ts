import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import type { Logger } from 'pino';
import { type Config, helpText, loadConfig, workerCount } from '../platform/config.ts';
import { Disposer } from '../platform/dispose.ts';
import { createLogger } from '../platform/log.ts';
import { migrateDown, migrateUp, migrationStatus } from '../store/migrate.ts';
import { App } from './app.ts';
import { openDatabaseUrl } from './database.ts';
import { failureText } from './failure.ts';
import { listenForStop } from './stop-signals.ts';
import { welcome } from './welcome.ts';
import { readAssignment } from './workers.ts';
import { runWorker } from './workers-child.ts';
import { superviseWorkers } from './workers-supervisor.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const usage = `muster <command> [options]

  start                          run a node (the default command), or several on one port: --workers N
  migrate up|down|redo|status    work on the database schema; --limit N bounds up and down
  healthcheck [port]             exit 0 if a node answers on this machine, 1 otherwise
  check                          read the configuration and say what is wrong with it

  --version   --help
`;

/** Runs one command of the program; answers the exit code. */
export async function main(argv: readonly string[], env: Environment): Promise<number> {
  const [first = 'start', ...rest] = argv;
  if (argv.includes('--help') || first === 'help') {
    process.stdout.write(`${usage}\n${helpText()}`);
    return 0;
  }
  if (first === '--version') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const command = first.startsWith('-') ? 'start' : first;
  const args = first.startsWith('-') ? [...argv] : rest;
  try {
    switch (command) {
      case 'start':
        return await start(args, env);
      case 'migrate':
        return await migrate(args, env);
      case 'healthcheck':
        return await healthcheck(args[0] ?? '7350');
      case 'check':
        load(args, env);
        process.stdout.write('configuration ok\n');
        return 0;
      default:
        process.stderr.write(`unknown command "${command}"\n\n${usage}`);
        return 2;
    }
  } catch (error) {
    process.stderr.write(`${failureText(error)}\n`);
    return 1;
  }
}

async function start(args: readonly string[], env: Environment): Promise<number> {
  const assignment = cluster.worker && readAssignment(env);
  if (cluster.worker && assignment) return runWorker(cluster.worker, assignment, args, env);

  const { config, log } = load(args, env);
  const stop = listenForStop();
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'));
  const onUp = (port: number): void => {
    if (config.dev) process.stdout.write(welcome(config, port));
  };
  const count = workerCount(config.workers);
  if (count > 1) return await superviseWorkers({ config, log, stop, count, onUp });

  const app = await App.start({ config, log });
  onUp(app.port);
  await stop.requested;
  await app.stop(stop.insisted);
  return 0;
}

async function migrate(args: readonly string[], env: Environment): Promise<number> {
  const [direction = '', ...rest] = args;
  const run = migrations.get(direction);
  if (run === undefined) {
    process.stderr.write('migrate needs up, down, redo or status\n');
    return 2;
  }
  const { config, log } = load(rest, env, 'without secrets');
  const disposer = new Disposer(log);
  try {
    const url = await openDatabaseUrl(config, log, disposer);
    await run(url, config.limit > 0 ? config.limit : undefined);
    return 0;
  } finally {
    await disposer.dispose();
  }
}

type Migration = (url: string, limit: number | undefined) => Promise<void>;

const migrations: ReadonlyMap<string, Migration> = new Map(
  Object.entries<Migration>({
    async up(url, count) {
      printNames('applied', await migrateUp(url, { count }));
    },
    async down(url, count) {
      printNames('reverted', await migrateDown(url, { count }));
    },
    async redo(url) {
      printNames('reverted', await migrateDown(url));
      printNames('applied', await migrateUp(url, { count: 1 }));
    },
    async status(url) {
      for (const { name, appliedAt, known } of await migrationStatus(url)) {
        const state = appliedAt === null ? 'pending' : `applied ${appliedAt.toISOString()}`;
        process.stdout.write(`${name}  ${state}${known ? '' : '  (unknown to this build)'}\n`);
      }
    },
  }),
);

function printNames(verb: string, names: readonly string[]): void {
  for (const name of names) process.stdout.write(`${verb} ${name}\n`);
  if (names.length === 0) process.stdout.write('nothing to do\n');
}

/** Asks the node on this machine whether it lives. */
async function healthcheck(port: string): Promise<number> {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    process.stderr.write(`healthcheck needs a port, not "${port}"\n`);
    return 2;
  }
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/', timeout: 5000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? 0 : 1);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(1));
  });
}

function load(
  args: readonly string[],
  env: Environment,
  secrets: 'with secrets' | 'without secrets' = 'with secrets',
): { config: Config; log: Logger } {
  const needsSecrets = secrets === 'with secrets';
  const { config, warnings } = loadConfig({ argv: [...args], env: { ...env }, needsSecrets });
  const log = createLogger(config.logger);
  for (const warning of warnings) log.warn(warning);
  return { config, log };
}

function version(): string {
  const file = new URL(import.meta.url.endsWith('.ts') ? '../../package.json' : '../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
