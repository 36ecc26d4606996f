import { gunzipSync, inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Player, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { RawClient, type RawResponse } from '../../transports/listener-test-client.ts';
import { type RawRequest, rawRequest, sendRaw } from './http-raw.ts';

const noStore = 'no-store, no-cache, must-revalidate';
const headerLimit = 9216;

describe.each(listenerKinds)('headers on %s', (listener) => {
  let node: TestNode;
  let player: Player;
  beforeAll(async () => {
    node = await startTestNode({
      config: {
        'socket.listener': listener,
        'socket.response_headers': ['X-Static=one', 'X-Equals=a=b', 'Cache-Control=public', 'content-type=text/odd'],
      },
    });
    player = await signIn(node);
  });
  afterAll(() => node?.stop());

  const send = (method: string, target: string, ...headers: string[]) => sendRaw(node, target, { method, headers });
  const account = (...headers: string[]) =>
    send('GET', '/v2/account', `Authorization: ${player.authorization}`, ...headers);

  describe('CORS', () => {
    const origin = 'Origin: https://game.example';
    const preflight = (method: string, headers?: string) =>
      send(
        'OPTIONS',
        '/v2/account',
        origin,
        `Access-Control-Request-Method: ${method}`,
        ...(headers === undefined ? [] : [`Access-Control-Request-Headers: ${headers}`]),
      );
    const allowed = ({ headers }: RawResponse) =>
      ['origin', 'methods', 'headers'].map((name) => headers.get(`access-control-allow-${name}`));

    test('#109 a preflight names what it was asked for', async () => {
      const response = await preflight('PUT', 'authorization,content-type');
      expect([response.status, response.body]).toEqual([200, '']);
      expect(allowed(response)).toEqual(['*', 'PUT', 'Authorization,Content-Type']);
    });

    test.each([
      ['GET', undefined, undefined, undefined],
      ['HEAD', undefined, undefined, undefined],
      ['POST', 'Content-Type', undefined, 'Content-Type'],
      ['DELETE', 'AUTHORIZATION', 'DELETE', 'Authorization'],
      ['POST', 'accept, accept-language , Content-Language,origin', undefined, undefined],
      ['PUT', 'user-agent, accept,,', 'PUT', 'User-Agent'],
      ['PUT', '', 'PUT', undefined],
    ])('%s with %s', async (method, headers, methods, names) => {
      const response = await preflight(method, headers);
      expect(response.status).toBe(200);
      expect(allowed(response)).toEqual(['*', methods, names]);
    });

    test('#110 another header is refused', async () => {
      for (const headers of ['x-custom', 'authorization,x-custom', 'authorization content-type']) {
        const response = await preflight('PUT', headers);
        expect([response.status, response.body, ...allowed(response)]).toEqual([403, '', ...Array(3)]);
      }
    });

    test('#111 a preflight without method', async () => {
      const { status, body } = await send('OPTIONS', '/v2/account', origin);
      expect([status, body]).toEqual([400, '']);
    });

    test.each(['PATCH', 'OPTIONS', 'TRACE', 'NOPE'])('a preflight for %s', async (method) => {
      const { status, body } = await preflight(method);
      expect([status, body]).toEqual([405, '']);
    });

    test('OPTIONS without Origin is answered, and does nothing', async () => {
      for (const path of ['/v2/account', '/', '/ws', '/nope']) {
        const response = await send('OPTIONS', path, 'Access-Control-Request-Method: PUT');
        expect([response.status, response.body, ...allowed(response)]).toEqual([200, '', ...Array(3)]);
      }
    });

    test.each([
      ['GET', '/', 200],
      ['GET', '/healthcheck', 200],
      ['GET', '/ready', 200],
      ['GET', '/v2/account', 401],
      ['GET', '/v2/nope', 404],
      ['POST', '/v2/account', 501],
      ['GET', '/v2//account', 301],
      ['GET', '/ws', 401],
      ['GET', '/v2/%zz', 400],
    ])('#112 %s %s lets any origin read it', async (method, path, status) => {
      const response = await send(method, path, origin);
      expect(response.status).toBe(status);
      expect(allowed(response)).toEqual(['*', undefined, undefined]);
      for (const name of ['credentials', 'expose-headers', 'max-age']) {
        expect(response.headers.has(`access-control-${name}`)).toBe(false);
      }
      expect(allowed(await send(method, path))).toEqual([undefined, undefined, undefined]);
    });
  });

  describe('caching', () => {
    test.each(['/healthcheck', '/v2/account', '/v2/nope', '/v2/%zz'])('#112 %s is never stored', async (path) => {
      expect((await send('GET', path)).headers.get('cache-control')).toBe(noStore);
    });
  });

  describe('compression', () => {
    async function raw(request: RawRequest) {
      const client = await RawClient.connect(node.port);
      client.write(rawRequest('/v2/account', request));
      let split = -1;
      await client.until(() => {
        split = client.received.indexOf('\r\n\r\n');
        const length = /content-length: (\d+)/i.exec(client.received.subarray(0, split).toString())?.[1];
        return split > 0 && client.received.length >= split + 4 + Number(length);
      }, 'the response');
      client.socket.destroy();
      const head = client.received.subarray(0, split).toString().toLowerCase();
      return { head, body: client.received.subarray(split + 4) };
    }
    const headers = (encoding: string) => [`Authorization: ${player.authorization}`, `Accept-Encoding: ${encoding}`];

    test.each([
      ['#108 gzip', 'gzip', gunzipSync],
      ['deflate', 'deflate', inflateRawSync],
      ['gzip, deflate, br', 'gzip', gunzipSync],
      ['br,deflate , gzip', 'deflate', inflateRawSync],
      ['gzip;q=1, deflate', 'deflate', inflateRawSync],
    ])('%s', async (list, encoding, unpack) => {
      const { head, body } = await raw({ headers: headers(list.replace('#108 ', '')) });
      expect(head).toContain(`content-encoding: ${encoding}\r`);
      expect(head).toContain('vary: accept-encoding');
      expect(JSON.parse(unpack(body).toString()).user.id).toBe(player.id);
    });

    test.each(['gzip;q=1', 'GZIP', 'br', 'identity', '*', 'x-gzip', ''])('not for %j', async (list) => {
      const { head, body } = await raw({ headers: headers(list) });
      expect(head).not.toContain('content-encoding');
      expect(head).toContain('vary: accept-encoding');
      expect(JSON.parse(body.toString()).user.id).toBe(player.id);
    });

    test('errors are packed, too', async () => {
      const { head, body } = await raw({ headers: ['Accept-Encoding: gzip'] });
      expect(head).toContain('content-encoding: gzip');
      expect(JSON.parse(gunzipSync(body).toString())).toEqual({ code: 16, message: 'Auth token required' });
    });

    test('not where an upgrade is asked for', async () => {
      const { head } = await raw({ headers: [...headers('gzip'), 'Upgrade: h2c'] });
      expect(head).not.toContain('content-encoding');
    });
  });

  describe('of the configuration', () => {
    test.each([
      ['GET', '/'],
      ['GET', '/healthcheck'],
      ['GET', '/v2/account'],
      ['GET', '/v2/nope'],
      ['GET', '/v2//account'],
      ['OPTIONS', '/v2/account'],
      ['GET', '/ws'],
    ])('are on %s %s', async (method, path) => {
      const { headers } = await send(method, path);
      expect([headers.get('x-static'), headers.get('x-equals')]).toEqual(['one', 'a=b']);
    });

    test('give way to the server’s own, and stand where it has none', async () => {
      const client = await RawClient.connect(node.port);
      const head = async (path: string) => {
        client.received = Buffer.alloc(0);
        client.write(rawRequest(path));
        await client.until(() => client.received.includes('\r\n\r\n'), 'a response');
        const text = client.received.toString().split('\r\n\r\n')[0]?.toLowerCase() ?? '';
        return text.split('\r\n').filter((line) => /^(cache-control|content-type):/.test(line));
      };
      expect((await head('/healthcheck')).sort()).toEqual([
        `cache-control: ${noStore}`,
        'content-type: application/json',
      ]);
      expect((await head('/')).sort()).toEqual(['cache-control: public', 'content-type: text/odd']);
      client.socket.destroy();
    });
  });

  describe('of a request', () => {
    test('up to 9216 bytes with the request line are accepted, one more is not', async () => {
      for (const [bytes, status] of [
        [headerLimit, 200],
        [headerLimit + 1, 431],
        [3 * headerLimit, 431],
      ] as const) {
        const fixed = rawRequest('/healthcheck', { headers: ['X-Pad: '] }).length;
        const response = await send('GET', '/healthcheck', `X-Pad: ${'x'.repeat(bytes - fixed)}`);
        expect([bytes, response.status]).toEqual([bytes, status]);
        if (status === 431) expect(response.body).toBe('431 Request Header Fields Too Large');
      }
    });

    test('a long target counts', async () => {
      expect((await send('GET', `/v2/user?ids=${'x'.repeat(headerLimit)}`)).status).toBe(431);
    });

    test('names may be in any case, values keep theirs', async () => {
      const { status } = await send('GET', '/v2/account', `aUTHORIZATION: ${player.authorization}`);
      expect(status).toBe(200);
    });

    test('Accept does not matter', async () => {
      const { status, headers } = await account('Accept: text/html');
      expect([status, headers.get('content-type')]).toEqual([200, 'application/json']);
    });

    // uWebSockets.js answers 505.
    if (listener === 'node') {
      test('HTTP/1.0 is answered', async () => {
        const client = await RawClient.connect(node.port);
        client.write('GET /healthcheck HTTP/1.0\r\nHost: x\r\n\r\n');
        expect((await client.response()).body).toBe('{}');
        client.socket.destroy();
      });
    }
  });

  describe('GET /ws without an upgrade', () => {
    test.each([
      ['nothing', '', 401, 'Missing or invalid token'],
      ['a bad token', '?token=x', 401, 'Missing or invalid token'],
      ['a bad format, first of all', '?format=xml', 400, 'Invalid format parameter'],
    ])('with %s', async (_, query, status, text) => {
      const response = await send('GET', `/ws${query}`);
      expect([response.status, response.body.trim()]).toEqual([status, text]);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    });

    test('with a valid token', async () => {
      const response = await send('GET', `/ws?token=${player.token}`);
      expect([response.status, response.body.trim()]).toEqual([400, 'Bad Request']);
    });
  });
});
