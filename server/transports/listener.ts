import { servesSplitRequestLines } from './listener-uws-check.ts';
import { NativeModuleError } from './listener-wire.ts';

/**
 * The port between the transports and the network: HTTP/1.1 and WebSockets on one TCP port. Two implementations keep
 * the same contract (listener.test.ts): uWebSockets.js, and node:http with ws for platforms without its binary.
 */
export interface ListenerOptions {
  /** '' listens on every address. */
  address: string;
  /** 0 takes any free port. */
  port: number;
  /** Longest inbound WebSocket message, all fragments together; beyond it the socket closes with 1009. */
  maxMessageBytes: number;
  /** Request line and headers together; beyond it the answer is 431. */
  maxHeaderBytes: number;
  /** For a whole request to arrive. uWebSockets.js has 10 s of its own, fixed. */
  readTimeoutMs: number;
  /** For the next request of a kept connection. uWebSockets.js has 10 s of its own, fixed. */
  idleTimeoutMs: number;
  /** How long the peer may take to answer a close frame. */
  closeAckWaitMs: number;
  tls?: { certFile: string; keyFile: string };
  /** Share the port with other processes; with node:http they must be workers of node:cluster. */
  reusePort?: boolean;
}

export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface RequestHead {
  /** Upper case. */
  readonly method: string;
  /** As sent, before the '?', not decoded. */
  readonly path: string;
  /** As sent, after the '?'; '' when there is none. */
  readonly query: string;
  /** Lower-case names, in order, duplicates kept. */
  readonly headers: HeaderList;
  readonly peerAddress: string;
  /** 0 where the implementation cannot tell. */
  readonly peerPort: number;
}

export interface HttpExchange extends RequestHead {
  /** The client went away before it was answered. */
  readonly aborted: boolean;
  /**
   * Collects the body; to be called once. A body over `limit` bytes is 'too-large' as soon as that is known, and the
   * rest of it is thrown away.
   */
  readBody(limit: number): Promise<Buffer | 'too-large' | 'aborted'>;
  /**
   * Answers. Only the first call counts, and none does once the client has gone. `content-length` is added, a HEAD
   * request gets the headers alone, and characters that could break out of a header are replaced. `closeConnection`
   * ends the connection after the response.
   */
  respond(status: number, headers: HeaderList, body: string | Uint8Array, closeConnection?: boolean): void;
}

export type UpgradeRequest = RequestHead;

export interface Rejection {
  status: number;
  headers: HeaderList;
  body: string;
}

export type UpgradeDecision<D> = { accept: D } | { reject: Rejection };

/** One accepted WebSocket. No method throws; all are ignored once the connection has closed or is ending. */
export interface Connection {
  send(data: string | Uint8Array, binary: boolean): void;
  /** Packs the sends inside into as few writes as the implementation can. */
  cork(fn: () => void): void;
  /** Accepted by send but not yet by the kernel. 0 once closed. */
  readonly bufferedBytes: number;
  ping(): void;
  /**
   * Sends a close frame after what was sent before, and closes the socket when the peer answered it or
   * closeAckWaitMs later. `text` is cut to the 123 bytes a close frame can carry. No more messages are delivered.
   */
  end(code: number, text: string): void;
  /** Drops the socket at once. */
  terminate(): void;
}

export interface ListenerHandlers<D> {
  request(exchange: HttpExchange): void;
  /** Asked for `GET /ws` with `Upgrade: websocket`; every other request, `GET /ws` without it too, goes to request. */
  upgrade(request: UpgradeRequest): UpgradeDecision<D> | Promise<UpgradeDecision<D>>;
  open(data: D, connection: Connection): void;
  /** `message` is only valid during the call: copy what is kept. */
  message(data: D, message: Buffer, isBinary: boolean): void;
  pong(data: D): void;
  /** bufferedBytes fell. */
  drain(data: D): void;
  /**
   * Once per open, never from inside end() or terminate(), and the last call for this data. `code` is the peer's close
   * code, ours when we ended, 1005 for a close frame without one and 1006 when the socket broke.
   */
  close(data: D, code: number, text: string): void;
}

export interface Listener {
  readonly port: number;
  readonly kind: 'uws' | 'node';
  /** WebSockets between open and close. */
  readonly connectionCount: number;
  /** Refuses new connections; those that exist live on. */
  stopAccepting(): void;
  /** Drops everything that is left. */
  close(): Promise<void>;
}

/** The part of the server's logger that is needed here. */
export interface ListenerLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type ListenerKind = 'auto' | 'uws' | 'node';

/**
 * Starts listening. `auto` takes uWebSockets.js where its binary loads and keeps the contract, and otherwise says so in
 * one line and takes node:http; `uws` insists. A port that is shared outside Linux is served by node:http, for only the
 * Linux kernel spreads connections over the sockets of one port. Rejects when the port is taken or a file of `tls`
 * cannot be read.
 */
export async function listen<D>(
  kind: ListenerKind,
  options: ListenerOptions,
  handlers: ListenerHandlers<D>,
  log: ListenerLog,
): Promise<Listener> {
  const spreads = !options.reusePort || process.platform === 'linux';
  if (kind === 'uws' || (kind === 'auto' && spreads)) {
    const { listenUws, loadUws } = await import('./listener-uws.ts');
    try {
      const uws = await loadUws(options.maxHeaderBytes);
      if (kind === 'uws' || (await servesSplitRequestLines(uws))) return await listenUws(uws, options, handlers, log);
      log.warn({}, 'this build of uWebSockets.js refuses request lines that arrive in pieces, using node:http');
    } catch (error) {
      if (kind === 'uws' || !(error instanceof NativeModuleError)) throw error;
      log.warn({ err: error.cause }, 'uWebSockets.js has no binary for this platform, using node:http');
    }
  }
  const { listenNode } = await import('./listener-node.ts');
  return listenNode(options, handlers, log);
}
