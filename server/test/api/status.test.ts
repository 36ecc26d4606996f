import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Player, request } from '../../testing/http.ts';
import { type Envelope, formats, type TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { errorOf } from './chat-support.ts';
import { newName, onEachServer, otherFormat, type Realm, settled } from './socket-support.ts';

const nilUuid = '00000000-0000-0000-0000-000000000000';
const appearing = { query: { status: 'true' } };
const badUserId = { code: 3, message: 'Invalid user identifier' };

async function follow(socket: TestSocket, ...user_ids: string[]): Promise<Envelope[]> {
  const { status, error } = await socket.request({ status_follow: { user_ids } });
  if (error) throw new Error(`follow failed: ${error.message}`);
  return status.presences ?? [];
}

/** How a player's status presence looks; every socket of it has a session of its own. */
const presence = ({ id, username }: Player, status: string): object => ({
  user_id: id,
  session_id: expect.any(String),
  username,
  status,
});

async function isOnline(realm: Realm, player: Player): Promise<boolean> {
  const { authorization } = player;
  const { body } = await request(realm.server, 'GET', `/v2/user?ids=${player.id}`, { authorization });
  return body.users[0].online ?? false;
}

onEachServer({}, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('ST-01: following somebody who is online lists the status', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format: otherFormat(format), ...appearing });
      await b.request({ status_update: { status: 'in a match' } });
      expect(await follow(a, player.id)).toEqual([presence(player, 'in a match')]);
      expect(await settled(a, 'status_presence_event')).toEqual([]);
    });

    test('an empty status is there all the same', async () => {
      const { socket: a } = await realm.client({ format });
      const { player } = await realm.client({ format, ...appearing });
      expect(await follow(a, player.id)).toEqual([presence(player, '')]);
    });

    test('ST-02: oneself, the system user and unknown users are skipped', async () => {
      const { player: me, socket: a } = await realm.client({ format, ...appearing });
      const { player } = await realm.client({ format, ...appearing });
      expect(await follow(a, me.id, randomUUID(), nilUuid, player.id)).toEqual([presence(player, '')]);
    });

    test.each([
      ['an id that is none', { user_ids: ['x'] }, badUserId],
      ['an empty id', { user_ids: [''] }, badUserId],
      ['an empty username', { usernames: [''] }, { code: 3, message: 'Invalid username' }],
    ])('ST-03: %s fails the whole request', async (_name, bad, error) => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format });
      const user_ids = [player.id, ...('user_ids' in bad ? bad.user_ids : [])];
      expect(await errorOf(a, { status_follow: { ...bad, user_ids } })).toEqual(error);
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(a, 'status_presence_event')).toEqual([]);
    });

    test('ST-04: somebody offline is heard of once online', async () => {
      const { socket: a } = await realm.client({ format });
      const player = await realm.player();
      expect(await follow(a, player.id)).toEqual([]);
      await realm.connect(player, { format, ...appearing });
      expect(await a.takePayload('status_presence_event')).toEqual({ joins: [presence(player, '')] });
    });

    test('ST-05: each change replaces the one before, in order', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format: otherFormat(format), ...appearing });
      const [first] = await follow(a, player.id);
      for (const status of ['a', 'b', 'b', '']) b.send({ status_update: { status } });
      await b.settle();
      const now = (status: string): object => ({ ...first, status });
      expect(await settled(a, 'status_presence_event')).toEqual([
        { leaves: [now('')], joins: [now('a')] },
        { leaves: [now('a')], joins: [now('b')] },
        { leaves: [now('b')], joins: [now('b')] },
        { leaves: [now('b')], joins: [now('')] },
      ]);
    });

    test('ST-06: no status appears offline', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format });
      await follow(a, player.id);
      expect(await isOnline(realm, player)).toBe(false);
      await b.request({ status_update: { status: 'here' } });
      expect(await isOnline(realm, player)).toBe(true);
      expect(await a.takePayload('status_presence_event')).toEqual({ joins: [presence(player, 'here')] });
      b.send({ cid: 'c', status_update: { status: null } });
      expect(await b.take('the ack', ({ cid }) => cid !== undefined)).toEqual({ cid: 'c' });
      expect(await a.takePayload('status_presence_event')).toEqual({ leaves: [presence(player, 'here')] });
      expect(await isOnline(realm, player)).toBe(false);
      // Once more changes nothing.
      await b.request({ status_update: {} });
      expect(await settled(a, 'status_presence_event')).toEqual([]);
      expect(await follow(a, player.id)).toEqual([]);
    });

    test('ST-07: 2048 bytes of status and not one more', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format });
      await follow(a, player.id);
      const error = { code: 3, message: 'Status must be 2048 characters or less' };
      for (const status of ['x'.repeat(2048), 'é'.repeat(1024)]) {
        await b.request({ status_update: { status } });
        expect((await a.takePayload('status_presence_event')).joins).toEqual([presence(player, status)]);
        expect(await errorOf(b, { status_update: { status: `${status}x` } })).toEqual(error);
      }
      expect(await settled(a, 'status_presence_event')).toEqual([]);
      expect(await follow(a, player.id)).toEqual([presence(player, 'é'.repeat(1024))]);
    });

    test('ST-08: after unfollowing there are no events', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format, ...appearing });
      await follow(a, player.id);
      a.send({ cid: 'c', status_unfollow: { user_ids: [player.id, randomUUID(), player.id] } });
      expect(await a.take('the ack', ({ cid }) => cid === 'c')).toEqual({ cid: 'c' });
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(a, 'status_presence_event')).toEqual([]);
      // And following starts over.
      expect(await follow(a, player.id)).toEqual([presence(player, 'x')]);
      await b.request({ status_update: { status: 'y' } });
      expect(await settled(a, 'status_presence_event')).toHaveLength(1);
    });

    test('unfollowing takes ids only, and all of them have to be', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format, ...appearing });
      await follow(a, player.id);
      expect(await errorOf(a, { status_unfollow: { user_ids: [player.id, 'x'] } })).toEqual(badUserId);
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(a, 'status_presence_event')).toHaveLength(1);
    });

    test('ST-09: a dropped connection is a leave with the last status', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format, ...appearing });
      await follow(a, player.id);
      await b.request({ status_update: { status: 'last' } });
      expect(await settled(a, 'status_presence_event')).toHaveLength(1);
      a.received.length = 0;
      b.ws.terminate();
      expect(await a.takePayload('status_presence_event')).toEqual({ leaves: [presence(player, 'last')] });
      expect(await settled(a, 'status_presence_event')).toEqual([]);
      expect(await isOnline(realm, player)).toBe(false);
    });

    test('ST-10: all sockets of a player hear of its status, also those that are offline', async () => {
      const player = await realm.player();
      const first = await realm.connect(player, { format, ...appearing });
      expect(await first.takePayload('status_presence_event')).toEqual({ joins: [presence(player, '')] });
      const second = await realm.connect(player, { format: otherFormat(format) });
      // It is not told what was before.
      expect(await settled(second, 'status_presence_event')).toEqual([]);
      await first.request({ status_update: { status: 'x' } });
      for (const socket of [first, second]) {
        expect(await settled(socket, 'status_presence_event')).toEqual([
          { leaves: [presence(player, '')], joins: [presence(player, 'x')] },
        ]);
      }
    });

    test('nobody can stop following themselves', async () => {
      const { player, socket } = await realm.client({ format });
      await socket.request({ status_unfollow: { user_ids: [player.id] } });
      await socket.request({ status_update: { status: 'x' } });
      await socket.request({ status_update: {} });
      expect(await settled(socket, 'status_presence_event')).toEqual([
        { joins: [presence(player, 'x')] },
        { leaves: [presence(player, 'x')] },
      ]);
    });

    test('ST-11: a player who is online twice is listed twice, and goes one by one', async () => {
      const { socket: a } = await realm.client({ format });
      const player = await realm.player();
      const one = await realm.connect(player, { format, ...appearing });
      await realm.connect(player, { format: otherFormat(format), ...appearing });
      const listed = await follow(a, player.id);
      expect(listed).toEqual([presence(player, ''), presence(player, '')]);
      expect(new Set(listed.map(({ session_id }) => session_id)).size).toBe(2);
      one.ws.terminate();
      await a.takePayload('status_presence_event');
      expect(await isOnline(realm, player)).toBe(true);
      expect(await follow(a, player.id)).toHaveLength(1);
    });

    test('users are followed by exact name as well, each once', async () => {
      const { player: me, socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format, ...appearing });
      const names = [player.username, player.username, player.username.toLowerCase(), newName(), me.username];
      const { status } = await a.request({ status_follow: { user_ids: [player.id, player.id], usernames: names } });
      expect(status.presences).toEqual([presence(player, '')]);
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(a, 'status_presence_event')).toHaveLength(1);
      expect((await a.request({ status_follow: {} })).status).toEqual({});
    });

    test('ids may be spelled in any way', async () => {
      const { socket: a } = await realm.client({ format });
      const { player, socket: b } = await realm.client({ format, ...appearing });
      const spelled = player.id.replaceAll('-', '').toUpperCase();
      expect(await follow(a, spelled)).toEqual([presence(player, '')]);
      await a.request({ status_unfollow: { user_ids: [`{${player.id}}`] } });
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(a, 'status_presence_event')).toEqual([]);
    });

    test('follows end with the socket', async () => {
      const player = await realm.player();
      const { player: followed, socket: b } = await realm.client({ format, ...appearing });
      const first = await realm.connect(player, { format });
      await follow(first, followed.id);
      await first.close();
      const second = await realm.connect(player, { format });
      await b.request({ status_update: { status: 'x' } });
      expect(await settled(second, 'status_presence_event')).toEqual([]);
    });
  });

  test('who follows many while they change ends up with what they are', async () => {
    const followed = await realm.clients(10, (index) => ({ format: index % 2 ? 'json' : 'protobuf', ...appearing }));
    const followers = await realm.clients(10);
    const user_ids = followed.map(({ player }) => player.id);
    for (const [n, { socket: follower }] of followers.entries()) {
      for (const { socket } of followed) socket.send({ status_update: { status: String(n) } });
      follower.send({ cid: 'follow', status_follow: { user_ids } });
    }
    await Promise.all([...followed, ...followers].map(({ socket }) => socket.settle()));
    await Promise.all(followers.map(({ socket }) => socket.settle()));
    for (const { socket } of followers) {
      // As a client finds out: from the list, and from the events, in the order they came.
      const seen = new Map<string, string>();
      for (const { status, status_presence_event: event } of socket.received) {
        for (const { user_id } of event?.leaves ?? []) seen.delete(user_id);
        for (const each of [...(status?.presences ?? []), ...(event?.joins ?? [])]) seen.set(each.user_id, each.status);
      }
      expect(seen).toEqual(new Map(user_ids.map((id) => [id, '9'])));
    }
  });

  test('sockets that come and go at once leave nobody online', async () => {
    const players = await Promise.all(Array.from({ length: 20 }, () => realm.player()));
    const { socket } = await realm.client();
    await follow(socket, ...players.map(({ id }) => id));
    await Promise.all(
      players.map(async (player, index) => {
        const own = await realm.connect(player, { format: index % 2 ? 'json' : 'protobuf', ...appearing });
        own.ws.terminate();
      }),
    );
    await waitFor('the sockets to be gone', () => realm.server.openSockets === 1);
    await socket.settle();
    const balance = new Map<string, number>();
    for (const { status_presence_event: event } of socket.received) {
      for (const { session_id } of event?.joins ?? []) balance.set(session_id, (balance.get(session_id) ?? 0) + 1);
      for (const { session_id } of event?.leaves ?? []) balance.set(session_id, (balance.get(session_id) ?? 0) - 1);
    }
    expect([...balance.values()].filter((count) => count !== 0)).toEqual([]);
    expect(await follow(socket, ...players.map(({ id }) => id))).toEqual([]);
  });
});

onEachServer({ config: { 'limits.status_follows': 2 } }, (realm) => {
  test('a socket follows no more users than configured', async () => {
    const { socket } = await realm.client();
    const players = [await realm.player(), await realm.player(), await realm.player()];
    const [a = '', b = '', c = ''] = players.map(({ id }) => id);
    await follow(socket, a, b);
    // Following again takes no more room.
    await follow(socket, a, b);
    const error = { message: 'Too many followed users, at most 2 per socket.' };
    expect(await errorOf(socket, { status_follow: { user_ids: [c] } })).toEqual(error);
    await socket.request({ status_unfollow: { user_ids: [a] } });
    await follow(socket, c);
  });
});
