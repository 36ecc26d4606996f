// Prints what changes of wallets cost, in one process without network: npx tsx scripts/bench-wallet.ts
//   --database postgresql://...   a database to use; by default an embedded one in a folder of its own
//   --users 1000 --concurrency 32 --seconds 3 --rounds 3
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
    users: { type: 'string', default: '1000' },
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
const { wallets } = app.features.wallet;
const { multiUpdate } = app.features.multiUpdate;

const sql = new pg.Client(databaseUrl);
await sql.connect();
const users = Array.from({ length: Number(values.users) }, () => randomUUID());
await sql.query('INSERT INTO users (id, username, wallet) SELECT id, id::text, $2 FROM unnest($1::uuid[]) AS id', [
  users,
  '{"coins": 1000000000, "gems": 5}',
]);

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

const anyUser = (): string => users[Math.floor(Math.random() * users.length)] as string;

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

const metadata = '{"reason": "bench"}';
const object = (ownerId: string) => ({
  ...{ collection: 'bench', key: 'object', ownerId, value: `{"n":${Math.random()}}`, version: '' },
  ...{ permissionRead: 1, permissionWrite: 1 },
});
const transfer = (key?: string) => {
  const [from, to] = [anyUser(), anyUser()];
  return multiUpdate.run({
    storageWrites: [object(from)],
    walletUpdates: [
      { userId: from, changeset: { coins: -1n }, metadata },
      { userId: to, changeset: { coins: 1n }, metadata },
    ],
    updateLedger: true,
    key,
  });
};
const change = () => ({ userId: anyUser(), changeset: { coins: 1n }, metadata });

console.log(`${''.padEnd(48)} ${'ops/s'.padStart(7)} ${'CPU-s/1k'.padStart(9)} ${'DB CPU-s/1k'.padStart(11)}`);
await bench('walletUpdate', () => wallets.update(change()));
await bench('walletUpdate with ledger', () => wallets.update(change(), { updateLedger: true }));
await bench('walletUpdate with ledger and key', () =>
  wallets.update(change(), { updateLedger: true, key: randomUUID() }),
);
await bench('multiUpdate: one object, two wallets, ledger', () => transfer());
await bench('multiUpdate: the same with a key', () => transfer(randomUUID()));

await sql.end();
await app.stop();
await embedded?.stop();
await rm(folder, { recursive: true, force: true });
