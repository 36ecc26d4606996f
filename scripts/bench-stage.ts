// What the benchmarks of single features share: a node without network, its database, and a clock for CPU time.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { App } from '../server/app/app.ts';
import { type ConfigOverrides, configFrom } from '../server/platform/config.ts';
import { startEmbeddedPostgres } from '../server/store/embedded.ts';

/** What Linux counts CPU time in, per second. */
const ticksPerSecond = 100;
const application = 'muster bench';

export interface Stage {
  readonly app: App;
  readonly sql: pg.Client;
  /**
   * Prints what one run costs: the round with the least CPU time, the others met the garbage collector or neighbours.
   * Latencies, in ms, are of that round.
   */
  bench(name: string, run: () => Promise<unknown>): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a node for a benchmark. Every benchmark takes these options:
 *   --database postgresql://...   a database to use; by default an embedded one in a folder of its own
 *   --concurrency 32 --seconds 3 --rounds 3
 * @param defaults numbers of its own that may be given as options, too; returned as `numbers`
 * @param more configuration of the node, and CPU seconds so far of another process that counts
 */
export async function openStage<K extends string>(
  defaults: Record<K, number>,
  more: { readonly config?: ConfigOverrides; readonly other?: { name: string; cpuSeconds(): Promise<number> } } = {},
): Promise<Stage & { numbers: Record<K, number> }> {
  const numeric = { concurrency: 32, seconds: 3, rounds: 3, ...defaults } as Record<string, number>;
  const options = Object.fromEntries(
    Object.entries(numeric).map(([key, value]) => [key, { type: 'string' as const, default: String(value) }]),
  );
  const { values } = parseArgs({ options: { database: { type: 'string' as const, default: '' }, ...options } });
  const numbers = Object.fromEntries(Object.keys(numeric).map((key) => [key, Number(values[key as 'database'])]));
  const { concurrency = 0, seconds = 0, rounds = 0 } = numbers;

  const log = pino({ level: 'error' });
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-bench-'));
  const dataDir = path.join(folder, 'postgres');
  const embedded = values.database === '' ? await startEmbeddedPostgres({ dataDir, log }) : undefined;
  const databaseUrl = embedded?.url ?? values.database;
  const config = configFrom({
    name: application.split(' ')[1] ?? '',
    dev: true,
    'database.auto_migrate': true,
    'database.url': databaseUrl,
    'socket.address': '127.0.0.1',
    'socket.port': 0,
    ...more.config,
  });
  const app = await App.start({ config, log });
  const sql = new pg.Client(databaseUrl);
  await sql.connect();

  const columns = more.other === undefined ? [] : [`${more.other.name} CPU-s/1k`];
  let isHeaded = false;
  const bench = async (name: string, run: () => Promise<unknown>): Promise<void> => {
    if (!isHeaded) printRow('', 'ops/s', 'p50', 'p99', 'CPU-s/1k', 'DB CPU-s/1k', ...columns);
    isHeaded = true;
    let best = { cpu: Number.POSITIVE_INFINITY, databaseCpu: 0, otherCpu: 0, rate: 0, p50: 0, p99: 0 };
    const otherSeconds = async (): Promise<number> => (await more.other?.cpuSeconds()) ?? 0;
    for (let round = 0; round < rounds; round++) {
      const [databaseBefore, otherBefore] = [await databaseCpuSeconds(sql), await otherSeconds()];
      const cpuBefore = process.cpuUsage();
      const { latencies, took } = await runFor(seconds, concurrency, run);
      const count = latencies.length;
      const { user, system } = process.cpuUsage(cpuBefore);
      const cpu = ((user + system) / 1e6 / count) * 1000;
      const databaseCpu = (((await databaseCpuSeconds(sql)) - databaseBefore) / count) * 1000;
      const otherCpu = (((await otherSeconds()) - otherBefore) / count) * 1000;
      const at = (share: number): number => latencies[Math.min(count - 1, Math.floor(share * count))] ?? 0;
      if (cpu < best.cpu) best = { cpu, databaseCpu, otherCpu, rate: count / took, p50: at(0.5), p99: at(0.99) };
    }
    const { rate, cpu, databaseCpu, otherCpu, p50, p99 } = best;
    const costs = more.other === undefined ? [cpu, databaseCpu] : [cpu, databaseCpu, otherCpu];
    printRow(name, rate.toFixed(0), p50.toFixed(1), p99.toFixed(1), ...costs.map((cost) => cost.toFixed(3)));
  };
  const close = async (): Promise<void> => {
    await sql.end();
    await app.stop();
    await embedded?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { app, sql, bench, close, numbers: numbers as Record<K, number> };
}

/** One of them, at random. */
export const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

async function runFor(
  seconds: number,
  concurrency: number,
  run: () => Promise<unknown>,
): Promise<{ latencies: number[]; took: number }> {
  const startedAt = performance.now();
  const latencies: number[] = [];
  const loop = async (): Promise<void> => {
    for (let now = startedAt; now - startedAt < 1000 * seconds; ) {
      await run();
      const end = performance.now();
      latencies.push(end - now);
      now = end;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  const took = (performance.now() - startedAt) / 1000;
  return { latencies: latencies.sort((a, b) => a - b), took };
}

/** CPU seconds of the node's backends so far; 0 where they cannot be seen. */
async function databaseCpuSeconds(sql: pg.Client): Promise<number> {
  const backends = 'SELECT pid FROM pg_stat_activity WHERE application_name = $1';
  const { rows } = await sql.query<{ pid: number }>(backends, [application]);
  let ticks = 0;
  for (const { pid } of rows) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks / ticksPerSecond;
}

function printRow(name: string, rate: string, p50: string, p99: string, ...costs: string[]): void {
  const figures = [rate.padStart(7), p50.padStart(7), p99.padStart(7), ...costs.map((cost) => cost.padStart(12))];
  console.log(`${name.padEnd(56)} ${figures.join(' ')}`);
}
