import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type {
  Connection,
  Listener,
  ListenerHandlers,
  ListenerLog,
  ListenerOptions,
  Rejection,
  RequestHead,
  UpgradeDecision,
} from './listener.ts';
import { NodeExchange, NodeRequest } from './listener-node-exchange.ts';
import { FrameBatch } from './listener-node-frames.ts';
import {
  closeText,
  handshakeFault,
  headerOf,
  headFault,
  listenError,
  refuse,
  safeHeaders,
  statusLine,
} from './listener-wire.ts';

/**
 * Connections that the kernel holds until they are accepted, as far as it allows (net.core.somaxconn). Node 20 accepts
 * one per turn of its event loop, and whoever finds the queue full tries again seconds later.
 */
const acceptBacklog = 4096;

export async function listenNode<D>(
  options: ListenerOptions,
  handlers: ListenerHandlers<D>,
  log: ListenerLog,
): Promise<Listener> {
  const server = createHttpServer(options);
  const sockets = new Set<Socket>();
  let connectionCount = 0;
  const websockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    WebSocket: NodeWebSocket,
    maxPayload: options.maxMessageBytes,
    skipUTF8Validation: true, // the codec decides what bad text is worth
    handleProtocols: () => false,
    closeTimeout: options.closeAckWaitMs,
  } as ConstructorParameters<typeof WebSocketServer<typeof NodeWebSocket<D>>>[0]);

  const forget = function (this: Socket): void {
    sockets.delete(this);
  };
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', forget);
  });

  server.on('request', (request: NodeRequest, response: ServerResponse) => {
    const exchange = new NodeExchange(request, response);
    const fault = headFault(exchange, request.url ?? '', options.maxHeaderBytes);
    if (fault !== undefined) {
      refuse(exchange, fault);
      return;
    }
    try {
      handlers.request(exchange);
    } catch (error) {
      log.error({ err: error }, 'request handler failed');
      refuse(exchange, 500);
    }
  });

  server.on('upgrade', async (request: NodeRequest, socket: Socket, head: Buffer) => {
    const ignore = () => {};
    socket.on('error', ignore); // nobody else listens until the handshake is done
    const { head: asked } = request;
    const fault = headFault(asked, request.url ?? '', options.maxHeaderBytes);
    const decision: UpgradeDecision<D> = fault
      ? { reject: { status: fault, headers: [], body: statusLine(fault) } }
      : await decide(asked);
    if (socket.destroyed) return;
    const rejection = 'reject' in decision ? decision.reject : handshakeFault(asked.headers);
    if (rejection) return socket.end(rejectionText(rejection), () => socket.destroySoon());
    websockets.handleUpgrade(request, socket, head, (websocket) => {
      socket.off('error', ignore);
      if ('accept' in decision) accept(decision.accept, websocket as NodeWebSocket<D>, socket);
    });
  });

  const decide = async (head: RequestHead): Promise<UpgradeDecision<D>> => {
    try {
      return await handlers.upgrade(head);
    } catch (error) {
      log.error({ err: error }, 'upgrade handler failed');
      return { reject: { status: 500, headers: [], body: statusLine(500) } };
    }
  };

  // The same functions for all sockets: of their own, they would be a good part of what an idle socket costs.
  const connectionOf = (websocket: WebSocket) => (websocket as NodeWebSocket<D>).connection;
  const message = function (this: WebSocket, content: Buffer, isBinary: boolean): void {
    const connection = connectionOf(this);
    if (connection?.isOpen) handlers.message(connection.data, content, isBinary);
  };
  const pong = function (this: WebSocket): void {
    const connection = connectionOf(this);
    if (connection?.isOpen) handlers.pong(connection.data);
  };
  const failed = function (this: WebSocket, error: Error): void {
    connectionOf(this)?.failed(error);
  };
  const closed = function (this: WebSocket, code: number, text: Buffer): void {
    const connection = connectionOf(this);
    if (connection === undefined) return;
    queueMicrotask(() => {
      connectionCount--;
      handlers.close(connection.data, connection.endCode ?? code, connection.endText ?? text.toString());
    });
  };

  const accept = (data: D, websocket: NodeWebSocket<D>, socket: Socket): void => {
    const connection = new NodeConnection(data, websocket, socket, handlers);
    websocket.connection = connection;
    connectionCount++;
    websocket.on('message', message).on('pong', pong).on('error', failed).on('close', closed);
    handlers.open(data, connection);
  };

  await bind(server, options);
  return {
    kind: 'node',
    port: (server.address() as AddressInfo).port,
    get connectionCount() {
      return connectionCount;
    },
    stopAccepting() {
      if (server.listening) server.close();
    },
    async close() {
      const closed = server.listening ? new Promise((resolve) => server.close(resolve)) : undefined;
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function createHttpServer(options: ListenerOptions): Server {
  const { tls } = options;
  const settings: ServerOptions<typeof NodeRequest> = {
    IncomingMessage: NodeRequest,
    maxHeaderSize: options.maxHeaderBytes,
    keepAliveTimeout: options.idleTimeoutMs,
    headersTimeout: options.readTimeoutMs,
    requestTimeout: options.readTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, Math.ceil(options.readTimeoutMs / 4)),
    noDelay: true,
  };
  const server = tls
    ? createTlsServer({ ...settings, cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) })
    : createServer(settings);
  server.maxHeadersCount = 0; // the cap is on bytes
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // A slow client is dropped without a word, as is one that is gone.
    if (!socket.writable || error.code === 'ERR_HTTP_REQUEST_TIMEOUT' || !error.code?.startsWith('HPE_')) {
      return socket.destroy();
    }
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
    socket.end(rejectionText({ status, headers: [], body: statusLine(status) }), () => socket.destroySoon());
  });
  return server;
}

function bind(server: Server, options: ListenerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(options, error)));
    const host = options.address === '' ? {} : { host: options.address };
    server.listen({ port: options.port, ...host, backlog: acceptBacklog }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function rejectionText({ status, headers, body }: Rejection): string {
  const lines = safeHeaders(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (
    headerOf(
      headers.map(([name, value]) => [name.toLowerCase(), value]),
      'content-type',
    ) === undefined
  ) {
    lines.push('Content-Type: text/plain; charset=utf-8\r\n');
  }
  return `HTTP/1.1 ${statusLine(status)}\r\n${lines.join('')}Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

class NodeWebSocket<D> extends WebSocket {
  connection: NodeConnection<D> | undefined;
}

class NodeConnection<D> implements Connection {
  readonly data: D;
  endCode: number | undefined;
  endText: string | undefined;
  readonly #websocket: WebSocket;
  readonly #socket: Socket;
  readonly #handlers: ListenerHandlers<D>;
  /** What was sent under a cork. */
  #batch: FrameBatch | undefined;
  #blocked = false;

  constructor(data: D, websocket: WebSocket, socket: Socket, handlers: ListenerHandlers<D>) {
    this.data = data;
    this.#websocket = websocket;
    this.#socket = socket;
    this.#handlers = handlers;
  }

  get isOpen(): boolean {
    return this.#websocket.readyState === WebSocket.OPEN;
  }

  get bufferedBytes(): number {
    if (this.#websocket.readyState === WebSocket.CLOSED) return 0;
    return this.#websocket.bufferedAmount + (this.#batch?.bytes ?? 0);
  }

  send(data: string | Uint8Array, binary: boolean): void {
    if (!this.isOpen) return;
    const isCorked = this.#batch !== undefined;
    this.#batch ??= new FrameBatch();
    this.#batch.add(typeof data === 'string' ? Buffer.from(data) : data, binary);
    if (!isCorked) this.#writeBatch();
  }

  ping(): void {
    if (!this.isOpen) return;
    this.#writeBatch();
    this.#websocket.ping();
  }

  cork(fn: () => void): void {
    if (!this.isOpen || this.#batch !== undefined) {
      fn();
      return;
    }
    this.#batch = new FrameBatch();
    try {
      fn();
    } finally {
      this.#writeBatch();
    }
  }

  // Past ws, which would make two chunks and some objects of every message: what it adds is only the frame's head.
  #writeBatch(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined || batch.bytes === 0 || !this.isOpen) return;
    batch.writeTo(this.#socket, this.#written);
    this.#blocked = this.#socket.writableLength > 0;
  }

  end(code: number, text: string): void {
    if (!this.isOpen) return;
    this.#writeBatch();
    this.endCode = code;
    this.endText = closeText(text);
    this.#websocket.close(code, this.endText);
  }

  terminate(): void {
    if (this.#websocket.readyState === WebSocket.CLOSED) return;
    this.endCode ??= 1006;
    this.endText ??= '';
    this.#websocket.terminate();
  }

  /** ws has closed because of what it read (1002, 1009), or the socket broke. */
  failed(error: Error): void {
    if (this.#websocket.readyState !== WebSocket.CLOSING || this.endCode !== undefined) return;
    this.endCode = closeCodes.get((error as NodeJS.ErrnoException).code ?? '') ?? 1002;
    this.endText = '';
  }

  readonly #written = (error?: Error | null): void => {
    if (error || !this.#blocked || !this.isOpen) return;
    this.#blocked = this.#socket.writableLength > 0;
    this.#handlers.drain(this.data);
  };
}

const closeCodes: ReadonlyMap<string, number> = new Map([
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 1009],
  ['WS_ERR_INVALID_UTF8', 1007],
]);
