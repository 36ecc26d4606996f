// Prints what friends cost, in one process without network: npx tsx scripts/bench-people.ts
//   --database postgresql://...   a database to use; by default an embedded one in a folder of its own
//   --users 200 --edges 1000      users, and friends of each
//   --concurrency 32 --seconds 3 --rounds 3
// CPU time is this process's, and that of the database's backends where /proc can be read.
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { App } from '../server/app/app.ts';
import { configFrom } from '../server/platform/config.ts';
import { startEmbeddedPostgres } from '../server/store/embedded.ts';

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: '' },
    users: { type: 'string', default: '200' },
    edges: { type: 'string', default: '1000' },
    concurrency: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
  },
});
const concurrency = Number(values.concurrency);
const runMs = 1000 * Number(values.seconds);
const rounds = Number(values.rounds);
/** What Linux counts CPU time in, per second. */
const ticksPerSecond = 100;

const log = pino({ level: 'error' });
const folder = await mkdtemp(path.join(tmpdir(), 'muster-bench-'));
const embedded =
  values.database === '' ? await startEmbeddedPostgres({ dataDir: path.join(folder, 'postgres'), log }) : undefined;
const databaseUrl = embedded?.url ?? values.database;
const config = configFrom({
  name: 'bench',
  dev: true,
  'database.auto_migrate': true,
  'database.url': databaseUrl,
  'socket.address': '127.0.0.1',
  'socket.port': 0,
});
const app = await App.start({ config, log });
const { friends } = app.features.friends;

const sql = new pg.Client(databaseUrl);
await sql.connect();
const edges = Number(values.edges);
const users = Array.from({ length: Number(values.users) }, () => randomUUID());
const others = Array.from({ length: edges }, () => randomUUID());
await sql.query('INSERT INTO users (id, username) SELECT id, id::text FROM unnest($1::uuid[]) AS id', [
  [...users, ...others],
]);
// Every user is a friend of all the others, and somebody whom nobody knows is there for what changes.
for (const [source, destination] of [
  [users, others],
  [others, users],
]) {
  await sql.query(
    `INSERT INTO user_edge (source_id, destination_id, position)
     SELECT s.id, d.id, d.place FROM unnest($1::uuid[]) AS s (id), unnest($2::uuid[]) WITH ORDINALITY AS d (id, place)`,
    [source, destination],
  );
}
await sql.query('UPDATE users u SET edge_count = (SELECT count(*) FROM user_edge e WHERE e.source_id = u.id)');
await sql.query('ANALYZE users, user_edge');

/** CPU seconds of the node's backends so far; NaN where they cannot be seen. */
async function databaseCpuSeconds(): Promise<number> {
  const { rows } = await sql.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'muster bench'`,
  );
  let ticks = 0;
  for (const { pid } of rows) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

const any = (ids: readonly string[]): string => ids[Math.floor(Math.random() * ids.length)] as string;

/** The round with the least CPU time: the others met the garbage collector or the neighbours. */
async function bench(name: string, run: () => Promise<unknown>): Promise<void> {
  let best = { cpu: Number.POSITIVE_INFINITY, databaseCpu: 0, rate: 0 };
  for (let round = 0; round < rounds; round++) {
    const [cpuBefore, databaseBefore, startedAt] = [process.cpuUsage(), await databaseCpuSeconds(), performance.now()];
    let count = 0;
    const loop = async (): Promise<void> => {
      while (performance.now() - startedAt < runMs) {
        await run();
        count++;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, loop));
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpu = ((user + system) / 1e6 / count) * 1000;
    const databaseCpu = (((await databaseCpuSeconds()) - databaseBefore) / count) * 1000;
    if (cpu < best.cpu) best = { cpu, databaseCpu, rate: count / seconds };
  }
  const { cpu, databaseCpu, rate } = best;
  const columns = [rate.toFixed(0).padStart(7), cpu.toFixed(3).padStart(9), databaseCpu.toFixed(3).padStart(11)];
  console.log(`${name.padEnd(48)} ${columns.join(' ')}`);
}

/** Somewhere in the list, as whoever pages through it. */
async function cursorsOf(userId: string): Promise<string[]> {
  const cursors = [''];
  for (let cursor = ''; ; ) {
    ({ cursor } = await friends.list(userId, { limit: 100, state: null, cursor }));
    if (cursor === '') return cursors;
    cursors.push(cursor);
  }
}
const cursors = await cursorsOf(any(users));
const actor = (id: string) => ({ id, username: id });
const to = (id: string) => ({ ids: [id], usernames: [] });
const strangers = async (): Promise<void> => {
  const [one, two] = [any(others), any(others)];
  if (one === two) return;
  await friends.add(actor(one), to(two));
  await friends.add(actor(two), to(one));
  await friends.delete(actor(one), to(two));
};

console.log(`${''.padEnd(48)} ${'ops/s'.padStart(7)} ${'CPU-s/1k'.padStart(9)} ${'DB CPU-s/1k'.padStart(11)}`);
await bench(`friend list: a page of 100 of ${edges}`, () =>
  friends.list(any(users), { limit: 100, state: null, cursor: any(cursors) }),
);
await bench('friend status of 100 users', () => friends.friendStatus(any(users), others.slice(0, 100)));
await bench('is blocked?', () => friends.hasBlocked(any(users), any(others)));
await bench('invite, accept and remove: three changes', strangers);

await sql.end();
await app.stop();
await embedded?.stop();
await rm(folder, { recursive: true, force: true });
