import { describe, expect, test } from 'vitest';
import type { Hooks } from '../../gateway/hooks.ts';
import { invalidArgument } from '../../platform/errors.ts';
import { formats } from '../../testing/socket.ts';
import { newName, onEachServer, settled } from '../api/socket-support.ts';

const processing = { code: 1000, reason: 'error processing message' };

/** Before hooks that go by what the room to join is called; after hooks that note what they saw. */
function createHooks(): Hooks & { readonly seen: { response: object | null; request: object }[] } {
  const seen: { response: object | null; request: object }[] = [];
  return {
    seen,
    before(name) {
      if (name !== 'channel_join') return undefined;
      return async (_ctx, request) => {
        const { target } = request as { target: string };
        if (target === 'error') throw new Error('no');
        if (target === 'coded error') throw invalidArgument('no');
        if (target === 'nothing') return null;
        if (target === 'renamed') return Object.assign(request, { target: 'other' });
        return request;
      };
    },
    after(name) {
      if (!['channel_join', 'channel_leave', 'channel_message_send', 'pong'].includes(name)) return undefined;
      return async (_ctx, response, request) => {
        seen.push({ response, request });
        throw new Error('of no consequence');
      };
    },
  };
}

const hooks = createHooks();

onEachServer({ hooks, expectedErrors: /Error: no/ }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('ENV-01: a ping is answered with its cid', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '9', ping: {} });
      expect(await socket.take('the pong', () => true)).toEqual({ cid: '9', pong: {} });
    });

    test('ENV-02: a ping without cid is answered without', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ ping: {} });
      expect(await socket.take('the pong', () => true)).toEqual({ pong: {} });
    });

    test('a cid is any text and comes back as it was', async () => {
      const { socket } = await realm.client({ format });
      for (const cid of ['0', ' ', 'é"\\\u2028😀', 'ABCDEF0123456789ABCDEF0123456789']) {
        socket.send({ cid, ping: {} });
        expect(await socket.take('the pong', () => true)).toEqual({ cid, pong: {} });
      }
    });

    test('ENV-03: a pong is not answered', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '1', pong: {} });
      socket.send({ cid: '2', ping: {} });
      expect(await socket.take('the first answer', () => true)).toEqual({ cid: '2', pong: {} });
      expect(socket.received).toEqual([]);
    });

    test('an empty ack has the cid alone, or nothing', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '7', status_unfollow: {} });
      socket.send({ status_unfollow: {} });
      await socket.settle();
      expect(socket.received).toEqual([{ cid: '7' }, {}]);
    });

    test('ENV-04: an envelope without payload is told so, then closed', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '1' });
      expect(await socket.waitClosed()).toEqual(processing);
      expect(socket.received).toEqual([{ cid: '1', error: { code: 2, message: 'Missing message.' } }]);
    });

    test('ENV-05: a payload that only servers send is told so, then closed', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '1', channel_message_ack: {} });
      expect(await socket.waitClosed()).toEqual(processing);
      expect(socket.received).toEqual([{ cid: '1', error: { code: 1, message: 'Unrecognized message.' } }]);
    });

    test('nothing that comes after a message that ends the socket is handled', async () => {
      const { socket } = await realm.client({ format });
      for (const envelope of [{ cid: '1', ping: {} }, { cid: '2' }, { cid: '3', ping: {} }]) socket.send(envelope);
      expect(await socket.waitClosed()).toEqual(processing);
      expect(socket.received.map(({ cid }) => cid)).toEqual(['1', '2']);
    });

    test('ENV-06: a burst of pings is answered in order', async () => {
      const { socket } = await realm.client({ format });
      const cids = Array.from({ length: 10 }, (_, index) => String(index + 1));
      for (const cid of cids) socket.send({ cid, ping: {} });
      await socket.take('the last pong', ({ cid }) => cid === '10');
      expect(socket.received).toEqual(cids.slice(0, 9).map((cid) => ({ cid, pong: {} })));
    });

    test('requests of different kinds are answered in the order they came', async () => {
      const { player, socket } = await realm.client({ format });
      const target = newName();
      const channel_id = `2...${target}`;
      const messages = [
        { channel_join: { target, type: 1 } },
        { ping: {} },
        { channel_message_send: { channel_id, content: '{}' } },
        { channel_message_send: { channel_id, content: 'bad' } },
        { status_follow: { user_ids: [player.id] } },
        { channel_message_send: { channel_id, content: '{}' } },
        { status_update: { status: 'x' } },
        { channel_leave: { channel_id } },
        { channel_message_send: { channel_id, content: '{}' } },
        { ping: {} },
      ];
      const cids = messages.map((_, index) => `message ${index}`);
      for (const [index, message] of messages.entries()) socket.send({ cid: cids[index], ...message });
      await socket.settle();
      const answers = socket.received.filter(({ cid }) => cid !== undefined);
      expect(answers.map(({ cid }) => cid)).toEqual(cids);
      expect(answers.map((answer) => Object.keys(answer)[1])).toEqual([
        'channel',
        'pong',
        'channel_message_ack',
        'error',
        'status',
        'channel_message_ack',
        undefined,
        undefined,
        'error',
        'pong',
      ]);
    });

    test('ENV-08: what a before hook throws becomes error 7, and the socket stays', async () => {
      const { socket } = await realm.client({ format });
      const plain = await socket.request({ channel_join: { target: 'error', type: 1 } });
      expect(plain).toEqual({ cid: '1', error: { code: 7, message: expect.stringContaining('no') } });
      const coded = await socket.request({ channel_join: { target: 'coded error', type: 1 } });
      expect(coded).toEqual({ cid: '2', error: { code: 7, message: 'no' } });
      await socket.settle();
      expect(await settled(socket, 'channel_presence_event')).toEqual([]);
    });

    test('ENV-09: a before hook that returns nothing refuses the message and ends the socket', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '1', channel_join: { target: 'nothing', type: 1 } });
      expect(await socket.waitClosed()).toEqual(processing);
      const error = { code: 1, message: 'Requested resource was not found.' };
      expect(socket.received).toEqual([{ cid: '1', error }]);
    });

    test('a before hook may change the message', async () => {
      const { socket } = await realm.client({ format });
      const { channel } = await socket.request({ channel_join: { target: 'renamed', type: 1 } });
      expect(channel.id).toBe('2...other');
    });

    test('an after hook gets answer and request of what succeeded, null for an ack, and may fail', async () => {
      const { socket } = await realm.client({ format });
      hooks.seen.length = 0;
      const target = newName();
      await socket.request({ channel_join: { target, type: 1 } });
      await socket.request({ channel_join: { target, type: 9 } });
      await socket.request({ channel_leave: { channel_id: `2...${target}` } });
      socket.send({ pong: {} });
      await socket.settle();
      expect(hooks.seen).toEqual([
        {
          response: expect.objectContaining({
            name: 'channel',
            message: expect.objectContaining({ room_name: target }),
          }),
          request: expect.objectContaining({ target }),
        },
        { response: null, request: expect.objectContaining({ channel_id: `2...${target}` }) },
        { response: null, request: {} },
      ]);
    });
  });
});
