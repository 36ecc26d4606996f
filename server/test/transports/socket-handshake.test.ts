import jwt from 'jsonwebtoken';
import { describe, expect, test } from 'vitest';
import { request } from '../../testing/http.ts';
import { formats, type HandshakeRefused } from '../../testing/socket.ts';
import { onEachServer, outliveIssueSecond, type Realm } from '../api/socket-support.ts';

const sessionKey = 'defaultencryptionkey';
const missingToken = { status: 401, text: 'Missing or invalid token' };
const badFormat = { status: 400, text: 'Invalid format parameter' };

/** What the handshake is refused with. */
async function refusal(realm: Realm, token: string, options = {}): Promise<HandshakeRefused> {
  const refused = await realm.connect({ token }, options).catch((error: HandshakeRefused) => error);
  if ('closed' in refused) throw new Error('the handshake was not refused');
  return refused;
}

onEachServer({}, (realm) => {
  test('HS-01: no token is refused', async () => {
    expect(await refusal(realm, '')).toMatchObject(missingToken);
  });

  test('HS-02: an unknown format is refused', async () => {
    const player = await realm.player();
    for (const format of ['xml', 'JSON', 'Protobuf', 'json ']) {
      expect(await refusal(realm, player.token, { query: { format } })).toMatchObject(badFormat);
    }
  });

  test('HS-03: the format is checked before the token', async () => {
    expect(await refusal(realm, '', { query: { format: 'xml' } })).toMatchObject(badFormat);
  });

  test.each(['', 'json'])('the format may be "%s"', async (format) => {
    const { socket } = await realm.client({ query: { format } });
    expect(await socket.request({ ping: {} })).toEqual({ cid: '1', pong: {} });
  });

  test('HS-05: an Authorization header is the only source of credentials', async () => {
    const { token } = await realm.player();
    for (const authorization of ['Basic x', 'bearer x', `bearer ${token}`, `Bearer${token}`, token, 'Bearer ', '']) {
      const refused = await refusal(realm, token, { headers: { authorization } });
      expect(refused, authorization).toMatchObject(missingToken);
    }
  });

  describe('HS-06: tokens that are no valid session token', () => {
    const uid = '5f4a7d5e-6f0b-4f0e-9f57-0c3a2b1d4e5f';
    const hourAhead = (): number => Math.floor(Date.now() / 1000) + 3600;
    const sign = (claims: object, key = sessionKey, algorithm: 'HS256' | 'HS512' = 'HS256'): string =>
      jwt.sign(claims, key, { algorithm, noTimestamp: true });

    test.each<[name: string, token: () => string]>([
      ['expired', () => sign({ uid, exp: hourAhead() - 3601 })],
      ['without exp', () => sign({ uid })],
      ['signed with HS512', () => sign({ uid, exp: hourAhead() }, sessionKey, 'HS512')],
      ['signed with another key', () => sign({ uid, exp: hourAhead() }, 'anotherkey')],
      ['unsigned', () => jwt.sign({ uid, exp: hourAhead() }, null, { algorithm: 'none' })],
      ['without a user id', () => sign({ exp: hourAhead() })],
      ['with a user id that is no UUID', () => sign({ uid: 'someone', exp: hourAhead() })],
      ['of the system user', () => sign({ uid: '00000000-0000-0000-0000-000000000000', exp: hourAhead() })],
      ['a match token', () => sign({ mid: `${uid}.`, exp: hourAhead() })],
      ['no token at all', () => 'nonsense'],
    ])('%s', async (_name, token) => {
      expect(await refusal(realm, token())).toMatchObject(missingToken);
    });

    test('a refresh token', async () => {
      const { refreshToken } = await realm.player();
      expect(await refusal(realm, refreshToken)).toMatchObject(missingToken);
    });

    test('while one of that shape, signed properly, is accepted without a look at the database', async () => {
      const socket = await realm.connect({ token: sign({ uid, exp: hourAhead() }) });
      await socket.settle();
    });
  });

  test.each([
    ['of everything', false],
    ['of that token only', true],
  ])('HS-07: after a logout %s no new socket opens, and the old one stays', async (_name, isSingle) => {
    const { player, socket } = await realm.client();
    await outliveIssueSecond(player);
    const { token, refreshToken, authorization } = player;
    const body = isSingle ? { token, refresh_token: refreshToken } : {};
    const logout = await request(realm.server, 'POST', '/v2/session/logout', { authorization, body });
    expect(logout.status).toBe(200);
    expect(await refusal(realm, token)).toMatchObject(missingToken);
    await socket.settle();
  });

  test('unknown parameters and a language are no reason to refuse', async () => {
    const { socket } = await realm.client({ query: { lang: 'de-CH', status: 'false', what: 'ever' } });
    await socket.settle();
  });

  test('GET /ws without an upgrade is told what a handshake would be told', async () => {
    const { token } = await realm.player();
    const get = async (query: string): Promise<[number, string]> => {
      const { status, text } = await request(realm.server, 'GET', `/ws${query}`);
      return [status, text];
    };
    expect(await get('?format=xml')).toEqual([400, 'Invalid format parameter']);
    expect(await get('')).toEqual([401, 'Missing or invalid token']);
    expect(await get(`?token=${token}`)).toEqual([400, 'Bad Request']);
  });

  describe.each(formats)('%s', (format) => {
    test('HS-04: the token may come as a Bearer header', async () => {
      const { authorization } = await realm.player();
      const socket = await realm.connect({ token: '' }, { format, headers: { authorization } });
      await socket.settle();
    });

    test.each(['1', 't', 'T', 'true', 'TRUE', 'True'])('HS-08: status=%s appears online', async (status) => {
      const { player, socket } = await realm.client({ format, query: { status } });
      expect(await socket.takePayload('status_presence_event')).toEqual({
        joins: [{ user_id: player.id, session_id: expect.any(String), username: player.username, status: '' }],
      });
    });

    test.each(['nonsense', 'false', '0', 'tRUE', 'yes', ''])('HS-09: status=%s stays offline', async (status) => {
      const { player, socket } = await realm.client({ format, query: { status } });
      await socket.settle();
      expect(socket.received).toEqual([]);
      const { body } = await request(realm.server, 'GET', '/v2/account', { authorization: player.authorization });
      expect(body.user.online).toBeFalsy();
    });

    test('HS-10, HS-11: ping is answered in the format of the socket, and there is no welcome message', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: '1', ping: {} });
      expect(await socket.take('the pong', () => true)).toEqual({ cid: '1', pong: {} });
    });

    test('HS-12: two sockets of one player are two sessions, both live', async () => {
      const player = await realm.player();
      const sockets = [await realm.connect(player, { format }), await realm.connect(player, { format })];
      const ids: string[] = [];
      for (const socket of sockets) {
        const { channel } = await socket.request({ channel_join: { target: 'twice', type: 1 } });
        ids.push(channel.self.session_id);
      }
      expect(ids[0]).not.toBe(ids[1]);
      for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      for (const socket of sockets) await socket.settle();
    });
  });
});

onEachServer({ config: { 'limits.sockets': 2 } }, (realm) => {
  test('a node takes no more sockets than configured, and another one once there is room', async () => {
    const { token } = await realm.player();
    const [first] = [await realm.connect({ token }), await realm.connect({ token })];
    expect(await refusal(realm, token)).toMatchObject({ status: 503, text: 'Too many connections' });
    // Who may not come in at all is told that first.
    expect(await refusal(realm, '')).toMatchObject(missingToken);
    await first.close();
    await (await realm.connect({ token })).settle();
  });
});
