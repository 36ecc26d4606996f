import { expect, test } from 'vitest';
import { directMessageStream } from '../../features/streams/index.ts';
import { callDoor } from '../../testing/doors.ts';
import { type Player, request } from '../../testing/http.ts';
import { Random } from '../../testing/random.ts';
import type { Envelope, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import type { SocketSession } from '../../wire/session.ts';
import { type Client, onEachServer, type Realm, settled } from './socket-support.ts';

// What other players notice at once: notifications on every socket, and the end of direct messages.

const change = async (realm: Realm, verb: 'POST' | 'DELETE', path: string, player: Player): Promise<void> => {
  const { status, text } = await request(realm.server, verb, path, { authorization: player.authorization });
  expect([status, text]).toEqual([200, '{}']);
};

// Two hundred changes of the same few users wait for each other for longer than calls otherwise may.
onEachServer({ config: { 'database.acquire_timeout_ms': 30_000 } }, (realm) => {
  const add = (player: Player, other: Player) => change(realm, 'POST', `/v2/friend?ids=${other.id}`, player);
  const remove = (player: Player, other: Player) => change(realm, 'DELETE', `/v2/friend?ids=${other.id}`, player);
  const block = (player: Player, other: Player) => change(realm, 'POST', `/v2/friend/block?ids=${other.id}`, player);
  const heard = async (socket: TestSocket): Promise<Envelope> =>
    (await socket.takePayload('notifications')).notifications;

  test('social #1, #3, #10: invites, acceptances and removals arrive on every socket', async () => {
    const { player: a, socket: ofA } = await realm.client();
    const { player: b, socket: first } = await realm.client();
    const second = await realm.connect(b, { format: 'protobuf' });
    const notice = (code: number, from: Player, subject: string): object => ({
      ...{ id: expect.any(String), code, subject, content: JSON.stringify({ username: from.username }) },
      ...{ sender_id: from.id, persistent: true, create_time: expect.stringMatching(/:\d\dZ$/) },
    });
    await add(a, b);
    for (const socket of [first, second]) {
      expect(await heard(socket)).toEqual([notice(-2, a, `${a.username} wants to add you as a friend`)]);
    }
    await add(b, a);
    expect(await heard(ofA)).toEqual([notice(-3, b, `${b.username} accepted your friend request`)]);
    await remove(a, b);
    for (const socket of [first, second]) {
      expect(await heard(socket)).toEqual([notice(-9, a, `${a.username} removed you as a friend`)]);
    }
    await block(a, b);
    await add(b, a);
    await remove(a, b);
    for (const socket of [ofA, first, second]) expect(await settled(socket, 'notifications')).toEqual([]);
  });

  test('notifications carry the name of the token', async () => {
    const [a, { player: b, socket }] = [await realm.player(), await realm.client()];
    const { authorization } = a;
    const username = `new-${a.username}`;
    expect((await request(realm.server, 'PUT', '/v2/account', { authorization, body: { username } })).status).toBe(200);
    await add(a, b);
    expect(await heard(socket)).toMatchObject([{ subject: `${a.username} wants to add you as a friend` }]);
  });

  /** The session behind a socket, with the streams of its node. */
  const sessionOf = ({ player }: Client) => {
    for (const { app } of realm.server.nodes) {
      const [session] = app.features.sessions.sockets.ofUser(player.id);
      if (session !== undefined) return { session: session as SocketSession, streams: app.features.streams.streams };
    }
    throw new Error('no such session');
  };
  const membership = { hidden: false, persistence: true, status: '' };

  test('blocking ends the direct messages of the two, wherever they are, and tells nobody', async () => {
    const clients = await realm.clients(3);
    const [a, b, c] = clients as [Client, Client, Client];
    const [ofAB, ofBC] = [directMessageStream(b.player.id, a.player.id), directMessageStream(b.player.id, c.player.id)];
    const join = async (client: Client, stream = ofAB): Promise<() => boolean> => {
      const { session, streams } = sessionOf(client);
      await streams.join(session, stream, membership);
      return () => streams.isMember(session, stream);
    };
    const both = [await join(a), await join(b)];
    const others = [await join(b, ofBC), await join(c, ofBC)];
    const events = async (): Promise<Envelope[]> =>
      (await Promise.all(clients.map(({ socket }) => settled(socket, 'channel_presence_event')))).flat();
    for (const { socket } of clients) await socket.settle();
    const before = (await events()).length;
    await block(a.player, b.player);
    await waitFor('both to be off the stream', () => both.every((isMember) => !isMember()));
    const { streams } = sessionOf(a);
    expect(await streams.presences(ofAB)).toEqual([]);
    expect(others.map((isMember) => isMember())).toEqual([true, true]);
    expect(await streams.presences(ofBC)).toHaveLength(2);
    expect(await events()).toHaveLength(before);
    // Who blocks once more closes what was opened meanwhile.
    const again = await join(b);
    await block(a.player, b.player);
    await waitFor('the other to be off the stream', () => !again());
  });

  test('blocks say whom a user must not reach', async () => {
    const [a, b] = [await realm.player(), await realm.player()];
    const blocked = async (): Promise<boolean[]> => {
      const { friends } = realm.server.features.friends;
      return [await friends.hasBlocked(a.id, b.id), await friends.hasBlocked(b.id, a.id)];
    };
    await add(a, b);
    expect(await blocked()).toEqual([false, false]);
    await block(a, b);
    expect(await blocked()).toEqual([true, false]);
    await block(b, a);
    expect(await blocked()).toEqual([true, true]);
    await remove(a, b);
    expect(await blocked()).toEqual([false, true]);
  });

  test("who deletes the account is nobody's friend any more, and counted by nobody", async () => {
    const [a, b, c] = [await realm.player(), await realm.player(), await realm.player()];
    await add(a, b);
    await add(b, a);
    await add(a, c);
    await block(c, a);
    const { authorization } = a;
    expect((await request(realm.server, 'DELETE', '/v2/account', { authorization })).status).toBe(200);
    for (const player of [b, c]) {
      expect((await request(realm.server, 'GET', '/v2/friend', player)).body).toEqual({});
      expect((await request(realm.server, 'GET', '/v2/account', player)).body.user.edge_count).toBeUndefined();
    }
  });

  test('200 changes at once among ten players leave pairs that fit, and right counts (seed 3)', async () => {
    const random = new Random(3);
    const players = await Promise.all(Array.from({ length: 10 }, () => realm.player()));
    const changes = Array.from({ length: 200 }, () => {
      const player = random.pick(players);
      const other = random.pick(players.filter((each) => each !== player));
      return { change: random.pick([add, add, remove, block]), player, other };
    });
    await Promise.all(changes.map(({ change, player, other }) => change(player, other)));
    const pairs = new Map<string, number>();
    for (const player of players) {
      const { friends = [] } = (await request(realm.server, 'GET', '/v2/friend', player)).body;
      for (const { user, state } of friends) pairs.set(`${player.id} ${user.id}`, state);
      const { edge_count = 0 } = (await request(realm.server, 'GET', '/v2/account', player)).body.user;
      expect(edge_count).toBe(friends.length);
    }
    expect(pairs.size).toBeGreaterThan(10);
    const fitting = ['0/0', '1/2', '2/1', '3/-', '3/3'];
    for (const [pair, state] of pairs) {
      const reverse = pair.split(' ').reverse().join(' ');
      expect(fitting).toContain(`${state}/${pairs.get(reverse) ?? '-'}`);
    }
  });

  test('a socket that calls for itself acts as its own user', async () => {
    const [a, b] = [await realm.player(), await realm.player()];
    const door = await callDoor(realm.server, a.token, 'json');
    expect(await door.call('AddFriends', '', { usernames: [b.username] })).toMatchObject({ code: 0 });
    expect((await door.call('ListFriends', '')).response.friends).toMatchObject([{ user: { id: b.id }, state: 1 }]);
    await door.close();
  });
});
