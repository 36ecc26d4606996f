import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from './listener.ts';
import { closing, frame, handshake, opcodes } from './listener-test-client.ts';
import { Harness, kinds, newSession, type Session } from './listener-test-harness.ts';

const { continuation, text, binary, ping, pong, close } = opcodes;

describe.each(kinds)('%s listener, WebSocket', (kind) => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.start(kind);
  });
  afterEach(() => harness.stop());

  const closed = (session: Session) =>
    vi.waitFor(() => expect(session.closes).toHaveLength(1), { timeout: 3000, interval: 5 });
  const settle = () => new Promise((resolve) => setTimeout(resolve, 50));

  /** Fills the kernel's buffers towards a client that does not read, until some stay with us. */
  const clog = (connection: Connection) => {
    const chunk = Buffer.alloc(256 * 1024, 'a');
    for (let sent = 0; connection.bufferedBytes < 4_000_000 && sent < 200; sent++) connection.send(chunk, true);
  };

  describe('handshake', () => {
    it('accepts with the query and no subprotocol or extension', async () => {
      const fields = { 'Sec-WebSocket-Protocol': 'a, b', 'Sec-WebSocket-Extensions': 'permessage-deflate' };
      const { status, headers } = await harness.ask(handshake('/ws?a=%20b', fields));
      expect(status).toBe(101);
      expect(headers.get('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
      expect(headers.has('sec-websocket-protocol')).toBe(false);
      expect(headers.has('sec-websocket-extensions')).toBe(false);
      expect(harness.sessions[0]).toMatchObject({ query: 'a=%20b' });
      expect(harness.listener.connectionCount).toBe(1);
    });

    it('accepts and rejects later', async () => {
      harness.onUpgrade = async (request) => {
        await settle();
        if (request.query === 'ok') return { accept: newSession() };
        return { reject: { status: 401, headers: [['Content-Type', 'text/plain']], body: 'Missing or invalid token' } };
      };
      expect((await harness.ask(handshake('/ws?ok'))).status).toBe(101);
      expect(await harness.ask(handshake())).toMatchObject({ status: 401, body: 'Missing or invalid token' });
    });

    it('does not open for a client that has left', async () => {
      let accept = (_: { accept: Session }) => {};
      harness.onUpgrade = () => new Promise((resolve) => (accept = resolve));
      const client = await harness.raw();
      const asked = vi.spyOn(harness, 'onUpgrade');
      client.write(handshake());
      await vi.waitFor(() => expect(asked).toHaveBeenCalled());
      client.socket.destroy();
      await settle();
      accept({ accept: newSession() });
      await settle();
      expect(harness.sessions).toHaveLength(0);
      expect(harness.listener.connectionCount).toBe(0);
    });

    it('answers 500 when the handler fails', async () => {
      harness.onUpgrade = () => Promise.reject(new Error('no'));
      expect((await harness.ask(handshake())).status).toBe(500);
    });

    it.each([
      ['Sec-WebSocket-Key', 'short'],
      ['Sec-WebSocket-Key', ''],
      ['Sec-WebSocket-Key', '!!!!IHNhbXBsZSBub25jZQ=='],
      ['Sec-WebSocket-Version', '12'],
    ])('refuses %s %j, after the handler had its say', async (name, value) => {
      expect(await harness.ask(handshake('/ws', { [name]: value }))).toMatchObject({
        status: 400,
        body: 'Bad Request',
      });
      harness.onUpgrade = () => ({ reject: { status: 401, headers: [], body: 'no' } });
      expect(await harness.ask(handshake('/ws', { [name]: value }))).toMatchObject({ status: 401 });
      expect(harness.sessions).toHaveLength(0);
    });

    it.each([
      ['no upgrade', 'GET /ws HTTP/1.1\r\nHost: x\r\n\r\n'],
      ['another upgrade', handshake('/ws', { Upgrade: 'h2c' })],
      ['no connection token', handshake('/ws', { Connection: 'keep-alive' })],
      ['another path', handshake('/wsx')],
      ['another method', handshake().replace('GET', 'POST')],
      ['a trailing slash', handshake('/ws/')],
    ])('treats %s as a request', async (_, request) => {
      expect((await harness.ask(request)).status).toBe(200);
      expect(harness.exchanges).toHaveLength(1);
    });

    it('keeps to the header cap', async () => {
      expect((await harness.ask(handshake('/ws', { Pad: 'p'.repeat(9300) }))).status).toBe(431);
    });
  });

  describe('messages', () => {
    it('carries text and binary both ways', async () => {
      const { client, session, connection } = await harness.open();
      client.write(Buffer.concat([frame(text, 'hé'), frame(binary, 'b'), frame(text, '')]));
      expect(await client.frame()).toEqual({ opcode: text, payload: Buffer.from('hé') });
      await client.frame();
      await client.frame();
      expect(session.messages).toEqual([
        ['hé', false],
        ['b', true],
        ['', false],
      ]);
      connection.send(Buffer.from([1, 2]), true);
      connection.send('', false);
      expect(await client.frame()).toEqual({ opcode: binary, payload: Buffer.from([1, 2]) });
      expect(await client.frame()).toEqual({ opcode: text, payload: Buffer.alloc(0) });
    });

    it('puts fragments together, with control frames between', async () => {
      const { client, session } = await harness.open();
      client.write(frame(text, 'a', { fin: false }));
      client.write(frame(ping, 'hello'));
      client.write(frame(continuation, 'b', { fin: false }));
      client.write(frame(continuation, 'c'));
      expect(await client.frame()).toEqual({ opcode: pong, payload: Buffer.from('hello') });
      expect((await client.frame()).payload.toString()).toBe('abc');
      expect(session.messages).toEqual([['abc', false]]);
    });

    it('pings, and reports pongs', async () => {
      const { client, session, connection } = await harness.open();
      connection.ping();
      expect(await client.frame()).toEqual({ opcode: ping, payload: Buffer.alloc(0) });
      client.write(frame(pong, ''));
      await vi.waitFor(() => expect(session.pongs).toBe(1));
    });

    it('packs corked sends, in order', async () => {
      const { client, connection } = await harness.open();
      const chunks: number[] = [];
      client.socket.on('data', (chunk) => chunks.push(chunk.length));
      connection.cork(() => {
        for (let index = 0; index < 20; index++) connection.send(String(index), false);
        connection.cork(() => connection.send('inner', false));
      });
      for (let index = 0; index < 20; index++) expect((await client.frame()).payload.toString()).toBe(String(index));
      expect((await client.frame()).payload.toString()).toBe('inner');
      expect(chunks).toHaveLength(1);
      expect(() =>
        connection.cork(() => {
          connection.send('before', false);
          throw new Error('mine');
        }),
      ).toThrow('mine');
      expect((await client.frame()).payload.toString()).toBe('before');
    });

    it('counts what the kernel does not take, loses none of it, and tells when it drains', async () => {
      const { client, session, connection } = await harness.open();
      expect(connection.bufferedBytes).toBe(0);
      client.socket.pause();
      clog(connection);
      expect(connection.bufferedBytes).toBeGreaterThan(1_000_000);
      connection.send('last', false);
      expect(session.drains).toBe(0);
      client.socket.resume();
      while ((await client.frame()).payload.toString() !== 'last');
      await vi.waitFor(() => expect(connection.bufferedBytes).toBe(0));
      expect(session.drains).toBeGreaterThan(0);
    });
  });

  describe('limits and violations', () => {
    it('takes a message of exactly the limit and closes with 1009 on one more byte', async () => {
      const { client, session } = await harness.open();
      client.write(frame(text, 'a'.repeat(64)));
      expect((await client.frame()).payload).toHaveLength(64);
      client.write(frame(text, 'a'.repeat(65)));
      expect(await client.closeFrame()).toEqual({ code: 1009, text: '' });
      await client.end();
      await closed(session);
      expect(session.closes).toEqual([[1009, '']]);
      expect(session.messages).toHaveLength(1);
    });

    it('counts the fragments of a message together', async () => {
      const { client } = await harness.open();
      client.write(Buffer.concat([frame(text, 'a'.repeat(40), { fin: false }), frame(continuation, 'a'.repeat(40))]));
      expect(await client.closeFrame()).toEqual({ code: 1009, text: '' });
    });

    it('survives a message far over the limit', async () => {
      const { client, session } = await harness.open();
      client.write(frame(text, Buffer.alloc(500_000)));
      await client.end();
      await closed(session);
      if (kind === 'node') expect(session.closes).toEqual([[1009, '']]);
      expect(session.messages).toEqual([]);
    });

    it.each([
      ['reserved bits', frame(text, 'a', { reserved: 4 })],
      ['an unknown opcode', frame(3, 'a')],
      ['an unknown control opcode', frame(11, '')],
      ['a fragmented ping', frame(ping, '', { fin: false })],
      ['a long ping', frame(ping, 'a'.repeat(126))],
      ['a continuation of nothing', frame(continuation, 'a')],
    ])('drops a client that sends %s', async (_, bytes) => {
      const { client, session } = await harness.open();
      client.write(bytes);
      // uWebSockets.js has no close frame for these.
      if (kind === 'node') expect(await client.closeFrame()).toMatchObject({ code: 1002 });
      await client.end();
      await closed(session);
      expect(session.closes[0]?.[0]).toBe(kind === 'node' ? 1002 : 1006);
      expect(session.messages).toEqual([]);
    });

    it.runIf(kind === 'node')('drops a client that does not mask', async () => {
      const { client } = await harness.open();
      client.write(frame(text, 'a', { masked: false }));
      expect(await client.closeFrame()).toMatchObject({ code: 1002 });
    });

    it('leaves bad UTF-8 to the codec, or drops the client', async () => {
      const { client, session } = await harness.open();
      client.write(frame(text, Buffer.from([0xff, 0xfe])));
      if (kind === 'node') return vi.waitFor(() => expect(session.messages).toHaveLength(1));
      await client.end();
      await closed(session);
      expect(session.closes[0]?.[0]).toBe(1006);
    });
  });

  describe('closing', () => {
    it('echoes the close of the client', async () => {
      const { client, session } = await harness.open();
      client.write(closing(4321, 'why'));
      expect((await client.closeFrame()).code).toBe(4321);
      await client.end();
      await closed(session);
      expect(session.closes).toEqual([[4321, 'why']]);
      expect(harness.listener.connectionCount).toBe(0);
    });

    it('answers a close frame without a code', async () => {
      const { client, session } = await harness.open();
      client.write(frame(close, ''));
      expect(await client.closeFrame()).toEqual({ code: 1005, text: '' });
      await closed(session);
      expect(session.closes).toEqual([[1005, '']]);
    });

    it('reports a client that vanished', async () => {
      const { client, session, connection } = await harness.open();
      client.socket.resetAndDestroy();
      await closed(session);
      expect(session.closes).toEqual([[1006, '']]);
      connection.send('a', false);
      connection.ping();
      connection.cork(() => connection.send('b', false));
      connection.end(1000, '');
      connection.terminate();
      expect(connection.bufferedBytes).toBe(0);
    });

    it('ends after what was sent, delivers nothing more, and reports once', async () => {
      const { client, session, connection } = await harness.open();
      connection.send('last', false);
      connection.end(1000, 'bye');
      expect(session.closes).toEqual([]);
      connection.send('too late', false);
      connection.end(1001, 'again');
      client.write(frame(text, 'ignored'));
      expect((await client.frame()).payload.toString()).toBe('last');
      expect(await client.closeFrame()).toEqual({ code: 1000, text: 'bye' });
      client.write(closing(1000));
      await client.end();
      await closed(session);
      await settle();
      expect(session.closes).toEqual([[1000, 'bye']]);
      expect(session.messages).toEqual([]);
    });

    it('frames messages of every length, one by one and corked', async () => {
      const { client, connection } = await harness.open();
      const lengths = [0, 1, 125, 126, 127, 4096, 16_383, 16_384, 65_535, 65_536, 200_000];
      const send = (): void => {
        for (const [index, length] of lengths.entries()) {
          connection.send(index % 2 === 0 ? Buffer.alloc(length, index) : 'z'.repeat(length), index % 2 === 0);
        }
      };
      send();
      connection.cork(send);
      connection.cork(() => {
        connection.send('before', false);
        connection.ping();
        connection.send('after', false);
      });
      for (const _ of ['one by one', 'corked']) {
        for (const [index, length] of lengths.entries()) {
          const { opcode, payload } = await client.frame();
          expect({ opcode, length: payload.length }).toEqual({ opcode: index % 2 === 0 ? binary : text, length });
          expect(payload.every((byte) => byte === (index % 2 === 0 ? index : 0x7a))).toBe(true);
        }
      }
      expect((await client.frame()).payload.toString()).toBe('before');
      expect((await client.frame()).opcode).toBe(ping);
      expect((await client.frame()).payload.toString()).toBe('after');
      connection.terminate();
    });

    it('ends from inside a message, a cork, and open', async () => {
      harness.onMessage = ({ connection }) => connection?.end(1000, 'message');
      const inMessage = await harness.open();
      inMessage.client.write(Buffer.concat([frame(text, 'a'), frame(text, 'b')]));
      expect(await inMessage.client.closeFrame()).toEqual({ code: 1000, text: 'message' });
      await closed(inMessage.session);
      expect(inMessage.session.messages).toHaveLength(1);

      const inCork = await harness.open();
      inCork.connection.cork(() => {
        inCork.connection.send('a', false);
        inCork.connection.end(1001, 'cork');
        inCork.connection.send('b', false);
      });
      expect((await inCork.client.frame()).payload.toString()).toBe('a');
      expect(await inCork.client.closeFrame()).toEqual({ code: 1001, text: 'cork' });
      inCork.client.write(closing(1001));
      await inCork.client.end();

      harness.onOpen = (connection) => {
        connection.send('hi', false);
        connection.end(1000, 'open');
      };
      const inOpen = await harness.open();
      expect((await inOpen.client.frame()).payload.toString()).toBe('hi');
      expect(await inOpen.client.closeFrame()).toEqual({ code: 1000, text: 'open' });
      await closed(inOpen.session);
    });

    it('delivers the close frame behind everything that was still to be sent', async () => {
      const { client, session, connection } = await harness.open();
      client.socket.pause();
      clog(connection);
      connection.end(1000, 'bye');
      setTimeout(() => client.socket.resume(), 50);
      let received = await client.frame();
      while (received.opcode !== close) received = await client.frame();
      expect(received.payload.subarray(2).toString()).toBe('bye');
      client.write(closing(1000));
      await closed(session);
    });

    it('gives up on a client that does not read', async () => {
      const { client, session, connection } = await harness.open();
      client.socket.pause();
      clog(connection);
      const start = performance.now();
      connection.end(1000, 'bye');
      await closed(session);
      expect(performance.now() - start).toBeGreaterThan(250);
      expect(session.closes).toEqual([[1000, 'bye']]);
      expect(harness.listener.connectionCount).toBe(0);
    });

    it('closes the socket of a client that does not answer', async () => {
      const { client, session, connection } = await harness.open(true);
      connection.end(1000, '');
      expect(await client.closeFrame()).toEqual({ code: 1000, text: '' });
      await client.end();
      await closed(session);
    });

    it('cuts a long text on a character', async () => {
      const { client, connection } = await harness.open();
      connection.end(1000, `${'a'.repeat(122)}é`);
      expect(await client.closeFrame()).toEqual({ code: 1000, text: 'a'.repeat(122) });
    });

    it('terminates at once, also from inside a message and a cork', async () => {
      const outside = await harness.open();
      outside.connection.terminate();
      outside.connection.send('a', false);
      expect(outside.session.closes).toEqual([]);
      await outside.client.end();
      harness.onMessage = ({ connection }) => connection?.cork(() => connection.terminate());
      const inside = await harness.open();
      inside.client.write(frame(text, 'a'));
      await inside.client.end();
      for (const { session, client } of [outside, inside]) {
        await closed(session);
        expect(session.closes).toEqual([[1006, '']]);
        expect(client.received).toHaveLength(0);
      }
    });
  });
});
