// Prints what ranks of a large board cost: npx tsx scripts/bench-ranks.ts [--records 1000000] [--redis 1]
// and the options of bench-stage.ts. With --redis 0 the table alone tells ranks. CPU time is this process's (the node and
// what asks it), that of the database's backends, and that of Redis, of which one is started.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { startTestRedis } from '../server/testing/redis.ts';
import { waitFor } from '../server/testing/wait.ts';
import { any, openStage } from './bench-stage.ts';

const { values } = parseArgs({ options: { redis: { type: 'string', default: '1' } }, strict: false });
const server = values.redis === '0' ? undefined : await startTestRedis();
const redis = server && new Redis(server.url);
const info = async (section: string, field: string): Promise<number> =>
  Number(new RegExp(`^${field}:([\\d.]+)`, 'm').exec((await redis?.info(section)) ?? '')?.[1] ?? 0);
const cpuSeconds = async (): Promise<number> =>
  (await info('cpu', 'used_cpu_user_main_thread')) + (await info('cpu', 'used_cpu_sys_main_thread'));

const { app, sql, bench, close, numbers } = await openStage(
  { records: 1_000_000, redis: 1 },
  server === undefined ? {} : { config: { 'redis.url': server.url }, other: { name: 'Redis', cpuSeconds } },
);
const { leaderboards } = app.features.leaderboards;
const { ranks } = app.features.ranks;

const board = 'bench';
await leaderboards.create({ id: board, sortOrder: 'desc', operator: 'best', enableRanks: true });
const startedAt = performance.now();
await sql.query(
  `INSERT INTO leaderboard_record (leaderboard_id, owner_id, username, score, create_time)
   SELECT $1, gen_random_uuid(), 'player' || i, floor(random() * 10000000), clock_timestamp()
   FROM generate_series(1, $2::int) AS i`,
  [board, numbers.records],
);
await sql.query('VACUUM ANALYZE leaderboard_record');
console.log(`${numbers.records} records written in ${seconds(startedAt)} s`);
const { rows } = await sql.query<{ owner_id: string }>(
  'SELECT owner_id FROM leaderboard_record WHERE leaderboard_id = $1 ORDER BY owner_id LIMIT 100000',
  [board],
);
const owners = rows.map(({ owner_id }) => owner_id);
const period = { board, expiry: 0, descending: true };

if (redis !== undefined) await showBuild(redis);

await bench('rank of an owner', () => ranks.of(period, [any(owners)]));
await bench('number of records', () => ranks.count(period));
await bench('top 100', () => leaderboards.listRecords(board, { limit: 100 }));
await bench('around an owner, 10', () => leaderboards.listRecordsAround(board, any(owners), { limit: 10 }));
await bench('write: best, of an owner, mostly not better', () =>
  leaderboards.writeRecord(board, { ownerId: any(owners), score: BigInt(Math.floor(Math.random() * 10_000_000)) }),
);
await bench('write: increment, always applied', () =>
  leaderboards.writeRecord(board, { ownerId: any(owners), score: 100n, operator: 'incr' }),
);
await bench('write: new owner', () => leaderboards.writeRecord(board, { ownerId: randomUUID(), score: 5_000_000n }));

await close();
redis?.disconnect();
await server?.stop();

/** How long the index takes to be built, what it weighs, and what the node and others feel of it. */
async function showBuild(client: Redis): Promise<void> {
  await client.config('SET', 'slowlog-log-slower-than', '500');
  await client.config('RESETSTAT');
  const [before, nodeBefore, cpuBefore] = [await info('memory', 'used_memory'), rss(), await cpuSeconds()];
  const loop = monitorEventLoopDelay({ resolution: 5 });
  loop.enable();
  let [peak, isBuilt] = [0, false];
  const watch = async (): Promise<void> => {
    for (; !isBuilt; await sleep(5)) peak = Math.max(peak, rss());
  };
  const builtAt = performance.now();
  const watching = watch();
  await ranks.count(period);
  const index = async (): Promise<boolean> => {
    const [meta] = await client.keys('*ranks:{*}:m');
    return meta !== undefined && (await client.hget(meta, 's')) === 'r';
  };
  await waitFor('the index', index, 120_000);
  isBuilt = true;
  const took = seconds(builtAt);
  loop.disable();
  await watching;
  const bytes = ((await info('memory', 'used_memory')) - before) / numbers.records;
  const steps = (await client.slowlog('GET', 128)) as [id: number, at: number, micros: number, command: string[]][];
  const slowest = Math.max(0, ...steps.map(([, , micros]) => micros));
  const each = /usec_per_call=([\d.]+)/.exec(
    /^cmdstat_evalsha:.*$/m.exec(await client.info('commandstats'))?.[0] ?? '',
  );
  console.log(
    `index built in ${took} s: ${bytes.toFixed(0)} bytes a record in Redis, ` +
      `${((await cpuSeconds()) - cpuBefore).toFixed(1)} s of its CPU, steps of ${each?.[1]} us, of the last the slowest ${slowest} us;\n` +
      `the node grew from ${nodeBefore} to ${peak} MiB at most, its loop was late by ${(loop.percentile(99) / 1e6 - 5).toFixed(0)} ms (p99)`,
  );
  // For a while after that a node reads records again before it tells the index of them.
  await sleep(16_000);
}

function rss(): number {
  const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]);
  return Math.round((pages * 4096) / 2 ** 20);
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
