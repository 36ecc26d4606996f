import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { bearer, claimsOf, type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { formats, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

const tokenInvalid = { code: 16, message: 'Auth token invalid' };

/** How tokens die before their time. */
const causes: Record<string, (server: TestServer, player: Player) => Promise<unknown>> = {
  'logout of both tokens': (server, { authorization, token, refreshToken }) =>
    request(server, 'POST', '/v2/session/logout', { authorization, body: { token, refresh_token: refreshToken } }),
  'logout of everything': (server, { authorization }) =>
    request(server, 'POST', '/v2/session/logout', { authorization, body: {} }),
  ban: (server, { id }) => server.features.accounts.accounts.ban([id]),
  'deletion of the account': (server, { authorization }) => request(server, 'DELETE', '/v2/account', { authorization }),
  'a newer login with single_session': (server, player) => signIn(server, player),
};

describe.each(serverKinds)('revoked tokens on %s', (kind) => {
  const clock = new TestClock();
  const players = new Map<string, Player>();
  let schema: TestSchema;
  let server: TestServer;
  let bystander: Player;
  const start = () =>
    startTestServer({ kind, databaseUrl: schema.url, clock, config: { 'session.single_session': true } });

  beforeAll(async () => {
    schema = await createTestSchema();
    server = await start();
    bystander = await signIn(server);
    for (const cause of Object.keys(causes)) players.set(cause, await signIn(server));
    // Tokens of the very second of a revocation survive it.
    clock.advance(1000);
  });
  afterAll(async () => {
    await server?.stop();
    await schema?.drop();
  });

  async function expectRefused(player: Player): Promise<void> {
    const { status, body } = await request(server, 'GET', '/v2/account', player);
    expect([status, body]).toEqual([401, tokenInvalid]);
    for (const format of formats) {
      const refusal = { status: 401, text: 'Missing or invalid token' };
      await expect(TestSocket.connect(server, player.token, { format })).rejects.toMatchObject(refusal);
      const headers = { authorization: player.authorization };
      await expect(TestSocket.connect(server, '', { format, headers })).rejects.toMatchObject(refusal);
      const socket = await TestSocket.connect(server, bystander.token, { format });
      const { authorization } = player;
      const { call_result } = await socket.request({ call: { method: 'GetAccount', authorization } });
      expect(call_result).toMatchObject(tokenInvalid);
      await socket.close();
    }
    const refresh = await request(server, 'POST', '/v2/account/session/refresh', {
      authorization: serverKeyAuth,
      body: { token: player.refreshToken },
    });
    expect([refresh.status, refresh.body.message]).toEqual([401, 'Refresh token invalid or expired.']);
  }

  describe.each(Object.keys(causes))('by %s', (cause) => {
    const player = () => players.get(cause) as Player;

    test('die at once', async () => {
      const before = await request(server, 'GET', '/v2/account', player());
      expect(before.status).toBe(200);
      await causes[cause]?.(server, player());
      await expectRefused(player());
      expect((await request(server, 'GET', '/v2/account', bystander)).status).toBe(200);
    });
  });

  describe('after a restart', () => {
    beforeAll(async () => {
      await server.stop();
      server = await start();
    });

    test.each(Object.keys(causes))('by %s are still dead', async (cause) => {
      await expectRefused(players.get(cause) as Player);
    });

    test('the others live on', async () => {
      expect((await request(server, 'GET', '/v2/account', bystander)).status).toBe(200);
      await (await TestSocket.connect(server, bystander.token)).close();
    });

    test('#96 a banned user cannot sign in, until the ban is lifted', async () => {
      const { id, deviceId } = players.get('ban') as Player;
      const attempt = () =>
        request(server, 'POST', '/v2/account/authenticate/device', {
          authorization: serverKeyAuth,
          body: { id: deviceId },
        });
      const { status, body } = await attempt();
      expect([status, body]).toEqual([403, { code: 7, message: 'User account banned.' }]);
      await server.features.accounts.accounts.unban([id]);
      const again = await attempt();
      expect(again.status).toBe(200);
      const { token } = again.body;
      expect((await request(server, 'GET', '/v2/account', { authorization: bearer(token) })).status).toBe(200);
      await expectRefused(players.get('ban') as Player);
    });

    test('#95 a deleted account’s device makes a new one', async () => {
      const gone = players.get('deletion of the account') as Player;
      const back = await signIn(server, gone);
      expect(back.id).not.toBe(gone.id);
    });
  });
});

describe('a logout', () => {
  test('with older tokens of a login is kept for as long as the newest of them live', async () => {
    const clock = new TestClock();
    const server = await startTestServer({ clock });
    const client = new pg.Client(server.databaseUrl);
    await client.connect();
    try {
      const { authorization, token, refreshToken } = await signIn(server);
      clock.advance(3_600_000);
      const { body: newer } = await request(server, 'POST', '/v2/account/session/refresh', {
        authorization: serverKeyAuth,
        body: { token: refreshToken },
      });
      const body = { token, refresh_token: refreshToken };
      await request(server, 'POST', '/v2/session/logout', { authorization, body });
      const { rows } = await client.query(
        'SELECT kind, extract(epoch FROM expire_time)::int AS until FROM session_revocation ORDER BY kind',
      );
      expect(rows.map(({ kind }) => kind)).toEqual([0, 1]);
      expect(rows[0].until).toBeGreaterThan(claimsOf(newer.token).exp);
      expect(rows[1].until).toBeGreaterThan(claimsOf(newer.refresh_token).exp);
    } finally {
      await client.end();
      await server.stop();
    }
  });
});

describe.each(serverKinds)('open sockets on %s', (kind) => {
  const clock = new TestClock();
  let server: TestServer;
  let player: Player;
  let sockets: TestSocket[];
  beforeAll(async () => {
    server = await startTestServer({ kind, clock });
  });
  afterAll(() => server?.stop());

  const getAccount = async (socket: TestSocket) =>
    (await socket.request({ call: { method: 'GetAccount' } })).call_result;
  const open = async () => {
    player = await signIn(server);
    sockets = await Promise.all(formats.map((format) => TestSocket.connect(server, player.token, { format })));
    for (const socket of sockets) expect((await getAccount(socket)).response.user.id).toBe(player.id);
    clock.advance(1000);
  };

  test('outlive the expiry of their token', async () => {
    await open();
    clock.advance(8_000_000);
    for (const socket of sockets) {
      expect((await getAccount(socket)).response.user.id).toBe(player.id);
      const { authorization } = player;
      const { call_result } = await socket.request({ call: { method: 'GetAccount', authorization } });
      expect(call_result).toMatchObject(tokenInvalid);
      await socket.close();
    }
  });

  test.each([
    ['of both tokens', () => ({ token: player.token, refresh_token: player.refreshToken })],
    ['of everything', () => ({})],
  ])('stay open after a logout %s, but their calls are refused', async (_, body) => {
    await open();
    await request(server, 'POST', '/v2/session/logout', { authorization: player.authorization, body: body() });
    for (const socket of sockets) {
      expect(await getAccount(socket)).toMatchObject(tokenInvalid);
      expect(await socket.request({ ping: {} })).toHaveProperty('pong');
      await socket.close();
    }
  });

  test('are told of a ban, and closed', async () => {
    await open();
    await server.features.accounts.accounts.ban([player.id]);
    for (const socket of sockets) {
      await socket.waitClosed();
      const { notifications } = await socket.takePayload('notifications');
      expect(notifications).toHaveLength(1);
      expect(notifications[0]).toMatchObject({ code: -8, subject: 'banned', content: '{}' });
    }
    for (const { app } of server.nodes) expect(app.openSockets).toBe(0);
  });

  test('are closed when the account is deleted', async () => {
    await open();
    const { status, body } = await request(server, 'DELETE', '/v2/account', { authorization: player.authorization });
    expect([status, body]).toEqual([200, {}]);
    for (const socket of sockets) await socket.waitClosed();
    await waitFor('all sockets to be gone', () => server.openSockets === 0);
  });
});
