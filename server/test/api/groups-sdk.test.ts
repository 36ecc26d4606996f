import { randomUUID } from 'node:crypto';
import { type ChannelMessage, Client, type Session, type Socket, type WebSocketAdapter } from '@heroiclabs/nakama-js';
// @ts-expect-error: the package does not export its types
import { WebSocketAdapterPb } from '@heroiclabs/nakama-js-protobuf';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Front, openFront } from '../../testing/front.ts';
import { serverKey } from '../../testing/node.ts';
import { waitFor } from '../../testing/wait.ts';
import { newGroupName } from './groups-support.ts';
import { newName, onEachServer } from './socket-support.ts';

// Groups and direct messages through the stock SDK.

const adapters: readonly [name: string, create: () => WebSocketAdapter | undefined][] = [
  ['JSON', () => undefined],
  ['protobuf', () => new WebSocketAdapterPb()],
];
const DirectMessage = 2;
const Group = 3;

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
  const connect = async (session: Session, adapter: WebSocketAdapter | undefined) => {
    const socket = client.createSocket(false, false, adapter);
    const messages: ChannelMessage[] = [];
    const notifications: (number | undefined)[] = [];
    socket.onchannelmessage = (message) => messages.push(message);
    socket.onnotification = ({ code }) => notifications.push(code);
    await socket.connect(session, false);
    opened.push(socket);
    return { socket, messages, notifications };
  };

  test('a group from its beginning to its end', async () => {
    const [a, b, c] = [await signIn(), await signIn(), await signIn()];
    const name = newGroupName();
    const group = await client.createGroup(a, { name, open: true, max_count: 3, description: 'D' });
    const id = group.id ?? '';
    expect(group).toMatchObject({ name, open: true, edge_count: 1, max_count: 3, description: 'D', metadata: {} });
    expect(await client.joinGroup(b, id)).toBe(true);
    expect(await client.addGroupUsers(a, id, [c.user_id ?? ''])).toBe(true);
    await expect(client.joinGroup(await signIn(), id)).rejects.toMatchObject({ status: 400 });
    await client.promoteGroupUsers(a, id, [b.user_id ?? '']);
    const users = async () =>
      ((await client.listGroupUsers(a, id)).group_users ?? []).map(({ user, state }) => [user?.id, state]);
    expect(await users()).toEqual([
      [a.user_id, 0],
      [b.user_id, 1],
      [c.user_id, 2],
    ]);
    await client.demoteGroupUsers(a, id, [b.user_id ?? '']);
    await client.banGroupUsers(a, id, [c.user_id ?? '']);
    await client.updateGroup(a, id, { open: false, description: 'New' });
    const [found] = (await client.listGroups(b, `${name}%`, undefined, 10)).groups ?? [];
    expect(found).toMatchObject({ id, open: false, description: 'New', edge_count: 2 });
    expect((await client.listUserGroups(b, b.user_id ?? '')).user_groups).toMatchObject([{ group: { id }, state: 2 }]);
    expect(await client.leaveGroup(b, id)).toBe(true);
    await client.kickGroupUsers(a, id, [c.user_id ?? '']);
    expect(await users()).toEqual([[a.user_id, 0]]);
    const { messages = [] } = await client.listChannelMessages(a, `3.${id}..`, 100, true);
    expect(messages.map(({ code }) => code)).toEqual([3, 4, 7, 9, 8, 5]);
    expect(await client.deleteGroup(a, id)).toBe(true);
    expect((await client.listUserGroups(a, a.user_id ?? '')).user_groups).toEqual([]);
  });

  test.each(adapters)('%s: members chat with their group and with each other', async (_name, adapter) => {
    const [a, b] = [await signIn(), await signIn()];
    const [one, two] = [await connect(a, adapter()), await connect(b, adapter())];
    const { id = '' } = await client.createGroup(a, { name: newGroupName(), open: false });
    await client.joinGroup(b, id);
    await waitFor('the request', () => one.notifications.includes(-5));
    await client.addGroupUsers(a, id, [b.user_id ?? '']);
    await waitFor('the answer', () => two.notifications.includes(-4));

    const channel = await one.socket.joinChat(id, Group, true, false);
    await two.socket.joinChat(id, Group, true, false);
    expect(channel).toMatchObject({ id: `3.${id}..`, group_id: id });
    await two.socket.writeChatMessage(channel.id, { hello: 1 });
    await waitFor('the group message', () => one.messages.some(({ group_id }) => group_id === id));

    const direct = await one.socket.joinChat(b.user_id ?? '', DirectMessage, true, false);
    await waitFor('that somebody wants to chat', () => two.notifications.includes(-1));
    await two.socket.joinChat(a.user_id ?? '', DirectMessage, true, false);
    const ack = await one.socket.writeChatMessage(direct.id, { hello: 2 });
    const heard = await waitFor('the direct message', () =>
      two.messages.find(({ message_id }) => message_id === ack.message_id),
    );
    expect(heard).toMatchObject({ content: { hello: 2 }, sender_id: a.user_id, channel_id: direct.id });

    await client.kickGroupUsers(a, id, [b.user_id ?? '']);
    await waitFor('the last message', () => two.messages.some(({ code }) => code === 6));
    await expect(two.socket.writeChatMessage(channel.id, {})).rejects.toMatchObject({
      code: 3,
      message: 'Must join channel before sending messages',
    });
    await expect(two.socket.joinChat(id, Group, true, false)).rejects.toMatchObject({
      message: 'Group not found: Invalid channel target',
    });
  });
});
