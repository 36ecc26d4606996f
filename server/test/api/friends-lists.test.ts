import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { encodeCursor } from '../../platform/cursor.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { type Envelope, TestSocket } from '../../testing/socket.ts';
import { FriendClient } from './friends-support.ts';

// Lists of friends and of their friends; cases of the spec (social.md, section 4).

const badCursor = 'Cursor is invalid.';
const wholeSecond = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

const ids = (friends: Envelope[]): string[] => friends.map(({ user }) => user.id);
const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

describeDoors('lists of friends', {}, (doorway) => {
  const newClient = async (): Promise<FriendClient> => new FriendClient(doorway, await signIn(doorway.server));
  const newClients = (count: number): Promise<FriendClient[]> =>
    Promise.all(Array.from({ length: count }, () => newClient()));
  const befriend = async (a: FriendClient, ...others: FriendClient[]): Promise<void> => {
    for (const other of others) {
      await a.add(other);
      await other.add(a);
    }
  };
  /** All pages. */
  const walk = async (client: FriendClient, query: { limit: number; state?: number }): Promise<Envelope[]> => {
    const friends: Envelope[] = [];
    for (let cursor = ''; ; ) {
      const page = await client.list({ ...query, ...(cursor === '' ? {} : { cursor }) });
      friends.push(...page.friends);
      if (page.cursor === undefined) return friends;
      expect(page.friends).toHaveLength(query.limit);
      cursor = page.cursor;
    }
  };

  test('social #18: bounds', async () => {
    const a = await newClient();
    for (const limit of [0, 1001, -1]) {
      await a.refused('ListFriends', { limit }, 3, 'Invalid limit - limit must be between 1 and 1000.');
    }
    for (const state of [4, -1]) {
      await a.refused('ListFriends', { state }, 3, 'Invalid state - state must be between 0 and 3.');
    }
    expect(await a.list({ limit: 1000, state: 3 })).toEqual({ friends: [], cursor: undefined });
    expect(await a.list()).toEqual({ friends: [], cursor: undefined });
    expect(await doorway.call('ListFriends', 'Bearer nonsense')).toMatchObject({ code: 16 });
  });

  test('social #19: by state, then from the oldest on', async () => {
    const [a, ...others] = (await newClients(7)) as [FriendClient, ...FriendClient[]];
    const [b, c, d, e, f, g] = others as [
      FriendClient,
      FriendClient,
      FriendClient,
      FriendClient,
      FriendClient,
      FriendClient,
    ];
    await a.add(e);
    await f.add(a);
    await a.block(g);
    // Their invites came before they became friends: what counts is the first of it.
    await a.add(d, b);
    await b.add(a);
    await befriend(a, c);
    await d.add(a);
    const all = (await a.list()).friends;
    expect(all.map(({ state }: Envelope) => state)).toEqual([0, 0, 0, 1, 2, 3]);
    expect(ids(all)).toEqual([d.id, b.id, c.id, e.id, f.id, g.id]);
    for (const limit of [1, 2, 3, 5]) expect(await walk(a, { limit })).toEqual(all);
    expect(ids(await walk(a, { limit: 2, state: 0 }))).toEqual([d.id, b.id, c.id]);
    expect(ids(await walk(a, { limit: 1, state: 3 }))).toEqual([g.id]);
    const page = await a.list({ limit: 6 });
    expect([page.friends.length, page.cursor]).toEqual([6, undefined]);
  });

  test.each([
    '%%%',
    'x',
    Buffer.from('[1,2]').toString('base64url'),
    encodeCursor('friend', []),
    encodeCursor('friend', [0]),
    encodeCursor('friend', [4, '1']),
    encodeCursor('friend', [0.5, '1']),
    encodeCursor('friend', ['0', '1']),
    encodeCursor('friend', [0, 1]),
    encodeCursor('friend', [0, '-1']),
    encodeCursor('friend', [0, '9223372036854775808']),
    encodeCursor('friend', [0, '1', 1]),
    encodeCursor('friend_of_friend', [randomUUID(), randomUUID()]),
  ])('social #19: cursor %j is refused', async (cursor) => {
    await (await newClient()).refused('ListFriends', { cursor }, 3, badCursor);
  });

  test('social #20: a cursor belongs to its state', async () => {
    const a = await newClient();
    await befriend(a, ...(await newClients(3)));
    const { cursor } = await a.list({ limit: 2, state: 0 });
    await a.refused('ListFriends', { cursor, state: 1 }, 3, badCursor);
    const rest = await a.list({ cursor, state: 0 });
    expect(rest.friends).toHaveLength(1);
    const { cursor: open } = await a.list({ limit: 2 });
    expect(await a.list({ cursor: open, state: 0 })).toEqual(rest);
    expect(await a.list({ cursor })).toEqual(rest);
    await a.refused('ListFriends', { cursor: open, state: 2 }, 3, badCursor);
  });

  test('social #21: what a friend is shown with', async () => {
    const [a, b] = (await newClients(2)) as [FriendClient, FriendClient];
    await doorway.ok('UpdateAccount', b.player.authorization, {
      ...{ display_name: 'B.', avatar_url: 'https://example.com/b', lang_tag: 'de', location: 'Bern', timezone: 'CET' },
    });
    await befriend(a, b);
    expect((await a.list()).friends).toEqual([
      {
        user: {
          ...{ id: b.id, username: b.username, display_name: 'B.', avatar_url: 'https://example.com/b' },
          ...{ lang_tag: 'de', location: 'Bern', timezone: 'CET', metadata: '{}' },
          ...{ create_time: expect.stringMatching(wholeSecond), update_time: expect.stringMatching(wholeSecond) },
        },
        state: 0,
        update_time: expect.stringMatching(wholeSecond),
        metadata: '{}',
      },
    ]);
  });

  test('who is online is shown, friend or not', async () => {
    const [a, b, c, d] = (await newClients(4)) as [FriendClient, FriendClient, FriendClient, FriendClient];
    await befriend(a, b);
    await a.block(c);
    await a.add(d);
    const online = async (): Promise<Record<string, boolean>> =>
      Object.fromEntries((await a.list()).friends.map(({ user }: Envelope) => [user.id, user.online ?? false]));
    expect(await online()).toEqual({ [b.id]: false, [c.id]: false, [d.id]: false });
    const connect = ({ token }: Player, status: string): Promise<TestSocket> =>
      TestSocket.connect(doorway.server, token, { query: { status } });
    const sockets = [
      await connect(b.player, 'true'),
      await connect(c.player, 'true'),
      await connect(d.player, 'false'),
    ];
    expect(await online()).toEqual({ [b.id]: true, [c.id]: true, [d.id]: false });
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  const offers = async (client: FriendClient, query: object = {}): Promise<{ pairs: string[][]; cursor: string }> => {
    const page = await doorway.ok('ListFriendsOfFriends', client.player.authorization, query);
    const found: Envelope[] = page.friends_of_friends ?? [];
    return { pairs: found.map(({ referrer, user }) => [referrer, user.id]), cursor: page.cursor };
  };

  test('social #23, #24: friends of friends who are not friends yet', async () => {
    const [a, b, c] = (await newClients(3)) as [FriendClient, FriendClient, FriendClient];
    await befriend(a, b);
    expect(await offers(a)).toEqual({ pairs: [], cursor: undefined });
    await befriend(b, c);
    const { friends_of_friends: found } = await doorway.ok('ListFriendsOfFriends', a.player.authorization);
    expect(found).toMatchObject([{ referrer: b.id, user: { id: c.id, username: c.username, edge_count: 1 } }]);
    // An invite or a block changes nothing, friendship does.
    await a.add(c);
    expect((await offers(a)).pairs).toEqual([[b.id, c.id]]);
    await c.add(a);
    expect((await offers(a)).pairs).toEqual([]);
    await a.block(c);
    expect((await offers(a)).pairs).toEqual([[b.id, c.id]]);
    // Only friends lead on, and only to friends.
    const [d, e] = (await newClients(2)) as [FriendClient, FriendClient];
    await a.add(d);
    await befriend(d, e);
    await b.add(e);
    expect((await offers(a)).pairs).toEqual([[b.id, c.id]]);
  });

  test('friends of friends page over all friends, in order', async () => {
    const [a, ...others] = (await newClients(9)) as [FriendClient, ...FriendClient[]];
    const own = others.slice(0, 4).sort(byId);
    const far = others.slice(4).sort(byId);
    await befriend(a, ...own);
    const expected: string[][] = [];
    for (const [index, friend] of own.entries()) {
      // Everybody knows some of them, and one nobody.
      const known = index === 1 ? [] : far.filter((_, at) => (at + index) % 3 !== 0);
      await befriend(friend, ...known, ...own.slice(index + 1, index + 2));
      expected.push(...known.map(({ id }) => [friend.id, id]));
    }
    expect((await offers(a, { limit: 100 })).pairs).toEqual(expected);
    for (const limit of [1, 2, 5]) {
      const pairs: string[][] = [];
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await offers(a, { limit, ...(cursor === '' ? {} : { cursor }) });
        pairs.push(...page.pairs);
        cursor = page.cursor;
      }
      expect(pairs).toEqual(expected);
    }
  });

  test('social #23: bounds and cursors of friends of friends', async () => {
    const a = await newClient();
    for (const limit of [0, 101]) {
      await a.refused('ListFriendsOfFriends', { limit }, 3, 'Invalid limit - limit must be between 1 and 100.');
    }
    const cursors = [
      '%%%',
      encodeCursor('friend', [0, '1']),
      encodeCursor('friend_of_friend', []),
      encodeCursor('friend_of_friend', [a.id]),
      encodeCursor('friend_of_friend', [a.id, 'x']),
      encodeCursor('friend_of_friend', [a.id, 1]),
      encodeCursor('friend_of_friend', [a.id, a.id, a.id]),
    ];
    for (const cursor of cursors) await a.refused('ListFriendsOfFriends', { cursor }, 3, badCursor);
    expect(await doorway.call('ListFriendsOfFriends', 'Bearer nonsense')).toMatchObject({ code: 16 });
  });

  test('a page of friends of friends has ten without a limit', async () => {
    const [a, b, ...others] = (await newClients(13)) as [FriendClient, FriendClient, ...FriendClient[]];
    await befriend(a, b);
    await befriend(b, ...others);
    const page = await offers(a);
    expect(page.pairs).toHaveLength(10);
    expect((await offers(a, { cursor: page.cursor })).pairs).toHaveLength(1);
  });

  test('an account shows what it counts', async () => {
    const [a, b] = (await newClients(2)) as [FriendClient, FriendClient];
    await a.add(b);
    const { authorization } = a.player;
    const { body } = await request(doorway.server, 'GET', `/v2/user?ids=${b.id}`, { authorization });
    expect(body.users).toMatchObject([{ edge_count: 1 }]);
  });
});
