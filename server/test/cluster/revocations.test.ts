import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, type Format, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

// Tokens that died on one node are dead on all of them, at once and for good (reliability anchor F25; invariant A1).

/** Until another node knows, and until it does when nobody could tell it. */
const toldMs = 1000;
const untoldMs = 3000;

/** How tokens die before their time, on which node it happens, and what becomes of the sockets. */
const causes: Record<string, { revoke(node: TestNode, player: Player): Promise<unknown>; sockets: 'stay' | 'close' }> =
  {
    'logout of both tokens': {
      revoke: (node, { authorization, token, refreshToken }) =>
        request(node, 'POST', '/v2/session/logout', { authorization, body: { token, refresh_token: refreshToken } }),
      sockets: 'stay',
    },
    'logout of everything': {
      revoke: (node, { authorization }) => request(node, 'POST', '/v2/session/logout', { authorization, body: {} }),
      sockets: 'stay',
    },
    'a newer login with single_session': {
      revoke: (node, { deviceId }) => signIn(node, { deviceId }),
      sockets: 'stay',
    },
    ban: {
      revoke: (node, { id }) => node.app.features.accounts.accounts.ban([id]),
      sockets: 'close',
    },
    'deletion of the account': {
      revoke: (node, { authorization }) => request(node, 'DELETE', '/v2/account', { authorization }),
      sockets: 'close',
    },
  };
const titles = Object.keys(causes);
const formats: readonly Format[] = ['json', 'protobuf'];

describe.skipIf(!redisAvailable)('tokens that died on another node', () => {
  const clock = new TestClock();
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let one: TestNode;
  let two: TestNode;
  /** By cause: revoked while the nodes can talk to each other, and while they cannot. */
  const players = new Map<string, { told: Player; untold: Player }>();

  const start = (name: string, redisUrl: string) =>
    startTestNode({
      databaseUrl: schema.url,
      clock,
      config: { name, 'redis.url': redisUrl, 'session.single_session': true },
    });

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    [one, two] = await Promise.all([start('one', proxy.url), start('two', redis.url)]);
    for (const cause of titles) players.set(cause, { told: await signIn(one), untold: await signIn(one) });
    // Tokens of the very second of a revocation survive it.
    clock.advance(2000);
  });
  afterAll(async () => {
    await Promise.all([one?.stop(), two?.stop()]);
    await proxy?.close();
    await Promise.all([schema.drop(), redis.stop()]);
  });

  afterEach(() => proxy.heal());

  const player = (cause: string, which: 'told' | 'untold'): Player => players.get(cause)?.[which] as Player;

  const openSockets = (node: TestNode, { token }: Player): Promise<TestSocket[]> =>
    Promise.all(formats.map((format) => TestSocket.connect({ url: node.url }, token, { format })));

  const isRefused = async ({ url }: TestNode, someone: Player): Promise<boolean> => {
    const { status, body } = await request({ url }, 'GET', '/v2/account', someone);
    return status === 401 && body.message === 'Auth token invalid';
  };

  async function expectRefused(node: TestNode, someone: Player): Promise<void> {
    expect(await isRefused(node, someone)).toBe(true);
    for (const format of formats) {
      const refusal = { status: 401, text: 'Missing or invalid token' };
      await expect(TestSocket.connect({ url: node.url }, someone.token, { format })).rejects.toMatchObject(refusal);
    }
    const refresh = await request({ url: node.url }, 'POST', '/v2/account/session/refresh', {
      authorization: serverKeyAuth,
      body: { token: someone.refreshToken },
    });
    expect([refresh.status, refresh.body.message]).toEqual([401, 'Refresh token invalid or expired.']);
  }

  /** On sockets that were open before. */
  async function expectSocketsEnd(sockets: readonly TestSocket[], cause: string, deadlineMs: number): Promise<void> {
    for (const socket of sockets) {
      if (causes[cause]?.sockets === 'close') {
        expect(await socket.waitClosed(deadlineMs)).toEqual({ code: 1000, reason: 'server-side session disconnect' });
        const notices = socket.received.flatMap(({ notifications }: Envelope) => notifications?.notifications ?? []);
        expect(notices.map(({ code }: Envelope) => code)).toEqual(cause === 'ban' ? [-8] : []);
      } else {
        const { call_result } = await socket.request({ call: { method: 'GetAccount' } });
        expect(call_result).toMatchObject({ code: 16, message: 'Auth token invalid' });
        await socket.close();
      }
    }
  }

  it.each(titles)('by %s: are refused within 1 s', async (cause) => {
    const someone = player(cause, 'told');
    const sockets = await openSockets(two, someone);
    expect(await isRefused(two, someone)).toBe(false);
    await causes[cause]?.revoke(one, someone);
    await waitFor('the other node to refuse', () => isRefused(two, someone), toldMs);
    await expectRefused(two, someone);
    await expectSocketsEnd(sockets, cause, toldMs);
  });

  it.each(titles)(
    'by %s: are refused soon, even if that node cannot tell anybody, and it does not wait',
    async (cause) => {
      const someone = player(cause, 'untold');
      const sockets = await openSockets(two, someone);
      proxy.cut();
      const since = performance.now();
      await causes[cause]?.revoke(one, someone);
      expect(performance.now() - since).toBeLessThan(900);
      await expectRefused(one, someone);
      await waitFor('the other node to refuse', () => isRefused(two, someone), untoldMs);
      await expectRefused(two, someone);
      await expectSocketsEnd(sockets, cause, untoldMs);
    },
  );

  it('are still refused after all nodes and Redis were started again', async () => {
    await Promise.all([one.stop(), two.stop()]);
    await redis.restart();
    [one, two] = await Promise.all([start('one', proxy.url), start('two', redis.url)]);
    for (const { told, untold } of players.values()) {
      for (const someone of [told, untold]) {
        for (const node of [one, two]) await expectRefused(node, someone);
      }
    }
    expect([...one.errors, ...two.errors]).toEqual([]);
  });
});
