import { beforeEach, describe, expect, it } from 'vitest';
import { type CloseReason, CloseReasons } from '../platform/errors.ts';
import { EnvelopeFrame, payload } from '../wire/envelope.ts';
import type { Connection } from './listener.ts';
import { Outbox } from './outbox.ts';
import { jsonCodec } from './socket-codec.ts';
import { type SessionHost, WsSession } from './ws-session.ts';

const times = { pingPeriodMs: 100, pongWaitMs: 200, writeWaitMs: 50 };
const pong = EnvelopeFrame.of(payload('pong', {}), 'c');
const notice = EnvelopeFrame.of(payload('notifications', { notifications: [{ code: -7 }] }));

/** Notes what happens to the connection, in order. */
class FakeConnection implements Connection {
  readonly log: string[] = [];
  /** Set to keep the outbox from handing over any more. */
  bufferedBytes = 0;

  send(data: Uint8Array): void {
    this.log.push(Buffer.from(data).toString());
  }

  cork(fn: () => void): void {
    fn();
  }

  ping(): void {
    this.log.push('ping');
  }

  end(code: number, text: string): void {
    this.log.push(`end ${code} ${text}`);
  }

  terminate(): void {
    this.log.push('terminate');
  }
}

/** A host whose messages are answered when the test says so. */
class FakeHost implements SessionHost {
  readonly limits = { inboundMessages: 3, inboundBytes: 100, pingBackoffThreshold: 5 };
  readonly handled: string[] = [];
  readonly closings: CloseReason[] = [];
  time = 0;
  #answer = (): void => {};

  handle(_session: WsSession, frame: Buffer): Promise<void> {
    this.handled.push(frame.toString());
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  /** The message in hand is done; the next one, if any, is in hand afterwards. */
  async answer(): Promise<void> {
    this.#answer();
    await new Promise(setImmediate);
  }

  closing(_session: WsSession, reason: CloseReason): void {
    this.closings.push(reason);
  }

  now(): number {
    return this.time;
  }
}

describe('a socket session', () => {
  let connection: FakeConnection;
  let host: FakeHost;
  let outbox: Outbox;
  let session: WsSession;
  let scheduled: Outbox[];

  beforeEach(() => {
    connection = new FakeConnection();
    host = new FakeHost();
    scheduled = [];
    outbox = new Outbox(connection, false, {
      limits: { maxMessages: 2, maxBytes: 1000 },
      schedule: (own) => scheduled.push(own),
      sent: () => {},
    });
    const user = { id: 'u', username: 'n', vars: {}, tokenId: '', expiresAt: 0 };
    const init = { id: 's', user, codec: jsonCodec, lang: 'en', clientAddress: '', clientPort: '', connectedAt: 0 };
    session = new WsSession(init, connection, outbox, host);
  });

  const flush = (): void => {
    for (const own of scheduled.splice(0)) own.flush(host.time);
  };
  const receive = (...texts: string[]): void => {
    for (const text of texts) session.receive(Buffer.from(text), false);
  };

  it('handles messages one at a time, once it is ready', async () => {
    receive('a', 'b');
    expect(host.handled).toEqual([]);
    session.ready();
    expect(host.handled).toEqual(['a']);
    await host.answer();
    expect(host.handled).toEqual(['a', 'b']);
    receive('c');
    expect(host.handled).toEqual(['a', 'b']);
    await host.answer();
    expect(host.handled).toEqual(['a', 'b', 'c']);
  });

  it('keeps messages although their memory is used again', async () => {
    const memory = Buffer.from('a');
    session.receive(memory, false);
    memory.fill('x');
    session.ready();
    expect(host.handled).toEqual(['a']);
  });

  it('ends when too many messages wait', () => {
    session.ready();
    receive('in hand', '1', '2', '3');
    expect(session.closed).toBe(false);
    receive('4');
    expect(host.closings).toEqual([CloseReasons.inboundFull]);
    expect(connection.log).toEqual(['end 1000 session incoming queue full']);
  });

  it('ends when too many bytes wait, and counts those in hand no more', async () => {
    session.ready();
    receive('in hand', 'x'.repeat(60), 'x'.repeat(40));
    expect(session.closed).toBe(false);
    await host.answer();
    receive('x'.repeat(60));
    expect(session.closed).toBe(false);
    receive('x');
    expect(host.closings).toEqual([CloseReasons.inboundFull]);
  });

  it('ends at a frame of the wrong type, after what was sent before', () => {
    session.ready();
    session.send(pong);
    session.receive(Buffer.from('{}'), true);
    expect(connection.log).toEqual(['{"cid":"c","pong":{}}', `end 1000 ${CloseReasons.wrongFrameType.text}`]);
    expect(host.handled).toEqual([]);
  });

  it('handles nothing any more after it was closed', async () => {
    session.ready();
    receive('a', 'b');
    session.close(CloseReasons.processing);
    receive('c');
    await host.answer();
    expect(host.handled).toEqual(['a']);
  });

  it('is closed once, whoever begins', () => {
    session.close(CloseReasons.malformed);
    session.close(CloseReasons.processing, notice);
    session.ended();
    expect(host.closings).toEqual([CloseReasons.malformed]);
    expect(connection.log).toEqual(['end 1000 received malformed payload']);
  });

  it('tells nobody when the peer ended it: who noticed knows', () => {
    session.ended();
    session.close(CloseReasons.malformed);
    session.send(pong);
    expect(session.closed).toBe(true);
    expect(host.closings).toEqual([]);
    expect(connection.log).toEqual([]);
  });

  it('sends what waits, then the last message, then the close', () => {
    session.send(pong);
    session.close(CloseReasons.disconnected, notice);
    session.send(pong);
    flush();
    expect(connection.log).toEqual([
      '{"cid":"c","pong":{}}',
      '{"notifications":{"notifications":[{"code":-7}]}}',
      'end 1000 server-side session disconnect',
    ]);
  });

  it('sends the last message past what a slow peer has not taken', () => {
    connection.bufferedBytes = 1_000_000;
    session.send(pong);
    session.close(CloseReasons.disconnected, notice);
    expect(connection.log).toEqual([
      '{"notifications":{"notifications":[{"code":-7}]}}',
      'end 1000 server-side session disconnect',
    ]);
    expect(outbox.pendingBytes).toBe(connection.bufferedBytes);
  });

  it('ends when the peer is too far behind, and drops what waits', () => {
    connection.bufferedBytes = 1_000_000;
    session.send(pong);
    flush();
    session.send(pong);
    expect(session.closed).toBe(false);
    session.send(pong);
    expect(host.closings).toEqual([CloseReasons.queueFull]);
    connection.bufferedBytes = 0;
    session.drained();
    expect(connection.log).toEqual(['end 1000 session outgoing queue full']);
  });

  it('goes on when the peer reads again', () => {
    connection.bufferedBytes = 1_000_000;
    session.send(pong);
    flush();
    expect(connection.log).toEqual([]);
    connection.bufferedBytes = 0;
    session.drained();
    expect(connection.log).toEqual(['{"cid":"c","pong":{}}']);
  });

  describe('keepalive', () => {
    const at = (time: number): void => {
      host.time = time;
      session.checkLife(times);
    };

    it('pings once a quiet period is over, and once only', () => {
      at(99);
      expect(connection.log).toEqual([]);
      at(100);
      at(150);
      expect(connection.log).toEqual(['ping']);
    });

    it('ends without a sign of life', () => {
      at(100);
      at(199);
      expect(session.closed).toBe(false);
      at(200);
      expect(host.closings).toEqual([CloseReasons.pongTimeout]);
    });

    it('starts over with a pong', () => {
      at(100);
      host.time = 120;
      session.alive();
      at(219);
      expect(connection.log).toEqual(['ping']);
      at(220);
      expect(connection.log).toEqual(['ping', 'ping']);
      at(319);
      expect(session.closed).toBe(false);
      at(320);
      expect(session.closed).toBe(true);
    });

    it('takes every fifth message for a sign of life, and no other', async () => {
      session.ready();
      host.time = 90;
      for (let n = 0; n < 4; n++) {
        receive('x');
        await host.answer();
      }
      at(100);
      expect(connection.log).toEqual(['ping']);
      host.time = 110;
      receive('x');
      await host.answer();
      at(309);
      expect(session.closed).toBe(false);
      expect(connection.log).toEqual(['ping', 'ping']);
      at(310);
      expect(session.closed).toBe(true);
    });

    it('ends when nothing could be written for too long, sooner than without a pong', () => {
      connection.bufferedBytes = 1_000_000;
      session.send(pong);
      flush();
      at(49);
      expect(session.closed).toBe(false);
      at(50);
      expect(host.closings).toEqual([CloseReasons.writeTimeout]);
    });
  });

  describe('finishing', () => {
    it('waits for the message in hand and forgets the others', async () => {
      session.ready();
      receive('a', 'b');
      let isFinished = false;
      const finished = session.finish().then(() => {
        isFinished = true;
      });
      receive('c');
      await new Promise(setImmediate);
      expect(isFinished).toBe(false);
      await host.answer();
      await finished;
      expect(host.handled).toEqual(['a']);
      expect(session.closed).toBe(false);
    });

    it('is done at once when nothing is in hand', async () => {
      session.ready();
      await session.finish();
    });
  });
});
