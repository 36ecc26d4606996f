import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpOptions, type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';
import { RawClient } from '../../transports/listener-test-client.ts';
import { rawRequest, sendRaw } from './http-raw.ts';

const limit = 262_144;
const tooLarge = { code: 3, message: 'http: request body too large' };

describe.each(listenerKinds)('request bodies on %s', (listener) => {
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

  const echo = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
    request(node, 'POST', '/v2/testing/echo', { authorization: player.authorization, body, headers });
  const expectEcho = async (body: string | Uint8Array, expected: object, headers?: Record<string, string>) => {
    const reply = await echo(body, headers);
    expect([reply.status, reply.body]).toEqual([200, expected]);
  };
  const update = (body: unknown) => request(node, 'PUT', '/v2/account', { ...player, body });
  const signInDevice = (options: HttpOptions) =>
    request(node, 'POST', '/v2/account/authenticate/device', { authorization: serverKeyAuth, ...options });

  describe('JSON', () => {
    test.each([
      ['both spellings of a name', '{"maybe_flag":true,"maybeSmall":1}', { maybe_flag: true, maybe_small: 1 }],
      ['unknown members', '{"nope":{"a":[1,{"b":null}]},"text":"t","Text":"u"}', { text: 't' }],
      ['null', '{"text":null,"child":null,"labels":null,"texts":null,"maybe_big":null}', {}],
      ['bytes after the value', '{"text":"t"} and more', { text: 't' }],
      ['a second value', '{"text":"t"}{"text":"u"}', { text: 't' }],
      ['white space', ' \n\r\t{ "text" : "t" }\n', { text: 't' }],
      ['escapes', '{"text":"\\u0061\\ud83c\\udfae\\n\\/"}', { text: 'a🎮\n/' }],
      ['integers in any form', '{"small":1e2,"natural":"5","big":"5.0","huge":5.0}', numbers(100, 5, '5', '5')],
      ['defaults', '{"text":"","flag":false,"small":0,"big":"0","texts":[],"labels":{}}', {}],
      ['wrappers at their defaults', '{"maybe_flag":false,"maybe_small":0,"maybe_text":""}', wrappers()],
      ['an enum by number', '{"colour":2}', { colour: 2 }],
      ['an enum by name', '{"colour":"GREEN"}', { colour: 1 }],
      ['an enum by a name it lacks', '{"colour":"PINK"}', {}],
      ['an enum by a number it lacks', '{"colour":77}', { colour: 77 }],
      ['a time with an offset', '{"time":"2024-02-29T01:00:00.5+01:00"}', { time: '2024-02-29T00:00:00.500Z' }],
      ['an empty message', '{"child":{}}', { child: {} }],
      ['bytes', '{"data":"AAEC/w=="}', { data: 'AAEC/w==' }],
    ])('%s', async (_, body, expected) => {
      await expectEcho(body, expected);
    });

    test.each([
      ['#14 no JSON', '{bad'],
      ['cut', '{"text":"t"'],
      ['nothing but a name', '{"text"}'],
      ['null', 'null'],
      ['a list', '[]'],
      ['a text', '"text"'],
      ['a number', '5'],
      ['#78 a number for a text', '{"text":5}'],
      ['true for a text', '{"text":true}'],
      ['a list for a text', '{"text":["t"]}'],
      ['a text for a list', '{"texts":"t"}'],
      ['a member twice', '{"text":"a","text":"a"}'],
      ['a member in both spellings', '{"maybe_flag":true,"maybeFlag":true}'],
      ['a member twice, once null', '{"text":null,"text":"a"}'],
      ['a map key twice', '{"labels":{"a":"b","a":"c"}}'],
      ['null in a list', '{"texts":["a",null]}'],
      ['null in a map', '{"labels":{"a":null}}'],
      ['#19 a number in a map of texts', '{"labels":{"a":1}}'],
      ['a wrapper as object', '{"maybe_flag":{"value":true}}'],
      ['a text for a bool', '{"flag":"true"}'],
      ['1 for a bool', '{"flag":1}'],
      ['an empty text for an integer', '{"small":""}'],
      ['a space before an integer', '{"small":" 5"}'],
      ['a plus before an integer', '{"small":"+5"}'],
      ['a fraction for an integer', '{"small":1.5}'],
      ['too large an integer', '{"small":2147483648}'],
      ['a negative unsigned integer', '{"natural":-1}'],
      ['a bool for an enum', '{"colour":true}'],
      ['no time', '{"time":"yesterday"}'],
      ['a lone surrogate', '{"text":"\\ud800"}'],
      ['a raw control character', '{"text":"a\nb"}'],
      ['both members of a oneof', '{"left":"a","right":"1"}'],
      ['a comment', '{"text":"t"/* */}'],
      ['a trailing comma', '{"text":"t",}'],
      ['single quotes', "{'text':'t'}"],
      ['a byte order mark', '\ufeff{"text":"t"}'],
      ['too deep', `${'{"child":'.repeat(200)}{}${'}'.repeat(200)}`],
    ])('%s: refused', async (_, body) => {
      const { status, body: error, headers } = await echo(body);
      expect([status, error.code, typeof error.message]).toEqual([400, 3, 'string']);
      expect(Object.keys(error).sort()).toEqual(['code', 'message']);
      expect(headers.get('content-type')).toBe('application/json');
    });

    test('that is no UTF-8 is refused', async () => {
      for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
        const body = Buffer.concat([Buffer.from('{"text":"'), Buffer.from(bytes), Buffer.from('"}')]);
        expect((await echo(body)).body.code).toBe(3);
      }
    });

    test('an error never shows a value, which may be a password', async () => {
      const { text } = await request(node, 'POST', '/v2/account/authenticate/email', {
        authorization: serverKeyAuth,
        body: '{"email":"someone@example.com","password":19283746}',
      });
      expect(text).not.toContain('19283746');
    });
  });

  describe('#68 and other names on a real method', () => {
    test('camelCase', async () => {
      expect((await update({ displayName: 'x' })).status).toBe(200);
      expect((await request(node, 'GET', '/v2/account', player)).body.user.display_name).toBe('x');
    });

    test('#78 a wrong type', async () => {
      expect((await update({ display_name: 5 })).body.code).toBe(3);
    });
  });

  describe('the empty body', () => {
    test('#20 is an empty message', async () => {
      for (const options of [{}, { body: '' }]) {
        const { status, body } = await signInDevice(options);
        expect([status, body]).toEqual([400, { code: 3, message: 'Device ID is required.' }]);
      }
      expect((await echo('')).text).toBe('{}');
    });

    test('is one even if it claims to be packed', async () => {
      for (const encoding of ['gzip', 'deflate']) await expectEcho('', {}, { 'content-encoding': encoding });
    });

    test('of a body that is one field is that field, empty', async () => {
      const put = (body: string) =>
        request(node, 'PUT', '/v2/testing/echo/t?small=5', { authorization: player.authorization, body });
      expect((await put('')).body).toEqual({ text: 't', small: 5, child: {} });
      expect((await put('{"text":"inner"}')).body).toEqual({ text: 't', small: 5, child: { text: 'inner' } });
      expect((await put('null')).status).toBe(400);
    });
  });

  describe('the content type', () => {
    test.each([
      'application/json',
      'application/json; charset=utf-8',
      'text/plain',
      'application/octet-stream',
      'application/x-www-form-urlencoded',
      'nonsense',
    ])('%s does not matter', async (type) => {
      await expectEcho('{"text":"t"}', { text: 't' }, { 'content-type': type });
    });

    test('nor does its absence', async () => {
      const headers = [`Authorization: ${player.authorization}`];
      const { status, body } = await sendRaw(node, '/v2/testing/echo', {
        method: 'POST',
        headers,
        body: '{"text":"t"}',
      });
      expect([status, body]).toEqual([200, '{"text":"t"}']);
    });
  });

  describe('size', () => {
    const padded = (bytes: number): string => `{"text":"${'x'.repeat(bytes - 11)}"}`;

    test('#106 one byte over the limit is refused, the limit itself is not', async () => {
      expect(padded(limit)).toHaveLength(limit);
      expect((await echo(padded(limit))).body.text).toHaveLength(limit - 11);
      const { status, body } = await request(node, 'PUT', '/v2/storage', { ...player, body: padded(limit + 1) });
      expect([status, body]).toEqual([400, tooLarge]);
    });

    test('a refused body ends the connection, once it is answered', async () => {
      const client = await RawClient.connect(node.port);
      client.write(rawRequest('/v2/testing/echo', { method: 'POST', body: padded(limit + 1) }));
      const { status, headers, body } = await client.response();
      expect([status, JSON.parse(body)]).toEqual([400, tooLarge]);
      expect(headers.get('connection')).toBe('close');
      await client.end();
    });

    test('a body in chunks has the same limit', async () => {
      const chunked = (bytes: number) => {
        const client = RawClient.connect(node.port);
        const headers = ['Transfer-Encoding: chunked', `Authorization: ${player.authorization}`];
        const chunks = padded(bytes)
          .match(/.{1,60000}/g)
          ?.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
          .join('');
        const body = `${chunks}0\r\n\r\n`;
        return client.then(async (raw) => {
          raw.write(rawRequest('/v2/testing/echo', { method: 'POST', headers, body }));
          const response = await raw.response();
          raw.socket.destroy();
          return response;
        });
      };
      expect(JSON.parse((await chunked(limit)).body).text).toHaveLength(limit - 11);
      const { status, body } = await chunked(limit + 1);
      expect([status, JSON.parse(body)]).toEqual([400, tooLarge]);
    });

    test('a small limit of one’s own', async () => {
      const config = { 'socket.listener': listener, 'socket.max_request_size_bytes': 64 };
      const small = await startTestNode({ config });
      try {
        const send = (bytes: number) =>
          request(small, 'POST', '/v2/account/authenticate/device', {
            authorization: serverKeyAuth,
            body: `{"id":"device-0001"}`.padEnd(bytes),
          });
        expect((await send(64)).status).toBe(200);
        expect((await send(65)).body).toEqual(tooLarge);
      } finally {
        await small.stop();
      }
    });
  });

  describe('packed', () => {
    test('#107 gzip', async () => {
      const body = gzipSync(JSON.stringify({ id: unique('device') }));
      const { status, body: session } = await signInDevice({ body, headers: { 'content-encoding': 'gzip' } });
      expect([status, session.created]).toEqual([200, true]);
    });

    test('deflate without the zlib wrapper', async () => {
      const body = '{"text":"t"}';
      await expectEcho(deflateRawSync(body), { text: 't' }, { 'content-encoding': 'deflate' });
      expect((await echo(deflateSync(body), { 'content-encoding': 'deflate' })).body.code).toBe(3);
    });

    test('another encoding is none', async () => {
      for (const encoding of ['identity', 'br', 'GZIP', 'x-gzip', 'gzip, gzip']) {
        await expectEcho('{"text":"t"}', { text: 't' }, { 'content-encoding': encoding });
      }
    });

    test.each([
      ['plain text', Buffer.from('{"text":"t"}')],
      ['a cut stream', gzipSync('{"text":"t"}').subarray(0, -9)],
      ['a wrong checksum', gzipSync('{"text":"t"}').map((byte, at, all) => (at < all.length - 8 ? byte : 0))],
      ['junk behind a proper head', Buffer.concat([gzipSync('').subarray(0, 10), Buffer.from('junk junk junk')])],
    ])('as gzip, but %s', async (_, body) => {
      const reply = await echo(body, { 'content-encoding': 'gzip' });
      expect([reply.status, reply.body.code]).toEqual([400, 3]);
    });

    test('a bomb is refused at the limit', async () => {
      for (const [encoding, body] of [
        ['gzip', gzipSync(Buffer.alloc(200 * limit, ' '))],
        ['deflate', deflateRawSync(Buffer.alloc(200 * limit, ' '))],
      ] as const) {
        expect(body.length).toBeLessThan(limit);
        const reply = await echo(body, { 'content-encoding': encoding });
        expect([reply.status, reply.body]).toEqual([
          429,
          { code: 8, message: `trying to send message larger than max (${limit + 1} vs. ${limit})` },
        ]);
      }
    });

    test('the limit holds for the packed bytes, too', async () => {
      const body = Buffer.concat([gzipSync('{}'), Buffer.alloc(limit)]);
      expect((await echo(body, { 'content-encoding': 'gzip' })).body).toEqual(tooLarge);
    });
  });

  describe('where none is read', () => {
    test.each(['nonsense', '{"ids":["x"]}', 'x'.repeat(2 * limit)])('%.20s is ignored', async (body) => {
      const client = await RawClient.connect(node.port);
      const headers = [`Authorization: ${player.authorization}`];
      for (const round of [1, 2]) {
        client.write(rawRequest('/v2/user', { headers, body }));
        const { status, body: answer } = await client.response();
        expect([round, status, answer]).toEqual([round, 200, '{}']);
      }
      client.socket.destroy();
    });

    test('nor is its encoding looked at', async () => {
      const headers = [`Authorization: ${player.authorization}`, 'Content-Encoding: gzip'];
      expect((await sendRaw(node, '/v2/user', { headers, body: 'x' })).status).toBe(200);
    });
  });

  test('a client that waits for 100 Continue gets it', async () => {
    const client = await RawClient.connect(node.port);
    const headers = ['Expect: 100-continue', 'Content-Length: 12', `Authorization: ${player.authorization}`];
    client.write(rawRequest('/v2/testing/echo', { method: 'POST', headers }));
    expect((await client.response()).status).toBe(100);
    client.write('{"text":"t"}');
    expect((await client.response()).body).toBe('{"text":"t"}');
    client.socket.destroy();
  });

  test('a client that goes away in the middle of its body disturbs nobody', async () => {
    for (let round = 0; round < 5; round++) {
      const client = await RawClient.connect(node.port);
      client.write(rawRequest('/v2/testing/echo', { method: 'POST', headers: ['Content-Length: 1000'], body: '{"te' }));
      client.socket.destroy();
    }
    await expectEcho('{"text":"t"}', { text: 't' });
    expect(node.errors).toEqual([]);
  });
});

function numbers(small: number, natural: number, big: string, huge: string): object {
  return { small, natural, big, huge };
}

function wrappers(): object {
  return { maybe_flag: false, maybe_small: 0, maybe_text: '' };
}
