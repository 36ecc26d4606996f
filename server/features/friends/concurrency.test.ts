import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { otherDatabase } from '../../store/connection-config.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { launchNode, type TestNode } from '../../testing/node.ts';
import { Random } from '../../testing/random.ts';
import { waitFor } from '../../testing/wait.ts';
import type { Friends } from './index.ts';

// A database of its own: deadlocks are counted by database.

const base = process.env['MUSTER_TEST_DATABASE_URL'] ?? '';
const name = `test_friends_${randomBytes(6).toString('hex')}`;
const url = otherDatabase(base, name);

describe('many at once among the same users, on two nodes', () => {
  let nodes: TestNode[];
  let sql: pg.Client;
  beforeAll(async () => {
    const config = { 'database.auto_migrate': true, 'database.pool_size': 8, 'database.acquire_timeout_ms': 30_000 };
    nodes = [await launchNode({ config: { name: 'one', ...config } }, url)];
    nodes.push(await launchNode({ config: { name: 'two', ...config } }, url));
    sql = new pg.Client(url);
    await sql.connect();
  });
  afterAll(async () => {
    await sql.end();
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
    await Promise.all(nodes.map((node) => node.stop()));
    const client = new pg.Client(base);
    await client.connect();
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await client.end();
  });

  const friendsOf = (n: number): Friends => (nodes[n % nodes.length] as TestNode).app.features.friends.friends;
  const players = (count: number): Promise<Player[]> =>
    Promise.all(Array.from({ length: count }, () => signIn(nodes[0] as TestNode)));
  const ids = (...others: { id: string }[]) => ({ ids: others.map(({ id }) => id), usernames: [] });
  /** Users who count other than what they have, and pairs of edges that do not belong together. */
  const inconsistencies = async (): Promise<unknown[]> => {
    const counts = await sql.query(
      `SELECT id, edge_count FROM users u
       WHERE edge_count <> (SELECT count(*) FROM user_edge e WHERE e.source_id = u.id)`,
    );
    const pairs = await sql.query(
      `SELECT a.state AS own, b.state AS other
       FROM user_edge a LEFT JOIN user_edge b ON b.source_id = a.destination_id AND b.destination_id = a.source_id
       WHERE (a.state, COALESCE(b.state, -1)) NOT IN ((0, 0), (1, 2), (2, 1), (3, -1), (3, 3))`,
    );
    return [...counts.rows, ...pairs.rows];
  };
  /** States of the edges between two users, and what the two count, sorted. */
  const between = async (a: Player, b: Player): Promise<number[]> => {
    const { rows } = await sql.query(
      `SELECT state AS n FROM user_edge WHERE source_id IN ($1, $2)
       UNION ALL SELECT edge_count FROM users WHERE id IN ($1, $2)`,
      [a.id, b.id],
    );
    return rows.map(({ n }) => n).sort();
  };

  it('two who add each other at the same time are friends', async () => {
    for (let round = 0; round < 30; round++) {
      const [a, b] = (await players(2)) as [Player, Player];
      await Promise.all([friendsOf(0).add(a, ids(b)), friendsOf(1).add(b, ids(a))]);
      expect(await between(a, b)).toEqual([0, 0, 1, 1]);
    }
  });

  it('the same user added many times at once is invited once, and told once', async () => {
    const [a, b] = (await players(2)) as [Player, Player];
    await Promise.all(Array.from({ length: 20 }, (_, n) => friendsOf(n).add(a, ids(b))));
    expect(await between(a, b)).toEqual([1, 1, 1, 2]);
    const { rows } = await sql.query('SELECT code FROM notification WHERE user_id = $1', [b.id]);
    expect(rows).toEqual([{ code: -2 }]);
  });

  it('whoever accepts while being blocked is blocked', async () => {
    for (let round = 0; round < 20; round++) {
      const [a, b] = (await players(2)) as [Player, Player];
      await friendsOf(round).add(a, ids(b));
      await Promise.all([friendsOf(0).block(a, ids(b)), friendsOf(1).add(b, ids(a))]);
      expect(await between(a, b)).toEqual([0, 1, 3]);
    }
  });

  it('1000 operations of ten users keep edges in pairs and counts right, without a deadlock (seed 8)', async () => {
    const random = new Random(8);
    const users = await players(10);
    await sql.query('UPDATE users SET steam_id = id WHERE id = ANY ($1::uuid[])', [users.map(({ id }) => id)]);
    const operations = Array.from({ length: 1000 }, (_, n) => {
      const actor = random.pick(users);
      const others = users.filter((user) => user !== actor && random.chance(0.3));
      const targets = others.length > 0 ? others : users.filter((user) => user !== actor).slice(0, 1);
      const friends = friendsOf(random.below(2));
      const actions = [
        () => friends.add(actor, ids(...targets), `{"n":${n}}`),
        () => friends.add(actor, { ids: [], usernames: targets.map(({ username }) => username) }),
        () => friends.delete(actor, ids(...targets)),
        () => friends.block(actor, ids(...targets)),
        () => friends.importFriends(actor, 'steam', ids(...targets).ids),
      ];
      return random.pick(actions);
    });
    let next = 0;
    const client = async (): Promise<void> => {
      for (let n = next++; n < operations.length; n = next++) await operations[n]?.();
    };
    await Promise.all(Array.from({ length: 16 }, client));
    expect(await inconsistencies()).toEqual([]);
    const { rows } = await sql.query(
      'SELECT count(*)::int AS count, count(DISTINCT state)::int AS states FROM user_edge',
    );
    expect(rows[0].count).toBeGreaterThan(20);
    expect(rows[0].states).toBe(4);
    await Promise.all(nodes.map((node) => node.stop()));
    // Sessions report what they know when they end.
    await waitFor('the sessions to be gone', async () => {
      const { rows: sessions } = await sql.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'muster %' AND datname = current_database()`,
      );
      return sessions.length === 0;
    });
    const stats = await sql.query('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()');
    expect(stats.rows).toEqual([{ deadlocks: 0 }]);
  });
});
