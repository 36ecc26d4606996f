import type { Connection } from './listener.ts';

export interface OutboxLimits {
  /** Messages that may wait while the peer does not read. */
  readonly maxMessages: number;
  /** Bytes that may wait while the peer does not read. */
  readonly maxBytes: number;
}

/** What the outboxes of a node have in common. */
export interface OutboxHost {
  readonly limits: OutboxLimits;
  /** Has `flush` called at the end of this turn of the event loop. */
  schedule(outbox: Outbox): void;
  /** Hears the size of each message that goes to the transport. */
  sent(bytes: number): void;
}

/** What the transport may hold beyond the kernel's buffer before messages wait here, as references and not as copies. */
const transportBytes = 64 * 1024;

/**
 * The outgoing queue of one socket. Messages sent in one turn of the event loop leave in one write. Once the peer stops
 * reading they wait here, shared with every other receiver of the same message, up to both limits.
 */
export class Outbox {
  readonly #connection: Connection;
  readonly #host: OutboxHost;
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #isScheduled = false;
  #stalledSince: number | undefined;
  readonly #isBinary: boolean;

  constructor(connection: Connection, isBinary: boolean, host: OutboxHost) {
    this.#connection = connection;
    this.#isBinary = isBinary;
    this.#host = host;
  }

  /** Queues a message; false when the peer is so far behind that the socket has to go. */
  push(message: Uint8Array): boolean {
    this.#queue.push(message);
    this.#bytes += message.length;
    if (this.#stalledSince !== undefined) {
      const { maxMessages, maxBytes } = this.#host.limits;
      return this.#queue.length <= maxMessages && this.#bytes <= maxBytes;
    }
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      this.#host.schedule(this);
    }
    return true;
  }

  /** Writes what waits, as far as the peer reads. @param now monotonic milliseconds. */
  flush(now: number): void {
    this.#isScheduled = false;
    if (this.#queue.length === 0) {
      this.#stalledSince = undefined;
      return;
    }
    const queue = this.#queue;
    let sent = 0;
    const mayGoOn = (): boolean => sent < queue.length && this.#connection.bufferedBytes < transportBytes;
    // In rounds: corked bytes may count as buffered, and only after the cork is it known what the peer took.
    while (mayGoOn()) {
      this.#connection.cork(() => {
        while (mayGoOn()) {
          const message = queue[sent++] as Uint8Array;
          this.#bytes -= message.length;
          this.#connection.send(message, this.#isBinary);
          this.#host.sent(message.length);
        }
      });
    }
    if (sent === queue.length) {
      this.#queue = [];
      this.#stalledSince = undefined;
    } else {
      this.#queue = queue.slice(sent);
      // Each bit of progress starts the clock anew.
      if (sent > 0 || this.#stalledSince === undefined) this.#stalledSince = now;
    }
  }

  /** Since when (monotonic milliseconds) the peer has not read anything, undefined while it does. */
  get stalledSince(): number | undefined {
    return this.#stalledSince;
  }

  /** Bytes waiting here and in the transport. */
  get pendingBytes(): number {
    return this.#bytes + this.#connection.bufferedBytes;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#queue = [];
    this.#bytes = 0;
  }
}
