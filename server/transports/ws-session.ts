import { type CloseReason, CloseReasons } from '../platform/errors.ts';
import type { EnvelopeFrame } from '../wire/envelope.ts';
import type { AuthenticatedUser, SocketSession } from '../wire/session.ts';
import type { Connection } from './listener.ts';
import type { Outbox } from './outbox.ts';
import type { SocketCodec } from './socket-codec.ts';

export interface SessionLimits {
  readonly inboundMessages: number;
  readonly inboundBytes: number;
  /** Every n-th message counts as a sign of life. */
  readonly pingBackoffThreshold: number;
}

/** What a session needs from the server that holds it. */
export interface SessionHost {
  readonly limits: SessionLimits;
  /** Answers one envelope. Throws AppError for what cannot be answered but by an error. */
  handle(session: WsSession, frame: Buffer): Promise<void>;
  /** A close was decided, by either side; called once. */
  closing(session: WsSession, reason: CloseReason): void;
  /** Monotonic milliseconds. */
  now(): number;
}

export interface SessionInit {
  readonly id: string;
  readonly user: AuthenticatedUser;
  readonly codec: SocketCodec;
  readonly lang: string;
  readonly clientAddress: string;
  readonly clientPort: string;
  readonly connectedAt: number;
}

/**
 * One socket: its messages are handled one at a time in the order they came, while pongs and closes are seen at once
 * (spec: realtime.md, sections 3 and 7).
 */
export class WsSession implements SocketSession {
  readonly id: string;
  readonly user: AuthenticatedUser;
  readonly codec: SocketCodec;
  readonly lang: string;
  readonly clientAddress: string;
  readonly clientPort: string;
  readonly connectedAt: number;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #host: SessionHost;
  readonly #inbound: Buffer[] = [];
  #inboundBytes = 0;
  #isBusy = true;
  #isClosed = false;
  #isFinishing = false;
  #inHand: Promise<void> | undefined;
  #messagesSinceLife = 0;
  #lastLife: number;
  #pingSent = false;

  constructor(init: SessionInit, connection: Connection, outbox: Outbox, host: SessionHost) {
    this.id = init.id;
    this.user = init.user;
    this.codec = init.codec;
    this.lang = init.lang;
    this.clientAddress = init.clientAddress;
    this.clientPort = init.clientPort;
    this.connectedAt = init.connectedAt;
    this.#connection = connection;
    this.#outbox = outbox;
    this.#host = host;
    this.#lastLife = host.now();
  }

  get format(): 'json' | 'protobuf' {
    return this.codec.format;
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  get pendingBytes(): number {
    return this.#outbox.pendingBytes;
  }

  send(frame: EnvelopeFrame): void {
    if (this.#isClosed) return;
    if (!this.#outbox.push(this.codec.encode(frame))) this.#abandon(CloseReasons.queueFull);
  }

  /** What was sent before leaves as far as the peer reads, then `last` in any case, then the close frame. */
  close(reason: CloseReason, last?: EnvelopeFrame): void {
    if (this.#isClosed) return;
    this.#outbox.flush(this.#host.now());
    if (last !== undefined) this.#connection.send(this.codec.encode(last), this.codec.isBinary);
    this.#abandon(reason);
  }

  /** Takes no more messages; resolves when the one in hand is answered. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    this.#inbound.length = 0;
    await this.#inHand;
  }

  /** The peer or the network ended it. */
  ended(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
  }

  /** The features are ready for this session: its messages may be handled. */
  ready(): void {
    this.#isBusy = false;
    this.#next();
  }

  /** A message arrived. The bytes are only valid during the call. */
  receive(message: Buffer, isBinary: boolean): void {
    if (this.#isClosed || this.#isFinishing) return;
    if (++this.#messagesSinceLife >= this.#host.limits.pingBackoffThreshold) this.alive();
    if (isBinary !== this.codec.isBinary) {
      this.close(CloseReasons.wrongFrameType);
      return;
    }
    const { inboundMessages, inboundBytes } = this.#host.limits;
    if (this.#inbound.length >= inboundMessages || this.#inboundBytes + message.length > inboundBytes) {
      this.close(CloseReasons.inboundFull);
      return;
    }
    this.#inbound.push(Buffer.from(message));
    this.#inboundBytes += message.length;
    if (!this.#isBusy) this.#next();
  }

  /** The peer showed that it lives. */
  alive(): void {
    this.#lastLife = this.#host.now();
    this.#messagesSinceLife = 0;
    this.#pingSent = false;
  }

  /** Bytes the peer was slow to read have left. */
  drained(): void {
    if (!this.#isClosed) this.#outbox.flush(this.#host.now());
  }

  /** Pings a quiet peer, and ends one that shows no life or does not read. Called several times a second. */
  checkLife(times: { pingPeriodMs: number; pongWaitMs: number; writeWaitMs: number }): void {
    const now = this.#host.now();
    const { stalledSince } = this.#outbox;
    if (stalledSince !== undefined && now - stalledSince >= times.writeWaitMs) {
      this.#abandon(CloseReasons.writeTimeout);
    } else if (now - this.#lastLife >= times.pongWaitMs) {
      this.close(CloseReasons.pongTimeout);
    } else if (!this.#pingSent && now - this.#lastLife >= times.pingPeriodMs) {
      this.#pingSent = true;
      this.#connection.ping();
    }
  }

  #next(): void {
    const message = this.#inbound.shift();
    if (message === undefined || this.#isClosed) return;
    this.#inboundBytes -= message.length;
    this.#isBusy = true;
    this.#inHand = this.#host.handle(this, message).finally(() => {
      this.#isBusy = false;
      this.#next();
    });
  }

  #abandon(reason: CloseReason): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
    this.#connection.end(reason.code, reason.text);
    this.#host.closing(this, reason);
  }

  #forget(): void {
    this.#inbound.length = 0;
    this.#inboundBytes = 0;
    this.#outbox.clear();
  }
}
