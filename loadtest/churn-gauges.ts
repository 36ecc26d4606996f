import { readdir } from 'node:fs/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { ProcessNode } from '../server/testing/process-node.ts';
import { Inspector } from './churn-inspector.ts';

/** What was measured at one moment, by name. */
export type Measures = Map<string, number>;

export const megabyte = 1024 * 1024;
const keyPage = 1000;

/** Looks at everything that may pile up: in the nodes, in Redis, in PostgreSQL. */
export class Gauges {
  readonly #nodes: readonly ProcessNode[];
  readonly #inspectors: readonly Inspector[];
  readonly #redis: Redis;
  readonly #sql: pg.Client;
  /** Process time by node, at the last look. */
  readonly #cpu = new Map<number, { seconds: number; at: number }>();

  private constructor(nodes: readonly ProcessNode[], inspectors: readonly Inspector[], redis: Redis, sql: pg.Client) {
    this.#nodes = nodes;
    this.#inspectors = inspectors;
    this.#redis = redis;
    this.#sql = sql;
  }

  static async open(nodes: readonly ProcessNode[], redisUrl: string, databaseUrl: string): Promise<Gauges> {
    const inspectors = await Promise.all(nodes.map(({ inspectorPort }) => Inspector.attach(inspectorPort)));
    const sql = new pg.Client({ connectionString: databaseUrl, application_name: 'churn' });
    await sql.connect();
    return new Gauges(nodes, inspectors, new Redis(redisUrl), sql);
  }

  /** Lets go of everything; nodes wait for that when they stop. */
  async close(): Promise<void> {
    for (const inspector of this.#inspectors) inspector.detach();
    this.#redis.disconnect();
    await this.#sql.end();
  }

  /** @param collect has garbage collected first, and says what of the heap is left. */
  async measure({ collect }: { collect: boolean }): Promise<Measures> {
    const parts: Measures[] = [];
    if (collect) parts.push(await this.#heaps());
    for (const [index, node] of this.#nodes.entries()) parts.push(await this.#node(node, nodeName(index)));
    parts.push(await this.#inRedis(), await this.#inSql());
    return new Map(parts.flatMap((part) => [...part]));
  }

  /** What of the heaps is left after a collection. */
  async #heaps(): Promise<Measures> {
    const sizes = await Promise.all(this.#inspectors.map((inspector) => inspector.heapAfterGc()));
    return new Map(sizes.map((size, index) => [`${nodeName(index)} heap after GC, MB`, size / megabyte]));
  }

  async writeSnapshots(fileOf: (name: string) => string): Promise<void> {
    for (const [index, inspector] of this.#inspectors.entries()) {
      await inspector.writeSnapshot(fileOf(nodeName(index)));
    }
  }

  async #node(node: ProcessNode, name: string): Promise<Measures> {
    const metrics = parseMetrics(await node.metrics());
    const value = (metric: string, label = ''): number =>
      metrics.find((line) => line.name === metric && line.labels.includes(label))?.value ?? 0;
    // The connection that brought the metrics is still there: always one.
    const files = await readdir(`/proc/${node.pid}/fd`);
    const measures: Measures = new Map([
      [`${name} external memory, MB`, value('nodejs_external_memory_bytes') / megabyte],
      [`${name} RSS, MB`, value('process_resident_memory_bytes') / megabyte],
      [`${name} open files`, files.length],
      [`${name} sessions`, value('nakama_sessions')],
      [`${name} presences`, value('nakama_presences')],
      [`${name} statements in flight`, value('nakama_db_statements_in_flight')],
      [`${name} logged errors`, node.errors.length],
      [`${name} event loop lag p99, ms`, value('nakama_event_loop_lag_seconds', '0.99') * 1000],
      [`${name} CPU, %`, this.#cpuPercent(node, value('process_cpu_seconds_total'))],
    ]);
    for (const { name: metric, labels, value: count } of metrics) {
      const type = /type="(TCP\w+|PipeWrap|Timeout)"/.exec(labels)?.[1];
      if (metric === 'nodejs_active_resources' && type !== undefined) measures.set(`${name} ${type} handles`, count);
    }
    return measures;
  }

  #cpuPercent(node: ProcessNode, seconds: number): number {
    const at = performance.now() / 1000;
    const last = this.#cpu.get(node.pid);
    this.#cpu.set(node.pid, { seconds, at });
    return last === undefined ? 0 : (100 * (seconds - last.seconds)) / (at - last.at);
  }

  async #inRedis(): Promise<Measures> {
    const measures: Measures = new Map();
    const count = (name: string, by = 1): void => void measures.set(name, (measures.get(name) ?? 0) + by);
    const keys = await this.#keys();
    for (const key of keys) count(`Redis keys ${kindOf(key)}`);
    measures.set('Redis presences', await this.#presences(keys));
    for (const channel of (await this.#redis.pubsub('CHANNELS')) as string[]) {
      count(`Redis channels ${kindOf(channel)}`);
    }
    const clients = /connected_clients:(\d+)/.exec(await this.#redis.info('clients'))?.[1];
    const memory = /used_memory:(\d+)/.exec(await this.#redis.info('memory'))?.[1];
    measures.set('Redis keys in all', await this.#redis.dbsize());
    measures.set('Redis clients', Number(clients));
    measures.set('Redis memory, MB', Number(memory) / megabyte);
    return measures;
  }

  async #keys(): Promise<string[]> {
    const keys = new Set<string>();
    let cursor = '0';
    do {
      const [next, page] = await this.#redis.scan(cursor, 'COUNT', keyPage);
      for (const key of page) keys.add(key);
      cursor = next;
    } while (cursor !== '0');
    return [...keys];
  }

  async #presences(keys: readonly string[]): Promise<number> {
    const pipeline = this.#redis.pipeline();
    for (const key of keys.filter((each) => kindOf(each) === 'presence:s')) pipeline.hlen(key);
    return ((await pipeline.exec()) ?? []).reduce((sum, [, count]) => sum + Number(count), 0);
  }

  async #inSql(): Promise<Measures> {
    const measures: Measures = new Map();
    const { rows: clients } = await this.#sql.query<{ name: string; count: number }>(
      `SELECT application_name AS name, count(*)::int AS count FROM pg_stat_activity
       WHERE application_name LIKE 'muster %' GROUP BY 1`,
    );
    for (const { name, count } of clients) measures.set(`SQL connections of ${name.slice('muster '.length)}`, count);
    const { rows: tables } = await this.#sql.query<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1`,
    );
    for (const { name } of tables) {
      const { rows } = await this.#sql.query<{ count: number }>(`SELECT count(*)::int AS count FROM "${name}"`);
      measures.set(`rows in ${name}`, rows[0]?.count ?? 0);
    }
    return measures;
  }
}

export const nodeName = (index: number): string => `churn${index + 1}`;

/** `presence:s` for `muster:presence:s:2...room-1`: names without what differs between users, rooms and nodes. */
function kindOf(key: string): string {
  const parts = key.split(':').slice(1);
  if (parts[0] === 'topic') return parts[1] === 'stream' ? `stream of mode ${parts[2]?.split('.')[0]}` : `${parts[1]}`;
  return parts[0] === 'presence' || parts[0] === 'counters' || parts[0] === 'nodes'
    ? parts.slice(0, 2).join(':')
    : `${parts[0]}`;
}

function parseMetrics(text: string): { name: string; labels: string; value: number }[] {
  return text.split('\n').flatMap((line) => {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    return match === null ? [] : [{ name: match[1] ?? '', labels: match[2] ?? '', value: Number(match[3]) }];
  });
}
