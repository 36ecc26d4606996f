import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';
import { FriendClient } from './friends-support.ts';

// The state machine and what is refused; cases of the spec (social.md, section 4).

const nilUuid = '00000000-0000-0000-0000-000000000000';
const unknownName = 'nobody has this name';

describeDoors('friends', {}, (doorway) => {
  const newClient = async (): Promise<FriendClient> => new FriendClient(doorway, await signIn(doorway.server));
  const pair = async (): Promise<[FriendClient, FriendClient]> => [await newClient(), await newClient()];
  const friends = async (): Promise<[FriendClient, FriendClient]> => {
    const [a, b] = await pair();
    await a.add(b);
    await b.add(a);
    return [a, b];
  };

  test('social #1, #2: an invite shows on both sides, counts and notifies once', async () => {
    const [a, b] = await pair();
    for (let time = 0; time < 2; time++) {
      expect(await a.add(b)).toEqual({});
      expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 1 }, { [a.id]: 2 }]);
      expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 1]);
      expect(await a.notifications()).toEqual([]);
      const notifications = await b.notifications();
      expect(notifications).toMatchObject([
        { code: -2, subject: `${a.username} wants to add you as a friend`, sender_id: a.id, persistent: true },
      ]);
      expect(JSON.parse(notifications[0].content)).toEqual({ username: a.username });
    }
  });

  test('social #3: adding the one who invited accepts', async () => {
    const [a, b] = await friends();
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 0 }, { [a.id]: 0 }]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 1]);
    expect(await a.notifications()).toMatchObject([
      { code: -3, subject: `${b.username} accepted your friend request`, sender_id: b.id },
    ]);
    expect(await b.codes()).toEqual([-2]);
    await a.add(b);
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 0 }, { [a.id]: 0 }]);
    expect(await b.codes()).toEqual([-2]);
  });

  test('social #4: nobody befriends, deletes or blocks themselves', async () => {
    const [a, b] = await pair();
    const texts = {
      AddFriends: 'Cannot add self as friend.',
      DeleteFriends: 'Cannot delete self.',
      BlockFriends: 'Cannot block self.',
    };
    for (const [method, text] of Object.entries(texts)) {
      await a.refused(method, { ids: [b.id, a.id] }, 3, text);
      await a.refused(method, { ids: [a.id.toUpperCase()] }, 3, text);
      await a.refused(method, { usernames: [a.username] }, 3, text);
    }
    expect([await a.states(), await b.states()]).toEqual([{}, {}]);
  });

  test('nobody befriends themselves under a new name either', async () => {
    const [a] = await pair();
    const username = `new-${a.username}`;
    await doorway.ok('UpdateAccount', a.player.authorization, { username });
    await a.refused('AddFriends', { usernames: [username] }, 3, 'Cannot add self as friend.');
    expect(await a.states()).toEqual({});
  });

  test.each(['AddFriends', 'DeleteFriends', 'BlockFriends'])(
    'social #5, #6: %s refuses what is no user',
    async (method) => {
      const [a, b] = await pair();
      for (const id of ['abc', nilUuid, '', `${b.id}0`]) {
        await a.refused(method, { ids: [b.id, id] }, 3, `Invalid user ID '${id}'.`);
      }
      await a.refused(method, { usernames: [b.username, ''] }, 3, 'Username must not be empty.');
      await a.refused(method, { ids: ['abc'], usernames: [''] }, 3, `Invalid user ID 'abc'.`);
      expect([await a.states(), await b.states()]).toEqual([{}, {}]);
    },
  );

  test('social #7: names that nobody has', async () => {
    const [a, b] = await pair();
    const nobody = 'No valid ID or username was provided.';
    await a.refused('AddFriends', { usernames: [unknownName] }, 3, nobody);
    await a.refused('BlockFriends', { usernames: [unknownName] }, 3, nobody);
    expect(await doorway.ok('DeleteFriends', a.player.authorization, { usernames: [unknownName] })).toEqual({});
    // Beside others they are passed over.
    await doorway.ok('AddFriends', a.player.authorization, {
      usernames: [unknownName, b.username.toUpperCase(), b.username],
    });
    expect(await a.states()).toEqual({ [b.id]: 1 });
  });

  test('social #8: ids that nobody has', async () => {
    const [a, b] = await pair();
    const stranger = { id: randomUUID() };
    for (const change of ['add', 'block', 'delete'] as const) expect(await a[change](stranger)).toEqual({});
    expect(await a.states()).toEqual({});
    expect(await a.edgeCount()).toBe(0);
    await a.add(stranger, b);
    expect(await a.states()).toEqual({ [b.id]: 1 });
    expect(await a.edgeCount()).toBe(1);
  });

  test('social #9: nobody at all is fine', async () => {
    const { player } = await newClient();
    for (const method of ['AddFriends', 'DeleteFriends', 'BlockFriends']) {
      expect(await doorway.ok(method, player.authorization, {})).toEqual({});
    }
    expect(await doorway.call('AddFriends', 'Bearer nonsense', {})).toMatchObject({ code: 16 });
  });

  test('ids and names together, each user once', async () => {
    const [a, b] = await pair();
    const c = await newClient();
    await doorway.ok('AddFriends', a.player.authorization, {
      ids: [b.id, b.id.toUpperCase(), b.id.replaceAll('-', '')],
      usernames: [b.username, c.username],
    });
    expect(await a.states()).toEqual({ [b.id]: 1, [c.id]: 1 });
    expect(await a.edgeCount()).toBe(2);
    expect([await b.codes(), await c.codes()]).toEqual([[-2], [-2]]);
  });

  test('social #10: a friendship ends for both', async () => {
    const [a, b] = await friends();
    expect(await a.delete(b)).toEqual({});
    expect([await a.states(), await b.states()]).toEqual([{}, {}]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([0, 0]);
    expect(await b.notifications()).toMatchObject([
      { code: -2 },
      { code: -9, subject: `${a.username} removed you as a friend`, sender_id: a.id },
    ]);
    await a.delete(b);
    expect(await b.codes()).toEqual([-2, -9]);
  });

  test('social #11: an invite is rejected, or taken back', async () => {
    const [a, b] = await pair();
    await a.add(b);
    await b.delete(a);
    expect([await a.states(), await b.states()]).toEqual([{}, {}]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([0, 0]);
    expect(await a.codes()).toEqual([-9]);
    await a.add(b);
    await a.delete(b);
    expect([await a.states(), await b.states()]).toEqual([{}, {}]);
    expect(await b.codes()).toEqual([-2, -2, -9]);
  });

  test('social #12 to #15: a stranger is blocked, hears nothing of it, and is unblocked', async () => {
    const [a, b] = await pair();
    expect(await a.block(b)).toEqual({});
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 3 }, {}]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 0]);
    for (const change of [() => b.add(a), () => b.delete(a), () => a.add(b), () => a.block(b)]) {
      expect(await change()).toEqual({});
      expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 3 }, {}]);
      expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 0]);
    }
    await a.delete(b);
    expect(await a.states()).toEqual({});
    expect(await a.edgeCount()).toBe(0);
    expect([await a.codes(), await b.codes()]).toEqual([[], []]);
  });

  test('social #16: a friend is blocked', async () => {
    const [a, b] = await friends();
    await a.block(b);
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 3 }, {}]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 0]);
    expect(await b.codes()).toEqual([-2]);
  });

  test.each(['sent', 'received'])('an invite that was %s ends with a block', async (which) => {
    const [a, b] = await pair();
    await (which === 'sent' ? a.add(b) : b.add(a));
    await a.block(b);
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 3 }, {}]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([1, 0]);
  });

  test('social #17: two who block each other lift their own blocks only', async () => {
    const [a, b] = await pair();
    await a.block(b);
    await b.block(a);
    expect([await a.states(), await b.states()]).toEqual([{ [b.id]: 3 }, { [a.id]: 3 }]);
    await a.add(b);
    await a.delete(b);
    expect([await a.states(), await b.states()]).toEqual([{}, { [a.id]: 3 }]);
    expect([await a.edgeCount(), await b.edgeCount()]).toEqual([0, 1]);
    expect([await a.codes(), await b.codes()]).toEqual([[], []]);
  });

  test('social #22: metadata is for the one who gave it', async () => {
    const [a, b] = await pair();
    const add = (client: FriendClient, ids: string[], metadata: string) =>
      doorway.ok('AddFriends', client.player.authorization, { ids, metadata });
    const notes = async (client: FriendClient): Promise<unknown[]> =>
      (await client.list()).friends.map(({ metadata }: Envelope) => JSON.parse(metadata));
    await add(a, [b.id], '{"note":"x"}');
    expect([await notes(a), await notes(b)]).toEqual([[{ note: 'x' }], [{}]]);
    await add(a, [b.id], '{"note":"ignored"}');
    expect(await notes(a)).toEqual([{ note: 'x' }]);
    await doorway.server.features.friends.friends.updateMetadata(b.id, a.id, '{"old":1,"deep":{"a":1}}');
    await add(b, [a.id], '{"deep":{"b":2},"new":[1]}');
    expect([await notes(a), await notes(b)]).toEqual([[{ note: 'x' }], [{ old: 1, deep: { b: 2 }, new: [1] }]]);
  });

  test.each(['{', 'x', '{"a":"\\u0000"}'])('social #22: metadata %j is an internal error', async (metadata) => {
    const [a, b] = await pair();
    await a.refused('AddFriends', { ids: [b.id], metadata }, 13, 'Error while trying to add friends.');
    expect([await a.states(), await b.states(), await a.edgeCount()]).toEqual([{}, {}, 0]);
  });

  test('metadata that is no object is kept as it is', async () => {
    const [a, b] = await pair();
    await doorway.ok('AddFriends', a.player.authorization, { ids: [b.id], metadata: '[1,2]' });
    expect((await a.list()).friends).toMatchObject([{ metadata: '[1, 2]' }]);
  });
});
