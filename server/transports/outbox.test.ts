import { describe, expect, it } from 'vitest';
import type { Connection } from './listener.ts';
import { Outbox } from './outbox.ts';

const transportBytes = 64 * 1024;
const kibibyte = 'x'.repeat(1024);

/** A connection whose peer takes a given number of bytes and then stops reading. */
class SlowConnection implements Connection {
  readonly sent: Uint8Array[] = [];
  /** Handed over but not taken by the peer, as a transport sees it: corked bytes wait until the cork is pulled. */
  bufferedBytes = 0;
  corks = 0;
  #room: number;
  #isCorked = false;

  constructor(room: number) {
    this.#room = room;
  }

  send(data: Uint8Array): void {
    this.sent.push(data);
    this.bufferedBytes += data.length;
    if (!this.#isCorked) this.#write();
  }

  cork(fn: () => void): void {
    this.corks++;
    this.#isCorked = true;
    fn();
    this.#isCorked = false;
    this.#write();
  }

  /** The peer reads on. */
  read(bytes: number): void {
    this.#room += bytes;
    this.#write();
  }

  #write(): void {
    const taken = Math.min(this.#room, this.bufferedBytes);
    this.#room -= taken;
    this.bufferedBytes -= taken;
  }

  ping(): void {}
  end(): void {}
  terminate(): void {}
}

interface Bench {
  readonly connection: SlowConnection;
  readonly outbox: Outbox;
  /** How often the outbox asked to be flushed. */
  scheduled(): number;
}

function setUp(room = Number.POSITIVE_INFINITY, limits = { maxMessages: 4, maxBytes: 1_000_000 }): Bench {
  const connection = new SlowConnection(room);
  let scheduled = 0;
  const outbox = new Outbox(connection, false, { limits, schedule: () => scheduled++, sent: () => {} });
  return { connection, outbox, scheduled: () => scheduled };
}

function pushAll(outbox: Outbox, messages: readonly string[]): boolean[] {
  return messages.map((message) => outbox.push(Buffer.from(message)));
}

const numbered = (count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, index) => `${first + index} ${kibibyte}`);

/** Messages without their bulk, for comparison. */
const brief = (messages: readonly (string | Uint8Array)[]): string[] =>
  messages.map((message) => message.toString().slice(0, 8).trimEnd());

describe('an outbox', () => {
  it('sends what came in one turn in one go, in order', () => {
    const { connection, outbox, scheduled } = setUp();
    pushAll(outbox, ['a', 'b', 'c']);
    expect(scheduled()).toBe(1);
    expect(connection.sent).toEqual([]);
    outbox.flush(0);
    expect(brief(connection.sent)).toEqual(['a', 'b', 'c']);
    expect(connection.corks).toBe(1);
    outbox.push(Buffer.from('d'));
    expect(scheduled()).toBe(2);
  });

  it('takes any number of messages in one turn as long as the peer reads', () => {
    const { connection, outbox } = setUp();
    const messages = numbered(500);
    expect(pushAll(outbox, messages)).not.toContain(false);
    outbox.flush(0);
    expect(brief(connection.sent)).toEqual(brief(messages));
    expect(outbox.stalledSince).toBeUndefined();
    expect(outbox.pendingBytes).toBe(0);
  });

  it('gives the transport no more than it can use, and goes on when the peer reads', () => {
    const { connection, outbox } = setUp(0);
    const messages = numbered(100);
    pushAll(outbox, messages);
    outbox.flush(7);
    expect(outbox.stalledSince).toBe(7);
    expect(connection.bufferedBytes).toBeGreaterThanOrEqual(transportBytes);
    expect(connection.bufferedBytes).toBeLessThan(transportBytes + 2 * kibibyte.length);
    expect(outbox.pendingBytes).toBe(messages.reduce((sum, message) => sum + message.length, 0));
    connection.read(Number.POSITIVE_INFINITY);
    outbox.flush(8);
    expect(brief(connection.sent)).toEqual(brief(messages));
    expect(outbox.stalledSince).toBeUndefined();
    expect(outbox.pendingBytes).toBe(0);
  });

  it('starts the clock anew with each bit of progress, and only then', () => {
    const { connection, outbox } = setUp(0);
    pushAll(outbox, numbered(200));
    outbox.flush(1);
    outbox.flush(2);
    expect(outbox.stalledSince).toBe(1);
    connection.read(2048);
    outbox.flush(3);
    expect(outbox.stalledSince).toBe(3);
  });

  it('refuses what is beyond the number of messages that may wait', () => {
    const { outbox, scheduled } = setUp(0, { maxMessages: 4, maxBytes: 1_000_000 });
    pushAll(outbox, [...numbered(64), 'one too many for the transport']);
    outbox.flush(0);
    expect(outbox.stalledSince).toBe(0);
    expect(pushAll(outbox, ['2', '3', '4'])).toEqual([true, true, true]);
    expect(outbox.push(Buffer.from('5'))).toBe(false);
    // The transport says when it goes on; there is nothing to be scheduled meanwhile.
    expect(scheduled()).toBe(1);
  });

  it('refuses what is beyond the bytes that may wait', () => {
    const { outbox } = setUp(0, { maxMessages: 100, maxBytes: 3000 });
    pushAll(outbox, [...numbered(64), '']);
    outbox.flush(0);
    expect(outbox.push(Buffer.from(kibibyte))).toBe(true);
    expect(outbox.push(Buffer.from(kibibyte))).toBe(true);
    expect(outbox.push(Buffer.from(kibibyte))).toBe(false);
  });

  it('keeps order over stalls', () => {
    const { connection, outbox } = setUp(10_000, { maxMessages: 1000, maxBytes: 10_000_000 });
    const messages = numbered(300);
    for (const message of messages) {
      outbox.push(Buffer.from(message));
      outbox.flush(0);
      connection.read(500);
    }
    connection.read(Number.POSITIVE_INFINITY);
    outbox.flush(0);
    expect(brief(connection.sent)).toEqual(brief(messages));
  });

  it('forgets what waits when it is cleared', () => {
    const { connection, outbox } = setUp();
    outbox.push(Buffer.from('a'));
    outbox.clear();
    outbox.flush(0);
    expect(connection.sent).toEqual([]);
    expect(outbox.pendingBytes).toBe(0);
  });
});
