import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PresenceTracker } from '../../cluster/presence.ts';
import { nilUuid } from '../../platform/ids.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { Random } from '../../testing/random.ts';
import type { FriendItem, Friends } from './index.ts';
import {
  edgesBetween,
  findBlock,
  friendIdsFrom,
  friendsAmong,
  friendsFrom,
  friendsInStateFrom,
  friendsOfFriendsFrom,
} from './queries.ts';

// One user with more than ten thousand edges among many of others. MUSTER_TEST_PLANS=1 prints the plans.

/** Friends, invites sent and received, blocks. */
const edgesInState: readonly number[] = [9_000, 500, 500, 300];
const friendCount = 9_000;
const total = edgesInState.reduce((sum, count) => sum + count);

describe('lists of a user with many friends', () => {
  let node: TestNode;
  let sql: pg.Client;
  let friends: Friends;
  let presence: PresenceTracker;
  let popular: Player;
  let outsider: Player;
  beforeAll(async () => {
    node = await startTestNode({
      extraFeatures: (kit) => {
        presence = kit.presence;
        return [];
      },
    });
    friends = node.app.features.friends.friends;
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
    [popular, outsider] = [await signIn(node), await signIn(node)];
    await seed();
  });
  afterEach(() => vi.restoreAllMocks());
  afterAll(async () => {
    await sql.end();
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  /** The popular user's edges in all states, and friendships of each of the first with the next ones. */
  async function seed(): Promise<void> {
    await sql.query(
      `CREATE TEMP TABLE other AS
       SELECT row_number() OVER (ORDER BY id) AS n, id FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1)) s`,
      [total],
    );
    await sql.query('INSERT INTO users (id, username) SELECT id, id::text FROM other');
    let from = 0;
    for (const [state, count] of edgesInState.entries()) {
      const reverse = [0, 2, 1, null][state];
      for (const [source, destination, own] of [
        ['$1::uuid', 'id', state],
        ['id', '$1::uuid', reverse],
      ] as const) {
        if (own === null) continue;
        // From the newest on, so that the order of insertion is not that of the list.
        await sql.query(
          `INSERT INTO user_edge (source_id, destination_id, state, position)
           SELECT ${source}, ${destination}, ${own}, 1700000000000000000 - n FROM other WHERE n > $2 AND n <= $3`,
          [popular.id, from, from + count],
        );
      }
      from += count;
    }
    for (const distance of [1, 2, 3]) {
      await sql.query(
        `INSERT INTO user_edge (source_id, destination_id, state, position)
         SELECT e.a, e.b, 0, 1600000000000000000 + $1 * 2 + e.way FROM (
           SELECT a.id AS a, b.id AS b, 0 AS way FROM other a JOIN other b ON b.n = a.n + $1
           UNION ALL SELECT b.id, a.id, 1 FROM other a JOIN other b ON b.n = a.n + $1
         ) e WHERE e.a IN (SELECT id FROM other WHERE n <= $2) AND e.b IN (SELECT id FROM other WHERE n <= $2)`,
        [distance, friendCount],
      );
    }
    // Only the friend with the highest id knows somebody else.
    await sql.query(
      `INSERT INTO user_edge (source_id, destination_id, state, position)
       SELECT id, $1::uuid, 0, 1 FROM other WHERE n = $2
       UNION ALL SELECT $1::uuid, id, 0, 1 FROM other WHERE n = $2`,
      [outsider.id, friendCount],
    );
    await sql.query('UPDATE users u SET edge_count = (SELECT count(*) FROM user_edge e WHERE e.source_id = u.id)');
    await sql.query('ANALYZE users, user_edge');
  }

  /** All pages; `between` runs before each of them. */
  async function walk(limit: number, between = async (_page: number): Promise<void> => {}): Promise<FriendItem[]> {
    const found: FriendItem[] = [];
    let cursor = '';
    for (let page = 0; page === 0 || cursor !== ''; page++) {
      await between(page);
      const { items, cursor: next } = await friends.list(popular.id, { limit, state: null, cursor });
      if (next !== '') expect(items).toHaveLength(limit);
      found.push(...items);
      cursor = next;
    }
    return found;
  }

  const inOrder = (items: readonly FriendItem[]): boolean =>
    items.every(({ friend }, index) => {
      const before = items[index - 1]?.friend;
      if (before === undefined || before.state < friend.state) return true;
      return before.state === friend.state && before.position < friend.position;
    });

  it.each([1000, 7])(
    'in pages of %i gives each that stays as it is exactly once, whatever others do',
    async (limit) => {
      const random = new Random(limit);
      const edges = await sql.query<{ id: string; username: string; state: number }>(
        `SELECT u.id, u.username, e.state FROM user_edge e JOIN users u ON u.id = e.destination_id
       WHERE e.source_id = $1 ORDER BY u.id`,
        [popular.id],
      );
      const moved = new Set<string>();
      const to = (...ids: string[]) => ({ ids, usernames: [] });
      // Somebody's invite is accepted, on either side; somebody leaves, is blocked, is unblocked; somebody new comes.
      const changeOne = async (): Promise<void> => {
        const { id, username, state } = random.pick(edges.rows);
        if (moved.has(id)) return;
        moved.add(id);
        const other = { id, username };
        if (state === 1) await friends.add(other, to(popular.id));
        else if (state === 2 && random.chance(0.5)) await friends.add(popular, to(id));
        else if (state === 3 || random.chance(0.4)) await friends.delete(popular, to(id));
        else if (random.chance(0.5)) await friends.block(popular, to(id));
        else await friends.block(other, to(popular.id));
        const stranger = await signIn(node);
        await friends.add(stranger, to(popular.id));
      };
      const found = await walk(limit, async (page) => {
        const times = limit === 7 ? (page % 20 === 0 ? 1 : 0) : 5;
        for (let time = 0; time < times; time++) await changeOne();
      });
      expect(moved.size).toBeGreaterThan(40);
      expect(inOrder(found)).toBe(true);
      const seen = new Map<string, number>();
      for (const { friend } of found) seen.set(friend.id, (seen.get(friend.id) ?? 0) + 1);
      const stayed = edges.rows.filter(({ id }) => !moved.has(id));
      expect(stayed.length).toBeGreaterThan(9_000);
      expect(stayed.filter(({ id }) => seen.get(id) !== 1)).toEqual([]);
    },
  );

  it('asks for all presences of a page at once', async () => {
    const glance = vi.spyOn(presence, 'glance');
    const request = { limit: 1000, state: null, cursor: '' };
    expect((await friends.list(popular.id, request)).items).toHaveLength(1000);
    expect(glance).toHaveBeenCalledTimes(1);
    expect(glance.mock.calls[0]?.[0]).toHaveLength(1000);
  });

  it('looks for friends of friends a thousand friends at a time, and leads on', async () => {
    const found: string[] = [];
    let cursor = '';
    let pages = 0;
    do {
      const page = await friends.friendsOfFriends(popular.id, { limit: 100, cursor });
      found.push(...page.items.map(({ user }) => user.id));
      cursor = page.cursor;
      pages++;
    } while (cursor !== '');
    expect(found.filter((id) => id === outsider.id)).toEqual([outsider.id]);
    expect(pages).toBeGreaterThan(5);
    expect(pages).toBeLessThan(20);
  });

  const statements: readonly (readonly [statement: Statement, params: () => Param[]])[] = [
    [friendsFrom, () => [popular.id, 0, 1_699_999_999_999_995_000n, 101]],
    [friendsFrom, () => [popular.id, 0, 0n, 1001]],
    [friendsInStateFrom, () => [popular.id, 0, 1_699_999_999_999_995_000n, 101]],
    [friendsInStateFrom, () => [popular.id, 2, 0n, 1001]],
    [friendsAmong, () => [popular.id, [outsider.id, nilUuid]]],
    [friendIdsFrom, () => [popular.id, '80000000-0000-0000-0000-000000000000', 101]],
    [friendsOfFriendsFrom, () => [popular.id, [outsider.id, nilUuid], nilUuid, nilUuid, 101]],
    [edgesBetween, () => [popular.id, [outsider.id, nilUuid]]],
    [findBlock, () => [popular.id, outsider.id]],
  ];

  it.each(['custom', 'generic'])('never reads the whole table, with a %s plan', async (kind) => {
    await sql.query(`SET plan_cache_mode = force_${kind}_plan`);
    for (const [{ name, text }, params] of statements) {
      const values = params().map((param) => pg.escapeLiteral(Array.isArray(param) ? `{${param}}` : String(param)));
      await sql.query(`PREPARE explained AS ${text}`);
      const { rows } = await sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE explained (${values})`);
      await sql.query('DEALLOCATE explained');
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      if (process.env['MUSTER_TEST_PLANS'] !== undefined) console.log(`${name}, ${kind} plan\n${plan}\n`);
      expect(plan, name).not.toContain('Seq Scan on user_edge');
      expect(plan, name).toContain('on user_edge');
    }
  });
});
