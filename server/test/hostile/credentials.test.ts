import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bearer, type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { HandshakeRefused, TestSocket } from '../../testing/socket.ts';
import { RawClient } from '../../transports/listener-test-client.ts';
import { forgeries, mutations, refreshKey, sign, unusual } from './forgery.ts';

const tokenInvalid = { code: 16, message: 'Auth token invalid' };
const mutantCount = 2000;
const mutantSeed = 20_240_501;

describe.each(listenerKinds)('hostile credentials on %s', (listener) => {
  let node: TestNode;
  let victim: Player;
  let other: Player;
  const sockets: TestSocket[] = [];
  beforeAll(async () => {
    node = await startTestNode({ config: { 'socket.listener': listener } });
    [victim, other] = await Promise.all([signIn(node), signIn(node)]);
    for (const format of ['json', 'protobuf'] as const) {
      sockets.push(await TestSocket.connect(node, other.token, { format }));
    }
  });
  afterAll(() => node?.stop());

  /** What each way in answers to a token: an HTTP status, or the code of a call. */
  const ways = {
    REST: async (token: string) => {
      const { status, body } = await request(node, 'GET', '/v2/account', { authorization: bearer(token) });
      if (status !== 200) expect(body).toEqual(tokenInvalid);
      return status;
    },
    'handshake, query': (token: string) => handshake(token),
    'handshake, header': (token: string) => handshake('', { authorization: bearer(token) }),
    'call json': (token: string) => call(sockets[0], token),
    'call protobuf': (token: string) => call(sockets[1], token),
  };

  async function handshake(token: string, headers: Record<string, string> = {}): Promise<number> {
    try {
      const socket = await TestSocket.connect(node, token, { headers });
      socket.ws.terminate();
      return 101;
    } catch (error) {
      if (!(error instanceof HandshakeRefused)) throw error;
      expect(error.text).toBe('Missing or invalid token');
      return error.status;
    }
  }

  async function call(socket: TestSocket | undefined, token: string): Promise<number> {
    const answer = await socket?.request({ call: { method: 'GetAccount', authorization: bearer(token) } });
    const { code = 0, message } = answer.call_result;
    if (code !== 0) expect({ code, message }).toEqual(tokenInvalid);
    return code;
  }

  const canBeHeader = (token: string): boolean => /^[\x21-\x7e][\x20-\x7e]*$/.test(token);
  const isHeader = (way: string): boolean => way === 'REST' || way === 'handshake, header';

  test.each(Object.entries(ways))('%s: forged tokens are refused', async (way, attempt) => {
    const accepted: string[] = [];
    for (const { name, token } of forgeries(victim.token, victim.refreshToken, other.token)) {
      if (isHeader(way) && !canBeHeader(token)) continue;
      const answer = await attempt(token);
      if (answer !== 401 && answer !== 16) accepted.push(`${name}: ${answer}`);
    }
    expect(accepted).toEqual([]);
  });

  test.each(Object.entries(ways))('%s: tokens that leave out what they may are accepted', async (_, attempt) => {
    const refused: string[] = [];
    for (const { name, token } of unusual(victim.token)) {
      const answer = await attempt(token);
      if (![200, 101, 0].includes(answer)) refused.push(`${name}: ${answer}`);
    }
    expect(refused).toEqual([]);
  });

  test.each(Object.entries(ways))('%s: no damaged token gets in', async (way, attempt) => {
    const others = [other.token, victim.refreshToken, other.refreshToken];
    const mutants = mutations(victim.token, others, mutantCount, mutantSeed).filter(
      // Other whole tokens may come out of it; these are as good as theirs.
      (token) => !others.includes(token.trim()) && (!isHeader(way) || canBeHeader(token)),
    );
    const accepted: string[] = [];
    const attemptAll = async (): Promise<void> => {
      for (let token = mutants.pop(); token !== undefined; token = mutants.pop()) {
        const answer = await attempt(token);
        if (answer !== 401 && answer !== 16) accepted.push(token);
      }
    };
    expect(mutants.length).toBeGreaterThan(mutantCount * 0.9);
    await Promise.all(Array.from({ length: 16 }, attemptAll));
    expect(accepted).toEqual([]);
    expect([200, 101, 0]).toContain(await attempt(victim.token));
  });

  test('refresh takes no forged token either', async () => {
    const { exp, uid } = JSON.parse(Buffer.from(victim.refreshToken.split('.')[1] ?? '', 'base64url').toString());
    const attempt = (token: string) =>
      request(node, 'POST', '/v2/account/session/refresh', { authorization: serverKeyAuth, body: { token } });
    const bad = [
      victim.token,
      sign({ exp, uid }),
      sign({ uid }, { key: refreshKey }),
      sign({ exp }, { key: refreshKey }),
      sign({ exp, uid: '00000000-0000-0000-0000-000000000000' }, { key: refreshKey }),
      sign({ exp, uid }, { key: refreshKey, header: { alg: 'HS512' }, hash: 'sha512' }),
      ...mutations(victim.refreshToken, [victim.token, other.token], 200, mutantSeed),
    ];
    for (const token of bad) {
      const { status, body } = await attempt(token);
      expect({ status, ...body }).toEqual({ status: 401, code: 16, message: 'Refresh token invalid or expired.' });
    }
    expect((await attempt(sign({ exp, uid }, { key: refreshKey }))).status).toBe(200);
  });

  describe('the Authorization header', () => {
    async function raw(target: string, headers: string[], verb = 'GET', body = '') {
      const client = await RawClient.connect(node.port);
      const lines = ['Host: x', `Content-Length: ${body.length}`, ...headers].map((line) => `${line}\r\n`);
      client.write(`${verb} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
      const response = await client.response();
      client.socket.destroy();
      return response;
    }
    const account = async (...headers: string[]) => {
      const { status, body } = await raw('/v2/account', headers);
      return { status, ...JSON.parse(body) };
    };

    test('once, with one space, is accepted', async () => {
      expect((await account(`Authorization: ${victim.authorization}`)).status).toBe(200);
      expect((await account(`AUTHORIZATION:${victim.authorization}  `)).status).toBe(200);
    });

    test('#8 none at all', async () => {
      expect(await account()).toEqual({ status: 401, code: 16, message: 'Auth token required' });
    });

    test.each([
      ['#9 a scheme in lower case', (token: string) => [`Authorization: bearer ${token}`]],
      ['a scheme in capitals', (token: string) => [`Authorization: BEARER ${token}`]],
      ['#10 the server key', () => [`Authorization: ${serverKeyAuth}`]],
      ['no scheme', (token: string) => [`Authorization: ${token}`]],
      ['no token', () => ['Authorization: Bearer']],
      ['a tab for the space', (token: string) => [`Authorization: Bearer\t${token}`]],
      ['two spaces', (token: string) => [`Authorization: Bearer  ${token}`]],
      ['the header twice', (token: string) => Array(2).fill(`Authorization: Bearer ${token}`)],
      [
        'a good and a bad header',
        (token: string) => [`Authorization: Bearer ${token}`, `Authorization: ${serverKeyAuth}`],
      ],
      ['two credentials in one header', (token: string) => [`Authorization: Bearer ${token}, Bearer ${token}`]],
      ['the header empty', () => ['Authorization:']],
    ])('%s is refused', async (_, headers) => {
      expect(await account(...headers(victim.token))).toEqual({ status: 401, ...tokenInvalid });
    });

    test('twice is no server key', async () => {
      const path = '/v2/account/authenticate/device';
      const twice = Array(2).fill(`Authorization: ${serverKeyAuth}`);
      const { status, body } = await raw(path, twice, 'POST', '{"id":"device-0001"}');
      expect([status, JSON.parse(body)]).toEqual([401, { code: 16, message: 'Server key required' }]);
    });

    test.each([
      ['twice', (token: string) => Array(2).fill(`Authorization: Bearer ${token}`)],
      ['in lower case', (token: string) => [`Authorization: bearer ${token}`]],
      ['as server key', () => [`Authorization: ${serverKeyAuth}`]],
      ['empty', () => ['Authorization:']],
    ])('%s refuses a handshake, whatever the query says', async (_, headers) => {
      const upgrade = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
      const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
      const { status, body } = await raw(`/ws?token=${victim.token}`, [...upgrade, key, ...headers(victim.token)]);
      expect([status, body]).toEqual([401, 'Missing or invalid token']);
    });
  });

  test('nothing of it was worth an error line', () => {
    expect(node.errors).toEqual([]);
  });
});
