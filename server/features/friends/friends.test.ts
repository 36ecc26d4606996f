import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PresenceTracker } from '../../cluster/presence.ts';
import { unavailable } from '../../platform/errors.ts';
import { nilUuid } from '../../platform/ids.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import type { FriendItem, Friends, Targets } from './index.ts';

// What game code and other features work with (spec: social.md, section 1.9).

const to = (...others: { id: string }[]): Targets => ({ ids: others.map(({ id }) => id), usernames: [] });
const refused = (message: string) => ({ code: 3, message });

describe('friends for game code', () => {
  let node: TestNode;
  let sql: pg.Client;
  let friends: Friends;
  let presence: PresenceTracker;
  let a: Player;
  let b: Player;
  let c: Player;
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
  });
  beforeEach(async () => {
    [a, b, c] = (await Promise.all([signIn(node), signIn(node), signIn(node)])) as [Player, Player, Player];
  });
  afterAll(async () => {
    await sql.end();
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  const all = async (user: Player): Promise<FriendItem[]> =>
    (await friends.list(user.id, { limit: 1000, state: null, cursor: '' })).items;
  const states = async (user: Player): Promise<Record<string, number>> =>
    Object.fromEntries((await all(user)).map(({ friend }) => [friend.id, friend.state]));
  const counts = async (...users: Player[]): Promise<number[]> => {
    const { rows } = await sql.query('SELECT id, edge_count FROM users');
    return users.map(({ id }) => rows.find((row) => row.id === id)?.edge_count);
  };
  const codes = async ({ id }: Player): Promise<number[]> =>
    (await node.app.features.notifications.notifications.list(id, 100, '')).notifications.map(({ code }) => code);

  it('acts for any user, by ids and names, with notes', async () => {
    await friends.add(a, { ids: [b.id], usernames: [c.username] }, '{"from":"game"}');
    expect(await states(a)).toEqual({ [b.id]: 1, [c.id]: 1 });
    expect((await all(a)).map(({ friend }) => friend.edge_metadata)).toEqual(['{"from": "game"}', '{"from": "game"}']);
    await friends.add({ id: b.id, username: 'The Game' }, to(a));
    await friends.block(c, to(a));
    expect(await states(a)).toEqual({ [b.id]: 0 });
    expect(await counts(a, b, c)).toEqual([1, 1, 1]);
    const { notifications } = await node.app.features.notifications.notifications.list(a.id, 10, '');
    expect(notifications).toMatchObject([{ code: -3, subject: 'The Game accepted your friend request' }]);
    await friends.delete(a, { ids: [], usernames: [b.username] });
    expect([await states(a), await codes(b)]).toEqual([{}, [-2, -9]]);
  });

  it('says in its own words what is wrong', async () => {
    const texts = {
      add: 'cannot add self as friend',
      delete: 'cannot delete self',
      block: 'cannot block self',
    } as const;
    for (const verb of ['add', 'delete', 'block'] as const) {
      const self = refused(texts[verb]);
      await expect(friends[verb](a, to(b, { id: a.id.toUpperCase() }))).rejects.toMatchObject(self);
      await expect(friends[verb](a, { ids: [], usernames: [a.username] })).rejects.toMatchObject(self);
      await expect(friends[verb](a, to({ id: 'x' }))).rejects.toMatchObject(refused("invalid user ID 'x'"));
      await expect(friends[verb](a, to({ id: nilUuid }))).rejects.toMatchObject(
        refused(`invalid user ID '${nilUuid}'`),
      );
      await expect(friends[verb]({ ...a, id: 'y' }, to(b))).rejects.toMatchObject(refused("invalid user ID 'y'"));
      await expect(friends[verb]({ ...a, id: nilUuid }, to(b))).rejects.toMatchObject({ code: 3 });
      for (const usernames of [[], ['nobody is called this']]) {
        const nobody = refused('no valid ID or username was provided');
        await expect(friends[verb](a, { ids: [], usernames })).rejects.toMatchObject(nobody);
      }
      const many = { ids: Array.from({ length: 10_001 }, () => b.id), usernames: [] };
      const tooMany = refused('Too many users, at most 10000 at once.');
      await expect(friends[verb](a, many)).rejects.toMatchObject(tooMany);
      const gone = { id: randomUUID(), username: 'gone' };
      await expect(friends[verb](gone, to(b))).rejects.toMatchObject({ code: 5, message: 'User account not found.' });
    }
    for (const metadata of ['[]', '1', '{', ' x']) {
      await expect(friends.add(a, to(b), metadata)).rejects.toMatchObject(refused('expects metadata to be an object'));
    }
    expect([await states(a), await states(b)]).toEqual([{}, {}]);
  });

  it('changes what it should, whatever each of the targets is', async () => {
    const players = await Promise.all(Array.from({ length: 8 }, () => signIn(node)));
    const [sent, received, friend, blocked, blocker, both, stranger, other] = players as [
      ...[Player, Player, Player, Player, Player, Player, Player, Player],
    ];
    const prepare = async (): Promise<void> => {
      await friends.delete(a, to(...players));
      for (const player of players) await friends.delete(player, to(a));
      await friends.add(a, to(sent, friend));
      await friends.add(received, to(a));
      await friends.add(friend, to(a));
      await friends.block(a, to(blocked, both));
      await friends.block(blocker, to(a));
      await friends.block(both, to(a));
    };
    const allCounts = (): Promise<number[]> => counts(a, ...players);
    const before = { [sent.id]: 1, [received.id]: 2, [friend.id]: 0, [blocked.id]: 3, [both.id]: 3 };
    const everybody = to(...players.slice(0, -1), { id: randomUUID() });

    await prepare();
    expect([await states(a), await allCounts()]).toEqual([before, [5, 1, 1, 1, 0, 1, 1, 0, 0]]);
    await friends.add(a, everybody);
    expect(await states(a)).toEqual({ ...before, [received.id]: 0, [stranger.id]: 1 });
    expect(await allCounts()).toEqual([6, 1, 1, 1, 0, 1, 1, 1, 0]);

    await prepare();
    await friends.block(a, everybody);
    expect(Object.values(await states(a))).toEqual([3, 3, 3, 3, 3, 3, 3]);
    expect(await allCounts()).toEqual([7, 0, 0, 0, 0, 1, 1, 0, 0]);

    await prepare();
    await friends.delete(a, everybody);
    expect([await states(a), await allCounts()]).toEqual([{}, [0, 0, 0, 0, 0, 1, 1, 0, 0]]);
    expect(await codes(stranger)).toEqual([-2, -9]);
    expect(await codes(other)).toEqual([]);
  });

  it('keeps the place in the list, and notes when something changes', async () => {
    const edge = async (): Promise<{ position: string; time: string }> =>
      (await sql.query('SELECT position, update_time::text AS time FROM user_edge WHERE source_id = $1', [a.id]))
        .rows[0];
    const began = BigInt(Date.now() - 60_000) * 1_000_000n;
    await friends.add(a, to(b));
    const invited = await edge();
    expect(BigInt(invited.position)).toBeGreaterThan(began);
    expect(BigInt(invited.position)).toBeLessThan(began + 120_000_000_000n);
    await friends.add(b, to(a));
    const accepted = await edge();
    await friends.add(a, to(b));
    expect(await edge()).toEqual(accepted);
    await friends.block(a, to(b));
    const blocked = await edge();
    await friends.block(a, to(b));
    const times = [invited, accepted, blocked, await edge()].map(({ time }) => time);
    expect(times).toEqual([...new Set(times)].sort());
    expect((await edge()).position).toBe(invited.position);
  });

  it('invites many at once', async () => {
    const ids = Array.from({ length: 2000 }, () => randomUUID());
    await sql.query('INSERT INTO users (id, username) SELECT id, id::text FROM unnest($1::uuid[]) AS id', [ids]);
    await friends.add(a, { ids, usernames: [] });
    expect(await counts(a)).toEqual([2000]);
    const found: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await friends.list(a.id, { limit: 999, state: 1, cursor });
      found.push(...page.items.map(({ friend }) => friend.id));
      cursor = page.cursor;
      if (cursor === '') break;
    }
    expect(found).toEqual(ids);
    const { rows } = await sql.query('SELECT count(*)::int AS n FROM notification WHERE sender_id = $1', [a.id]);
    expect(rows).toEqual([{ n: 2000 }]);
  });

  it('lists within bounds', async () => {
    const request = { limit: 10, state: null, cursor: '' };
    const limit = refused('expects limit to be 1-1000');
    for (const wrong of [0, 1001, 1.5, Number.NaN]) {
      await expect(friends.list(a.id, { ...request, limit: wrong })).rejects.toMatchObject(limit);
      await expect(friends.friendsOfFriends(a.id, { limit: wrong, cursor: '' })).rejects.toMatchObject(limit);
    }
    for (const state of [-1, 4]) {
      const wrong = refused('expects state to be 0-3');
      await expect(friends.list(a.id, { ...request, state })).rejects.toMatchObject(wrong);
    }
    const cursor = refused('friend cursor invalid');
    await expect(friends.list(a.id, { ...request, cursor: 'x' })).rejects.toMatchObject(cursor);
    await expect(friends.friendsOfFriends(a.id, { limit: 1000, cursor: 'x' })).rejects.toMatchObject(cursor);
  });

  it('tells what some users are to another', async () => {
    await friends.add(a, to(b), '{"n":1}');
    const found = await friends.friendStatus(a.id, [b.id, b.id.toUpperCase(), c.id, randomUUID()]);
    expect(found).toMatchObject([{ friend: { id: b.id, username: b.username, state: 1, edge_metadata: '{"n": 1}' } }]);
    expect(found).toHaveLength(1);
    expect(await friends.friendStatus(a.id, [])).toEqual([]);
    await expect(friends.friendStatus(a.id, ['x'])).rejects.toMatchObject(refused("invalid user ID 'x'"));
    const many = Array.from({ length: 10_001 }, () => b.id);
    await expect(friends.friendStatus(a.id, many)).rejects.toMatchObject({ code: 3 });
  });

  it('replaces the notes on one side only', async () => {
    await friends.add(a, to(b), '{"n":1}');
    const notes = async (): Promise<string[]> =>
      (await Promise.all([all(a), all(b)])).flat().map(({ friend }) => friend.edge_metadata);
    await friends.updateMetadata(a.id, b.id, '{"m":2}');
    expect(await notes()).toEqual(['{"m": 2}', '{}']);
    await friends.updateMetadata(b.id, a.id, '{"own":true}');
    await friends.updateMetadata(a.id, b.id, null);
    expect(await notes()).toEqual(['{}', '{"own": true}']);
    await friends.updateMetadata(a.id, c.id, '{}');
    for (const metadata of ['1', '[]', 'x', '']) {
      const wrong = refused('expects metadata to be an object');
      await expect(friends.updateMetadata(a.id, b.id, metadata)).rejects.toMatchObject(wrong);
    }
  });

  it('holds a block of which the channel could not be closed', async () => {
    const close = vi.spyOn(presence, 'closeStream').mockRejectedValueOnce(unavailable('away'));
    await expect(friends.block(a, to(b))).rejects.toMatchObject({ code: 14, retry: 'safe' });
    expect(await friends.hasBlocked(a.id, b.id)).toBe(true);
    await friends.block(a, to(b));
    const [lower, higher] = [a.id, b.id].sort();
    expect(close).toHaveBeenLastCalledWith({ mode: 4, subject: lower, subcontext: higher, label: '' });
    expect(close).toHaveBeenCalledTimes(2);
    close.mockRestore();
  });

  it('changes friends although nobody can be notified', async () => {
    await sql.query('ALTER TABLE notification RENAME TO notification_away');
    try {
      await friends.add(a, to(b));
      expect([await states(a), await states(b)]).toEqual([{ [b.id]: 1 }, { [a.id]: 2 }]);
    } finally {
      await sql.query('ALTER TABLE notification_away RENAME TO notification');
    }
  });
});
