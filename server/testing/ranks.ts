import pg from 'pg';
import type { NodeId } from '../cluster/nodes.ts';
import type { RankIndex } from '../cluster/rank-index.ts';
import { RedisRankIndex } from '../cluster/rank-index-redis.ts';
import { RedisLink } from '../cluster/redis-link.ts';
import type { Feature } from '../features/feature.ts';
import {
  createRanks,
  type RankedRecord,
  type RankPeriod,
  type Ranks,
  type RemovedRecord,
} from '../features/ranks/index.ts';
import { configFrom } from '../platform/config.ts';
import { Metrics } from '../platform/metrics.ts';
import { Database } from '../store/database.ts';
import { migrateUp } from '../store/migrate.ts';
import { sql } from '../store/sql.ts';
import { type Instant, instantParam } from '../store/types.ts';
import { createTestSchema, type TestSchema } from './database.ts';
import { unique } from './names.ts';
import { quiet } from './store.ts';

interface VersionRow {
  create_time: Instant;
  num_score: number;
}

const write = sql<VersionRow>(
  'test_ranks_write',
  `INSERT INTO leaderboard_record (leaderboard_id, expiry_time, owner_id, score, subscore, create_time)
   VALUES ($1, $2::timestamptz, $3, $4, $5, clock_timestamp())
   ON CONFLICT (owner_id, leaderboard_id, expiry_time) DO UPDATE
     SET score = excluded.score, subscore = excluded.subscore, num_score = leaderboard_record.num_score + 1
   RETURNING create_time, num_score`,
  'write',
);
const remove = sql<VersionRow>(
  'test_ranks_remove',
  `DELETE FROM leaderboard_record WHERE leaderboard_id = $1 AND expiry_time = $2::timestamptz AND owner_id = $3
   RETURNING create_time, num_score`,
  'write',
);

/** A node as far as ranks go. */
export interface RankNode {
  readonly ranks: Ranks;
  readonly metrics: Metrics;
  /** The real one, without faults. */
  readonly index: RankIndex | undefined;
  readonly link: RedisLink | undefined;
  close(): Promise<void>;
}

/** Boards and records in a database of their own, and nodes that rank them. */
export class RankStage {
  readonly db: Database;
  readonly client: pg.Client;
  readonly #schema: TestSchema;
  readonly #writeMs: number;
  readonly #prefix = `${unique('ranks')}:`;
  readonly #nodes: RankNode[] = [];

  private constructor(schema: TestSchema, writeMs: number) {
    this.#schema = schema;
    this.#writeMs = writeMs;
    this.db = new Database({ url: schema.url }, quiet);
    this.client = new pg.Client(schema.url);
  }

  /** @param writeMs within which a change follows its announcement. */
  static async open(writeMs = 500): Promise<RankStage> {
    const schema = await createTestSchema();
    await migrateUp(schema.url);
    const stage = new RankStage(schema, writeMs);
    await stage.client.connect();
    return stage;
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) await node.close();
    await this.client.end();
    await this.db.close();
    await this.#schema.drop();
  }

  /**
   * @param redisUrl none for a node that is alone
   * @param wrap puts faults before the index
   */
  async addNode(
    node: NodeId,
    redisUrl?: string,
    wrap: (index: RankIndex) => RankIndex = (index) => index,
  ): Promise<RankNode> {
    const db = new Database({ url: this.#schema.url }, quiet);
    const limits = { probeMs: 100, retryMaxMs: 200 };
    const link =
      redisUrl === undefined
        ? undefined
        : new RedisLink({ server: redisUrl, prefix: this.#prefix, log: quiet, limits });
    const index = link === undefined ? undefined : new RedisRankIndex(link, { self: node });
    await link?.ready(5000);
    const metrics = new Metrics({ name: node.name, metrics: { prefix: '', namespace: '' } });
    const feature: Feature & { ranks: Ranks } = createRanks(
      {
        ...{ config: configFrom({}), db, metrics, log: quiet, time: { now: () => Date.now() } },
        ...(index === undefined ? {} : { rankIndex: wrap(index) }),
      },
      { writeMs: this.#writeMs },
    );
    await feature.start?.();
    const made: RankNode = {
      ...{ ranks: feature.ranks, metrics, index, link },
      async close() {
        await feature.stop?.();
        await index?.close();
        await link?.close();
        await db.close();
      },
    };
    this.#nodes.push(made);
    return made;
  }

  async addBoard(descending = true, expiry = 0): Promise<RankPeriod> {
    const period = { board: unique('board'), expiry, descending };
    await this.client.query('INSERT INTO leaderboard (id, sort_order) VALUES ($1, $2)', [
      period.board,
      descending ? 1 : 0,
    ]);
    return period;
  }

  /** Writes a record and commits; what to tell the ranks of it is the caller's business. */
  async write(period: RankPeriod, owner: string, score: bigint, subscore = 0n): Promise<RankedRecord> {
    const params = [period.board, expiryOf(period), owner, score, subscore];
    const [row] = await this.db.query(write, params);
    if (row === undefined) throw new Error('nothing was written');
    return { owner, score, subscore, version: versionOf(row) };
  }

  async remove(period: RankPeriod, owner: string): Promise<RemovedRecord[]> {
    const rows = await this.db.query(remove, [period.board, expiryOf(period), owner]);
    return rows.map((row) => ({ owner, version: versionOf(row) }));
  }

  /** Adds records without telling anybody. */
  async fill(period: RankPeriod, count: number): Promise<void> {
    await this.client.query(
      `INSERT INTO leaderboard_record (leaderboard_id, expiry_time, owner_id, score, subscore, create_time)
       SELECT $1, $2, gen_random_uuid(), floor(random() * 1000), floor(random() * 3), clock_timestamp()
       FROM generate_series(1, $3::int)`,
      [period.board, expiryOf(period), count],
    );
  }

  /** Owners in the order of their ranks, by a window function. */
  async truth({ board, expiry, descending }: RankPeriod): Promise<string[]> {
    const way = descending ? 'DESC' : 'ASC';
    const { rows } = await this.client.query(
      `SELECT owner_id FROM (SELECT owner_id,
         row_number() OVER (ORDER BY score ${way}, subscore ${way}, owner_id ${way}) AS place
       FROM leaderboard_record WHERE leaderboard_id = $1 AND expiry_time = $2) AS placed ORDER BY place`,
      [board, expiryOf({ expiry })],
    );
    return rows.map(({ owner_id }) => owner_id);
  }

  /** Owners of whom the node tells another rank than the table, out of whatever source. */
  async differences({ ranks }: RankNode, period: RankPeriod): Promise<string[]> {
    const order = await this.truth(period);
    const told = await ranks.of(period, order);
    const different = order.filter((owner, i) => told.get(owner) !== BigInt(i + 1));
    if ((await ranks.count(period)) !== BigInt(order.length)) different.push('count');
    const owners = order.slice(0, 3);
    const standings = await ranks.standings(period, owners);
    if (standings.count !== BigInt(order.length)) different.push('count of standings');
    return [...different, ...owners.filter((owner, i) => standings.ranks.get(owner) !== BigInt(i + 1))];
  }

  /** What the index and the table do not have in common; null when there is no complete index. */
  async drift({ index }: RankNode, period: RankPeriod): Promise<string[] | null> {
    const order = await this.truth({ ...period, descending: false });
    const entries = await index?.slice(period, 0, order.length + 100);
    if (entries === null || entries === undefined) return null;
    const indexed = entries.map(({ owner }) => owner);
    return order.length === indexed.length && order.every((owner, i) => owner === indexed[i])
      ? []
      : [
          ...order.filter((owner) => !indexed.includes(owner)),
          ...indexed.filter((owner) => !order.includes(owner)),
          '?',
        ];
  }
}

const expiryOf = ({ expiry }: Pick<RankPeriod, 'expiry'>): string => instantParam({ seconds: expiry, nanos: 0 });

const versionOf = ({ create_time, num_score }: VersionRow) => ({
  created: BigInt(create_time.seconds) * 1_000_000n + BigInt(create_time.nanos / 1000),
  writes: num_score,
});
