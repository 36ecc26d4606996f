import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NewNotification } from '../../features/notifications/index.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { type Envelope, formats, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

const nilUuid = '00000000-0000-0000-0000-000000000000';
const listFailed = { code: 13, message: 'Error retrieving notifications.' };

const to = (player: Pick<Player, 'id'>, changes: Partial<NewNotification> = {}): NewNotification => ({
  userId: player.id,
  subject: 'Hello',
  content: '{"n":1}',
  code: 7,
  senderId: '',
  persistent: true,
  ...changes,
});

const numbered = (player: Player, from: number, count: number): NewNotification[] =>
  Array.from({ length: count }, (_, index) => to(player, { content: `{"n":${from + index}}` }));

const numbers = (notifications: Envelope[] = []): number[] =>
  notifications.map(({ content }: Envelope) => JSON.parse(content).n);

describeDoors('notifications', {}, (doorway) => {
  const send = (...list: NewNotification[]): Promise<void> =>
    doorway.server.features.notifications.notifications.sendCustom(list);
  const list = (player: Player, query: object = {}): Promise<Envelope> =>
    doorway.ok('ListNotifications', player.authorization, query);

  test('social #58: a list without notifications has a cursor that leads to those to come', async () => {
    const player = await signIn(doorway.server);
    const empty = await list(player);
    expect(empty.notifications).toBeUndefined();
    expect(empty.cacheable_cursor).toMatch(/^[A-Za-z0-9_-]+$/);
    await send(...numbered(player, 1, 2));
    const page = await list(player, { limit: 10, cacheable_cursor: empty.cacheable_cursor });
    expect(numbers(page.notifications)).toEqual([1, 2]);
  });

  test('social #59: one item without a limit, the oldest first', async () => {
    const player = await signIn(doorway.server);
    await send(...numbered(player, 1, 3));
    const one = await list(player);
    expect(numbers(one.notifications)).toEqual([1]);
    expect(one.notifications[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      subject: 'Hello',
      content: expect.any(String),
      code: 7,
      create_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      persistent: true,
    });
    const all = await list(player, { limit: 100 });
    expect(numbers(all.notifications)).toEqual([1, 2, 3]);
    expect(numbers((await list(player, { limit: 2, cacheable_cursor: one.cacheable_cursor })).notifications)).toEqual([
      2, 3,
    ]);
  });

  test('social #60: a cursor at the end answers itself, then only what is new, also past deleted ones', async () => {
    const player = await signIn(doorway.server);
    await send(...numbered(player, 1, 3));
    const { notifications, cacheable_cursor } = await list(player, { limit: 100 });
    const end = await list(player, { limit: 100, cacheable_cursor });
    expect(end).toEqual({ cacheable_cursor, unread_count: 3 });
    await doorway.ok('DeleteNotifications', player.authorization, { ids: [notifications[2].id] });
    await send(...numbered(player, 4, 1));
    expect(numbers((await list(player, { limit: 100, cacheable_cursor })).notifications)).toEqual([4]);
  });

  test.each(['###', 'AAAA', Buffer.from('["notification",-1,0,"x"]').toString('base64url')])(
    'social #61: cursor %j is refused',
    async (cacheable_cursor) => {
      const player = await signIn(doorway.server);
      const { code, message } = await doorway.call('ListNotifications', player.authorization, { cacheable_cursor });
      expect({ code, message }).toEqual(listFailed);
    },
  );

  test.each([0, 101, -1])('social #61: limit %i is refused', async (limit) => {
    const player = await signIn(doorway.server);
    expect(await doorway.call('ListNotifications', player.authorization, { limit })).toMatchObject({
      code: 3,
      message: 'Invalid limit - limit must be between 1 and 100.',
    });
  });

  test('social #65: deleting takes what is own, and leaves what is not', async () => {
    const [a, b] = await Promise.all([signIn(doorway.server), signIn(doorway.server)]);
    await send(to(a), to(b));
    const [own, other] = await Promise.all([list(a), list(b)]);
    const ids = [own.notifications[0].id, other.notifications[0].id, randomUUID()];
    await doorway.ok('DeleteNotifications', a.authorization, { ids });
    expect((await list(a)).notifications).toBeUndefined();
    expect((await list(b)).notifications).toHaveLength(1);
    expect(await doorway.ok('DeleteNotifications', a.authorization, {})).toEqual({});
    const bad = { ids: ['abc', other.notifications[0].id] };
    expect(await doorway.call('DeleteNotifications', b.authorization, bad)).toMatchObject({
      code: 13,
      message: 'Error while deleting notifications.',
    });
    expect((await list(b)).notifications).toHaveLength(1);
  });

  test('what was read is marked, and counted no more', async () => {
    const player = await signIn(doorway.server);
    await send(...numbered(player, 1, 3));
    const { notifications, unread_count } = await list(player, { limit: 100 });
    expect(unread_count).toBe(3);
    expect(notifications.some(({ read }: Envelope) => read)).toBe(false);
    await doorway.ok('ReadNotifications', player.authorization, { ids: [notifications[1].id, randomUUID()] });
    const after = await list(player, { limit: 100 });
    expect(after.notifications.map(({ read }: Envelope) => read ?? false)).toEqual([false, true, false]);
    expect(after.unread_count).toBe(2);
    await doorway.ok('ReadNotifications', player.authorization, {});
    expect((await list(player, { limit: 100 })).unread_count).toBeUndefined();
    expect(await doorway.call('ReadNotifications', player.authorization, { ids: ['x'] })).toMatchObject({ code: 3 });
  });

  test('nobody lists without a session', async () => {
    expect(await doorway.call('ListNotifications', 'Bearer nonsense')).toMatchObject({ code: 16 });
  });
});

describe.each(serverKinds)('sending notifications on %s', (kind) => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(() => server?.stop());

  const notifications = () => server.features.notifications.notifications;
  const stored = async (player: Player): Promise<number> =>
    (await notifications().list(player.id, 100, '')).notifications.length;

  test.each(formats)(
    'social #62, #64: what is not persistent reaches those who are online, over %s',
    async (format) => {
      const player = await signIn(server);
      const socket = await TestSocket.connect(server, player.token, { format });
      await socket.settle();
      await notifications().sendCustom([to(player, { persistent: false }), to(player, { persistent: false, code: 8 })]);
      const { notifications: live } = await socket.takePayload('notifications');
      expect(live).toHaveLength(2);
      expect(live[0]).toEqual({
        id: expect.any(String),
        subject: 'Hello',
        content: '{"n":1}',
        code: 7,
        sender_id: nilUuid,
        create_time: expect.any(String),
      });
      expect(live[1].code).toBe(8);
      expect(await stored(player)).toBe(0);
      await socket.close();
    },
  );

  test('social #63: codes that game code may send', async () => {
    const player = await signIn(server);
    for (const code of [0, -5, -999, -2001, 1.5, 40_000]) {
      await expect(notifications().sendCustom([to(player, { code })])).rejects.toMatchObject({ code: 3 });
    }
    for (const code of [1, -1000, -1500, -2000, 32_767]) await notifications().sendCustom([to(player, { code })]);
    expect(await stored(player)).toBe(5);
    await expect(notifications().sendAll({ ...to(player), code: -1500 })).rejects.toMatchObject({ code: 3 });
  });

  test('social #66: every socket of the user hears a persistent one, and it is stored', async () => {
    const player = await signIn(server);
    const sockets = await Promise.all([1, 2, 3].map(() => TestSocket.connect(server, player.token)));
    for (const socket of sockets) await socket.settle();
    await notifications().sendCustom([to(player, { senderId: player.id })]);
    for (const socket of sockets) {
      const { notifications: live } = await socket.takePayload('notifications');
      expect(live).toMatchObject([{ persistent: true, sender_id: player.id }]);
    }
    expect(await stored(player)).toBe(1);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test('one that cannot be stored keeps all of them from being sent', async () => {
    const player = await signIn(server);
    const socket = await TestSocket.connect(server, player.token);
    const long = 'x'.repeat(256);
    for (const bad of [to({ id: randomUUID() }), to(player, { subject: long }), to(player, { content: '[1]' })]) {
      await expect(notifications().sendCustom([to(player), bad])).rejects.toMatchObject({ code: 3 });
    }
    await notifications().sendCustom([to(player, { subject: long, persistent: false })]);
    const { notifications: live } = await socket.takePayload('notifications');
    expect(live[0].subject).toBe(long);
    expect(await stored(player)).toBe(0);
    await socket.close();
  });

  test('social #67: everybody gets a persistent one of their own, who is online at once', async () => {
    const players = await Promise.all(Array.from({ length: 5 }, () => signIn(server)));
    const sockets = await Promise.all(players.slice(0, 2).map(({ token }) => TestSocket.connect(server, token)));
    for (const socket of sockets) await socket.settle();
    await notifications().sendAll({ ...to(players[0] as Player), subject: 'To all' });
    const ids = new Set<string>();
    for (const [index, player] of players.entries()) {
      const [own] = await waitFor('the notification to be stored', async () => {
        const page = await notifications().list(player.id, 100, '');
        return page.notifications.length === 0 ? undefined : page.notifications;
      });
      expect(own?.subject).toBe('To all');
      ids.add(own?.id ?? '');
      const { notifications: live } = (await sockets[index]?.takePayload('notifications')) ?? {};
      if (live !== undefined) expect(live).toMatchObject([{ id: own?.id, persistent: true, sender_id: nilUuid }]);
    }
    expect(ids.size).toBe(players.length);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test('a shared one that is not persistent reaches all sockets', async () => {
    const players = await Promise.all([signIn(server), signIn(server)]);
    const sockets = await Promise.all(players.map(({ token }) => TestSocket.connect(server, token)));
    for (const socket of sockets) await socket.settle();
    await notifications().sendAll({ ...to(players[0] as Player), persistent: false });
    const heard = await Promise.all(sockets.map((socket) => socket.takePayload('notifications')));
    expect(heard[0]).toEqual(heard[1]);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test('game code lists, finds, changes and deletes', async () => {
    const [a, b] = await Promise.all([signIn(server), signIn(server)]);
    await notifications().sendCustom([...numbered(a, 1, 3), to(b)]);
    const first = await notifications().list(a.id, 2, '');
    const second = await notifications().list(a.id, 2, first.cursor);
    expect([numbers(first.notifications), numbers(second.notifications)]).toEqual([[1, 2], [3]]);
    expect(second.cursor).toBe('');
    await expect(notifications().list(a.id, 1001, '')).rejects.toMatchObject({ code: 3 });
    await expect(notifications().list(a.id, 1, 'x')).rejects.toMatchObject({ code: 3 });
    const [one, two] = first.notifications;
    const [three] = second.notifications;
    const ids = [one?.id ?? '', two?.id ?? '', three?.id ?? '', randomUUID()];
    expect(await notifications().get(ids)).toHaveLength(3);
    expect(await notifications().get(ids, b.id)).toEqual([]);
    await notifications().update([
      { id: ids[0] ?? '', subject: 'New' },
      { id: randomUUID(), content: '{}' },
    ]);
    expect(await notifications().get([ids[0] ?? ''])).toMatchObject([{ subject: 'New', content: one?.content }]);
    await notifications().delete(ids, b.id);
    await notifications().deletePairs([
      { userId: b.id, id: ids[0] ?? '' },
      { userId: a.id, id: ids[1] ?? '' },
    ]);
    expect(await notifications().get(ids)).toHaveLength(2);
    await notifications().delete(ids);
    expect(await notifications().get(ids)).toEqual([]);
  });

  test('a cursor misses nothing while several nodes send to the same users', async () => {
    const players = await Promise.all([signIn(server), signIn(server), signIn(server)]);
    const perSender = 40;
    const senders = Array.from({ length: 8 }, async (_, sender) => {
      for (let n = 0; n < perSender; n++) {
        // In turn, and in different orders of users.
        const list = players.map((player) => to(player, { content: `{"n":${sender * perSender + n}}` }));
        await notifications().sendCustom(sender % 2 === 0 ? list : list.reverse());
      }
    });
    let isDone = false;
    const done = Promise.all(senders).finally(() => {
      isDone = true;
    });
    await Promise.all(
      players.map(async (player) => {
        const seen: number[] = [];
        let cursor = '';
        for (;;) {
          const wasDone = isDone;
          const query = { limit: 100, cacheable_cursor: cursor };
          const page = await listAs(server, player, query);
          seen.push(...numbers(page.notifications));
          cursor = page.cacheable_cursor;
          if (wasDone && page.notifications === undefined) break;
        }
        expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 8 * perSender }, (_, n) => n));
      }),
    );
    await done;
  });
});

async function listAs(server: TestServer, player: Player, query: Record<string, unknown>): Promise<Envelope> {
  const parameters = new URLSearchParams(query as Record<string, string>);
  if (query['cacheable_cursor'] === '') parameters.delete('cacheable_cursor');
  const { authorization } = player;
  const reply = await fetch(`${server.next().url}/v2/notification?${parameters}`, { headers: { authorization } });
  return reply.json();
}
