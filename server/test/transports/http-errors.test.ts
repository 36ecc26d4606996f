import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AfterHook, BeforeHook } from '../../gateway/hooks.ts';
import { AppError, type Code } from '../../platform/errors.ts';
import { type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { TestSocket } from '../../testing/socket.ts';
import { api } from '../../wire/method.ts';

/** What the method of this suite does next. */
let answer: () => object;
const before = new Map<string, BeforeHook>();
const after = new Map<string, AfterHook>();

describe.each(listenerKinds)('what goes wrong inside, on %s', (listener) => {
  let node: TestNode;
  let player: Player;
  beforeAll(async () => {
    node = await startTestNode({
      config: { 'socket.listener': listener },
      hooks: { before: (name) => before.get(name), after: (name) => after.get(name) },
      extraFeatures: () => [
        { name: 'testing', methods: [api('TestingEcho', { auth: 'session' }, async () => answer())] },
      ],
    });
    player = await signIn(node);
  });
  afterAll(() => node?.stop());
  afterEach(() => {
    before.clear();
    after.clear();
  });

  const echo = () => request(node, 'POST', '/v2/testing/echo', { ...player, body: { text: 't' } });
  const fail = (error: unknown) => {
    answer = () => {
      throw error;
    };
  };

  describe('codes', () => {
    test.each([
      [1, 499],
      [2, 500],
      [3, 400],
      [4, 504],
      [5, 404],
      [6, 409],
      [7, 403],
      [8, 429],
      [9, 400],
      [10, 409],
      [11, 400],
      [12, 501],
      [13, 500],
      [14, 503],
      [15, 500],
      [16, 401],
    ])('%d is HTTP %d', async (code, status) => {
      fail(new AppError(code as Code, 'What "went" wrong – ä.\n'));
      const reply = await echo();
      expect([reply.status, reply.body]).toEqual([status, { code, message: 'What "went" wrong – ä.\n' }]);
      expect(reply.headers.get('content-type')).toBe('application/json');
      expect(reply.headers.has('www-authenticate')).toBe(code === 16);
    });
  });

  test('an unforeseen error shows nothing but the number that it has in the log', async () => {
    const lines = node.errors.length;
    fail(new TypeError('secret detail'));
    const { status, body, text } = await echo();
    expect([status, body.code]).toEqual([500, 13]);
    const incident = /^Internal server error, incident ([0-9a-f-]{36})\.$/.exec(body.message)?.[1];
    expect(text).not.toContain('secret');
    expect(node.errors).toHaveLength(lines + 1);
    expect(node.errors.at(-1)).toContain('secret detail');
    expect(node.errors.at(-1)).toContain(incident);
  });

  test('an answer that cannot be encoded is an error, and in the log', async () => {
    const lines = node.errors.length;
    answer = () => ({ time: { seconds: 1e15 } });
    const { status, body } = await echo();
    expect([status, body]).toEqual([500, { code: 13, message: 'Internal server error.' }]);
    expect(node.errors).toHaveLength(lines + 1);
    expect(node.errors.at(-1)).toContain('TestingEcho');
  });

  test('a mistake of the caller is not worth an error line', async () => {
    const lines = node.errors.length;
    fail(new AppError(3, 'bad'));
    await echo();
    await request(node, 'POST', '/v2/testing/echo', { ...player, body: '{bad' });
    await request(node, 'GET', '/v2/account');
    expect(node.errors).toHaveLength(lines);
  });

  describe('hooks', () => {
    const device = (id: string) =>
      request(node, 'POST', '/v2/account/authenticate/device', { authorization: serverKeyAuth, body: { id } });

    test('before: may change the request', async () => {
      const id = unique('device');
      before.set('AuthenticateDevice', async (_ctx, message) => {
        (message as { account: { id: string } }).account.id = id;
        return message;
      });
      expect((await device('')).status).toBe(200);
      before.clear();
      expect((await device(id)).body).not.toHaveProperty('created');
    });

    test('before: may fail the call', async () => {
      before.set('GetAccount', async () => {
        throw new AppError(9, 'Not today.');
      });
      const { status, body } = await request(node, 'GET', '/v2/account', player);
      expect([status, body]).toEqual([400, { code: 9, message: 'Not today.' }]);
    });

    test('before: may refuse a request by null, unless it has no fields', async () => {
      for (const name of ['GetUsers', 'UpdateAccount', 'GetAccount']) before.set(name, async () => null);
      const refused = { code: 5, message: 'Requested resource was not found.' };
      for (const [verb, path] of [
        ['GET', '/v2/user'],
        ['PUT', '/v2/account'],
      ] as const) {
        const { status, body } = await request(node, verb, path, player);
        expect([status, body]).toEqual([404, refused]);
      }
      expect((await request(node, 'GET', '/v2/account', player)).body.user.id).toBe(player.id);
      const socket = await TestSocket.connect(node, player.token);
      expect((await socket.request({ call: { method: 'GetUsers' } })).call_result).toEqual(refused);
      expect((await socket.request({ call: { method: 'GetAccount' } })).call_result.code).toBeUndefined();
      await socket.close();
    });

    test('before: comes after authentication, and before validation', async () => {
      const seen: unknown[] = [];
      before.set('UpdateAccount', async ({ user, door, clientAddress }, message) => {
        seen.push([user?.id, door, clientAddress]);
        return message;
      });
      before.set('AuthenticateDevice', async ({ user }, message) => {
        seen.push(user);
        return message;
      });
      await request(node, 'PUT', '/v2/account', { body: {} });
      await request(node, 'PUT', '/v2/account', { ...player, body: '{bad' });
      expect(seen).toEqual([]);
      await request(node, 'PUT', '/v2/account', { ...player, body: {} });
      await device('');
      expect(seen).toEqual([[player.id, 'http', '127.0.0.1'], null]);
    });

    test('after: comes after success alone, and nothing of it reaches the caller', async () => {
      const seen: unknown[] = [];
      after.set('GetAccount', async (ctx, response) => {
        seen.push([ctx.user?.id, (response as { user: { id: string } }).user.id]);
        throw new Error('of no interest');
      });
      after.set('UpdateAccount', async () => {
        seen.push('never');
      });
      expect((await request(node, 'GET', '/v2/account', player)).status).toBe(200);
      expect((await request(node, 'PUT', '/v2/account', { ...player, body: {} })).status).toBe(400);
      expect(seen).toEqual([[player.id, player.id]]);
    });
  });
});
