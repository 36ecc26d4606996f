import type { Logger } from 'pino';
import { FatalMessageError, type Gateway } from '../gateway/gateway.ts';
import { clientAddress } from '../platform/client-address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { type CloseReason, CloseReasons } from '../platform/errors.ts';
import { newId } from '../platform/ids.ts';
import type { Metrics } from '../platform/metrics.ts';
import { within } from '../platform/within.ts';
import { WireDecodeError } from '../wire/decode-error.ts';
import type { AuthenticatedUser } from '../wire/session.ts';
import { type HttpAnswer, headerValues, textAnswer } from './http-exchange.ts';
import { parseQuery } from './http-path.ts';
import type { Connection, RequestHead, UpgradeDecision } from './listener.ts';
import { Outbox, type OutboxHost } from './outbox.ts';
import { SocketCalls } from './socket-calls.ts';
import { jsonCodec, protobufCodec, type SocketCodec } from './socket-codec.ts';
import { type SessionHost, WsSession } from './ws-session.ts';

/** What the handshake settled. The session itself exists once the socket is open. */
export interface SocketData {
  readonly user: AuthenticatedUser;
  readonly codec: SocketCodec;
  readonly lang: string;
  readonly appearOnline: boolean;
  readonly clientAddress: string;
  readonly clientPort: string;
  session: WsSession | undefined;
}

interface Dependencies {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often sockets are looked at for pings, silence and stalled writes. */
const lifeCheckMs = 250;
const goTrue = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);

/** The realtime sockets of this node, from handshake to clean-up (spec: realtime.md, sections 1, 7 and 8). */
export class WsServer {
  readonly #deps: Dependencies;
  readonly #sessions = new Set<WsSession>();
  /** Sessions that the features are still getting to know. */
  readonly #openings = new Map<WsSession, Promise<void>>();
  readonly #cleanUps = new Set<Promise<void>>();
  readonly #calls: SocketCalls;
  readonly #host: SessionHost;
  readonly #outboxHost: OutboxHost;
  readonly #lifeCheck: NodeJS.Timeout;
  #toFlush: Outbox[] = [];
  /** Set once all sockets are to end. */
  #closeReason: CloseReason | undefined;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    const { limits, socket } = deps.config;
    this.#calls = new SocketCalls(deps.gateway, deps.metrics, deps.log);
    this.#host = {
      limits: {
        inboundMessages: limits.session_inbound_messages,
        inboundBytes: limits.session_inbound_bytes,
        pingBackoffThreshold: socket.ping_backoff_threshold,
      },
      handle: (session, frame) => this.#handle(session, frame),
      closing: (session, reason) => this.#closing(session, reason),
      now: () => deps.clock.monotonic(),
    };
    this.#outboxHost = {
      limits: { maxMessages: socket.outgoing_queue_size, maxBytes: socket.outgoing_queue_bytes },
      schedule: (outbox) => this.#scheduleFlush(outbox),
      sent: (bytes) => deps.metrics.socketSent(bytes),
    };
    const times = {
      pingPeriodMs: socket.ping_period_ms,
      pongWaitMs: socket.pong_wait_ms,
      writeWaitMs: socket.write_wait_ms,
    };
    this.#lifeCheck = setInterval(() => {
      for (const session of this.#sessions) session.checkLife(times);
    }, lifeCheckMs);
    this.#lifeCheck.unref();
  }

  get count(): number {
    return this.#sessions.size;
  }

  /** Decides on a handshake: format first, then the token, then room for one more. */
  upgrade(request: RequestHead): UpgradeDecision<SocketData> {
    const checked = this.#check(request);
    if ('status' in checked) {
      const { status, body, headers = [], contentType = '' } = checked;
      return { reject: { status, headers: [...headers, ['Content-Type', contentType]], body } };
    }
    return { accept: checked };
  }

  /** The answer to `GET /ws` without an upgrade. */
  refuse(request: RequestHead): HttpAnswer {
    const checked = this.#check(request);
    return 'status' in checked ? checked : textAnswer(400, 'Bad Request');
  }

  open(data: SocketData, connection: Connection): void {
    if (this.#closeReason !== undefined) {
      connection.end(this.#closeReason.code, this.#closeReason.text);
      return;
    }
    const { clock, gateway, log, metrics } = this.#deps;
    const outbox = new Outbox(connection, data.codec.isBinary, this.#outboxHost);
    const init = { ...data, id: newId(), connectedAt: clock.now() };
    const session = new WsSession(init, connection, outbox, this.#host);
    data.session = session;
    this.#sessions.add(session);
    metrics.socketOpened();
    const opening = gateway
      .socketOpened(session, { appearOnline: data.appearOnline })
      .then(
        () => session.ready(),
        (error) => {
          if (session.closed) return;
          log.warn({ err: error, sid: session.id }, 'could not open socket');
          session.close(CloseReasons.unavailable);
        },
      )
      .finally(() => this.#openings.delete(session));
    this.#openings.set(session, opening);
  }

  message({ session }: SocketData, message: Buffer, isBinary: boolean): void {
    session?.receive(message, isBinary);
  }

  pong({ session }: SocketData): void {
    session?.alive();
  }

  drain({ session }: SocketData): void {
    session?.drained();
  }

  closed({ session }: SocketData): void {
    if (session === undefined || session.closed) return;
    session.ended();
    this.#cleanUp(session, 'client');
  }

  /**
   * Lets each socket answer the message in hand, tells it why it ends, and takes it out of the features. New ones are
   * refused from now on.
   * @param deadlineMs for all of it together.
   */
  async closeAll(reason: CloseReason, deadlineMs: number): Promise<void> {
    this.#closeReason = reason;
    const closed = Promise.all(
      [...this.#sessions].map(async (session) => {
        await session.finish();
        session.close(reason);
      }),
    ).then(() => Promise.all(this.#cleanUps));
    await within(deadlineMs, closed);
    for (const session of [...this.#sessions]) session.close(reason);
  }

  stop(): void {
    clearInterval(this.#lifeCheck);
  }

  #check(request: RequestHead): SocketData | HttpAnswer {
    const query = parseQuery(request.query, 'skip');
    const parameter = (name: string): string => query.get(name)?.[0] ?? '';
    const codec = codecs.get(parameter('format'));
    if (codec === undefined) return textAnswer(400, 'Invalid format parameter');
    const { gateway, config } = this.#deps;
    const authorization = headerValues(request.headers, 'authorization');
    const user = gateway.authenticator.handshake(authorization, parameter('token'));
    if (user === null) return textAnswer(401, 'Missing or invalid token');
    if (this.#closeReason !== undefined) return textAnswer(503, 'Service unavailable');
    if (this.#sessions.size >= config.limits.sockets) return textAnswer(503, 'Too many connections');
    const forwarded = headerValues(request.headers, 'x-forwarded-for').join(',');
    const client = clientAddress(forwarded, request.peerAddress, request.peerPort, config.socket.proxy_count);
    return {
      user,
      codec,
      lang: parameter('lang') || 'en',
      appearOnline: goTrue.has(parameter('status')),
      clientAddress: client.address,
      clientPort: client.port,
      session: undefined,
    };
  }

  async #handle(session: WsSession, frame: Buffer): Promise<void> {
    const { log, metrics } = this.#deps;
    metrics.socketMessage(frame.length);
    try {
      await this.#calls.handle(session, frame);
    } catch (error) {
      // Answered already where an answer is due; what is left ends the socket.
      metrics.socketMessageError();
      if (error instanceof WireDecodeError) {
        session.close(CloseReasons.malformed);
      } else {
        if (!(error instanceof FatalMessageError))
          log.error({ err: error, sid: session.id }, 'message handling failed');
        session.close(CloseReasons.processing);
      }
    }
  }

  #closing(session: WsSession, reason: CloseReason): void {
    if (reason === CloseReasons.queueFull) this.#deps.metrics.outgoingQueueFull();
    this.#cleanUp(session, reason.text === '' ? String(reason.code) : reason.text);
  }

  #cleanUp(session: WsSession, reason: string): void {
    const { metrics, gateway } = this.#deps;
    this.#sessions.delete(session);
    metrics.socketClosed(reason);
    // Not while the features are still getting to know it: they would go on, and keep it for ever.
    const opening = this.#openings.get(session);
    const closed = opening?.then(() => gateway.socketClosed(session, reason)) ?? gateway.socketClosed(session, reason);
    const cleanUp = closed.finally(() => this.#cleanUps.delete(cleanUp));
    this.#cleanUps.add(cleanUp);
  }

  // Everything sent in one turn of the event loop leaves in one write per socket.
  #scheduleFlush(outbox: Outbox): void {
    this.#toFlush.push(outbox);
    if (this.#toFlush.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const outboxes = this.#toFlush;
    this.#toFlush = [];
    const now = this.#deps.clock.monotonic();
    for (const outbox of outboxes) outbox.flush(now);
  }
}

const codecs: ReadonlyMap<string, SocketCodec> = new Map([
  ['', jsonCodec],
  ['json', jsonCodec],
  ['protobuf', protobufCodec],
]);
