import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { formats, TestSocket } from '../../testing/socket.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';

const signed = [
  '9223372036854775807',
  '-9223372036854775808',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740993',
  '4294967296',
  '-4294967297',
  '2147483648',
  '1',
  '-1',
];
const unsigned = ['18446744073709551615', '9223372036854775808', '9223372036854775807', '9007199254740993', '1'];

const extraFeatures = () => [createTestingFeature()];

describeDoors('64-bit integers', { extraFeatures }, (at) => {
  const echo = async (sample: object) => {
    const { authorization } = await signIn(at.server);
    return at.ok('TestingEcho', authorization, sample);
  };

  test('come back as they went: every place that holds a signed one', async () => {
    for (const value of signed) {
      const sample = {
        big: value,
        bigs: [value, '0', value],
        counters: { a: value, '': value, '-1': value },
        maybe_big: value,
        right: value,
        child: { big: value, right: value },
        children: [{ big: value }, { maybe_big: value }],
        relatives: { x: { counters: { y: value } } },
      };
      expect(await echo(sample)).toEqual(sample);
    }
  });

  test('come back as they went: unsigned ones', async () => {
    for (const value of unsigned) {
      const sample = { huge: value, child: { huge: value } };
      expect(await echo(sample)).toEqual(sample);
    }
  });

  test('zero is left out where it is the default, and only there', async () => {
    const zeros = { big: '0', huge: '0', bigs: ['0'], counters: { a: '0' }, maybe_big: '0', right: '0' };
    expect(await echo(zeros)).toEqual({ bigs: ['0'], counters: { a: '0' }, maybe_big: '0', right: '0' });
  });

  test('map keys that mean something to JavaScript are keys like any other', async () => {
    const keys = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '0', ''];
    const labels = JSON.parse(`{${keys.map((key) => `${JSON.stringify(key)}:"v${key}"`).join()}}`);
    const counters = JSON.parse(`{${keys.map((key) => `${JSON.stringify(key)}:"9007199254740993"`).join()}}`);
    const relatives = JSON.parse(`{${keys.map((key) => `${JSON.stringify(key)}:{"text":"t"}`).join()}}`);
    const answer = await echo({ labels, counters, relatives });
    for (const [name, map] of Object.entries({ labels, counters, relatives })) {
      expect(Object.entries(answer[name]).sort()).toEqual(Object.entries(map).sort());
    }
    expect(({} as Record<string, unknown>)['text']).toBeUndefined();
  });
});

describe.each(listenerKinds)('64-bit integers in text on %s', (listener) => {
  let node: TestNode;
  let player: Player;
  beforeAll(async () => {
    node = await startTestNode({ config: { 'socket.listener': listener }, extraFeatures });
    player = await signIn(node);
  });
  afterAll(() => node?.stop());

  const post = async (body: string) =>
    (await request(node, 'POST', '/v2/testing/echo', { authorization: player.authorization, body })).text;
  const get = async (query: string) =>
    (await request(node, 'GET', `/v2/testing/echo/t?${query}`, { authorization: player.authorization })).body;

  test('written as numbers', async () => {
    for (const value of signed) {
      expect(await post(`{"big":${value},"bigs":[${value}],"counters":{"a":${value}},"maybe_big":${value}}`)).toBe(
        `{"big":"${value}","bigs":["${value}"],"counters":{"a":"${value}"},"maybe_big":"${value}"}`,
      );
    }
    for (const value of unsigned) expect(await post(`{"huge":${value}}`)).toBe(`{"huge":"${value}"}`);
  });

  test('written with exponent or fraction', async () => {
    expect(await post('{"big":9.223372036854775807e18}')).toBe('{"big":"9223372036854775807"}');
    expect(await post('{"big":"90071992547409930e-1"}')).toBe('{"big":"9007199254740993"}');
    expect(await post('{"huge":18446744073709551615.000}')).toBe('{"huge":"18446744073709551615"}');
  });

  test('in the query', async () => {
    for (const value of signed) {
      const query = `big=${value}&bigs=${value}&bigs=${value}&counters[a]=${value}&maybe_big=${value}&right=${value}`;
      expect(await get(query)).toEqual({
        text: 't',
        big: value,
        bigs: [value, value],
        counters: { a: value },
        maybe_big: value,
        right: value,
      });
    }
    for (const value of unsigned) expect((await get(`huge=${value}`)).huge).toBe(value);
  });

  test('one too many is refused, not bent', async () => {
    for (const value of ['9223372036854775808', '-9223372036854775809', '1e19', '1e400', '99999999999999999999']) {
      expect(JSON.parse(await post(`{"big":${value}}`)).code).toBe(3);
      expect(JSON.parse(await post(`{"big":"${value}"}`)).code).toBe(3);
      expect((await get(`big=${value}`)).code).toBe(3);
    }
    for (const value of ['18446744073709551616', '-1']) {
      expect(JSON.parse(await post(`{"huge":${value}}`)).code).toBe(3);
      expect((await get(`huge=${value}`)).code).toBe(3);
    }
  });

  test('in a call written by hand', async () => {
    const socket = await TestSocket.connect(node, player.token);
    for (const value of signed) {
      socket.sendRaw(`{"cid":"${value}","call":{"method":"TestingEcho","request":{"big":${value}}}}`);
      const { call_result } = await socket.take('the answer', ({ cid }) => cid === value);
      expect(call_result).toEqual({ response: { big: value } });
    }
    await socket.close();
  });

  test('in a realtime message', async () => {
    for (const format of formats) {
      const socket = await TestSocket.connect(node, player.token, { format });
      for (const value of signed) {
        const { match_data } = await socket.request({ match_data_send: { match_id: 'm', op_code: value } });
        expect(match_data.op_code).toBe(value);
      }
      await socket.close();
    }
  });

  test('session variables named like members of Object', async () => {
    const vars = '{"__proto__":"a","constructor":"b","toString":"c"}';
    const { body } = await request(node, 'POST', '/v2/account/authenticate/custom', {
      authorization: serverKeyAuth,
      body: `{"id":"custom-of-vars","vars":${vars}}`,
    });
    const claims = Buffer.from(body.token.split('.')[1], 'base64url').toString();
    expect(claims).toContain(`"vrs":${vars}`);
  });
});
