import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../../store/database.ts';
import { migrateUp } from '../../store/migrate.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { unique } from '../../testing/names.ts';
import { Random } from '../../testing/random.ts';
import { quiet } from '../../testing/store.ts';
import { waitFor } from '../../testing/wait.ts';
import type { RankPeriod } from './period.ts';
import { expiryParam, ranksAscending, ranksDescending } from './queries.ts';
import { SqlRanks } from './sql-ranks.ts';

describe('ranks by SQL', () => {
  let schema: TestSchema;
  let db: Database;
  let client: pg.Client;
  let period: RankPeriod;

  beforeAll(async () => {
    schema = await createTestSchema();
    await migrateUp(schema.url);
    db = new Database({ url: schema.url }, quiet);
    client = new pg.Client(schema.url);
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await db.close();
    await schema.drop();
  });
  beforeEach(async () => {
    period = { board: unique('board'), expiry: 0, descending: true };
    await client.query('INSERT INTO leaderboard (id) VALUES ($1)', [period.board]);
  });

  const write = (owner: string, score: bigint, subscore = 0n, expiry = 0) =>
    client.query(
      `INSERT INTO leaderboard_record (leaderboard_id, owner_id, score, subscore, expiry_time)
       VALUES ($1, $2, $3, $4, $5)`,
      [period.board, owner, String(score), String(subscore), expiryParam(expiry)],
    );

  const byWindow = async ({ board, expiry, descending }: RankPeriod): Promise<string[]> => {
    const way = descending ? 'DESC' : 'ASC';
    const { rows } = await client.query(
      `SELECT owner_id FROM (SELECT owner_id,
         row_number() OVER (ORDER BY score ${way}, subscore ${way}, owner_id ${way}) AS place
       FROM leaderboard_record WHERE leaderboard_id = $1 AND expiry_time = $2) AS placed ORDER BY place`,
      [board, expiryParam(expiry)],
    );
    return rows.map(({ owner_id }) => owner_id);
  };

  const largest = 2n ** 63n - 1n;

  it.each([true, false])('P1, P2: agree with a window function (descending: %s)', async (descending) => {
    const random = new Random(5);
    const scores = [0n, 1n, 2n ** 53n, 2n ** 53n + 1n, largest - 1n, largest];
    const extremes = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];
    await write(extremes[0] as string, descending ? largest : 0n, descending ? largest : 0n);
    await write(extremes[1] as string, descending ? largest : 0n, descending ? largest : 0n);
    for (let i = 0; i < 60; i++) await write(randomUUID(), random.pick(scores), random.pick(scores));
    await write(randomUUID(), 5n, 5n, 2_000_000_000);
    const asked = { ...period, descending };
    const order = await byWindow(asked);
    expect(order).toHaveLength(62);
    const ranks = new SqlRanks(db);
    const expected = new Map(order.map((owner, i) => [owner, BigInt(i + 1)]));
    expect(await ranks.of(asked, order)).toEqual(expected);
    expect(await ranks.of(asked, [...order.slice(40, 44), randomUUID()])).toEqual(new Map([...expected].slice(40, 44)));
    for (const [i, owner] of order.entries()) {
      expect(await ranks.of(asked, [owner])).toEqual(new Map([[owner, BigInt(i + 1)]]));
      expect(await ranks.at(asked, BigInt(i + 1))).toBe(owner);
    }
    expect(await ranks.at(asked, 63n)).toBeNull();
    expect(await ranks.at(asked, 0n)).toBeNull();
    expect(await ranks.count(asked)).toBe(62n);
  });

  it('answers nothing about a board that is not there', async () => {
    const ranks = new SqlRanks(db);
    const unknown = { ...period, board: 'none' };
    expect(await ranks.of(unknown, [randomUUID()])).toEqual(new Map());
    expect(await ranks.count(unknown)).toBe(0n);
    expect(await ranks.at(unknown, 1n)).toBeNull();
  });

  it('lets many who ask share statements, and each gets what it asked for', async () => {
    const owners = Array.from({ length: 50 }, () => randomUUID());
    for (const [i, owner] of owners.entries()) await write(owner, BigInt(1000 - i));
    const ranks = new SqlRanks(db, { batchOwners: 7 });
    const answers = await Promise.all(owners.map((owner) => ranks.of(period, [owner])));
    expect(answers).toEqual(owners.map((owner, i) => new Map([[owner, BigInt(i + 1)]])));
    const counts = await Promise.all([ranks.count(period), ranks.count(period), ranks.count(period)]);
    expect(counts).toEqual([50n, 50n, 50n]);
  });

  it('counts what was written before it was asked, though another count is under way', async () => {
    const ranks = new SqlRanks(db);
    const seen = [];
    for (let i = 1; i <= 20; i++) {
      const early = ranks.count(period);
      await write(randomUUID(), BigInt(i));
      seen.push((await ranks.count(period)) === BigInt(i));
      await early;
    }
    expect(seen.every(Boolean)).toBe(true);
  });

  it('refuses what would wait too long', async () => {
    const ranks = new SqlRanks(db, { waitingOwners: 3 });
    const first = ranks.of(period, [randomUUID()]);
    const second = ranks.of(period, [randomUUID(), randomUUID()]);
    await expect(ranks.of(period, [randomUUID(), randomUUID()])).rejects.toMatchObject({ code: 8 });
    expect([await first, await second]).toEqual([new Map(), new Map()]);
  });

  it.each([ranksAscending, ranksDescending])('counts by the primary key alone: $name', async ({ text }) => {
    await client.query(
      `INSERT INTO leaderboard_record (leaderboard_id, owner_id, score)
       SELECT $1, gen_random_uuid(), i FROM generate_series(1, 20000) AS i`,
      [period.board],
    );
    const order = await byWindow(period);
    const params = [period.board, expiryParam(0), [order[10], order[10_000]]];
    const plan = async (): Promise<string> => {
      await client.query('VACUUM ANALYZE leaderboard_record');
      const { rows } = await client.query(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${text}`, params);
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    };
    // Pages stay unvacuumed as long as any transaction of the database, other tests' included, might look at them.
    const found = await waitFor('pages that all can see', async () => {
      const seen = await plan();
      return seen.includes('Heap Fetches: 0') && seen;
    });
    expect(found).toContain('Index Only Scan using leaderboard_record_pkey');
    expect(found).not.toContain('Seq Scan');
  });
});
