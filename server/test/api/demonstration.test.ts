import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Player, request, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { formats, TestSocket } from '../../testing/socket.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';

// The worked example of CONTRIBUTING.md: TestingEcho is one line in proto/testing.proto and one entry in
// server/testing/testing-feature.ts. Here is what comes with that.
const sample = { text: 'hello', big: '9223372036854775807', labels: { colour: 'blue' }, children: [{ flag: true }] };

describe.each(serverKinds)('a method that a feature declares, on %s', (kind) => {
  let server: TestServer;
  let player: Player;
  beforeAll(async () => {
    server = await startTestServer({ kind, extraFeatures: () => [createTestingFeature()] });
    player = await signIn(server);
  });
  afterAll(() => server?.stop());

  test('is a REST route, with every binding of proto/', async () => {
    const { authorization } = player;
    const posted = await request(server, 'POST', '/v2/testing/echo', { authorization, body: sample });
    expect([posted.status, posted.body]).toEqual([200, sample]);
    const got = await request(server, 'GET', '/v2/testing/echo/hello?big=9223372036854775807', { authorization });
    expect([got.status, got.body]).toEqual([200, { text: sample.text, big: sample.big }]);
    const put = await request(server, 'PUT', '/v2/testing/echo/hello', { authorization, body: { flag: true } });
    expect([put.status, put.body]).toEqual([200, { text: 'hello', child: { flag: true } }]);
  });

  test.each(formats)('is a call over a %s socket', async (format) => {
    const socket = await TestSocket.connect(server, player.token, { format });
    const envelope = await socket.request({ call: { method: 'TestingEcho', request: sample } });
    expect(envelope).toEqual({ cid: '1', call_result: { response: sample } });
    await socket.close();
  });

  test('is authenticated', async () => {
    const anonymous = await request(server, 'POST', '/v2/testing/echo', { body: sample });
    expect([anonymous.status, anonymous.body]).toEqual([401, { code: 16, message: 'Auth token required' }]);
    const socket = await TestSocket.connect(server, player.token);
    const call = { method: 'TestingEcho', authorization: 'Bearer none', request: sample };
    const { call_result } = await socket.request({ call });
    expect(call_result).toEqual({ code: 16, message: 'Auth token invalid' });
    await socket.close();
  });

  test('is checked against proto/', async () => {
    const { authorization } = player;
    const reply = await request(server, 'POST', '/v2/testing/echo', { authorization, body: { text: 5 } });
    expect([reply.status, reply.body.code]).toEqual([400, 3]);
    const socket = await TestSocket.connect(server, player.token);
    const { call_result } = await socket.request({ call: { method: 'TestingEcho', request: { text: 5 } } });
    expect(call_result.code).toBe(3);
    await socket.close();
  });

  test.each(formats)('and no other name is, over a %s socket', async (format) => {
    const socket = await TestSocket.connect(server, player.token, { format });
    for (const method of ['Nope', 'testingecho', '', 'constructor', 'toString', '__proto__']) {
      const { call_result } = await socket.request({ call: { method } });
      expect(call_result).toEqual({ code: 12, message: `Unknown method "${method}".` });
    }
    await socket.close();
  });
});

describe.each(serverKinds)('a method that nobody declares, on %s', (kind) => {
  let server: TestServer;
  let player: Player;
  beforeAll(async () => {
    server = await startTestServer({ kind });
    player = await signIn(server);
  });
  afterAll(() => server?.stop());

  test('is unknown, though proto/ has it', async () => {
    const method = 'TestingEcho';
    for (const format of formats) {
      const socket = await TestSocket.connect(server, player.token, { format });
      const { call_result } = await socket.request({ call: { method } });
      expect(call_result).toEqual({ code: 12, message: `Unknown method "${method}".` });
      await socket.close();
    }
  });

  test('has no route', async () => {
    for (const [verb, path] of [
      ['POST', '/v2/testing/echo'],
      ['GET', '/v2/testing/echo/hello'],
    ] as const) {
      const { status, body } = await request(server, verb, path, { authorization: player.authorization });
      expect([status, body]).toEqual([404, { code: 5, message: 'Not Found' }]);
    }
  });
});
