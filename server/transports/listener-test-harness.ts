/** A listener under test, what its handlers were told, and the clients that talk to it. */
import { vi } from 'vitest';
import {
  type Connection,
  type HttpExchange,
  type Listener,
  type ListenerHandlers,
  type ListenerOptions,
  listen,
} from './listener.ts';
import { RawClient, type RawResponse } from './listener-test-client.ts';
import { loadUws } from './listener-uws.ts';

export const listenerOptions: ListenerOptions = {
  address: '127.0.0.1',
  port: 0,
  maxMessageBytes: 64,
  maxHeaderBytes: 9216,
  readTimeoutMs: 400,
  idleTimeoutMs: 500,
  closeAckWaitMs: 300,
};

/** Both implementations, or the one that works on every platform. */
export const kinds = await loadUws(listenerOptions.maxHeaderBytes).then(
  () => ['uws', 'node'] as const,
  () => ['node'] as const,
);

export interface Session {
  connection?: Connection;
  query: string;
  messages: [text: string, isBinary: boolean][];
  pongs: number;
  drains: number;
  closes: [code: number, text: string][];
}

export const newSession = (query = ''): Session => ({ query, messages: [], pongs: 0, drains: 0, closes: [] });

export async function describeRequest(exchange: HttpExchange): Promise<void> {
  const { method, path, query, headers } = exchange;
  const body = await exchange.readBody(1000);
  if (body === 'aborted') return;
  if (body === 'too-large') exchange.respond(400, [], 'too large', true);
  else exchange.respond(200, [], JSON.stringify({ method, path, query, headers, body: body.toString() }));
}

export class Harness {
  readonly log = { warn: vi.fn(), error: vi.fn() };
  readonly sessions: Session[] = [];
  readonly exchanges: HttpExchange[] = [];
  onRequest: (exchange: HttpExchange) => void = describeRequest;
  onUpgrade: ListenerHandlers<Session>['upgrade'] = (request) => ({ accept: newSession(request.query) });
  onOpen: (connection: Connection) => void = () => {};
  onMessage: (session: Session, text: string) => void = (session, text) => session.connection?.send(text, false);
  #listener: Listener | undefined;
  readonly #clients: RawClient[] = [];

  readonly handlers: ListenerHandlers<Session> = {
    request: (exchange) => {
      this.exchanges.push(exchange);
      this.onRequest(exchange);
    },
    upgrade: (request) => this.onUpgrade(request),
    open: (session, connection) => {
      session.connection = connection;
      this.sessions.push(session);
      this.onOpen(connection);
    },
    message: (session, message, isBinary) => {
      session.messages.push([message.toString(), isBinary]);
      this.onMessage(session, message.toString());
    },
    pong: (session) => {
      session.pongs++;
    },
    drain: (session) => {
      session.drains++;
    },
    close: (session, code, text) => {
      session.closes.push([code, text]);
    },
  };

  static async start(kind: 'uws' | 'node', changes: Partial<ListenerOptions> = {}): Promise<Harness> {
    const harness = new Harness();
    harness.#listener = await listen(kind, { ...listenerOptions, ...changes }, harness.handlers, harness.log);
    return harness;
  }

  get listener(): Listener {
    if (!this.#listener) throw new Error('not started');
    return this.#listener;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    await this.listener.close();
  }

  async raw(allowHalfOpen = false): Promise<RawClient> {
    const client = await RawClient.connect(this.listener.port, allowHalfOpen);
    this.#clients.push(client);
    return client;
  }

  async ask(data: string | Uint8Array): Promise<RawResponse> {
    const client = await this.raw();
    client.write(data);
    return client.response();
  }

  /** What the handler saw of a request. */
  async seen(data: string): Promise<Record<string, unknown>> {
    return JSON.parse((await this.ask(data)).body);
  }

  async open(allowHalfOpen = false): Promise<{ client: RawClient; session: Session; connection: Connection }> {
    const before = this.sessions.length;
    const client = await RawClient.websocket(this.listener.port, allowHalfOpen);
    this.#clients.push(client);
    await vi.waitFor(() => {
      if (this.sessions.length === before) throw new Error('not open');
    });
    const session = this.sessions.at(-1) as Session;
    return { client, session, connection: session.connection as Connection };
  }
}
