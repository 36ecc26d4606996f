import { IncomingMessage, type ServerResponse } from 'node:http';
import type { HeaderList, HttpExchange, RequestHead } from './listener.ts';
import {
  drainBytes,
  drainMs,
  hasBody,
  headerOf,
  isWebSocketRequest,
  safeHeaders,
  withoutBody,
} from './listener-wire.ts';

/** node:http decodes what it reads as latin1. */
const decoded = (text: string): string => (/[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString() : text);

/** A request that counts as an upgrade only where it asks for our WebSocket; node:http answers all others as usual. */
export class NodeRequest extends IncomingMessage {
  #upgrade = false;
  #head: RequestHead | undefined;

  get upgrade(): boolean {
    return this.#upgrade && this.method === 'GET' && isWebSocketRequest(this.head);
  }

  set upgrade(value: boolean | null) {
    // The constructor of IncomingMessage already sets it, before there is a field.
    if (#upgrade in this) this.#upgrade = value === true;
  }

  get head(): RequestHead {
    if (this.#head) return this.#head;
    const url = (this.url ?? '').replace(/^https?:\/\/[^/?]*/i, '');
    const mark = url.indexOf('?');
    const headers: [string, string][] = [];
    for (let index = 0; index < this.rawHeaders.length; index += 2) {
      headers.push([(this.rawHeaders[index] ?? '').toLowerCase(), decoded(this.rawHeaders[index + 1] ?? '')]);
    }
    this.#head = {
      method: this.method ?? '',
      path: (mark < 0 ? url : url.slice(0, mark)) || '/',
      query: mark < 0 ? '' : url.slice(mark + 1),
      headers,
      peerAddress: (this.socket.remoteAddress ?? '').replace(/^::ffff:(?=[\d.]+$)/, ''),
      peerPort: this.socket.remotePort ?? 0,
    };
    return this.#head;
  }
}

export class NodeExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly #request: NodeRequest;
  readonly #response: ServerResponse;
  #answered = false;

  constructor(request: NodeRequest, response: ServerResponse) {
    const { head } = request;
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.headers = head.headers;
    this.peerAddress = head.peerAddress;
    this.peerPort = head.peerPort;
    this.#request = request;
    this.#response = response;
    request.on('error', () => {}); // told through aborted
    response.on('error', () => {});
  }

  get aborted(): boolean {
    return !this.#response.writableEnded && this.#response.destroyed;
  }

  readBody(limit: number): Promise<Buffer | 'too-large' | 'aborted'> {
    if (this.aborted) return Promise.resolve('aborted');
    if (Number(headerOf(this.headers, 'content-length')) > limit) return Promise.resolve('too-large');
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let received = 0;
      const request = this.#request;
      request.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received <= limit) return chunks.push(chunk);
        chunks.length = 0;
        return resolve('too-large');
      });
      request.on('end', () => resolve(Buffer.concat(chunks)));
      request.on('close', () => resolve('aborted'));
    });
  }

  respond(status: number, headers: HeaderList, body: string | Uint8Array, closeConnection = false): void {
    if (this.#answered || this.aborted) return;
    this.#answered = true;
    const send = () => this.#send(status, headers, body, closeConnection);
    if (!closeConnection || this.#request.complete || !hasBody(this.headers)) {
      send();
      return;
    }
    // Closing on a client that is still sending would show it a reset instead of the answer.
    const request = this.#request;
    let left = drainBytes;
    const parting = () => {
      clearTimeout(timer);
      request.off('end', parting).off('close', parting).off('data', count);
      send();
    };
    const count = (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) parting();
    };
    const timer = setTimeout(parting, drainMs);
    request.on('end', parting).on('close', parting).on('data', count);
  }

  #send(status: number, headers: HeaderList, body: string | Uint8Array, closeConnection: boolean): void {
    const response = this.#response;
    if (response.destroyed) return;
    const fields = safeHeaders(headers).flat();
    if (closeConnection) fields.push('Connection', 'close');
    const bare = withoutBody(this.method, status);
    if (!bare || this.method === 'HEAD') fields.push('Content-Length', String(Buffer.byteLength(body)));
    response.writeHead(status, fields);
    response.end(bare ? undefined : body);
  }
}
