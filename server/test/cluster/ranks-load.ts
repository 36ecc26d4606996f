import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { RedisRankIndex } from '../../cluster/rank-index-redis.ts';
import { RedisLink } from '../../cluster/redis-link.ts';
import type { ServerWrite } from '../../features/leaderboards/index.ts';
import type { TestNode } from '../../testing/node.ts';
import type { Random } from '../../testing/random.ts';
import { quiet } from '../../testing/store.ts';

export interface TestBoard {
  readonly id: string;
  readonly descending: boolean;
  readonly operator: 'best' | 'set' | 'incr' | 'decr';
  readonly resetSchedule: string | null;
}

/** All operators in both orders, one board that is reset often and one whose end is far. */
export const boards: readonly TestBoard[] = [
  ...(['best', 'set', 'incr', 'decr'] as const).flatMap((operator) =>
    [true, false].map((descending) => ({
      ...{ id: `${operator} {${descending ? 'desc' : 'asc'}}`, descending, operator, resetSchedule: null },
    })),
  ),
  { id: 'often', descending: true, operator: 'set', resetSchedule: '*/15 * * * * * *' },
  { id: 'yearly', descending: false, operator: 'best', resetSchedule: '@yearly' },
];

/** Small numbers for ties, and such as doubles cannot tell apart. */
const scores = [...Array.from({ length: 20 }, (_, i) => BigInt(i)), 2n ** 53n, 2n ** 53n + 1n, 2n ** 53n + 2n];

/** Owners who write and leave, on all nodes, until stopped. */
export class RankLoad {
  writes = 0;
  deletes = 0;
  /** What should not have failed, and did. */
  readonly failures: unknown[] = [];
  readonly #nodes: readonly TestNode[];
  readonly #owners: readonly string[];
  readonly #random: Random;
  readonly #loops: Promise<void>[] = [];
  #isStopping = false;

  constructor(nodes: readonly TestNode[], ownerCount: number, random: Random) {
    this.#nodes = nodes;
    this.#random = random;
    this.#owners = Array.from({ length: ownerCount }, () => randomUUID());
  }

  /** Creates the boards, and a record of every owner on each. */
  async prepare(sql: pg.Client): Promise<void> {
    for (const { id, descending, operator, resetSchedule } of boards) {
      const sortOrder = descending ? 'desc' : 'asc';
      const { app } = this.#nodes[0] as TestNode;
      const { leaderboards } = app.features.leaderboards;
      await leaderboards.create({ id, sortOrder, operator, resetSchedule, enableRanks: true });
      if (id === 'often') continue;
      const { expiry } = await leaderboards.listRecords(id, { limit: 1 });
      await sql.query(
        `INSERT INTO leaderboard_record (leaderboard_id, owner_id, expiry_time, score, subscore, create_time)
         SELECT $1, unnest($2::uuid[]), to_timestamp($3), floor(random() * 20), floor(random() * 3), clock_timestamp()`,
        [id, this.#owners, expiry],
      );
      // Somebody has looked at the board meanwhile, and nobody was told of these.
      await app.features.ranks.ranks.drop(id);
    }
  }

  start(loopsPerNode: number): void {
    for (const node of this.#nodes) {
      for (let i = 0; i < loopsPerNode; i++) this.#loops.push(this.#loop(node));
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
  }

  async #loop({ app }: TestNode): Promise<void> {
    const { leaderboards } = app.features.leaderboards;
    const random = this.#random;
    while (!this.#isStopping) {
      const [board, owner] = [random.pick(boards), random.pick(this.#owners)];
      try {
        const chance = random.next();
        if (chance < 0.1) {
          await leaderboards.deleteRecord(board.id, owner);
          this.deletes++;
        } else if (chance < 0.2) {
          await leaderboards.listRecordsAround(board.id, owner, { limit: 5 });
        } else {
          await leaderboards.writeRecord(board.id, this.#write(board, owner));
          this.writes++;
        }
      } catch (error) {
        this.failures.push(error);
      }
    }
  }

  #write({ operator }: TestBoard, ownerId: string): ServerWrite {
    const random = this.#random;
    // Increments of great numbers would overflow, and new owners would stay below the others for ever.
    const choice = operator === 'incr' || operator === 'decr' ? scores.slice(0, 20) : scores;
    const change = { ownerId, score: random.pick(choice), subscore: random.pick(choice) };
    return operator === 'decr' && random.chance(0.5) ? { ...change, operator: 'set' } : change;
  }
}

/** Looks at ranks from outside of the nodes. */
export class RankObserver {
  readonly #sql: pg.Client;
  readonly #link: RedisLink;
  readonly #index: RedisRankIndex;

  constructor(sql: pg.Client, redisUrl: string) {
    this.#sql = sql;
    this.#link = new RedisLink({ server: redisUrl, log: quiet });
    this.#index = new RedisRankIndex(this.#link, { self: { name: 'observer', epoch: 1 } });
  }

  async close(): Promise<void> {
    await this.#index.close();
    await this.#link.close();
  }

  /** Owners in the order of their ranks, by a window function. */
  async truth(board: string, expiry: number, descending: boolean): Promise<string[]> {
    const way = descending ? 'DESC' : 'ASC';
    const { rows } = await this.#sql.query<{ owner_id: string }>(
      `SELECT owner_id, row_number() OVER (ORDER BY score ${way}, subscore ${way}, owner_id ${way}) AS place
       FROM leaderboard_record WHERE leaderboard_id = $1 AND expiry_time = to_timestamp($2) ORDER BY place`,
      [board, expiry],
    );
    return rows.map(({ owner_id }) => owner_id);
  }

  /** How the index differs from the table; null when there is none, or it is not complete. */
  async drift(board: string, expiry: number): Promise<string | null> {
    const order = await this.truth(board, expiry, false);
    const entries = await this.#index.slice({ board, expiry }, 0, order.length + 1000);
    if (entries === null) return null;
    if (entries.length !== order.length) return `${board}: ${entries.length} entries of ${order.length} records`;
    const first = order.findIndex((owner, i) => entries[i]?.owner !== owner);
    return first === -1 ? '' : `${board}: another owner at ${first + 1}`;
  }
}

/** Owners whose rank, by the node, is not that of the order, and the number of records if that is not right. */
export async function wrongRanks(
  { app }: TestNode,
  board: Pick<TestBoard, 'id' | 'descending'>,
  expiry: number,
  order: readonly string[],
): Promise<string[]> {
  const { ranks } = app.features.ranks;
  const period = { board: board.id, expiry, descending: board.descending };
  const wrong: string[] = [];
  for (let start = 0; start < order.length; start += 1000) {
    const owners = order.slice(start, start + 1000);
    const told = await ranks.of(period, owners);
    wrong.push(...owners.filter((owner, i) => told.get(owner) !== BigInt(start + i + 1)));
  }
  if ((await ranks.count(period)) !== BigInt(order.length)) wrong.push('count');
  return wrong;
}
