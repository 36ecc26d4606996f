import { describe, expect, test } from 'vitest';
import { formats } from '../../testing/socket.ts';
import { errorOf, join, RoomType, roomId, send, uuid } from './chat-support.ts';
import { newName, onEachServer, otherFormat, settled, takePresenceEvent } from './socket-support.ts';

const badInput = (message: string): object => ({ code: 3, message });

onEachServer({}, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('CH-01: the first to join a room', async () => {
      const target = newName();
      const { player, socket } = await realm.client({ format });
      const channel = await join(socket, target);
      const self = {
        user_id: player.id,
        session_id: expect.stringMatching(uuid),
        username: player.username,
        persistence: true,
      };
      expect(channel).toEqual({ id: roomId(target), room_name: target, self });
      expect(await settled(socket, 'channel_presence_event')).toEqual([
        { channel_id: roomId(target), room_name: target, joins: [channel.self] },
      ]);
    });

    test('CH-02: the second one finds the first, and both hear of it', async () => {
      const target = newName();
      const a = await realm.client({ format });
      const b = await realm.client({ format: otherFormat(format) });
      const { self: first } = await join(a.socket, target);
      await settled(a.socket, 'channel_presence_event');
      a.socket.received.length = 0;
      const { self: second, presences } = await join(b.socket, target);
      expect(presences).toEqual([first]);
      const event = { channel_id: roomId(target), room_name: target, joins: [second] };
      expect(await settled(a.socket, 'channel_presence_event')).toEqual([event]);
      expect(await settled(b.socket, 'channel_presence_event')).toEqual([event]);
    });

    test('CH-03: joining again lists oneself, changes nothing and is no event', async () => {
      const target = newName();
      const { socket } = await realm.client({ format });
      const { self } = await join(socket, target);
      await takePresenceEvent(socket, 'channel_presence_event', 'joins', self.session_id);
      const again = await join(socket, target, { persistence: false });
      expect(again.presences).toEqual([self]);
      // The request is echoed, but the first one holds.
      expect(again.self).toEqual({ ...self, persistence: undefined });
      expect(await settled(socket, 'channel_presence_event')).toEqual([]);
      expect(await send(socket, roomId(target))).toMatchObject({ persistent: true });
      // And there is one copy of each message.
      expect(await settled(socket, 'channel_message')).toHaveLength(1);
    });

    test('CH-04: type 0 is a room', async () => {
      const target = newName();
      const { socket } = await realm.client({ format });
      const channel = await join(socket, target, { type: RoomType.UNSPECIFIED });
      expect(channel).toMatchObject({ id: roomId(target), room_name: target });
    });

    test.each([4, -1, 2147483647])('CH-05: type %i is refused', async (type) => {
      const { socket } = await realm.client({ format });
      const error = await errorOf(socket, { channel_join: { target: newName(), type } });
      expect(error).toEqual(badInput('Invalid channel type'));
    });

    test.each([
      ['64 bytes', 'x'.repeat(64)],
      ['64 bytes, fewer characters', 'é'.repeat(32)],
      ['a space', ' '],
      ['C1 controls', 'a\u0080b'],
      ['anything else', '😀 "\\/'],
    ])('CH-06: a room name may be %s', async (_name, target) => {
      const { socket } = await realm.client({ format });
      expect(await join(socket, target)).toMatchObject({ id: roomId(target), room_name: target });
    });

    test.each([
      ['65 bytes', 'x'.repeat(65), 'Channel name is required and must be 1-64 chars: Invalid channel target'],
      ['65 bytes, fewer characters', `${'é'.repeat(32)}x`, /must be 1-64 chars: Invalid channel target$/],
      ['with a line break', 'a\nb', 'Channel name must not contain control chars: Invalid channel target'],
      ['with NUL', '\0', /^Channel name must not contain control chars/],
      ['with DEL', 'a\x7f', /^Channel name must not contain control chars/],
      ['empty', '', 'Invalid channel target'],
    ])('CH-06: a room name of %s is refused', async (_name, target, message) => {
      const { socket } = await realm.client({ format });
      const error = await errorOf(socket, { channel_join: { target, type: 1 } });
      expect(error).toEqual({
        code: 3,
        message: typeof message === 'string' ? message : expect.stringMatching(message),
      });
    });

    test('an empty target is refused before the type is looked at', async () => {
      const { socket } = await realm.client({ format });
      const error = await errorOf(socket, { channel_join: { target: '', type: 9 } });
      expect(error).toEqual(badInput('Invalid channel target'));
    });

    test('CH-07: a room name may hold dots', async () => {
      const target = `${newName()}.b.c.d`;
      const { socket } = await realm.client({ format });
      const { id } = await join(socket, target);
      expect(id).toBe(roomId(target));
      expect(await send(socket, id)).toMatchObject({ channel_id: id, room_name: target });
    });

    test('CH-13: who joins hidden is seen by nobody and hears everything', async () => {
      const target = newName();
      const a = await realm.client({ format });
      const hidden = await realm.client({ format });
      const later = await realm.client({ format: otherFormat(format) });
      const { self: first } = await join(a.socket, target);
      await settled(a.socket, 'channel_presence_event');
      a.socket.received.length = 0;

      const reply = await join(hidden.socket, target, { hidden: true });
      expect(reply.presences).toEqual([first]);
      expect(await settled(a.socket, 'channel_presence_event')).toEqual([]);
      expect(await settled(hidden.socket, 'channel_presence_event')).toEqual([]);

      const { message_id } = await send(a.socket, roomId(target), '{"to":"all"}');
      expect(await hidden.socket.takePayload('channel_message')).toMatchObject({ message_id });
      // It may speak as well.
      await send(hidden.socket, roomId(target));
      expect(await settled(a.socket, 'channel_message')).toHaveLength(2);

      const { self: third, presences } = await join(later.socket, target);
      expect(presences).toEqual([first]);
      await takePresenceEvent(hidden.socket, 'channel_presence_event', 'joins', third.session_id);
      // Joining again, it does not even see itself.
      expect((await join(hidden.socket, target, { hidden: true })).presences).toHaveLength(2);

      await hidden.socket.request({ channel_leave: { channel_id: roomId(target) } });
      hidden.socket.ws.terminate();
      a.socket.received.length = 0;
      await later.socket.request({ channel_leave: { channel_id: roomId(target) } });
      const events = await settled(a.socket, 'channel_presence_event');
      expect(events).toEqual([{ channel_id: roomId(target), room_name: target, leaves: [third] }]);
    });

    test('a hidden one whose connection drops is not missed either', async () => {
      const target = newName();
      const a = await realm.client({ format });
      const hidden = await realm.client({ format });
      const seen = await realm.client({ format });
      await join(a.socket, target);
      await join(hidden.socket, target, { hidden: true });
      const { self } = await join(seen.socket, target);
      hidden.socket.ws.terminate();
      seen.socket.ws.terminate();
      await takePresenceEvent(a.socket, 'channel_presence_event', 'leaves', self.session_id);
      const events = await settled(a.socket, 'channel_presence_event');
      expect(events.filter((event) => 'leaves' in event)).toEqual([]);
    });

    test('leaving is told to the rest, not to the one who leaves', async () => {
      const target = newName();
      const a = await realm.client({ format });
      const b = await realm.client({ format });
      await join(a.socket, target);
      const { self } = await join(b.socket, target);
      await settled(b.socket, 'channel_presence_event');
      b.socket.received.length = 0;
      expect(await b.socket.request({ channel_leave: { channel_id: roomId(target) } })).toEqual({
        cid: expect.any(String),
      });
      const event = await takePresenceEvent(a.socket, 'channel_presence_event', 'leaves', self.session_id);
      expect(event).toEqual({ channel_id: roomId(target), room_name: target, leaves: [self] });
      await send(a.socket, roomId(target));
      await b.socket.settle();
      expect(b.socket.received).toEqual([]);
      expect((await join(b.socket, target)).presences).toHaveLength(1);
    });

    test('CH-24: leaving a channel that was not joined is fine, a bad id is not', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: 'a', channel_leave: { channel_id: roomId(newName()) } });
      expect(await socket.take('the ack', ({ cid }) => cid === 'a')).toEqual({ cid: 'a' });
      for (const channel_id of ['', 'x', '2...', '5.x..', '2..']) {
        const error = await errorOf(socket, { channel_leave: { channel_id } });
        expect(error, channel_id).toEqual(badInput('Invalid channel identifier'));
      }
    });

    test('sockets of one player are members of their own', async () => {
      const target = newName();
      const player = await realm.player();
      const one = await realm.connect(player, { format });
      const two = await realm.connect(player, { format });
      const { self } = await join(one, target);
      const { presences, self: other } = await join(two, target);
      expect(presences).toEqual([self]);
      expect(other).toEqual({ ...self, session_id: expect.any(String) });
      expect(other.session_id).not.toBe(self.session_id);
      await two.request({ channel_leave: { channel_id: roomId(target) } });
      await takePresenceEvent(one, 'channel_presence_event', 'leaves', other.session_id);
      await send(one, roomId(target));
      expect(await settled(one, 'channel_message')).toHaveLength(1);
      expect(await settled(two, 'channel_message')).toEqual([]);
    });
  });
});

onEachServer({ config: { 'limits.session_channels': 3 } }, (realm) => {
  test.each(formats)('%s: a socket may be in as many channels as configured', async (format) => {
    const { socket } = await realm.client({ format });
    const rooms = [newName(), newName(), newName()];
    for (const room of rooms) await join(socket, room);
    const error = await errorOf(socket, { channel_join: { target: newName(), type: 1 } });
    expect(error).toEqual({ message: 'Too many channels, at most 3 per socket.' });
    for (const room of rooms) await join(socket, room);
    await socket.request({ channel_leave: { channel_id: roomId(rooms[0] ?? '') } });
    await join(socket, newName());
  });
});
