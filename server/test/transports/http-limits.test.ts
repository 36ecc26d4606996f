import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../platform/clock.ts';
import type { ConfigOverrides } from '../../platform/config.ts';
import { type HttpReply, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { formats, TestSocket } from '../../testing/socket.ts';

const tooMany = (scope: string) => ({ code: 8, message: `Too many calls for this ${scope}.` });
const wrongPassword = { email: 'someone@example.com', password: 'wrong password' };

describe.each(listenerKinds)('rate limits on %s', (listener) => {
  let node: TestNode;
  let clock: ManualClock;
  const start = async (config: ConfigOverrides) => {
    // Stands still, so that no bucket fills up behind the test's back.
    clock = new ManualClock(Date.now());
    node = await startTestNode({ clock, config: { 'socket.listener': listener, ...config } });
  };
  const from = (address: string) => ({ 'x-forwarded-for': address });
  const signInEmail = (headers: Record<string, string>, body: object = wrongPassword) =>
    request(node, 'POST', '/v2/account/authenticate/email', { authorization: serverKeyAuth, headers, body });
  /** How often each status was answered. */
  const times = async (count: number, call: () => Promise<HttpReply>): Promise<Record<number, number>> => {
    const counts: Record<number, number> = {};
    for (const { status } of await Promise.all(Array.from({ length: count }, call))) {
      counts[status] = (counts[status] ?? 0) + 1;
    }
    return counts;
  };
  const repeatCall = async (socket: TestSocket, count: number, call: object): Promise<number[]> => {
    const codes: number[] = [];
    for (let made = 0; made < count; made++) codes.push((await socket.request({ call })).call_result.code ?? 0);
    return codes;
  };

  describe('by default', () => {
    beforeAll(() => start({}));
    afterAll(() => node?.stop());
    const invalid = { email: 'a', password: 'x' };

    test('#114 30 wrong passwords in a row are answered with 401 each', async () => {
      const right = { ...wrongPassword, password: 'the right one' };
      await signInEmail({}, right);
      for (let attempt = 0; attempt < 30; attempt++) expect((await signInEmail({})).status).toBe(401);
      expect((await signInEmail({}, right)).status).toBe(200);
    });

    test('a thousand calls at once are nothing', async () => {
      const player = await signIn(node);
      expect(await times(1000, () => request(node, 'GET', '/v2/user', player))).toEqual({ 200: 1000 });
    });

    test('passwords have a limit of their own per address: 200 at once, 20 per second', async () => {
      const attempt = () => signInEmail(from('192.0.2.1'), invalid);
      expect(await times(230, attempt)).toEqual({ 400: 200, 429: 30 });
      const { status, body } = await attempt();
      expect([status, body]).toEqual([429, tooMany('method')]);
      expect((await signInEmail(from('192.0.2.2'), invalid)).status).toBe(400);
      const device = await request(node, 'POST', '/v2/account/authenticate/device', {
        authorization: serverKeyAuth,
        headers: from('192.0.2.1'),
        body: { id: unique('device') },
      });
      expect(device.status).toBe(200);
      clock.advance(1000);
      expect(await times(30, attempt)).toEqual({ 400: 20, 429: 10 });
    });

    test('an IPv6 customer cannot dodge it by changing addresses within the network', async () => {
      let host = 0;
      const attempt = () => signInEmail(from(`2001:db8:1:2:${(++host).toString(16)}::1`), invalid);
      expect(await times(230, attempt)).toEqual({ 400: 200, 429: 30 });
      expect((await signInEmail(from('2001:db8:1:3::1'), invalid)).status).toBe(400);
    });
  });

  describe('per address', () => {
    beforeAll(() => start({ 'limits.address_calls_per_sec': 1, 'limits.address_calls_burst': 5 }));
    afterAll(() => node?.stop());

    test('are shared by all methods and come before anything else', async () => {
      const headers = from('192.0.2.7');
      const attempt = () => request(node, 'GET', '/v2/account', { headers });
      expect(await times(20, attempt)).toEqual({ 401: 5, 429: 15 });
      const { status, body } = await request(node, 'PUT', '/v2/account', { headers, body: '{bad' });
      expect([status, body]).toEqual([429, tooMany('address')]);
      clock.advance(2000);
      expect(await times(20, attempt)).toEqual({ 401: 2, 429: 18 });
    });

    test('do not touch other addresses, nor what is no method', async () => {
      expect((await request(node, 'GET', '/v2/account', { headers: from('192.0.2.8') })).status).toBe(401);
      const headers = from('192.0.2.9');
      expect(await times(20, () => request(node, 'GET', '/', { headers }))).toEqual({ 200: 20 });
    });

    test.each(formats)('hold for calls over a %s socket, too', async (format) => {
      clock.advance(10_000);
      const { token } = await signIn(node);
      const headers = from(`192.0.2.${10 + formats.indexOf(format)}`);
      const socket = await TestSocket.connect(node, token, { format, headers });
      const call = { method: 'Healthcheck' };
      expect(await repeatCall(socket, 8, call)).toEqual([0, 0, 0, 0, 0, 8, 8, 8]);
      expect((await socket.request({ call })).call_result).toMatchObject({ ...tooMany('address'), retry: 1 });
      clock.advance(1000);
      expect(await repeatCall(socket, 2, call)).toEqual([0, 8]);
      await socket.close();
    });
  });

  describe('per user', () => {
    beforeAll(() => start({ 'limits.user_calls_per_sec': 1, 'limits.user_calls_burst': 5 }));
    afterAll(() => node?.stop());

    test('are shared by REST and sockets, and do not touch other users', async () => {
      const [player, other] = [await signIn(node), await signIn(node)];
      expect(await times(3, () => request(node, 'GET', '/v2/user', player))).toEqual({ 200: 3 });
      const socket = await TestSocket.connect(node, player.token);
      expect(await repeatCall(socket, 4, { method: 'GetUsers' })).toEqual([0, 0, 8, 8]);
      const { status, body } = await request(node, 'GET', '/v2/user', player);
      expect([status, body]).toEqual([429, tooMany('user')]);
      expect((await request(node, 'GET', '/v2/user', other)).status).toBe(200);
      await socket.close();
    });

    test('are no matter of who has no valid token', async () => {
      const { authorization } = await signIn(node);
      const forged = { authorization: `${authorization}x` };
      expect(await times(20, () => request(node, 'GET', '/v2/user', forged))).toEqual({ 401: 20 });
      expect((await request(node, 'GET', '/v2/user', { authorization })).status).toBe(200);
    });

    test('fill up again', async () => {
      const player = await signIn(node);
      const attempt = () => request(node, 'GET', '/v2/user', player);
      expect(await times(10, attempt)).toEqual({ 200: 5, 429: 5 });
      clock.advance(3000);
      expect(await times(10, attempt)).toEqual({ 200: 3, 429: 7 });
    });
  });

  describe('per socket', () => {
    beforeAll(() => start({ 'limits.session_calls_per_sec': 1, 'limits.session_calls_burst': 5 }));
    afterAll(() => node?.stop());

    test.each(formats)('hold for calls and realtime messages of a %s socket together', async (format) => {
      const { token } = await signIn(node);
      const socket = await TestSocket.connect(node, token, { format });
      expect(await repeatCall(socket, 3, { method: 'Healthcheck' })).toEqual([0, 0, 0]);
      for (let ping = 0; ping < 2; ping++) expect(await socket.request({ ping: {} })).toHaveProperty('pong');
      expect((await socket.request({ ping: {} })).error).toMatchObject({ message: tooMany('session').message });
      expect(await repeatCall(socket, 2, { method: 'Healthcheck' })).toEqual([8, 8]);
      const second = await TestSocket.connect(node, token, { format });
      expect(await repeatCall(second, 1, { method: 'Healthcheck' })).toEqual([0]);
      clock.advance(1000);
      expect(await repeatCall(socket, 2, { method: 'Healthcheck' })).toEqual([0, 8]);
      await socket.close();
      await second.close();
    });
  });
});
