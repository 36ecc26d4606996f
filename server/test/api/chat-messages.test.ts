import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { request } from '../../testing/http.ts';
import { type Envelope, type Format, formats } from '../../testing/socket.ts';
import { errorOf, instant, join, roomId, send, uuid } from './chat-support.ts';
import { type Client, newName, onEachServer, otherFormat, type Realm, settled } from './socket-support.ts';

const badInput = (message: string): object => ({ code: 3, message });
const notJoined = (verb: string): object => badInput(`Must join channel before ${verb} messages`);
const badContent = badInput('Message content must be a valid JSON object');
const badId = badInput('Invalid channel identifier');

/** Two players in a room of their own, who speak different formats. */
async function pair(realm: Realm, format: Format, options = {}): Promise<{ a: Client; b: Client; id: string }> {
  const target = newName();
  const a = await realm.client({ format });
  const b = await realm.client({ format: otherFormat(format) });
  await join(a.socket, target, options);
  const { id } = await join(b.socket, target, options);
  for (const { socket } of [a, b]) {
    await socket.settle();
    socket.received.length = 0;
  }
  return { a, b, id };
}

/** Everything stored in a room, oldest first. */
async function history(realm: Realm, { player }: Client, id: string): Promise<Envelope[]> {
  const { authorization } = player;
  const { body } = await request(realm.server, 'GET', `/v2/channel/${encodeURIComponent(id)}?limit=100`, {
    authorization,
  });
  return body.messages ?? [];
}

onEachServer({ expectedErrors: /Could not persist message to channel history/ }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('CH-14: everyone gets the message, the sender before the ack', async () => {
      const { a, b, id } = await pair(realm, format);
      a.socket.send({ cid: 'c', channel_message_send: { channel_id: id, content: '{"hi":1}' } });
      await a.socket.settle();
      const ack = {
        channel_id: id,
        message_id: expect.stringMatching(uuid),
        code: 0,
        username: a.player.username,
        create_time: expect.stringMatching(instant),
        update_time: expect.stringMatching(instant),
        persistent: true,
        room_name: id.slice('2...'.length),
      };
      const message = { ...ack, sender_id: a.player.id, content: '{"hi":1}' };
      expect(a.socket.received).toEqual([{ channel_message: message }, { cid: 'c', channel_message_ack: ack }]);
      const [live, acked] = a.socket.received;
      const { message_id, create_time } = live.channel_message;
      expect(acked.channel_message_ack).toMatchObject({ message_id, create_time, update_time: create_time });
      expect(live.channel_message.update_time).toBe(create_time);
      expect(await settled(b.socket, 'channel_message')).toEqual([live.channel_message]);
      expect(await history(realm, b, id)).toEqual([{ ...live.channel_message, content: '{"hi": 1}' }]);
    });

    test.each(['[1]', '"x"', '{bad', '', ' ', 'null', '1', '{} x', '{"a":1,}', '{"a":\u0001}'])(
      'CH-15: content %j is refused',
      async (content) => {
        const { a, b, id } = await pair(realm, format);
        expect(await errorOf(a.socket, { channel_message_send: { channel_id: id, content } })).toEqual(badContent);
        const update = { channel_id: id, message_id: randomUUID(), content };
        expect(await errorOf(a.socket, { channel_message_update: update })).toEqual(badContent);
        expect(await settled(b.socket, 'channel_message')).toEqual([]);
      },
    );

    test('content is delivered as it was written, blanks and all', async () => {
      const { a, b, id } = await pair(realm, format);
      for (const content of [
        ' \n\t{ "z": 1, "a": 1.50, "z": 2 } ',
        '{"n":12345678901234567890}',
        '{"é":"\\u00e9😀"}',
      ]) {
        await send(a.socket, id, content);
        expect((await b.socket.takePayload('channel_message')).content).toBe(content);
      }
    });

    test('content that the database cannot hold fails by itself, not with its neighbours', async () => {
      const { a, b, id } = await pair(realm, format);
      const contents = Array.from({ length: 20 }, (_, n) => (n % 5 === 3 ? '{"nul":"\\u0000"}' : `{"n":${n}}`));
      for (const [n, content] of contents.entries()) {
        // From two sockets, so that some of them wait for the database together.
        const { socket } = n % 2 ? a : b;
        socket.send({ cid: `message ${n}`, channel_message_send: { channel_id: id, content } });
      }
      const error = { message: 'Could not persist message to channel history' };
      for (const n of contents.keys()) {
        const { socket } = n % 2 ? a : b;
        const answer = await socket.take(`answer ${n}`, ({ cid }) => cid === `message ${n}`);
        if (n % 5 === 3) expect(answer.error).toEqual(error);
        else expect(answer.channel_message_ack).toMatchObject({ persistent: true });
      }
      const live = (await settled(a.socket, 'channel_message')).map(({ message_id }) => message_id);
      expect(live).toHaveLength(16);
      expect((await history(realm, a, id)).map(({ message_id }) => message_id)).toEqual(live);
    });

    test('CH-16: only a socket that joined may send, update or remove', async () => {
      const { a, b, id } = await pair(realm, format);
      const { message_id } = await send(a.socket, id);
      await b.socket.takePayload('channel_message');
      const second = await realm.connect(a.player, { format });
      const content = '{}';
      const send2 = { channel_message_send: { channel_id: id, content } };
      expect(await errorOf(second, send2)).toEqual(notJoined('sending'));
      const update = { channel_message_update: { channel_id: id, message_id, content } };
      expect(await errorOf(second, update)).toEqual(notJoined('updating'));
      const remove = { channel_message_remove: { channel_id: id, message_id } };
      expect(await errorOf(second, remove)).toEqual(notJoined('removing'));
      await a.socket.request({ channel_leave: { channel_id: id } });
      expect(await errorOf(a.socket, send2)).toEqual(notJoined('sending'));
      expect(await settled(b.socket, 'channel_message')).toEqual([]);
    });

    test('CH-17: an update is announced and changes history, where it keeps its code and place', async () => {
      const { a, b, id } = await pair(realm, format);
      const sent = await send(a.socket, id, '{"v":1}');
      const later = await send(a.socket, id, '{"later":true}');
      for (let i = 0; i < 2; i++) await b.socket.takePayload('channel_message');
      const { message_id, create_time } = sent;
      const change = { channel_id: id, message_id, content: '{"v":2}' };
      const { channel_message_ack: ack } = await a.socket.request({ channel_message_update: change });
      expect(ack).toEqual({ ...sent, code: 1, update_time: expect.stringMatching(instant) });
      expect(Date.parse(ack.update_time)).toBeGreaterThanOrEqual(Date.parse(create_time));
      expect(ack.update_time).not.toBe(create_time);
      const live = await b.socket.takePayload('channel_message');
      expect(live).toEqual({ ...ack, sender_id: a.player.id, content: '{"v":2}' });
      const stored = await history(realm, b, id);
      expect(stored.map(({ message_id: stored_id }) => stored_id)).toEqual([message_id, later.message_id]);
      expect(stored[0]).toEqual({ ...live, code: 0, content: '{"v": 2}' });
    });

    test('CH-18: nobody changes the message of somebody else', async () => {
      const { a, b, id } = await pair(realm, format);
      const { message_id } = await send(a.socket, id, '{"v":1}');
      const update = { channel_message_update: { channel_id: id, message_id, content: '{}' } };
      const notFound = (verb: string): object => badInput(`Could not find message to ${verb} in channel history`);
      expect(await errorOf(b.socket, update)).toEqual(notFound('update'));
      const remove = { channel_message_remove: { channel_id: id, message_id } };
      expect(await errorOf(b.socket, remove)).toEqual(notFound('remove'));
      expect(await history(realm, a, id)).toMatchObject([{ message_id, content: '{"v": 1}' }]);
      expect(await settled(a.socket, 'channel_message')).toHaveLength(1);
    });

    test('nor a message of their own through another channel', async () => {
      const { a, id } = await pair(realm, format);
      const { message_id } = await send(a.socket, id, '{"v":1}');
      const { id: elsewhere } = await join(a.socket, newName());
      const update = { channel_message_update: { channel_id: elsewhere, message_id, content: '{}' } };
      expect(await errorOf(a.socket, update)).toEqual(badInput('Could not find message to update in channel history'));
      const remove = { channel_message_remove: { channel_id: elsewhere, message_id } };
      expect(await errorOf(a.socket, remove)).toEqual(badInput('Could not find message to remove in channel history'));
      expect(await history(realm, a, id)).toMatchObject([{ message_id, content: '{"v": 1}' }]);
    });

    test('CH-19: a removal is announced and the message is gone from history', async () => {
      const { a, b, id } = await pair(realm, format);
      const sent = await send(a.socket, id, '{"v":1}');
      await b.socket.takePayload('channel_message');
      const { message_id } = sent;
      const remove = { channel_message_remove: { channel_id: id, message_id } };
      const { channel_message_ack: ack } = await a.socket.request(remove);
      expect(ack).toEqual({ ...sent, code: 2 });
      const live = await b.socket.takePayload('channel_message');
      expect(live).toEqual({ ...sent, code: 2, sender_id: a.player.id, content: '{}' });
      expect(await history(realm, b, id)).toEqual([]);
      expect(await errorOf(a.socket, remove)).toEqual(badInput('Could not find message to remove in channel history'));
    });

    test('CH-20: without persistence nothing is stored', async () => {
      const { a, b, id } = await pair(realm, format, { persistence: false });
      const ack = await send(a.socket, id, '{"v":1}');
      expect(ack).toMatchObject({ code: 0, persistent: false, create_time: ack.update_time });
      expect(ack.create_time).toMatch(instant);
      const live = await b.socket.takePayload('channel_message');
      expect(live).toEqual({ ...ack, sender_id: a.player.id, content: '{"v":1}' });
      expect(await history(realm, b, id)).toEqual([]);
    });

    test('CH-21: without persistence any message may be updated or removed', async () => {
      const { a, b, id } = await pair(realm, format, { persistence: false });
      const message_id = randomUUID();
      const update = { channel_message_update: { channel_id: id, message_id, content: '{"v":2}' } };
      const { channel_message_ack: updated } = await a.socket.request(update);
      expect(updated).toMatchObject({ message_id, code: 1, persistent: false, create_time: updated.update_time });
      const live = await b.socket.takePayload('channel_message');
      expect(live).toEqual({ ...updated, sender_id: a.player.id, content: '{"v":2}' });
      const remove = { channel_message_remove: { channel_id: id, message_id } };
      const { channel_message_ack: removed } = await a.socket.request(remove);
      expect(removed).toMatchObject({ message_id, code: 2, persistent: false });
      expect(await b.socket.takePayload('channel_message')).toMatchObject({ message_id, code: 2, content: '{}' });
    });

    test('each presence decides for itself whether it is stored', async () => {
      const target = newName();
      const { socket: a } = await realm.client({ format });
      const b = await realm.client({ format });
      const { id } = await join(a, target, { persistence: false });
      expect((await join(b.socket, target)).presences[0].persistence).toBeUndefined();
      await send(a, id, '{"by":"a"}');
      await send(b.socket, id, '{"by":"b"}');
      expect(await history(realm, b, id)).toMatchObject([{ content: '{"by": "b"}' }]);
    });

    test('CH-22: a message id has to be a UUID; it is checked before the channel', async () => {
      const { socket } = await realm.client({ format });
      const bad = badInput('Invalid message identifier');
      for (const message_id of ['x', '']) {
        const update = { channel_message_update: { channel_id: 'x', message_id, content: 'x' } };
        expect(await errorOf(socket, update)).toEqual(bad);
        expect(await errorOf(socket, { channel_message_remove: { channel_id: 'x', message_id } })).toEqual(bad);
      }
    });

    test.each([
      `5.${randomUUID()}..`,
      '2.x..r',
      `2.${randomUUID()}..r`,
      '2...',
      '2..',
      '',
      '.',
      'r',
      '2',
      `2...${'x'.repeat(65)}`,
      `3.${randomUUID()}..label`,
      `3.${randomUUID()}.${randomUUID()}.`,
      '3.x..',
      `4.${randomUUID()}.${randomUUID()}.label`,
      '4.x.y.',
      '-2...r',
      '02...r',
    ])('CH-23: channel id %j is refused', async (channel_id) => {
      const { socket } = await realm.client({ format });
      const content = 'bad, but the channel is checked first';
      expect(await errorOf(socket, { channel_message_send: { channel_id, content } })).toEqual(badId);
      const message_id = randomUUID();
      expect(await errorOf(socket, { channel_message_update: { channel_id, message_id, content } })).toEqual(badId);
      expect(await errorOf(socket, { channel_message_remove: { channel_id, message_id } })).toEqual(badId);
    });

    test('content is checked before membership', async () => {
      const { socket } = await realm.client({ format });
      const message = { channel_id: roomId(newName()), content: 'bad' };
      expect(await errorOf(socket, { channel_message_send: message })).toEqual(badContent);
    });

    test('a message id may be spelled in any way, and comes back canonical', async () => {
      const { a, id } = await pair(realm, format);
      const { message_id } = await send(a.socket, id);
      const spelled = `{${message_id.toUpperCase()}}`;
      const change = { channel_id: id, message_id: spelled, content: '{}' };
      const { channel_message_ack: ack } = await a.socket.request({ channel_message_update: change });
      expect(ack.message_id).toBe(message_id);
    });

    test('messages carry the name that the socket came with', async () => {
      const { a, b, id } = await pair(realm, format);
      const body = { username: `${a.player.username}-new` };
      const { authorization } = a.player;
      expect((await request(realm.server, 'PUT', '/v2/account', { authorization, body })).status).toBe(200);
      await send(a.socket, id);
      expect(await b.socket.takePayload('channel_message')).toMatchObject({ username: a.player.username });
    });
  });
});
