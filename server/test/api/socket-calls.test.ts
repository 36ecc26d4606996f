import { describe, expect, test } from 'vitest';
import { basic, request, serverKeyAuth } from '../../testing/http.ts';
import { type Envelope, type Format, formats, type TestSocket } from '../../testing/socket.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';
import { waitFor } from '../../testing/wait.ts';
import { EnvelopeFrame, payload } from '../../wire/envelope.ts';
import { newName, onEachServer } from './socket-support.ts';

const unknownMethod = { code: 12, message: 'Unknown method "Nope".' };

async function call(socket: TestSocket, method: string, request?: object, authorization = ''): Promise<Envelope> {
  return (await socket.request({ call: { method, ...(request && { request }), authorization } })).call_result;
}

/** Sends a call whose request is these very bytes: text for a JSON socket. */
function sendRawCall(socket: TestSocket, format: Format, method: string, bytes: string | Uint8Array): void {
  if (format === 'json') socket.sendRaw(`{"cid":"raw","call":{"method":"${method}","request":${bytes.toString()}}}`);
  else socket.sendRaw(EnvelopeFrame.of(payload('call', { method, request: Buffer.from(bytes) }), 'raw').protobuf);
}

onEachServer({ extraFeatures: () => [createTestingFeature()] }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('calls and realtime messages of one burst are answered in order', async () => {
      const { player, socket } = await realm.client({ format });
      const target = newName();
      const messages = [
        { call: { method: 'GetAccount' } },
        { ping: {} },
        { call: { method: 'Nope' } },
        { channel_join: { target, type: 1 } },
        { call: { method: 'GetUsers', request: { ids: [player.id] } } },
        { channel_message_send: { channel_id: `2...${target}`, content: '{}' } },
        { call: { method: 'ListChannelMessages', request: { channel_id: `2...${target}` } } },
        { status_update: { status: 'x' } },
        { call: { method: 'GetAccount' } },
        { ping: {} },
      ];
      const cids = messages.map((_, index) => `message ${index}`);
      for (const [index, message] of messages.entries()) socket.send({ cid: cids[index], ...message });
      await socket.settle();
      const answers = socket.received.filter(({ cid }) => cid !== undefined);
      expect(answers.map(({ cid }) => cid)).toEqual(cids);
      expect(answers[0].call_result.response.user.id).toBe(player.id);
      expect(answers[2].call_result).toEqual(unknownMethod);
      // Each sees what those before it did.
      expect(answers[6].call_result.response.messages).toHaveLength(1);
      expect(answers[8].call_result.response.user.online).toBe(true);
    });

    test('a call without cid is answered without', async () => {
      const { player, socket } = await realm.client({ format });
      socket.send({ call: { method: 'TestingEcho' } });
      await socket.settle();
      expect(Object.keys(socket.received[0])).toEqual(['call_result']);
      expect((await call(socket, 'GetAccount')).response.user.id).toBe(player.id);
    });

    test('an unknown method is told so', async () => {
      const { socket } = await realm.client({ format });
      expect(await call(socket, 'Nope')).toEqual(unknownMethod);
      expect(await call(socket, 'getAccount')).toMatchObject({ code: 12 });
      expect(await call(socket, '')).toMatchObject({ code: 12 });
      expect(await call(socket, 'x'.repeat(1000))).toEqual({
        code: 12,
        message: `Unknown method "${'x'.repeat(64)}".`,
      });
      await socket.settle();
    });

    test('a realtime message is no method, and a method no message', async () => {
      const { socket } = await realm.client({ format });
      expect(await call(socket, 'channel_join')).toMatchObject({ code: 12 });
      expect(await call(socket, 'ping')).toMatchObject({ code: 12 });
      await socket.settle();
    });

    test('a request that cannot be read fails the call, not the socket', async () => {
      const { socket } = await realm.client({ format });
      const bad = format === 'json' ? ['{"ids":1}', '[]', '"text"', '{"ids":[null,{}]}'] : [[0xff], [0x0a, 0x05, 0x31]];
      for (const bytes of bad) {
        sendRawCall(socket, format, 'GetUsers', typeof bytes === 'string' ? bytes : new Uint8Array(bytes));
        const { call_result: result } = await socket.take('the answer', ({ cid }) => cid === 'raw');
        expect(result).toEqual({ code: 3, message: expect.stringMatching(/./) });
      }
      await socket.settle();
    });

    test('errors are those of REST', async () => {
      const { player, socket } = await realm.client({ format });
      const { authorization } = player;
      const rest = await request(realm.server, 'GET', '/v2/user?ids=x', { authorization });
      expect(await call(socket, 'GetUsers', { ids: ['x'] })).toEqual({ code: 3, message: rest.body.message });
    });

    test('credentials given with the call are held to the rules of REST', async () => {
      const { socket } = await realm.client({ format });
      const other = await realm.player();
      const { response } = await call(socket, 'GetAccount', undefined, other.authorization);
      expect(response.user.id).toBe(other.id);
      const invalid = { code: 16, message: 'Auth token invalid' };
      for (const authorization of ['Bearer x', serverKeyAuth, 'x']) {
        expect(await call(socket, 'GetAccount', undefined, authorization)).toEqual(invalid);
      }
      const refresh = { token: other.refreshToken };
      expect(await call(socket, 'SessionRefresh', refresh)).toEqual({ code: 16, message: 'Server key required' });
      expect(await call(socket, 'SessionRefresh', refresh, basic('wrong'))).toEqual({
        code: 16,
        message: 'Server key invalid',
      });
      const refreshed = await call(socket, 'SessionRefresh', refresh, serverKeyAuth);
      expect(refreshed.response.token).toEqual(expect.any(String));
      await socket.settle();
    });

    test('after a logout calls answer 16, and the socket goes on', async () => {
      const { player, socket } = await realm.client({ format });
      const { token, refreshToken, authorization } = player;
      expect((await call(socket, 'GetAccount')).code).toBeUndefined();
      const body = { token, refresh_token: refreshToken };
      expect((await request(realm.server, 'POST', '/v2/session/logout', { authorization, body })).status).toBe(200);
      expect(await call(socket, 'GetAccount')).toEqual({ code: 16, message: 'Auth token invalid' });
      // Methods that need no session, calls as somebody else, and realtime messages still work.
      expect((await call(socket, 'Healthcheck')).code).toBeUndefined();
      const other = await realm.player();
      expect((await call(socket, 'GetAccount', undefined, other.authorization)).code).toBeUndefined();
      const { channel } = await socket.request({ channel_join: { target: newName(), type: 1 } });
      expect(channel.self.user_id).toBe(player.id);
    });

    test('a call as large as the socket takes', async () => {
      const { socket } = await realm.client({ format });
      const names = Array.from({ length: 300 }, (_, index) => `name-${index}`);
      expect((await call(socket, 'GetUsers', { usernames: names })).code).toBeUndefined();
    });
  });
});

const limits = { 'limits.session_calls_per_sec': 2, 'limits.session_calls_burst': 5 };
onEachServer({ config: limits }, (realm) => {
  test.each(formats)('%s: a socket makes no more calls at once than configured', async (format) => {
    const { player, socket } = await realm.client({ format });
    for (let i = 0; i < 8; i++) socket.send({ cid: `ping ${i}`, ping: {} });
    socket.send({ cid: 'last', call: { method: 'GetAccount' } });
    const last = await socket.take('the last answer', ({ cid }) => cid === 'last');
    const message = 'Too many calls for this session.';
    // SAFE: it had no effect and may be sent again.
    expect(last.call_result).toEqual({ code: 8, message, retry: 1 });
    const refused = socket.received.filter(({ error }) => error !== undefined);
    expect(refused.length).toBeGreaterThanOrEqual(2);
    for (const { error } of refused) expect(error).toEqual({ message });
    expect(socket.received.map(({ cid }) => cid)).toEqual(Array.from({ length: 8 }, (_, index) => `ping ${index}`));
    // Another socket of the same player has its own measure, and this one may go on after a while.
    await (await realm.connect(player, { format })).settle();
    await waitFor('a call that is answered', async () => 'pong' in (await socket.request({ ping: {} })));
  });
});
