import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Chat } from '../../features/chat/index.ts';
import { type Player, request } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';
import { instant, join, roomId, send } from './chat-support.ts';
import { channelOf, GroupClient, overRest } from './groups-support.ts';
import { newName, onEachServer, settled } from './socket-support.ts';

// Game code in chat channels (spec: runtime.md, section 4.16; realtime.md, section 14.5).

const nilUuid = '00000000-0000-0000-0000-000000000000';
const invalid = (message: string) => expect.objectContaining({ code: 3, message });

onEachServer({}, (realm) => {
  const chat = (): Chat => realm.server.features.chat.chat;
  const asAuthor = ({ id, username }: Player) => ({ id, username });
  const history = async ({ authorization }: Player, id: string): Promise<Envelope[]> => {
    const { body } = await request(realm.server, 'GET', `/v2/channel/${id}?limit=100`, { authorization });
    return body.messages ?? [];
  };

  test('the server, and anybody in whose name it speaks, is heard and stored', async () => {
    const target = newName();
    const id = roomId(target);
    const { player, socket } = await realm.client();
    const absent = await realm.player();
    await join(socket, target);
    const own = await chat().sendAs({}, id, '{"n":1}');
    const other = await chat().sendAs(asAuthor(absent), id, '{"n":2}');
    expect(own).toMatchObject({ channel_id: id, room_name: target, code: { value: 0 }, persistent: { value: true } });
    expect(other.username).toBe(absent.username);
    const [first, second] = await settled(socket, 'channel_message');
    expect(first).toEqual({
      channel_id: id,
      message_id: own.message_id,
      code: 0,
      sender_id: nilUuid,
      content: '{"n":1}',
      create_time: expect.stringMatching(instant),
      update_time: first.create_time,
      persistent: true,
      room_name: target,
    });
    expect(second).toMatchObject({ message_id: other.message_id, sender_id: absent.id, username: absent.username });
    expect(await history(player, id)).toMatchObject([
      { sender_id: nilUuid, content: '{"n": 1}' },
      { sender_id: absent.id, content: '{"n": 2}' },
    ]);
  });

  test('what is not persistent is only heard', async () => {
    const target = newName();
    const { player, socket } = await realm.client();
    await join(socket, target);
    const author = { ...asAuthor(player), persistent: false };
    const messageId = randomUUID();
    await chat().sendAs(author, roomId(target), '{}');
    await chat().updateAs(author, roomId(target), messageId, '{"n":2}');
    await chat().removeAs(author, roomId(target), messageId);
    const heard = await settled(socket, 'channel_message');
    expect(heard.map(({ code, persistent }) => [code, persistent])).toEqual([
      [0, false],
      [1, false],
      [2, false],
    ]);
    expect(await history(player, roomId(target))).toEqual([]);
  });

  test("messages of users are changed and removed in their authors' names", async () => {
    const target = newName();
    const id = roomId(target);
    const { player, socket } = await realm.client();
    await join(socket, target);
    const { message_id: messageId } = await send(socket, id, '{"n":1}');
    const author = asAuthor(player);
    await expect(chat().updateAs({}, id, messageId, '{}')).rejects.toEqual(
      invalid('Could not find message to update in channel history'),
    );
    await expect(chat().removeAs(author, roomId(newName()), messageId)).rejects.toEqual(
      invalid('Could not find message to remove in channel history'),
    );
    socket.received.length = 0;
    await chat().updateAs(author, id, messageId, '{"n":2}');
    expect(await history(player, id)).toMatchObject([{ message_id: messageId, content: '{"n": 2}', code: 0 }]);
    await chat().removeAs({ id: player.id }, id, messageId);
    expect(await history(player, id)).toEqual([]);
    const heard = await settled(socket, 'channel_message');
    expect(heard.map(({ code, message_id }) => [code, message_id])).toEqual([
      [1, messageId],
      [2, messageId],
    ]);
  });

  test('any channel will do, as long as it could be one', async () => {
    const [a, b] = [await realm.client(), await realm.player()];
    const owner = new GroupClient(overRest(realm.server), a.player);
    const group = await owner.create();
    await a.socket.request({ channel_join: { target: group.id, type: 3 } });
    await a.socket.request({ channel_join: { target: b.id, type: 2 } });
    const direct = await chat().channelId(a.player.id, b.id, 2);
    for (const id of [channelOf(group.id), direct]) await chat().sendAs({}, id, '{}');
    const heard = await settled(a.socket, 'channel_message');
    expect(heard.map(({ channel_id }) => channel_id)).toEqual([channelOf(group.id), direct]);
    for (const id of ['', '5.x..', '2...', `3.${group.id}.x.`]) {
      await expect(chat().sendAs({}, id, '{}')).rejects.toEqual(invalid('Invalid channel identifier'));
      await expect(chat().updateAs({}, id, randomUUID(), '{}')).rejects.toEqual(invalid('Invalid channel identifier'));
      await expect(chat().removeAs({}, id, randomUUID())).rejects.toEqual(invalid('Invalid channel identifier'));
    }
    const room = roomId(newName());
    for (const content of ['', '[]', '1', '{']) {
      const refused = invalid('Message content must be a valid JSON object');
      await expect(chat().sendAs({}, room, content)).rejects.toEqual(refused);
      await expect(chat().updateAs({}, room, randomUUID(), content)).rejects.toEqual(refused);
    }
    await expect(chat().removeAs({}, room, 'x')).rejects.toEqual(invalid('Invalid message identifier'));
    await expect(chat().sendAs({ id: randomUUID() }, room, '{}')).rejects.toEqual(invalid('Message sender not found.'));
  });

  test('ids of channels are those that joins lead to', async () => {
    const [a, b] = [await realm.player(), await realm.player()];
    const owner = new GroupClient(overRest(realm.server), a);
    const group = await owner.create({ open: false });
    const [low, high] = [a.id, b.id].toSorted();
    for (const userId of [a.id, null]) {
      expect(await chat().channelId(userId, 'a.b', 1)).toBe('2...a.b');
      expect(await chat().channelId(userId, group.id, 3)).toBe(channelOf(group.id));
    }
    expect(await chat().channelId(a.id, b.id, 2)).toBe(`4.${low}.${high}.`);
    expect(await chat().channelId(b.id, a.id, 2)).toBe(`4.${low}.${high}.`);
    expect(await chat().channelId(null, a.id, 2)).toBe(`4..${a.id}.`);
    // Whoever is asked for has to be allowed there; the server need not.
    await expect(chat().channelId(b.id, group.id, 3)).rejects.toEqual(
      invalid('Group not found: Invalid channel target'),
    );
    await expect(chat().channelId(a.id, randomUUID(), 2)).rejects.toEqual(
      invalid('User ID not found: Invalid channel target'),
    );
    expect(await chat().channelId(null, randomUUID(), 3)).toMatch(/^3\./);
    await expect(chat().channelId(null, 'x', 4)).rejects.toEqual(invalid('Invalid channel type'));
    for (const [target, type] of [
      ['', 1],
      ['x', 2],
      ['x', 3],
    ] as const) {
      await expect(chat().channelId(null, target, type)).rejects.toMatchObject({ code: 3 });
    }
  });

  test('history of any channel, page by page', async () => {
    const [a, b] = [await realm.player(), await realm.player()];
    const id = await chat().channelId(a.id, b.id, 2);
    for (let n = 0; n < 5; n++) await chat().sendAs(asAuthor(a), id, `{"n":${n}}`);
    const numbers: number[] = [];
    for (let cursor = ''; ; ) {
      const page = await chat().history(null, id, { limit: 2, forward: true, cursor });
      numbers.push(...page.messages.map(({ content }) => JSON.parse(content).n));
      cursor = page.nextCursor;
      if (cursor === '') break;
    }
    expect(numbers).toEqual([0, 1, 2, 3, 4]);
    const request = { limit: 10, forward: false, cursor: '' };
    expect((await chat().history(b.id, id, request)).messages).toHaveLength(5);
    await expect(chat().history(randomUUID(), id, request)).rejects.toEqual(invalid('Channel not found.'));
    await expect(chat().history(null, 'x', request)).rejects.toEqual(invalid('Invalid channel ID.'));
    for (const limit of [0, 101]) {
      await expect(chat().history(null, id, { ...request, limit })).rejects.toMatchObject({ code: 3 });
    }
    await expect(chat().history(null, id, { ...request, cursor: 'x' })).rejects.toEqual(
      invalid('Cursor is invalid or expired.'),
    );
  });
});
