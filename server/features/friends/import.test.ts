import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import type { FriendProvider, Friends } from './index.ts';

// Friends that a provider knows (spec: social.md, section 1.8; http-auth-accounts.md, section 3.7).

const providers: readonly FriendProvider[] = ['facebook', 'steam'];

describe.each(providers)('friends taken over from %s', (provider) => {
  let node: TestNode;
  let sql: pg.Client;
  let friends: Friends;
  let a: Player;
  let b: Player;
  let c: Player;
  beforeAll(async () => {
    node = await startTestNode();
    friends = node.app.features.friends.friends;
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
  });
  beforeEach(async () => {
    [a, b, c] = (await players(3)) as [Player, Player, Player];
  });
  afterAll(async () => {
    await sql.end();
    await node.stop();
  });

  const players = async (count: number): Promise<Player[]> => {
    const signedIn = await Promise.all(Array.from({ length: count }, () => signIn(node)));
    const ids = signedIn.map(({ id }) => id);
    await sql.query(`UPDATE users SET ${provider}_id = 'at-' || id WHERE id = ANY ($1::uuid[])`, [ids]);
    return signedIn;
  };
  const to = (...others: Player[]) => ({ ids: others.map(({ id }) => id), usernames: [] });
  const known = (...others: { id: string }[]): string[] => others.map(({ id }) => `at-${id}`);
  const take = (ids: string[], reset?: boolean) => friends.importFriends(a, provider, ids, { reset });
  const list = async (user: Player) => (await friends.list(user.id, { limit: 100, state: null, cursor: '' })).items;
  const states = async (user: Player): Promise<Record<string, number>> =>
    Object.fromEntries((await list(user)).map(({ friend }) => [friend.id, friend.state]));
  const notes = async (user: Player): Promise<unknown[]> =>
    (await list(user)).map(({ friend }) => JSON.parse(friend.edge_metadata));
  const counts = async (...users: Player[]): Promise<number[]> => {
    const { rows } = await sql.query('SELECT id, edge_count FROM users');
    return users.map(({ id }) => rows.find((row) => row.id === id)?.edge_count);
  };
  const codes = async ({ id }: Player): Promise<number[]> =>
    (await node.app.features.notifications.notifications.list(id, 100, '')).notifications.map(({ code }) => code);

  it('are friends at once, and told', async () => {
    await take([...known(b, c, a, { id: randomUUID() }), 'nobody']);
    expect([await states(a), await states(b)]).toEqual([{ [b.id]: 0, [c.id]: 0 }, { [a.id]: 0 }]);
    expect([await notes(a), await notes(b)]).toEqual([[{ provider }, { provider }], [{ provider }]]);
    expect(await counts(a, b, c)).toEqual([2, 1, 1]);
    const { notifications } = await node.app.features.notifications.notifications.list(b.id, 10, '');
    expect(notifications).toMatchObject([
      {
        code: -6,
        subject: 'Your friend has just joined the game',
        sender_id: a.id,
        content: JSON.stringify({ username: a.username }).replace(':', ': '),
      },
    ]);
    expect(await codes(a)).toEqual([]);
    await take(known(b, c));
    expect([await codes(b), await counts(a, b, c)]).toEqual([[-6], [2, 1, 1]]);
  });

  it('are friends when either had invited the other', async () => {
    await friends.add(a, to(b), '{"mine":1}');
    await friends.add(c, to(a), '{"theirs":1}');
    await take(known(b, c));
    expect([await states(a), await states(b), await states(c)]).toEqual([
      { [b.id]: 0, [c.id]: 0 },
      { [a.id]: 0 },
      { [a.id]: 0 },
    ]);
    expect(await notes(a)).toEqual([{ mine: 1, provider }, { provider }]);
    expect([await notes(b), await notes(c)]).toEqual([[{ provider }], [{ theirs: 1, provider }]]);
    expect(await counts(a, b, c)).toEqual([2, 1, 1]);
    expect([await codes(b), await codes(c)]).toEqual([[-2, -6], [-6]]);
  });

  it('stay as they are when they were friends, or when one has blocked the other', async () => {
    const [d, e] = (await players(2)) as [Player, Player];
    await friends.add(a, to(b), '{"mine":1}');
    await friends.add(b, to(a));
    await friends.block(a, to(c, e));
    await friends.block(d, to(a));
    await friends.block(e, to(a));
    await take(known(b, c, d, e));
    expect(await states(a)).toEqual({ [b.id]: 0, [c.id]: 3, [e.id]: 3 });
    expect([await states(c), await states(d), await states(e)]).toEqual([{}, { [a.id]: 3 }, { [a.id]: 3 }]);
    expect(await notes(a)).toEqual([{ mine: 1 }, {}, {}]);
    expect(await counts(a, b, c, d, e)).toEqual([3, 1, 0, 1, 1]);
    expect([await codes(b), await codes(c), await codes(d), await codes(e)]).toEqual([[-2], [], [], []]);
  });

  it.each([true, false])(
    'replace all others but blocks, when asked to (with friends at the provider: %s)',
    async (some) => {
      const [d, e, f] = (await players(3)) as [Player, Player, Player];
      await friends.add(a, to(b, c), '{"mine":1}');
      await friends.add(b, to(a));
      await friends.add(d, to(a));
      await friends.block(a, to(e));
      await friends.block(f, to(a));
      const before = await Promise.all([a, b, c, d, e, f].map(codes));
      await take(some ? known(b, e, f) : [], true);
      expect(await states(a)).toEqual(some ? { [b.id]: 0, [e.id]: 3 } : { [e.id]: 3 });
      expect(await Promise.all([b, c, d, e, f].map(states))).toEqual([
        some ? { [a.id]: 0 } : {},
        {},
        {},
        {},
        { [a.id]: 3 },
      ]);
      expect(await counts(a, b, c, d, e, f)).toEqual([some ? 2 : 1, some ? 1 : 0, 0, 0, 0, 1]);
      expect(await notes(a)).toEqual(some ? [{ provider }, {}] : [{}]);
      // Who was a friend before has not just joined; nobody hears of the rest.
      expect(await Promise.all([a, b, c, d, e, f].map(codes))).toEqual(before);
    },
  );

  it('are left alone when the provider knows nobody', async () => {
    await friends.add(a, to(b));
    await take([]);
    await take(['nobody', ...known({ id: randomUUID() })], false);
    expect([await states(a), await counts(a, b)]).toEqual([{ [b.id]: 1 }, [1, 1]]);
  });

  it('are refused in too great a number, and when the database fails', async () => {
    const many = Array.from({ length: 10_001 }, (_, n) => String(n));
    await expect(take(many)).rejects.toMatchObject({ code: 3 });
    const name = provider === 'facebook' ? 'Facebook' : 'Steam';
    await expect(take(['a\0'])).rejects.toMatchObject({ code: 13, message: `Error importing ${name} friends.` });
    const gone = { id: randomUUID(), username: 'gone' };
    await friends.importFriends(gone, provider, known(b), { reset: true });
    expect(await states(b)).toEqual({});
  });
});
