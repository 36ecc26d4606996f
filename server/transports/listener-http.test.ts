import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HttpExchange } from './listener.ts';
import { describeRequest, Harness, kinds } from './listener-test-harness.ts';

describe.each(kinds)('%s listener, HTTP', (kind) => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.start(kind);
  });
  afterEach(() => harness.stop());

  it('hands over the request as it was sent', async () => {
    const request = await harness.seen(
      'GET /a%zz/%2Fb//?x=1&y=%zz?; HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n',
    );
    expect(request).toMatchObject({ method: 'GET', path: '/a%zz/%2Fb//', query: 'x=1&y=%zz?;', body: '' });
    expect(request.headers).toEqual([
      ['host', 'x'],
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ]);
    expect(harness.exchanges[0]).toMatchObject({ peerAddress: '127.0.0.1', aborted: false });
  });

  it('accepts a bare question mark and any method', async () => {
    expect(await harness.seen('PROPFIND /a? HTTP/1.1\r\nHost: x\r\n\r\n')).toMatchObject({
      method: 'PROPFIND',
      path: '/a',
      query: '',
    });
  });

  it('reads bodies with a length, in chunks, and none', async () => {
    const post = 'POST /a HTTP/1.1\r\nHost: x\r\n';
    expect((await harness.seen(`${post}Content-Length: 5\r\n\r\nhello`)).body).toBe('hello');
    expect((await harness.seen(`${post}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`)).body).toBe(
      'hello',
    );
    expect((await harness.seen(`${post}Content-Length: 0\r\n\r\n`)).body).toBe('');
    expect((await harness.seen(`${post}\r\n`)).body).toBe('');
  });

  it('reads a body that comes in pieces, asked for late', async () => {
    harness.onRequest = (exchange) => void setTimeout(describeRequest, 60, exchange);
    const client = await harness.raw();
    client.write('POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab');
    await vi.waitFor(() => expect(harness.exchanges).toHaveLength(1));
    client.write('cd');
    setTimeout(() => client.write('ef'), 120);
    expect(JSON.parse((await client.response()).body).body).toBe('abcdef');
  });

  it('holds back a large body until it is asked for', async () => {
    const size = 3_000_000;
    harness.onRequest = (exchange) =>
      void setTimeout(async () => {
        const body = await exchange.readBody(size);
        exchange.respond(200, [], String(body.length));
      }, 100);
    const body = Buffer.alloc(size, 'a');
    expect(
      await harness.ask(
        Buffer.concat([Buffer.from(`POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`), body]),
      ),
    ).toMatchObject({ status: 200, body: String(size) });
  });

  it('answers Expect: 100-continue', async () => {
    const client = await harness.raw();
    client.write('POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
    expect((await client.response()).status).toBe(100);
    client.write('hello');
    expect(JSON.parse((await client.response()).body).body).toBe('hello');
  });

  it('keeps the connection, whatever became of the body', async () => {
    harness.onRequest = (exchange) => exchange.respond(200, [], exchange.path);
    const client = await harness.raw();
    for (const path of ['/a', '/b']) {
      client.write(`DELETE ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n`);
      client.write(Buffer.alloc(500_000, 'a'));
      expect((await client.response()).body).toBe(path);
    }
    client.write('GET /c HTTP/1.1\r\nHost: x\r\n\r\nGET /d HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await client.response()).body).toBe('/c');
    expect((await client.response()).body).toBe('/d');
  });

  it('answers HEAD without a body and keeps the connection', async () => {
    harness.onRequest = (exchange) => exchange.respond(404, [], 'not here');
    const client = await harness.raw();
    client.write('HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n');
    const head = await client.response('HEAD');
    expect([head.status, head.headers.get('content-length')]).toEqual([404, '8']);
    client.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await client.response()).toMatchObject({ status: 404, body: 'not here' });
  });

  it('closes after the response when told to, or when the client asks', async () => {
    harness.onRequest = (exchange) => exchange.respond(200, [], 'x', exchange.path === '/close');
    for (const request of [
      'GET /close HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    ]) {
      const client = await harness.raw();
      client.write(request);
      expect((await client.response()).body).toBe('x');
      await client.end();
    }
  });

  it('lets nothing break out of a header, and names no product', async () => {
    harness.onRequest = (exchange) =>
      exchange.respond(
        200,
        [
          ['X-A', 'a\r\nX-B: b\u0100'],
          ['X\r\nY', 'c'],
          ['Content-Length', '99'],
        ],
        '{}',
      );
    const { headers } = await harness.ask('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(headers.get('x-a')).toBe('a  X-B: b');
    expect(headers.get('xy')).toBe('c');
    expect([...headers.keys()].sort()).toEqual(expect.arrayContaining(['content-length', 'date', 'x-a', 'xy']));
    for (const name of ['x-b', 'server', 'uwebsockets', 'x-powered-by']) expect(headers.has(name)).toBe(false);
  });

  it('counts only the first response, and survives answers to those who left', async () => {
    harness.onRequest = (exchange) => {
      exchange.respond(200, [], 'one');
      exchange.respond(200, [], 'two', true);
    };
    expect((await harness.ask('GET /a HTTP/1.1\r\nHost: x\r\n\r\n')).body).toBe('one');

    harness.onRequest = () => {};
    const client = await harness.raw();
    client.write('POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe');
    await vi.waitFor(() => expect(harness.exchanges).toHaveLength(2));
    const exchange = harness.exchanges[1] as HttpExchange;
    const body = exchange.readBody(10);
    client.socket.destroy();
    expect(await body).toBe('aborted');
    await vi.waitFor(() => expect(exchange.aborted).toBe(true));
    exchange.respond(200, [], 'three');
    expect(await exchange.readBody(10)).toBe('aborted');
  });

  it('notices that a client left while it waits', async () => {
    harness.onRequest = () => {};
    const client = await harness.raw();
    client.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    await vi.waitFor(() => expect(harness.exchanges).toHaveLength(1));
    expect(harness.exchanges[0]?.aborted).toBe(false);
    client.socket.destroy();
    await vi.waitFor(() => expect(harness.exchanges[0]?.aborted).toBe(true));
    harness.exchanges[0]?.respond(200, [], 'x', true);
  });

  it('answers 500 when a handler throws', async () => {
    harness.onRequest = () => {
      throw new Error('no');
    };
    expect((await harness.ask('GET /a HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(500);
    expect(harness.log.error).toHaveBeenCalled();
  });

  it.each([
    ['declared', `Content-Length: 5000000\r\n\r\n${'a'.repeat(100_000)}`],
    ['found', `Transfer-Encoding: chunked\r\n\r\n${`400\r\n${'a'.repeat(1024)}\r\n`.repeat(500)}`],
    ['complete', `Content-Length: 300000\r\n\r\n${'a'.repeat(300_000)}`],
  ])('refuses a body too large (%s) while it is being sent', async (_, rest) => {
    const client = await harness.raw();
    client.write(`POST /a HTTP/1.1\r\nHost: x\r\n${rest}`);
    expect(await client.response()).toMatchObject({ status: 400, body: 'too large' });
    await client.end();
  });

  it('takes a head of exactly the limit and refuses one more byte', async () => {
    const head = (bytes: number) => {
      const text = 'GET /a?b HTTP/1.1\r\nHost: x\r\nPad: \r\n\r\n';
      return text.replace('Pad: ', `Pad: ${'p'.repeat(bytes - text.length)}`);
    };
    expect((await harness.ask(head(9216))).status).toBe(200);
    for (const size of [9217, 12_000, 100_000]) {
      const client = await harness.raw();
      client.write(head(size));
      expect((await client.response()).status).toBe(431);
      await client.end();
    }
    const client = await harness.raw();
    client.write(head(9217).slice(0, 6000));
    setTimeout(() => client.write(head(9217).slice(6000)), 30);
    expect((await client.response()).status).toBe(431);
  });

  it.each(['GARBAGE\r\n\r\n', 'GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello'])(
    'refuses %j',
    async (text) => {
      const client = await harness.raw();
      client.write(text);
      const { status } = await client.response();
      expect([400, 505]).toContain(status);
      await client.end();
      expect(harness.exchanges).toHaveLength(0);
    },
  );

  it.each(['Content-Length: 5\r\nContent-Length: 6', 'Content-Length: 5x', 'Transfer-Encoding: gzip'])(
    'refuses a body of uncertain length: %s',
    async (fields) => {
      expect((await harness.ask(`POST /a HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\nhello!`)).status).toBe(400);
      expect(harness.exchanges).toHaveLength(0);
    },
  );

  // What uWebSockets.js has no way to do.
  it.runIf(kind === 'node')('speaks HTTP/1.0, chunk extensions and pipelines', async () => {
    harness.onRequest = (exchange) => void setTimeout(describeRequest, 10, exchange);
    const old = await harness.raw();
    old.write('GET /a HTTP/1.0\r\n\r\n');
    expect((await old.response()).status).toBe(200);
    await old.end();
    const client = await harness.raw();
    client.write(
      'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n',
    );
    client.write('GET /b HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(JSON.parse((await client.response()).body).body).toBe('hello');
    expect(JSON.parse((await client.response()).body).path).toBe('/b');
  });

  it.runIf(kind === 'node')('drops slow clients without a word', async () => {
    for (const text of ['', 'GET /a HT', 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe']) {
      const client = await harness.raw();
      if (text !== '') client.write(text);
      await client.end();
      expect(client.received.toString()).toBe('');
    }
    const idle = await harness.raw();
    idle.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await idle.response()).status).toBe(200);
    await idle.end();
  });
});
