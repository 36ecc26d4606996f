import { randomUUID } from 'node:crypto';
import { type ChannelMessage, Client, type Session, type Socket, type WebSocketAdapter } from '@heroiclabs/nakama-js';
// @ts-expect-error: the package does not export its types
import { WebSocketAdapterPb } from '@heroiclabs/nakama-js-protobuf';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Front, openFront } from '../../testing/front.ts';
import { serverKey } from '../../testing/node.ts';
import { waitFor } from '../../testing/wait.ts';
import { newName, onEachServer } from './socket-support.ts';

const RoomType = 1;

const adapters: readonly [name: string, create: () => WebSocketAdapter | undefined][] = [
  ['JSON', () => undefined],
  ['protobuf', () => new WebSocketAdapterPb()],
];

/** What an SDK's socket reported, by the name of its callback. */
type Events = Record<'message' | 'presence' | 'status' | 'disconnect', unknown[]>;

/** How the SDK rejects a failed HTTP call. */
async function rejection(call: Promise<unknown>): Promise<{ status: number; body: { code: number; message: string } }> {
  const response = await call.then(
    () => Promise.reject(new Error('the call did not fail')),
    (error: Response) => error,
  );
  return { status: response.status, body: (await response.json()) as { code: number; message: string } };
}

onEachServer({}, (realm) => {
  let front: Front;
  let client: Client;
  const opened: Socket[] = [];

  beforeAll(async () => {
    // Node 20 has none of its own; browsers do.
    vi.stubGlobal('WebSocket', WebSocket);
    front = await openFront(realm.server);
    client = new Client(serverKey, '127.0.0.1', String(front.port), false);
  });
  afterAll(() => front.close());
  afterEach(() => {
    for (const socket of opened.splice(0)) socket.disconnect(false);
  });

  const signIn = (): Promise<Session> => client.authenticateDevice(`sdk-${randomUUID()}`, true, newName());

  async function connect(
    session: Session,
    adapter: WebSocketAdapter | undefined,
    isOnline = false,
  ): Promise<{ socket: Socket; events: Events }> {
    const socket = client.createSocket(false, false, adapter);
    const events: Events = { message: [], presence: [], status: [], disconnect: [] };
    socket.onchannelmessage = (message) => events.message.push(message);
    socket.onchannelpresence = (presence) => events.presence.push(presence);
    socket.onstatuspresence = (status) => events.status.push(status);
    socket.ondisconnect = (event) => events.disconnect.push(event);
    await socket.connect(session, isOnline);
    opened.push(socket);
    return { socket, events };
  }

  describe('the client', () => {
    test('signs in by device, email and custom id', async () => {
      const device = `sdk-${randomUUID()}`;
      const username = newName();
      const first = await client.authenticateDevice(device, true, username, { tier: 'gold' });
      expect(first).toMatchObject({ created: true, username, vars: { tier: 'gold' } });
      const again = await client.authenticateDevice(device, false);
      expect(again).toMatchObject({ created: false, user_id: first.user_id });
      expect(again.isexpired(Date.now() / 1000)).toBe(false);
      const email = `${randomUUID()}@example.com`;
      const byEmail = await client.authenticateEmail(email, 'a long password', true);
      expect((await client.authenticateEmail(email, 'a long password', false)).user_id).toBe(byEmail.user_id);
      const custom = `custom-${randomUUID()}`;
      const byCustomId = await client.authenticateCustom(custom, true);
      expect((await client.authenticateCustom(custom, false)).user_id).toBe(byCustomId.user_id);
    });

    test('gets the errors of failed calls', async () => {
      const unknown = client.authenticateDevice(`sdk-${randomUUID()}`, false);
      expect(await rejection(unknown)).toEqual({
        status: 404,
        body: { code: 5, message: 'User account not found.' },
      });
      const stranger = new Client('wrong key', '127.0.0.1', String(front.port), false);
      const refused = stranger.authenticateDevice(`sdk-${randomUUID()}`, true);
      expect(await rejection(refused)).toMatchObject({ status: 401, body: { message: 'Server key invalid' } });
    });

    test('reads and updates its account, and looks up others', async () => {
      const session = await signIn();
      const other = await signIn();
      const username = newName();
      await client.updateAccount(session, { username, display_name: 'Näme', location: 'Bern', lang_tag: 'de' });
      const { user, devices, wallet } = await client.getAccount(session);
      expect(user).toMatchObject({ id: session.user_id, username, display_name: 'Näme', location: 'Bern' });
      expect(user?.lang_tag).toBe('de');
      expect(user?.online).toBeFalsy();
      expect(devices).toHaveLength(1);
      expect(wallet).toBe('{}');
      const { users } = await client.getUsers(session, [other.user_id ?? ''], [username]);
      expect(users?.map(({ id }) => id).sort()).toEqual([session.user_id, other.user_id].sort());
    });

    test('links and unlinks what it signs in with', async () => {
      const session = await signIn();
      const custom = `custom-${randomUUID()}`;
      await client.linkCustom(session, { id: custom });
      expect((await client.authenticateCustom(custom, false)).user_id).toBe(session.user_id);
      await client.unlinkCustom(session, { id: custom });
      expect((await rejection(client.authenticateCustom(custom, false))).status).toBe(404);
    });

    test('writes, reads, lists and deletes storage objects', async () => {
      const session = await signIn();
      const user_id = session.user_id ?? '';
      const collection = newName();
      const value = { level: 3, deep: { list: [1, 'zwei', null] } };
      const objects = ['a', 'b', 'c'].map((key) => ({
        collection,
        key,
        value,
        permission_read: 1,
        permission_write: 1,
      }));
      const { acks } = await client.writeStorageObjects(session, objects);
      expect(acks?.map(({ key }) => key)).toEqual(['a', 'b', 'c']);

      const read = await client.readStorageObjects(session, { object_ids: [{ collection, key: 'b', user_id }] });
      expect(read.objects).toMatchObject([
        { collection, key: 'b', user_id, value, permission_read: 1, permission_write: 1, version: acks?.[1]?.version },
      ]);

      const first = await client.listStorageObjects(session, collection, user_id, 2);
      expect(first.objects.map(({ key }) => key)).toEqual(['a', 'b']);
      const second = await client.listStorageObjects(session, collection, user_id, 2, first.cursor);
      expect(second.objects.map(({ key }) => key)).toEqual(['c']);

      const stale = [{ collection, key: 'a', value: {}, version: 'x' }];
      expect(await rejection(client.writeStorageObjects(session, stale))).toMatchObject({
        status: 400,
        body: { message: 'Storage write rejected - version check failed.' },
      });
      await client.deleteStorageObjects(session, {
        object_ids: [{ collection, key: 'a', version: acks?.[0]?.version }],
      });
      expect((await client.listStorageObjects(session, collection, user_id, 10)).objects).toHaveLength(2);
    });

    test('refreshes its session, and logs out', async () => {
      const session = await signIn();
      const { token } = session;
      await waitFor(
        'the next second, or the token would be the same',
        () => Date.now() / 1000 > session.created_at + 1,
      );
      const refreshed = await client.sessionRefresh(session);
      expect(refreshed.token).not.toBe(token);
      expect(refreshed.user_id).toBe(session.user_id);
      await client.getAccount(refreshed);
      await client.sessionLogout(refreshed, refreshed.token, refreshed.refresh_token);
      expect((await rejection(client.getAccount(refreshed))).status).toBe(401);
      await expect(connect(refreshed, undefined)).rejects.toBeDefined();
    });

    test('deletes its account', async () => {
      const session = await signIn();
      expect(await client.deleteAccount(session)).toBe(true);
      expect((await rejection(client.getAccount(session))).status).toBeGreaterThanOrEqual(400);
    });
  });

  describe.each(adapters)('the %s socket', (_name, createAdapter) => {
    test('two players chat in a room', async () => {
      const [alice, bob] = [await signIn(), await signIn()];
      const a = await connect(alice, createAdapter());
      const b = await connect(bob, createAdapter());
      const target = newName();

      const channel = await a.socket.joinChat(target, RoomType, true, false);
      expect(channel.id).toBe(`2...${target}`);
      expect(channel.presences ?? []).toEqual([]);
      expect(channel.self).toMatchObject({ user_id: alice.user_id, username: alice.username });
      const { presences } = await b.socket.joinChat(target, RoomType, true, false);
      expect(presences).toMatchObject([{ user_id: alice.user_id, session_id: channel.self.session_id }]);
      await waitFor('both joins', () => a.events.presence.length === 2);
      expect(a.events.presence).toMatchObject([
        { channel_id: channel.id, room_name: target, joins: [{ user_id: alice.user_id }] },
        { channel_id: channel.id, room_name: target, joins: [{ user_id: bob.user_id }] },
      ]);

      const acks = [];
      for (let n = 1; n <= 5; n++) acks.push(await a.socket.writeChatMessage(channel.id, { n, text: 'Grüezi 😀' }));
      expect(acks[0]).toMatchObject({ channel_id: channel.id, code: 0, username: alice.username, persistent: true });
      for (const { events } of [a, b]) {
        await waitFor('all messages', () => events.message.length === 5);
        expect(events.message).toMatchObject(
          acks.map(({ message_id }, index) => ({
            message_id,
            code: 0,
            sender_id: alice.user_id,
            content: { n: index + 1, text: 'Grüezi 😀' },
          })),
        );
      }

      const id = acks[0]?.message_id ?? '';
      const updated = await a.socket.updateChatMessage(channel.id, id, { n: 1, text: 'edited' });
      expect(updated).toMatchObject({ message_id: id, code: 1 });
      const last = acks[4]?.message_id ?? '';
      expect(await a.socket.removeChatMessage(channel.id, last)).toMatchObject({ message_id: last, code: 2 });
      await waitFor('the update and the removal', () => b.events.message.length === 7);
      expect(b.events.message.slice(5)).toMatchObject([
        { message_id: id, code: 1, content: { n: 1, text: 'edited' } },
        { message_id: last, code: 2, content: {} },
      ]);

      const numbers = (messages: ChannelMessage[] = []): number[] =>
        messages.map(({ content }) => (content as { n: number }).n);
      const first = await client.listChannelMessages(bob, channel.id, 3, true);
      expect(numbers(first.messages)).toEqual([1, 2, 3]);
      expect(first.messages?.[0]?.content).toEqual({ n: 1, text: 'edited' });
      const second = await client.listChannelMessages(bob, channel.id, 3, true, first.next_cursor);
      expect(numbers(second.messages)).toEqual([4]);
      expect(second.next_cursor).toBeFalsy();
      const newest = await client.listChannelMessages(bob, channel.id, 2, false);
      expect(numbers(newest.messages)).toEqual([4, 3]);

      await b.socket.leaveChat(channel.id);
      await waitFor('the leave', () => a.events.presence.length === 3);
      expect(a.events.presence[2]).toMatchObject({ leaves: [{ user_id: bob.user_id }] });
    });

    test('errors reject with code and message', async () => {
      const { socket } = await connect(await signIn(), createAdapter());
      await expect(socket.joinChat('', RoomType, true, false)).rejects.toMatchObject({
        code: 3,
        message: 'Invalid channel target',
      });
      await expect(socket.writeChatMessage(`2...${newName()}`, {})).rejects.toMatchObject({
        code: 3,
        message: 'Must join channel before sending messages',
      });
      await expect(socket.updateStatus('x'.repeat(2049))).rejects.toMatchObject({ code: 3 });
    });

    test('players follow each other', async () => {
      const [alice, bob] = [await signIn(), await signIn()];
      const a = await connect(alice, createAdapter());
      expect((await a.socket.followUsers([bob.user_id ?? ''])).presences ?? []).toEqual([]);
      const b = await connect(bob, createAdapter(), true);
      await b.socket.updateStatus('in the lobby');
      await b.socket.updateStatus('playing');
      await b.socket.updateStatus();
      await waitFor('all events', () => a.events.status.length === 4);
      const status = (text: string): object[] => [{ user_id: bob.user_id, username: bob.username, status: text }];
      expect(a.events.status).toMatchObject([
        { joins: status('') },
        { leaves: status(''), joins: status('in the lobby') },
        { leaves: status('in the lobby'), joins: status('playing') },
        { leaves: status('playing') },
      ]);
      await b.socket.updateStatus('back');
      const { presences } = await a.socket.followUsers([bob.user_id ?? '']);
      expect(presences).toMatchObject(status('back'));
      await a.socket.unfollowUsers([bob.user_id ?? '']);
      const before = a.events.status.length;
      await b.socket.updateStatus('unseen');
      await a.socket.followUsers([]);
      expect(a.events.status.slice(before)).toEqual([]);
    });

    test('the heartbeat is answered', async () => {
      const session = await signIn();
      const socket = client.createSocket(false, false, createAdapter());
      let timeouts = 0;
      socket.onheartbeattimeout = () => timeouts++;
      // How often, and how long each may take at most.
      socket.setHeartbeatTimeoutMs(500);
      const send = vi.spyOn(socket as unknown as { send(message: object): unknown }, 'send');
      await socket.connect(session, false);
      opened.push(socket);
      const pings = (): number => send.mock.calls.filter(([message]) => 'ping' in message).length;
      await waitFor('several heartbeats', () => pings() >= 4);
      await socket.followUsers([]);
      expect(timeouts).toBe(0);
    });

    test('a disconnect is seen on both sides', async () => {
      const [alice, bob] = [await signIn(), await signIn()];
      const a = await connect(alice, createAdapter());
      const b = await connect(bob, createAdapter());
      const target = newName();
      await a.socket.joinChat(target, RoomType, true, false);
      await b.socket.joinChat(target, RoomType, true, false);
      b.socket.disconnect(true);
      expect(b.events.disconnect.length).toBeGreaterThan(0);
      await waitFor('the leave', () => a.events.presence.length === 3);
      expect(a.events.presence[2]).toMatchObject({ leaves: [{ user_id: bob.user_id }] });
    });
  });
});
