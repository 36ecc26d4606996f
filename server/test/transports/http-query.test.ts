import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf, type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { createTestingFeature } from '../../testing/testing-feature.ts';
import { sendRaw } from './http-raw.ts';

describe.each(listenerKinds)('the query on %s', (listener) => {
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

  const echo = async (query: string) => {
    const headers = [`Authorization: ${player.authorization}`];
    const { status, body } = await sendRaw(node, `/v2/testing/echo/t?${query}`, { headers });
    const { text, ...rest } = JSON.parse(body);
    return { status, ...(text === 't' ? {} : { text }), ...rest };
  };
  const signInDevice = (query: string) =>
    request(node, 'POST', `/v2/account/authenticate/device?${query}`, {
      authorization: serverKeyAuth,
      body: { id: unique('device') },
    });

  test.each([
    ['nothing', '', {}],
    ['either spelling', 'maybe_flag=true&maybeSmall=5', { maybe_flag: true, maybe_small: 5 }],
    ['unknown names', 'nope=1&Flag=true&nope.text=x&nope[k]=v', {}],
    ['a list', 'texts=a&texts=b,c&texts=', { texts: ['a', 'b,c', ''] }],
    ['a list of integers', 'bigs=1&bigs=-2', { bigs: ['1', '-2'] }],
    ['a map', 'labels[a]=b&labels[c%20d]=e&labels[]=f', { labels: { a: 'b', 'c d': 'e', '': 'f' } }],
    ['a map of integers', 'counters[a]=5', { counters: { a: '5' } }],
    ['a field of a message', 'child.text=c&child.child.small=5', { child: { text: 'c', child: { small: 5 } } }],
    ['plus and escapes', 'left=a+b%2Bc%26%3D%25&texts=%C3%A4', { left: 'a b+c&=%', texts: ['ä'] }],
    ['escaped names', 'fl%61g=true&labels%5Ba%5D=b', { flag: true, labels: { a: 'b' } }],
    ['an equals sign in the value', 'left=a=b', { left: 'a=b' }],
    ['a name without value', 'left&maybe_text', { left: '', maybe_text: '' }],
    ['empty pairs', '&&flag=true&', { flag: true }],
    ['an integer with a plus', 'small=%2B5&big=%2B6', { small: 5, big: '6' }],
    ['wrappers', 'maybe_small=-5&maybe_natural=5&maybe_big=5', { maybe_small: -5, maybe_natural: 5, maybe_big: '5' }],
    ['an enum by name', 'colour=BLUE', { colour: 2 }],
    ['an enum by number', 'colour=1', { colour: 1 }],
    ['a time', 'time=2024-02-29T01:00:00%2B01:00', { time: '2024-02-29T00:00:00Z' }],
    ['bytes', 'data=AAEC', { data: 'AAEC' }],
    ['names from Object.prototype', 'constructor=a&toString=b&__proto__=c&hasOwnProperty.x=d', {}],
    [
      'such names in a map',
      'labels[__proto__]=a&labels[constructor]=b',
      { labels: JSON.parse('{"__proto__":"a","constructor":"b"}') },
    ],
  ])('%s', async (_, query, expected) => {
    expect(await echo(query)).toStrictEqual({ status: 200, ...expected });
  });

  test.each(['1', 't', 'T', 'TRUE', 'true', 'True'])('%s is true', async (text) => {
    expect(await echo(`flag=${text}&maybe_flag=${text}`)).toEqual({ status: 200, flag: true, maybe_flag: true });
  });

  test.each(['0', 'f', 'F', 'FALSE', 'false', 'False'])('%s is false', async (text) => {
    expect(await echo(`flag=${text}&maybe_flag=${text}`)).toEqual({ status: 200, maybe_flag: false });
  });

  test.each([
    ...['', 'yes', 'tRUE', '2', 'maybe', ' true'].map((text) => `flag=${encodeURIComponent(text)}`),
    ...['', '1e1', '0x5', '1.0', '%205', '5%20', '2147483648', 'a', '1_000'].map((text) => `small=${text}`),
    ...['-1', '4294967296', ''].map((text) => `natural=${text}`),
    ...['', '9223372036854775808', '1.0'].map((text) => `big=${text}`),
    ...['-1', '18446744073709551616'].map((text) => `huge=${text}`),
    ...['', 'yesterday', '2024-02-30T00:00:00Z'].map((text) => `time=${text}`),
    ...['PINK', '', 'blue'].map((text) => `colour=${text}`),
    'small=1&small=2',
    'flag=true&flag=true',
    'maybe_flag=true&maybe_flag=false',
    'labels[a]=b&labels[a]=c',
    'child=x',
    'text.x=y&small.x=1',
    'left=a&right=1',
    'small=1;big=2',
    'left=%zz',
    'left=%2',
    '%zz=a',
    'left=%ff',
    'left=%C3',
    'left=%ED%A0%80',
  ])('%s: refused', async (query) => {
    const { status, code, message } = await echo(query);
    expect([status, code, typeof message]).toEqual([400, 3, 'string']);
  });

  test('the variables of the path are not read from it', async () => {
    expect(await echo('text=other&small=5')).toEqual({ status: 200, small: 5 });
  });

  test('nor is the field that is the body', async () => {
    const { body } = await request(node, 'PUT', '/v2/testing/echo/t?child.text=q&child=x&text=u&flag=true', {
      authorization: player.authorization,
      body: { text: 'inner' },
    });
    expect(body).toEqual({ text: 't', flag: true, child: { text: 'inner' } });
  });

  test('where the body is the whole message nothing is read from it, and nothing can be wrong with it', async () => {
    for (const query of ['text=q&small=x', '%zz', 'a;b', 'text=a&text=b']) {
      const headers = [`Authorization: ${player.authorization}`];
      const reply = await sendRaw(node, `/v2/testing/echo?${query}`, { method: 'POST', headers, body: '{"text":"b"}' });
      expect([reply.status, reply.body]).toEqual([200, '{"text":"b"}']);
    }
  });

  describe('of a sign-in', () => {
    test('#25 create=maybe', async () => {
      const { status, body } = await signInDevice('create=maybe');
      expect([status, body.code]).toEqual([400, 3]);
    });

    test('#26 two usernames', async () => {
      const { status, body } = await signInDevice('username=a&username=b');
      expect([status, body]).toEqual([400, { code: 3, message: 'too many values for field "username": a, b' }]);
    });

    test('#29 #30 escapes', async () => {
      const name = unique('a b');
      const { body } = await signInDevice(`username=${encodeURIComponent(name)}`);
      expect(claimsOf(body.token).usn).toBe(name);
      expect((await signInDevice('username=x%5B%5D')).body.message).toMatch(/^Username invalid, no spaces/);
    });

    test('the account cannot be given in it', async () => {
      const id = unique('device');
      const reply = await request(node, 'POST', `/v2/account/authenticate/device?account.id=${id}&account=x`, {
        authorization: serverKeyAuth,
      });
      expect(reply.body).toEqual({ code: 3, message: 'Device ID is required.' });
    });
  });

  test('#79 to #83 of users: lists by repetition', async () => {
    const { authorization, id, username } = player;
    const find = (query: string) => request(node, 'GET', `/v2/user${query}`, { authorization });
    expect((await find('')).text).toBe('{}');
    expect((await find('?ids=x')).body).toEqual({ code: 3, message: "ID 'x' is not a valid system ID." });
    expect((await find('?ids=')).body).toEqual({ code: 3, message: "ID '' is not a valid system ID." });
    expect((await find(`?ids=${id},${id}`)).status).toBe(400);
    expect((await find(`?ids=${id}&ids=${id}&usernames=${username}&usernames=`)).body.users).toHaveLength(2);
    expect((await find(`?facebookIds=x&usernames=${username}`)).body.users).toHaveLength(1);
  });
});
