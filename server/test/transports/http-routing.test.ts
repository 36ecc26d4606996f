import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';
import { RawClient } from '../../transports/listener-test-client.ts';
import { rawRequest, sendRaw } from './http-raw.ts';

const notFound = { code: 5, message: 'Not Found' };
const methodNotAllowed = { code: 12, message: 'Method Not Allowed' };
const noStore = 'no-store, no-cache, must-revalidate';

describe.each(listenerKinds)('routing on %s', (listener) => {
  let node: TestNode;
  let player: Player;
  beforeAll(async () => {
    node = await startTestNode({
      config: { 'socket.listener': listener },
      extraFeatures: () => [createTestingFeature()],
    });
    player = await signIn(node);
  });
  afterAll(() => node?.stop());

  const send = (verb: string, path: string, options = {}) => request(node, verb, path, options);
  const echo = async (target: string) => {
    const headers = [`Authorization: ${player.authorization}`];
    const { status, body } = await sendRaw(node, target, { headers });
    return { status, body: JSON.parse(body) };
  };

  describe('signs of life', () => {
    test('#1 GET / answers nothing, well', async () => {
      const { status, text, headers } = await send('GET', '/', { headers: { 'accept-encoding': 'gzip' } });
      expect([status, text]).toEqual([200, '']);
      for (const name of ['cache-control', 'content-encoding', 'vary', 'content-type']) {
        expect(headers.get(name), name).toBeNull();
      }
    });

    test.each(['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH'])('%s / is nothing', async (verb) => {
      const { status, headers, body } = await send(verb, '/');
      expect(status).toBe(404);
      if (verb !== 'HEAD') expect(body).toEqual(notFound);
      expect(headers.get('content-type')).toBe('application/json');
    });

    test('#2 GET /healthcheck needs nothing', async () => {
      const { status, text, headers } = await send('GET', '/healthcheck');
      expect([status, text]).toEqual([200, '{}']);
      expect(headers.get('content-type')).toBe('application/json');
      expect(headers.get('cache-control')).toBe(noStore);
    });

    test('#3 HEAD /healthcheck is a wrong method', async () => {
      const { status, text } = await send('HEAD', '/healthcheck');
      expect([status, text]).toEqual([501, '']);
    });

    test('GET /ready says yes', async () => {
      const { status, body } = await send('GET', '/ready');
      expect([status, body]).toEqual([200, { ready: true }]);
    });
  });

  describe('unknown paths and methods', () => {
    test.each([
      ['#4 GET /v2/nope'],
      ['POST /v2/nope'],
      ['GET /v2'],
      ['GET /v2/'],
      ['GET /V2/account'],
      ['GET /v2/Account'],
      ['GET /v2/accounts'],
      ['GET /v2/account/authenticate'],
      ['GET /healthcheck/'],
      ['GET /.well-known/x'],
      ['POST /ws'],
      ['PUT /ready'],
      ['GET /favicon.ico'],
    ])('%s', async (text) => {
      const [verb = '', path = ''] = text.replace(/^#\d+ /, '').split(' ');
      const { status, body } = await send(verb, path);
      expect([status, body]).toEqual([404, notFound]);
    });

    test.each([
      ['POST', '/v2/account'],
      ['PATCH', '/v2/account'],
      ['GET', '/v2/account/authenticate/device'],
      ['PUT', '/v2/session/logout'],
      ['POST', '/healthcheck'],
      ['DELETE', '/v2/user'],
      ['DELETE', '/v2/testing/echo'],
    ])('#5 %s %s is a wrong method, whoever asks', async (verb, path) => {
      for (const options of [{}, player]) {
        const { status, body, headers } = await send(verb, path, options);
        expect([status, body]).toEqual([501, methodNotAllowed]);
        expect(headers.get('content-type')).toBe('application/json');
      }
    });

    test('HEAD of an API path is a wrong method, too', async () => {
      const { status, text } = await send('HEAD', '/v2/account', player);
      expect([status, text]).toEqual([501, '']);
    });

    test('#6 a trailing slash names nothing', async () => {
      const { status, body } = await send('GET', '/v2/account/', player);
      expect([status, body]).toEqual([404, notFound]);
    });

    test('a literal segment wins, and gives way to a variable where it lacks the method', async () => {
      // PUT /v2/storage/delete deletes, GET lists a collection of that name.
      const { status, body } = await send('GET', '/v2/storage/delete', player);
      expect([status, body]).toEqual([200, {}]);
      expect((await send('PUT', '/v2/storage/delete', { ...player, body: {} })).status).not.toBe(501);
      expect((await send('POST', '/v2/storage/delete', player)).status).toBe(501);
    });
  });

  describe('the question mark', () => {
    test.each(['?', '?&', '?&&x', '?unknown=1', '?='])('#7 GET /v2/account%s', async (query) => {
      const { status, body } = await send('GET', `/v2/account${query}`, player);
      expect([status, body.user?.id]).toEqual([200, player.id]);
    });
  });

  describe('paths that are not clean', () => {
    test.each([
      ['//', '/'],
      ['//v2/account', '/v2/account'],
      ['/v2//account', '/v2/account'],
      ['/v2/account//', '/v2/account/'],
      ['/./v2/account', '/v2/account'],
      ['/v2/./account', '/v2/account'],
      ['/v2/account/.', '/v2/account'],
      ['/v2/x/../account', '/v2/account'],
      ['/v2/x/y/../../account', '/v2/account'],
      ['/../../v2/account', '/v2/account'],
      ['/v2/account/..', '/v2'],
      ['/..', '/'],
      ['/v2//account?a=b&c=%20', '/v2/account?a=b&c=%20'],
      ['//evil.example/v2', '/evil.example/v2'],
      // Browsers read /\\host as //host.
      ['//\\evil.example', '/%5Cevil.example'],
      ['/./\\evil.example/%5c', '/%5Cevil.example/%5c'],
    ])('%s lead to %s', async (path, location) => {
      const { status, headers, body } = await sendRaw(node, path);
      expect([status, headers.get('location'), body]).toEqual([301, location, '']);
      expect(headers.get('cache-control')).toBeUndefined();
    });

    test.each(['/v2/..account', '/v2/.account', '/v2/account.', '/v2/...'])('%s is clean', async (path) => {
      expect((await sendRaw(node, path)).status).toBe(404);
    });

    test('lead on for any method', async () => {
      const { status, headers } = await sendRaw(node, '/v2//account', { method: 'PUT', body: '{}' });
      expect([status, headers.get('location')]).toEqual([301, '/v2/account']);
    });
  });

  describe('escapes in the path', () => {
    test('are decoded, in literals and in variables', async () => {
      expect((await echo('/v2/%74esting/echo/a%20b%2Bc+d%C3%A4%3F%23')).body).toEqual({ text: 'a b+c+dä?#' });
    });

    test.each(['.', ':', 'a.b:c', '...x', '~', '!$&()*,;=@'])('%s is an ordinary part of a segment', async (text) => {
      expect((await echo(`/v2/testing/echo/x${text}`)).body).toEqual({ text: `x${text}` });
    });

    test('an empty segment is an empty variable', async () => {
      expect(await echo('/v2/testing/echo/')).toEqual({ status: 200, body: {} });
    });

    test.each(['%2F', '%2f', '/'])('%s splits segments', async (slash) => {
      expect((await echo(`/v2/testing/echo/a${slash}b`)).status).toBe(404);
      expect((await echo(`/v2/testing/echo${slash}a`)).body).toEqual({ text: 'a' });
    });

    test.each(['%', '%2', '%zz', '%2x', 'a%', '%C3%A4%', '%ff%fe', '%C3', '%ED%A0%80', '%C0%AF'])(
      'a path with %s is no request',
      async (text) => {
        const { status, headers, body } = await sendRaw(node, `/v2/testing/echo/${text}`);
        expect([status, body]).toEqual([400, '400 Bad Request']);
        expect(headers.get('content-type')).toMatch(/^text\/plain/);
      },
    );
  });

  describe('what is looked at first', () => {
    test('#8 no credentials: the message, the code, the header, and no more', async () => {
      const { status, body, headers } = await send('GET', '/v2/account');
      expect([status, body]).toEqual([401, { code: 16, message: 'Auth token required' }]);
      expect(headers.get('www-authenticate')).toBe('Auth token required');
      expect(headers.get('content-type')).toBe('application/json');
    });

    test('#14 the body before the credentials', async () => {
      const { status, body } = await send('POST', '/v2/account/authenticate/device', { body: '{bad' });
      expect([status, body.code]).toEqual([400, 3]);
    });

    test('the query before the credentials', async () => {
      expect((await send('GET', '/v2/testing/echo/x?small=y')).status).toBe(400);
      expect((await send('GET', '/v2/testing/echo/x?small=%zz')).status).toBe(400);
    });

    test('the credentials before the fields', async () => {
      const { status } = await send('POST', '/v2/account/authenticate/device', { body: { id: 'x' } });
      expect(status).toBe(401);
    });
  });

  describe('on one connection', () => {
    test('requests follow each other, whatever became of the one before', async () => {
      const client = await RawClient.connect(node.port);
      const headers = [`Authorization: ${player.authorization}`];
      for (const [target, status] of [
        ['/', 200],
        ['/v2/nope', 404],
        ['/v2/account', 200],
        ['/v2//account', 301],
        ['/v2/account/x', 404],
        ['/healthcheck', 200],
      ] as const) {
        client.write(rawRequest(target, { headers }));
        expect((await client.response()).status, target).toBe(status);
      }
      client.socket.destroy();
    });

    test('pipelined requests are answered in order', async () => {
      const client = await RawClient.connect(node.port);
      const headers = [`Authorization: ${player.authorization}`];
      const names = Array.from({ length: 5 }, (_, index) => `text-${index}`);
      for (const name of names) client.write(rawRequest(`/v2/testing/echo/${name}`, { headers }));
      for (const text of names) expect(JSON.parse((await client.response()).body)).toEqual({ text });
      client.socket.destroy();
    });
  });

  test('sign-in works with the query that SDKs send', async () => {
    const path = '/v2/account/authenticate/device?create=true&username=';
    const { status, body } = await send('POST', `${path}&`, {
      authorization: serverKeyAuth,
      body: { id: unique('device') },
    });
    expect([status, body.created]).toEqual([200, true]);
  });
});
