// Prints what calls over REST cost a node on a core of its own; PostgreSQL, Redis and the load generator share another.
//   npm run build && npx tsx scripts/bench-rest.ts --generator .../bench.mjs --workloads 'account-get --conns 32; lb-list'
// The generator is a program that runs one workload, is told the process ids that count (--server-pid, --pg-pid,
// --redis-pid), and ends with a line of JSON: ops_per_s, latency_ms, and CPU-seconds per 1000 operations by process.
// Other options: --listener node, --redis 1 (0: none), --rounds 2, --warm-up 3, --seconds 5. Linux, with taskset.
//
// There are two boards for workloads of leaderboards: `bench_lb`, empty, and `bench_lb100k`, with 100,000 records.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { startEmbeddedPostgres } from '../server/store/embedded.ts';
import { freePort } from '../server/testing/ports.ts';
import { startTestRedis } from '../server/testing/redis.ts';
import { waitFor } from '../server/testing/wait.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    generator: { type: 'string' },
    workloads: { type: 'string', default: 'account-get --conns 32; auth-existing; storage-read; storage-write' },
    listener: { type: 'string', default: 'node' },
    redis: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '2' },
    'warm-up': { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
  },
});
const { generator } = values;
if (generator === undefined) throw new Error('which load generator? --generator PATH');
const [nodeCore, otherCore] = ['0', '1'];

const folder = await mkdtemp(path.join(tmpdir(), 'muster-bench-rest-'));
const stops: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
try {
  const database = await startEmbeddedPostgres({ dataDir: path.join(folder, 'pg'), log: pino({ level: 'error' }) });
  stops.push(() => database.stop());
  const redis = values.redis === '0' ? undefined : await startTestRedis();
  if (redis !== undefined) stops.push(() => redis.stop());
  // Before anybody connects: backends begin on the core of the postmaster.
  for (const pid of [database.pid, ...(redis === undefined ? [] : [redis.pid])]) await pin(otherCore, pid);
  const node = await startNode(database.url, redis?.url);
  stops.push(node.stop);
  await fill(database.url);
  const pids = ['--server-pid', node.pid, '--pg-pid', database.pid, ...(redis ? ['--redis-pid', redis.pid] : [])];
  console.log('workload'.padEnd(44), 'ops/s, p50 / p99 ms; CPU-s/1k of node, PostgreSQL, Redis');
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const workload of values.workloads.split(';').map((text) => text.trim())) {
      await measure(generator, workload, ['--port', node.port, ...pids].map(String));
    }
  }
} finally {
  for (const stop of stops.reverse()) await stop();
}

async function pin(core: string, pid: number): Promise<void> {
  await run('taskset', ['-acp', core, String(pid)]);
}

async function startNode(databaseUrl: string, redisUrl: string | undefined) {
  const port = await freePort();
  const settings: Record<string, string> = {
    'database.url': databaseUrl,
    'database.auto_migrate': 'true',
    'socket.address': '127.0.0.1',
    'socket.port': String(port),
    'socket.listener': values.listener,
    'logger.level': 'error',
    // All load comes from one address.
    'limits.address_calls_per_sec': '1000000',
    'limits.address_calls_burst': '1000000',
    ...(redisUrl === undefined ? {} : { 'redis.url': redisUrl }),
  };
  const flags = Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
  const program = ['-c', nodeCore, process.execPath, 'dist/main.js', 'start', '--dev', ...flags];
  const child = spawn('taskset', program, { stdio: ['ignore', 'ignore', 'inherit'] });
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await waitFor('the node', isReady, 30_000);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  };
  return { port, pid: child.pid ?? 0, stop };
}

async function fill(databaseUrl: string): Promise<void> {
  const sql = new pg.Client(databaseUrl);
  await sql.connect();
  await sql.query(
    `INSERT INTO leaderboard (id, authoritative, sort_order, operator, enable_ranks)
     SELECT id, FALSE, 1, 0, TRUE FROM unnest(ARRAY['bench_lb', 'bench_lb100k']) AS id`,
  );
  await sql.query(
    `INSERT INTO leaderboard_record (leaderboard_id, owner_id, username, score, subscore, create_time)
     SELECT 'bench_lb100k', gen_random_uuid(), 'player' || i, floor(random() * 1000000), floor(random() * 1000),
       clock_timestamp() FROM generate_series(1, 100000) AS i`,
  );
  await sql.query('VACUUM ANALYZE leaderboard_record');
  await sql.end();
}

async function measure(program: string, workload: string, args: readonly string[]): Promise<void> {
  const times = ['--warmup', values['warm-up'], '--duration', values.seconds, '--cache', folder, '--compact', '1'];
  const command = ['-c', otherCore, process.execPath, program, ...workload.split(/\s+/), ...args, ...times];
  const { stdout } = await run('taskset', command, { maxBuffer: 2 ** 24 });
  const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, number> & {
    latency_ms: { p50: number; p99: number };
  };
  const { ops_per_s: rate, latency_ms: latency, errors } = result;
  const costs = ['server', 'pg', 'redis'].map((name) => (result[`${name}_cpu_s_per_1000`] ?? 0).toFixed(3));
  const failed = (errors ?? 0) > 0 ? `, ${errors} ERRORS` : '';
  console.log(workload.padEnd(44), rate?.toFixed(0), `${latency.p50} / ${latency.p99};`, costs.join(' '), failed);
}
