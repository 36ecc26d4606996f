import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import type { TestNode } from '../../testing/node.ts';
import { startProcessNode } from '../../testing/process-node.ts';
import { Random } from '../../testing/random.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import { boards, RankLoad, RankObserver, type TestBoard, wrongRanks } from './ranks-load.ts';
import { startNode } from './support.ts';

// Ranks equal SQL (reliability anchor F15; invariant R1). The whole of it:
// MUSTER_RANKS_OWNERS=10000 MUSTER_RANKS_SECONDS=60 npx vitest run --project single server/test/cluster/ranks.test.ts

const ownerCount = Number(process.env['MUSTER_RANKS_OWNERS'] ?? 300);
const runMs = 1000 * Number(process.env['MUSTER_RANKS_SECONDS'] ?? 8);
const seed = Number(process.env['MUSTER_RANKS_SEED'] ?? 15);
/** From the last write until everything agrees. */
const quietMs = 10_000;
/** From a node's end until the others have given it up, and ranks agree again. */
const deadMs = 15_000;

describe.skipIf(!redisAvailable)('ranks of two nodes', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let sql: pg.Client;
  let nodes: [TestNode, TestNode];
  let observer: RankObserver;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    const [one, two] = await Promise.all(['one', 'two'].map((name) => startNode(name, schema.url, redis.url)));
    nodes = [one as TestNode, two as TestNode];
    sql = new pg.Client(schema.url);
    await sql.connect();
    observer = new RankObserver(sql, redis.url);
  });
  afterAll(async () => {
    await observer?.close();
    await sql?.end();
    await Promise.all((nodes ?? []).map((node) => node.stop()));
    await Promise.all([schema.drop(), redis.stop()]);
  });

  /** The end of the board's present period. */
  const expiryOf = async ({ id }: Pick<TestBoard, 'id'>): Promise<number> =>
    (await nodes[0].app.features.leaderboards.leaderboards.listRecords(id, { limit: 1 })).expiry;

  /** Waits until both nodes and the index agree with the table about the board. */
  const agreed = async (board: Pick<TestBoard, 'id' | 'descending'>, end: number): Promise<void> => {
    let seen: unknown;
    const agree = async (): Promise<boolean> => {
      const expiry = await expiryOf(board);
      const order = await observer.truth(board.id, expiry, board.descending);
      const wrong = await Promise.all(nodes.map((node) => wrongRanks(node, board, expiry, order)));
      const drift = await observer.drift(board.id, expiry);
      seen = { board: board.id, wrong: wrong.map((all) => [all.length, ...all.slice(0, 3)]), drift };
      return wrong.every((all) => all.length === 0) && drift === '';
    };
    await waitFor('ranks to be right', agree, Math.max(0, end - performance.now())).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
    });
  };

  it('F15, R1: equal a window function after a storm with Redis killed in it', { timeout: 300_000 }, async () => {
    const load = new RankLoad(nodes, ownerCount, new Random(seed));
    await load.prepare(sql);
    load.start(6);
    await sleep(runMs / 2);
    await redis.kill9();
    const downMs = Math.min(3000, runMs / 4);
    await sleep(downMs);
    await redis.restart();
    await sleep(runMs / 2 - downMs);
    await load.stop();
    const stoppedAt = performance.now();
    for (const board of boards) await agreed(board, stoppedAt + quietMs);
    console.info(
      `${load.writes} writes and ${load.deletes} deletions of ${ownerCount} owners; ` +
        `all agreed ${Math.round(performance.now() - stoppedAt)} ms after the last`,
    );
    expect(load.writes).toBeGreaterThan(200);
    expect(load.failures).toEqual([]);
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });

  it('agree with the pages around owners', async () => {
    const random = new Random(seed);
    for (const board of boards) {
      const expiry = await expiryOf(board);
      const order = await observer.truth(board.id, expiry, board.descending);
      if (order.length < 10 || board.id === 'often') continue;
      for (const node of nodes) {
        const at = random.below(order.length);
        const { leaderboards } = node.app.features.leaderboards;
        const page = await leaderboards.listRecordsAround(board.id, order[at] as string, { limit: 7 });
        const first = Math.min(Math.max(0, at - 3), order.length - 7);
        expect(page.records.map((row) => row.owner_id)).toEqual(order.slice(first, first + 7));
        expect(page.firstRank).toBe(first + 1);
        expect(page.rankCount).toBe(BigInt(order.length));
      }
    }
  });

  it('F1, R1: are right again after a node was killed in the middle of writes', { timeout: 120_000 }, async () => {
    const board = { id: 'mortal', descending: true };
    const { leaderboards } = nodes[0].app.features.leaderboards;
    await leaderboards.create({ ...board, sortOrder: 'desc', operator: 'set', enableRanks: true });
    const players = await Promise.all(Array.from({ length: 24 }, () => signIn(nodes[0])));
    for (let life = 0; life < 3; life++) {
      const flags = { name: `mortal-${life}`, 'database.url': schema.url, 'redis.url': redis.url };
      const mortal = await startProcessNode(flags);
      await agreed(board, performance.now() + quietMs);
      let answers = 0;
      const write = async ({ authorization }: Player): Promise<void> => {
        for (let score = 1; !mortal.hasExited; score++) {
          const body = { score: String(1000 * life + score) };
          await request(mortal, 'POST', `/v2/leaderboard/${board.id}`, { authorization, body }).then(
            () => answers++,
            () => undefined,
          );
        }
      };
      const writing = players.map(write);
      await waitFor('writes', () => answers > 200, 20_000);
      process.kill(mortal.pid, 'SIGKILL');
      await Promise.all(writing);
      console.info(`killed: ${(await observer.drift(board.id, 0)) || 'by chance nothing was missing in the index'}`);
      await agreed(board, performance.now() + deadMs);
      await mortal.stop();
    }
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });
});
