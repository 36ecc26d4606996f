import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Player, request } from '../../testing/http.ts';
import { type Envelope, formats, type TestSocket } from '../../testing/socket.ts';
import { errorOf, send, uuid } from './chat-support.ts';
import { type Client, onEachServer, otherFormat, settled, takePresenceEvent } from './socket-support.ts';

// Direct messages (spec: realtime.md, sections 14.1 to 14.7, cases CH-08 to CH-11, CH-27 and HI-07).

const notFound = { code: 3, message: 'User ID not found: Invalid channel target' };
const mustJoin = { code: 3, message: 'Must join channel before sending messages' };

const directId = (one: Player, other: Player): string => `4.${[one.id, other.id].sort().join('.')}.`;
const toJoin = (target: string, options: object = {}): object => ({ channel_join: { target, type: 2, ...options } });
const toSend = (channel_id: string): object => ({ channel_message_send: { channel_id, content: '{}' } });

async function join(socket: TestSocket, other: Player, options: object = {}): Promise<Envelope> {
  const { channel, error } = await socket.request(toJoin(other.id, options));
  if (error) throw new Error(`join failed: ${error.message}`);
  return channel;
}

onEachServer({}, (realm) => {
  const call = async (verb: string, path: string, { authorization }: Player): Promise<Envelope> => {
    const reply = await request(realm.server, verb, path, { authorization });
    return { status: reply.status, ...reply.body };
  };
  const block = async (one: Player, other: Player): Promise<void> => {
    expect((await call('POST', `/v2/friend/block?ids=${other.id}`, one)).status).toBe(200);
  };
  const notifications = async (player: Player): Promise<Envelope[]> =>
    (await call('GET', '/v2/notification?limit=100', player)).notifications ?? [];
  const two = async (format: (typeof formats)[number] = 'json'): Promise<[Client, Client]> => [
    await realm.client({ format }),
    await realm.client({ format: otherFormat(format) }),
  ];

  describe.each(formats)('%s', (format) => {
    test('CH-08: the first to join is told the channel, the other that somebody wants to talk', async () => {
      const [a, b] = await two(format);
      const id = directId(a.player, b.player);
      const [user_id_one, user_id_two] = [a.player.id, b.player.id].sort();
      const channel = await join(a.socket, b.player);
      const self = {
        user_id: a.player.id,
        session_id: expect.stringMatching(uuid),
        username: a.player.username,
        persistence: true,
      };
      expect(channel).toEqual({ id, user_id_one, user_id_two, self });
      expect(await settled(a.socket, 'channel_presence_event')).toEqual([
        { channel_id: id, user_id_one, user_id_two, joins: [channel.self] },
      ]);
      const notice = {
        id: expect.stringMatching(uuid),
        code: -1,
        subject: `${a.player.username} wants to chat`,
        content: expect.any(String),
        sender_id: a.player.id,
        persistent: true,
        create_time: expect.stringMatching(/:\d\dZ$/),
      };
      const { notifications: live } = await b.socket.takePayload('notifications');
      expect(live).toEqual([notice]);
      expect(JSON.parse(live[0].content)).toEqual({ username: a.player.username });
      expect(await notifications(b.player)).toEqual([notice]);
    });

    test('CH-09: the second one finds the first, and nobody is notified', async () => {
      const [a, b] = await two(format);
      const { self: first } = await join(a.socket, b.player);
      const { id, presences, self } = await join(b.socket, a.player);
      expect([id, presences]).toEqual([directId(a.player, b.player), [first]]);
      await takePresenceEvent(a.socket, 'channel_presence_event', 'joins', self.session_id);
      expect(await settled(a.socket, 'notifications')).toEqual([]);
      expect(await notifications(a.player)).toEqual([]);

      const ack = await send(a.socket, id, '{"hi":1}');
      const message = {
        ...ack,
        sender_id: a.player.id,
        content: '{"hi":1}',
        create_time: expect.any(String),
        update_time: expect.any(String),
      };
      expect(await b.socket.takePayload('channel_message')).toEqual(message);
      expect(ack).toMatchObject({ channel_id: id, persistent: true, code: 0 });
      expect(ack).toMatchObject({ user_id_one: expect.any(String), user_id_two: expect.any(String) });
      const { messages } = await call('GET', `/v2/channel/${id}?limit=10`, b.player);
      expect(messages).toMatchObject([{ ...ack, content: '{"hi": 1}', sender_id: a.player.id }]);
      // Messages notify nobody.
      expect(await notifications(b.player)).toHaveLength(1);
    });

    test('CH-10, CH-11: who is not there, or has blocked the one who asks, is not found', async () => {
      const [a, b] = await two(format);
      expect(await errorOf(a.socket, toJoin(randomUUID()))).toEqual(notFound);
      await block(b.player, a.player);
      expect(await errorOf(a.socket, toJoin(b.player.id))).toEqual(notFound);
      expect(await notifications(b.player)).toEqual([]);
      // Whoever blocks may still come, and is alone there.
      expect((await join(b.socket, a.player)).presences).toBeUndefined();
      expect(await errorOf(a.socket, toSend(directId(a.player, b.player)))).toEqual(mustJoin);
    });

    test('targets that are no user', async () => {
      const { socket } = await realm.client({ format });
      const refused = 'Invalid user ID in direct message join: Invalid channel target';
      for (const target of ['x', '00000000-0000-0000-0000-000000000000', 'a.b', '0'.repeat(64)]) {
        expect([target, await errorOf(socket, toJoin(target))]).toEqual([target, { code: 3, message: refused }]);
      }
      expect(await errorOf(socket, toJoin(''))).toEqual({ code: 3, message: 'Invalid channel target' });
    });

    test('CH-27: blocking ends the conversation for both without a word', async () => {
      const [a, b] = await two(format);
      const id = directId(a.player, b.player);
      await join(a.socket, b.player);
      await join(b.socket, a.player);
      for (const { socket } of [a, b]) {
        await settled(socket, 'channel_presence_event');
        socket.received.length = 0;
      }
      await block(b.player, a.player);
      for (const { socket } of [a, b]) expect(await errorOf(socket, toSend(id))).toEqual(mustJoin);
      for (const { socket } of [a, b]) expect(socket.received).toEqual([]);
      expect(await errorOf(a.socket, toJoin(b.player.id))).toEqual(notFound);
      // It may go on once the block is gone.
      expect((await call('DELETE', `/v2/friend?ids=${a.player.id}`, b.player)).status).toBe(200);
      await join(a.socket, b.player);
      await join(b.socket, a.player);
      await send(a.socket, id);
      expect(await settled(b.socket, 'channel_message')).toHaveLength(1);
    });
  });

  test('every new join asks the other again, but not while they are there to be seen', async () => {
    const [a, b] = await two();
    const id = directId(a.player, b.player);
    const count = async (): Promise<number> => (await notifications(b.player)).length;
    await join(a.socket, b.player);
    await join(a.socket, b.player);
    expect(await count()).toBe(1);
    await a.socket.request({ channel_leave: { channel_id: id } });
    await join(a.socket, b.player);
    expect(await count()).toBe(2);
    // Somebody hidden cannot be seen.
    await join(b.socket, a.player, { hidden: true });
    const again = await realm.connect(a.player);
    await join(again, b.player);
    expect(await count()).toBe(3);
    const visible = await realm.connect(b.player);
    const { self } = await join(visible, a.player);
    await takePresenceEvent(again, 'channel_presence_event', 'joins', self.session_id);
    const third = await realm.connect(a.player);
    expect((await join(third, b.player)).presences).toHaveLength(3);
    expect(await count()).toBe(3);
  });

  test('one may talk to oneself', async () => {
    const { player, socket } = await realm.client();
    const { id, user_id_one, user_id_two } = await join(socket, player);
    expect([id, user_id_one, user_id_two]).toEqual([`4.${player.id}.${player.id}.`, player.id, player.id]);
    await send(socket, id);
    expect(await settled(socket, 'channel_message')).toHaveLength(1);
    expect(await notifications(player)).toEqual([]);
  });

  test('with the users swapped it is another channel, on which nobody is', async () => {
    const [a, b] = await two();
    const { id } = await join(a.socket, b.player);
    const [mode, one, other] = id.split('.');
    const swapped = [mode, other, one, ''].join('.');
    expect(await errorOf(a.socket, toSend(swapped))).toEqual(mustJoin);
    const spelled = id.toUpperCase();
    expect(await send(a.socket, spelled)).toMatchObject({ channel_id: id });
  });

  test('HI-07: nobody else reads what two users write', async () => {
    const [[a, b], c] = [await two(), await realm.player()];
    const { id } = await join(a.socket, b.player);
    await send(a.socket, id, '{"n":1}');
    const read = (player: Player, channel = id) => call('GET', `/v2/channel/${channel}?limit=10`, player);
    for (const { player } of [a, b]) expect((await read(player)).messages).toHaveLength(1);
    const refused = { status: 400, code: 3, message: 'Channel not found.' };
    expect(await read(c)).toMatchObject(refused);
    for (const channel of ['4...', `4.${a.player.id}..`, `4..${b.player.id}.`]) {
      expect([channel, await read(c, channel)]).toMatchObject([channel, refused]);
    }
    // History stays readable for both when one has blocked the other.
    await block(b.player, a.player);
    expect((await read(a.player)).messages).toHaveLength(1);
  });

  test('an author changes and removes messages of this channel only', async () => {
    const [[a, b], c] = [await two(), await realm.client()];
    const { id } = await join(a.socket, b.player);
    const { id: elsewhere } = await join(a.socket, c.player);
    const { message_id } = await send(a.socket, id, '{"n":1}');
    const change = { message_id, content: '{"n":2}' };
    expect(await errorOf(a.socket, { channel_message_update: { channel_id: elsewhere, ...change } })).toEqual({
      code: 3,
      message: 'Could not find message to update in channel history',
    });
    await join(b.socket, a.player);
    const { channel_message_ack: ack } = await a.socket.request({
      channel_message_update: { channel_id: id, ...change },
    });
    expect(ack).toMatchObject({ message_id, code: 1 });
    expect(await b.socket.takePayload('channel_message')).toMatchObject({ message_id, code: 1, content: '{"n":2}' });
    expect(await errorOf(b.socket, { channel_message_remove: { channel_id: id, message_id } })).toEqual({
      code: 3,
      message: 'Could not find message to remove in channel history',
    });
  });

  test('a join that crosses with a block has no effect', async () => {
    for (let round = 0; round < 10; round++) {
      const [a, b] = await two();
      const id = directId(a.player, b.player);
      await join(b.socket, a.player);
      const [answer] = await Promise.all([a.socket.request(toJoin(b.player.id)), block(b.player, a.player)]);
      if (answer.error) expect(answer.error).toEqual(notFound);
      await b.socket.settle();
      expect(await errorOf(a.socket, toSend(id))).toEqual(mustJoin);
      const { presences } = await join(b.socket, a.player);
      expect(presences).toBeUndefined();
    }
  });
});
