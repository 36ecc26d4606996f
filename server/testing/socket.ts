import { WebSocket } from 'ws';
import { EnvelopeFrame } from '../wire/envelope.ts';
import { decodeEnvelopeJson, encodeEnvelopeJson } from '../wire/envelope-json.ts';
import { decodeProtobuf } from '../wire/envelope-protobuf.ts';
import { decodeJson, restMode } from '../wire/json-decode.ts';
import { encodeJson } from '../wire/json-encode.ts';
import { allMethodTypes, type MethodType } from '../wire/types.ts';
import { type Entrance, enter, type Target } from './server.ts';
import { waitFor } from './wait.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into envelopes freely
export type Envelope = any;

export type Format = 'json' | 'protobuf';
export const formats: readonly Format[] = ['json', 'protobuf'];

/** The cid of the ping with which a socket begins on several nodes. */
const introduction = 'introduction';

export interface ConnectOptions {
  readonly format?: Format;
  /** Further query parameters. */
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  /** Answer the server's pings; true unless told otherwise. */
  readonly autoPong?: boolean;
}

/**
 * A socket that speaks raw frames. Envelopes are written and read as their JSON form in either format, so that a test
 * is written once for both.
 */
export class TestSocket {
  readonly ws: WebSocket;
  readonly format: Format;
  /** Everything received and not yet taken, oldest first. */
  readonly received: Envelope[] = [];
  /** How the socket ended, once it has. */
  closed: { code: number; reason: string } | undefined;
  /** Methods called over a protobuf socket, by cid: their results need a type to be read. */
  readonly #calls = new Map<string, string>();
  readonly #catchUp: Entrance['catchUp'];
  #introduced = (): void => {};
  #cid = 0;

  private constructor(ws: WebSocket, format: Format, catchUp: Entrance['catchUp']) {
    this.ws = ws;
    this.format = format;
    this.#catchUp = catchUp;
    ws.on('message', (data: Buffer, isBinary) => {
      if (isBinary !== (format === 'protobuf')) throw new Error('the server used the wrong frame type');
      const envelope = isBinary ? this.#fromProtobuf(data) : JSON.parse(data.toString());
      if (envelope.cid === introduction) this.#introduced();
      else this.received.push(envelope);
    });
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#introduced();
    });
    ws.on('error', () => undefined);
  }

  /** To a node, or to the next one of a server. Rejects with the HTTP status and text when the handshake is refused. */
  static async connect(target: Target, token: string, options: ConnectOptions = {}): Promise<TestSocket> {
    const { url, catchUp } = await enter(target, 'socket');
    const { format = 'json', query = {}, headers = {}, autoPong = true } = options;
    const parameters = new URLSearchParams({ ...(token === '' ? {} : { token }), ...query });
    if (format === 'protobuf') parameters.set('format', 'protobuf');
    const ws = new WebSocket(`${url.replace('http', 'ws')}/ws?${parameters}`, {
      headers,
      autoPong,
      perMessageDeflate: false,
    });
    const socket = new TestSocket(ws, format, catchUp);
    return new Promise((resolve, reject) => {
      ws.once('open', () => resolve(catchUp === undefined ? socket : socket.#introduce()));
      ws.once('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => reject(new HandshakeRefused(response.statusCode ?? 0, text)));
      });
      ws.once('error', reject);
    });
  }

  // A node answers a socket once its features know it; on several nodes that takes so long that others may come first.
  #introduce(): Promise<this> {
    return new Promise((resolve) => {
      this.#introduced = () => resolve(this);
      this.send({ cid: introduction, ping: {} });
    });
  }

  /** Sends an envelope given in its JSON form. */
  send(envelope: Envelope): void {
    const text = JSON.stringify(envelope);
    this.ws.send(this.format === 'json' ? text : this.#toProtobuf(text));
  }

  #toProtobuf(text: string): Uint8Array {
    const { cid, content } = decodeEnvelopeJson(text);
    if (content?.field.name === 'call') {
      const call = content.message as { method: string; request: Uint8Array };
      const type = methodType(call.method);
      if (type !== undefined && call.request.length > 0) {
        const request = decodeJson(type.request, Buffer.from(call.request).toString(), restMode);
        call.request = type.request.cls.encode(request).finish();
      }
      this.#calls.set(cid, call.method);
    }
    const payload = content && { name: content.field.name, message: content.message };
    return EnvelopeFrame.of(payload as never, cid).protobuf;
  }

  #fromProtobuf(bytes: Uint8Array): Envelope {
    const { cid, content } = EnvelopeFrame.fromBytes(bytes).toMessage();
    if (content?.name === 'call_result') {
      const result = content.message as { response: Uint8Array };
      const type = methodType(this.#calls.get(cid) ?? '');
      if (type !== undefined && result.response.length > 0) {
        result.response = Buffer.from(encodeJson(type.response, decodeProtobuf(type.response, result.response)));
      }
    }
    return JSON.parse(encodeEnvelopeJson(EnvelopeFrame.of(content, cid)));
  }

  /** Sends a frame as it is. */
  sendRaw(data: string | Uint8Array): void {
    this.ws.send(data);
  }

  /** Sends a payload with a new cid and waits for the envelope that answers it. */
  async request(payload: Envelope): Promise<Envelope> {
    const cid = String(++this.#cid);
    if (this.#catchUp !== undefined) await this.#catchUp();
    this.send({ cid, ...payload });
    return this.take(`the answer to ${JSON.stringify(payload).slice(0, 80)}`, (envelope) => envelope.cid === cid);
  }

  /** Waits for the first envelope that matches, and takes it out of `received`. */
  take(what: string, match: (envelope: Envelope) => boolean, deadlineMs = 5000): Promise<Envelope> {
    return waitFor(
      `${what}; received ${JSON.stringify(this.received).slice(0, 500)}`,
      () => {
        const index = this.received.findIndex(match);
        if (index < 0 && this.closed) throw new Error(`socket closed (${this.closed.code}) before ${what}`);
        return index < 0 ? undefined : this.received.splice(index, 1)[0];
      },
      deadlineMs,
    );
  }

  /** Waits for the first envelope with this payload and answers the payload. */
  async takePayload(name: string, deadlineMs?: number): Promise<Envelope> {
    return (await this.take(`a ${name}`, (envelope) => name in envelope, deadlineMs))[name];
  }

  /**
   * Waits until the server has handled everything that was sent before, and all its answers are here; from a server of
   * several nodes also what others did before (see `TestServer`).
   */
  async settle(): Promise<void> {
    await this.request({ ping: {} });
  }

  /** Waits for the server, or the network, to end the socket. */
  waitClosed(deadlineMs = 10_000): Promise<{ code: number; reason: string }> {
    return waitFor('the socket to close', () => this.closed, deadlineMs);
  }

  async close(): Promise<void> {
    this.ws.close();
    await this.waitClosed();
  }
}

function methodType(name: string): MethodType | undefined {
  return allMethodTypes().find((type) => type.name === name);
}

export class HandshakeRefused extends Error {
  readonly status: number;
  readonly text: string;

  constructor(status: number, text: string) {
    super(`handshake refused: ${status} ${text}`);
    this.status = status;
    this.text = text;
  }
}
