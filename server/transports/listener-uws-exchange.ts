import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js';
import type { HeaderList, HttpExchange } from './listener.ts';
import {
  addressText,
  drainBytes,
  drainMs,
  hasBody,
  headerOf,
  safeHeaders,
  statusLine,
  withoutBody,
} from './listener-wire.ts';

/** Taken from the kernel before anybody asked for the body; then the socket is paused. */
const unclaimedBytes = 64 * 1024;

/** uWebSockets.js drops an idle connection after 8 to 12 s: clients should not count on it that long. */
const keepAlive = 'timeout=6';

type Body = Buffer | 'too-large' | 'aborted';

export class UwsExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly target: string;
  readonly headers: HeaderList;
  readonly peerAddress: string;
  readonly peerPort = 0;
  aborted = false;
  /** Gone once answered or aborted: it throws then. */
  #response: HttpResponse | undefined;
  #chunks: Buffer[] = [];
  #received = 0;
  #complete: boolean;
  #paused = false;
  #limit = Number.POSITIVE_INFINITY;
  #claim: ((body: Body) => void) | undefined;
  /** The answer that waits for the rest of a body nobody wants. */
  #parting: { send: () => void; timer: NodeJS.Timeout; until: number } | undefined;

  constructor(response: HttpResponse, request: HttpRequest) {
    const headers: [string, string][] = [];
    request.forEach((name, value) => {
      headers.push([name, value]);
    });
    this.method = request.getCaseSensitiveMethod().toUpperCase();
    this.path = request.getUrl();
    this.query = request.getQuery() ?? '';
    this.target = this.query === '' ? this.path : `${this.path}?${this.query}`;
    this.headers = headers;
    this.peerAddress = addressText(new Uint8Array(response.getRemoteAddress()));
    this.#response = response;
    this.#complete = !hasBody(headers);
    response.onAborted(() => this.#abort());
    if (!this.#complete) response.onData((chunk, isLast) => this.#receive(chunk, isLast));
  }

  readBody(limit: number): Promise<Body> {
    if (this.aborted) return Promise.resolve('aborted');
    if (this.#received > limit || Number(headerOf(this.headers, 'content-length')) > limit) {
      this.#limit = -1;
      this.#chunks = [];
      return Promise.resolve('too-large');
    }
    if (this.#complete) return Promise.resolve(this.#take());
    this.#limit = limit;
    this.#resume();
    return new Promise((resolve) => {
      this.#claim = resolve;
    });
  }

  respond(status: number, headers: HeaderList, body: string | Uint8Array, closeConnection = false): void {
    if (!this.#response || this.#parting) return;
    const send = () => this.#send(status, headers, body, closeConnection);
    this.#chunks = [];
    this.#resume();
    if (!closeConnection || this.#complete) {
      send();
      return;
    }
    // uWebSockets.js closes the socket with the answer, and a client that is still sending would see a reset instead.
    this.#limit = -1;
    this.#parting = { send, timer: setTimeout(send, drainMs), until: this.#received + drainBytes };
  }

  upgrade<T>(userData: T, context: us_socket_context_t): void {
    const response = this.#response;
    if (!response) return;
    this.#response = undefined;
    const key = headerOf(this.headers, 'sec-websocket-key') ?? '';
    response.cork(() => response.upgrade(userData, key, '', '', context));
  }

  #send(status: number, headers: HeaderList, body: string | Uint8Array, closeConnection: boolean): void {
    const response = this.#response;
    if (!response) return;
    this.#response = undefined;
    clearTimeout(this.#parting?.timer);
    response.cork(() => {
      response.writeStatus(statusLine(status));
      for (const [name, value] of safeHeaders(headers)) response.writeHeader(name, value);
      if (!closeConnection) response.writeHeader('Keep-Alive', keepAlive);
      if (!withoutBody(this.method, status)) return response.end(body, closeConnection);
      // Told a length or to close, endWithoutBody would leave the connection waiting for a body.
      if (this.method === 'HEAD') response.writeHeader('Content-Length', String(Buffer.byteLength(body)));
      if (closeConnection) response.writeHeader('Connection', 'close');
      response.endWithoutBody();
    });
  }

  #receive(chunk: ArrayBuffer, isLast: boolean): void {
    this.#received += chunk.byteLength;
    this.#complete = isLast;
    if (this.#parting) {
      if (isLast || this.#received > this.#parting.until) this.#parting.send();
    } else if (this.#received > this.#limit) {
      this.#limit = -1;
      this.#chunks = [];
      this.#settle('too-large');
    } else if (this.#response) {
      this.#chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast && this.#claim) this.#settle(this.#take());
      else if (!this.#claim && !isLast && this.#received > unclaimedBytes) this.#pause();
    }
  }

  #take(): Buffer {
    const [first] = this.#chunks;
    const body = this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks);
    this.#chunks = [];
    return body;
  }

  #settle(body: Body): void {
    this.#claim?.(body);
    this.#claim = undefined;
  }

  #pause(): void {
    if (!this.#paused) this.#response?.pause();
    this.#paused = true;
  }

  #resume(): void {
    if (this.#paused) this.#response?.resume();
    this.#paused = false;
  }

  #abort(): void {
    this.aborted = true;
    this.#response = undefined;
    this.#chunks = [];
    clearTimeout(this.#parting?.timer);
    this.#settle('aborted');
  }
}
