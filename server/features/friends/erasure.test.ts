import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../store/database.ts';
import { sql } from '../../store/sql.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { launchNode, type TestNode } from '../../testing/node.ts';
import { Random } from '../../testing/random.ts';
import { eraseFriends, exportFriends } from './erasure.ts';
import type { Friends } from './index.ts';

const deleteUser = sql('test_delete_user', 'DELETE FROM users WHERE id = $1', 'write');

describe('leaving with all friends', () => {
  let schema: TestSchema;
  let nodes: TestNode[];
  const databases: Database[] = [];
  let client: pg.Client;
  beforeAll(async () => {
    schema = await createTestSchema();
    const launch = (name: string): Promise<TestNode> =>
      launchNode(
        {
          config: { name, 'database.pool_size': 8, 'database.acquire_timeout_ms': 30_000 },
          extraFeatures: ({ db }) => {
            databases.push(db);
            return [];
          },
        },
        schema.url,
      );
    nodes = [await launch('one'), await launch('two')];
    client = new pg.Client(schema.url);
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
    await Promise.all(nodes.map((node) => node.stop()));
    await schema.drop();
  });

  const nodeOf = (n: number): TestNode => nodes[n % nodes.length] as TestNode;
  const friendsOf = (n: number): Friends => nodeOf(n).app.features.friends.friends;
  const databaseOf = (n: number): Database => databases[n % databases.length] as Database;
  const players = (count: number): Promise<Player[]> =>
    Promise.all(Array.from({ length: count }, () => signIn(nodeOf(0))));
  const ids = (...others: { id: string }[]) => ({ ids: others.map(({ id }) => id), usernames: [] });
  const counts = async (...users: Player[]): Promise<number[]> => {
    const { rows } = await client.query('SELECT id, edge_count FROM users');
    return users.map(({ id }) => rows.find((row) => row.id === id)?.edge_count);
  };
  const edges = async (...users: Player[]): Promise<number> => {
    const { rows } = await client.query(
      'SELECT count(*)::int AS n FROM user_edge WHERE source_id = ANY ($1::uuid[]) OR destination_id = ANY ($1::uuid[])',
      [users.map(({ id }) => id)],
    );
    return rows[0].n;
  };

  /** One who has a friend, an invite each way, and a block each way. */
  async function sociable(): Promise<
    [a: Player, friend: Player, sent: Player, received: Player, own: Player, other: Player]
  > {
    const [a, friend, sent, received, own, other] = (await players(6)) as [
      Player,
      Player,
      Player,
      Player,
      Player,
      Player,
    ];
    const friends = friendsOf(0);
    await friends.add(a, ids(friend, sent), '{"note":1}');
    await friends.add(friend, ids(a, sent));
    await friends.add(received, ids(a));
    await friends.block(a, ids(own));
    await friends.block(other, ids(a));
    return [a, friend, sent, received, own, other];
  }

  it('takes the edges of both directions, and others count one less', async () => {
    const [a, ...others] = await sociable();
    const [friend, sent] = others;
    expect(await counts(a, ...others)).toEqual([4, 2, 2, 1, 0, 1]);
    await databaseOf(0).transaction((tx) => eraseFriends(tx, a.id));
    expect(await counts(a, ...others)).toEqual([0, 1, 1, 0, 0, 0]);
    expect(await edges(a)).toBe(0);
    expect(await edges(friend, sent)).toBe(2);
  });

  it('goes together with the account, or not at all', async () => {
    const [a, ...others] = await sociable();
    const erase = databaseOf(0).transaction(async (tx) => {
      await eraseFriends(tx, a.id);
      throw new Error('changed my mind');
    });
    await expect(erase).rejects.toThrow('changed my mind');
    expect(await counts(a, ...others)).toEqual([4, 2, 2, 1, 0, 1]);
    expect(await edges(a)).toBe(8);
    await databaseOf(0).transaction(async (tx) => {
      await eraseFriends(tx, a.id);
      await tx.execute(deleteUser, [a.id]);
    });
    expect(await counts(a, ...others)).toEqual([undefined, 1, 1, 0, 0, 0]);
  });

  it('is nothing for who has nobody, or is nobody', async () => {
    const [a] = (await players(1)) as [Player];
    for (const id of [a.id, crypto.randomUUID()]) await databaseOf(0).transaction((tx) => eraseFriends(tx, id));
    expect(await counts(a)).toEqual([0]);
  });

  it('has counts that other software left too low', async () => {
    const [a, b] = (await players(2)) as [Player, Player];
    await friendsOf(0).add(a, ids(b));
    await client.query('UPDATE users SET edge_count = 0 WHERE id = $1', [b.id]);
    await databaseOf(0).transaction((tx) => eraseFriends(tx, a.id));
    expect(await counts(a, b)).toEqual([0, 0]);
  });

  it('hands out everything before', async () => {
    const [a, friend, sent, received, own] = await sociable();
    const found = [];
    for await (const each of exportFriends(databaseOf(0), a.id)) found.push(JSON.parse(each));
    expect(found).toMatchObject([
      { user: { id: friend.id, username: friend.username }, state: 0, metadata: '{"note": 1}' },
      { user: { id: sent.id }, state: 1, metadata: '{"note": 1}' },
      { user: { id: received.id }, state: 2, metadata: '{}' },
      { user: { id: own.id }, state: 3 },
    ]);
    expect(found).toHaveLength(4);
    for await (const each of exportFriends(databaseOf(0), crypto.randomUUID())) expect(each).toBeUndefined();
  });

  it('nobody is lost count of while accounts are erased and friends taken over anew (seed 9)', async () => {
    const random = new Random(9);
    const users = await players(16);
    await client.query('UPDATE users SET facebook_id = id WHERE id = ANY ($1::uuid[])', [users.map(({ id }) => id)]);
    const some = (actor: Player): Player[] => users.filter((user) => user !== actor && random.chance(0.4));
    const changes = Array.from({ length: 120 }, (_, n) => {
      const actor = random.pick(users.slice(4));
      const targets = ids(...some(actor), users[0] as Player);
      if (n % 10 === 0) return () => friendsOf(n).importFriends(actor, 'facebook', targets.ids, { reset: true });
      return random.chance(0.7) ? () => friendsOf(n).add(actor, targets) : () => friendsOf(n).block(actor, targets);
    });
    const erasures = users.slice(0, 4).map((user, n) => async () => {
      await databaseOf(n).transaction(async (tx) => {
        await eraseFriends(tx, user.id);
        await tx.execute(deleteUser, [user.id]);
      });
    });
    const all = [...changes.slice(0, 60), ...erasures, ...changes.slice(60)];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let n = next++; n < all.length; n = next++) await all[n]?.();
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    const wrong = await client.query(
      `SELECT id, edge_count FROM users u
       WHERE edge_count <> (SELECT count(*) FROM user_edge e WHERE e.source_id = u.id) AND id = ANY ($1::uuid[])`,
      [users.map(({ id }) => id)],
    );
    expect(wrong.rows).toEqual([]);
    const { rows } = await client.query('SELECT id FROM users WHERE id = ANY ($1::uuid[])', [
      users.map(({ id }) => id),
    ]);
    expect(rows).toHaveLength(12);
  });
});
