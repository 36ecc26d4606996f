import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Format } from '../server/testing/socket.ts';
import { EnvelopeFrame, type Payload } from '../server/wire/envelope.ts';
import { encodeEnvelopeJson } from '../server/wire/envelope-json.ts';

// biome-ignore lint/suspicious/noExplicitAny: load looks into messages freely
type Message = any;

interface Waiter {
  resolve(message: Message): void;
  reject(error: Error): void;
}

export interface OpenOptions {
  readonly format: Format;
  /** Appear online. */
  readonly status: boolean;
  /** Answer pings; true unless told otherwise. */
  readonly autoPong?: boolean;
}

/** Long: that the machine was busy is for the latencies to tell. */
const answerMs = 30_000;

/** A client's socket for load: nothing is kept of what it hears, and waiting costs no polling. */
export class ChurnSocket {
  /** How it ended, once it has. */
  closed: { readonly code: number; readonly reason: string } | undefined;
  /** Hears every message that answers no request. */
  onMessage: (name: string, message: Message) => void = () => undefined;
  readonly #ws: WebSocket;
  readonly #tcp: Promise<Socket>;
  readonly #isBinary: boolean;
  readonly #answers = new Map<string, Waiter>();
  readonly #contents = new Map<string, Waiter>();
  #cid = 0;

  /** Begins the handshake; `opened` tells how it went. */
  constructor(port: number, token: string, { format, status, autoPong = true }: OpenOptions) {
    const query = `token=${token}&format=${format}&status=${status}`;
    this.#isBinary = format === 'protobuf';
    const ws = new WebSocket(`ws://127.0.0.1:${port}/ws?${query}`, { autoPong, perMessageDeflate: false });
    this.#ws = ws;
    this.#tcp = new Promise((resolve) => ws.once('upgrade', (response) => resolve(response.socket)));
    ws.on('message', (data: Buffer) => this.#receive(data));
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      const error = new Error(`closed ${code} ${reason}`);
      for (const waiter of [...this.#answers.values(), ...this.#contents.values()]) waiter.reject(error);
    });
    ws.on('error', () => undefined);
  }

  /** Rejects when the handshake fails. */
  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ws.once('open', () => resolve());
      this.#ws.once('unexpected-response', (_request, { statusCode }) => {
        reject(new Error(`handshake refused ${statusCode}`));
        this.#ws.terminate();
      });
      this.#ws.once('error', ({ message }) => reject(new Error(message)));
    });
  }

  /** Sends and forgets. */
  send(payload: Payload, cid = ''): void {
    const frame = EnvelopeFrame.of(payload, cid);
    this.#ws.send(this.#isBinary ? frame.protobuf : encodeEnvelopeJson(frame));
  }

  /** Sends, and answers the payload of the answer. Rejects when that is an error. */
  request(payload: Payload): Promise<Message> {
    const cid = String(++this.#cid);
    const answer = this.#wait(this.#answers, cid);
    this.send(payload, cid);
    return answer;
  }

  /** Waits for a chat message with this content. */
  hears(content: string): Promise<void> {
    return this.#wait(this.#contents, content);
  }

  /** A clean close. */
  close(): void {
    this.#ws.close(1000);
  }

  /** Ends the TCP connection without a close frame. */
  destroy(): void {
    this.#ws.terminate();
  }

  /** Ends the TCP connection with a reset. */
  reset(): void {
    void this.#tcp.then((tcp) => tcp.resetAndDestroy());
  }

  /** Resolves when the server, or the network, has ended it; false when neither does in time. */
  ended(deadlineMs: number): Promise<boolean> {
    if (this.#ws.readyState === WebSocket.CLOSED) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), deadlineMs);
      this.#ws.once('close', () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #wait(waiters: Map<string, Waiter>, key: string): Promise<Message> {
    const promise = new Promise<Message>((resolve, reject) => {
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        waiters.delete(key);
        act();
      };
      const timer = setTimeout(() => settle(() => reject(new Error('no answer'))), answerMs);
      waiters.set(key, {
        resolve: (message) => settle(() => resolve(message)),
        reject: (error) => settle(() => reject(error)),
      });
    });
    // Whoever waits may come to it only later.
    promise.catch(() => undefined);
    return promise;
  }

  #receive(data: Buffer): void {
    const { cid, name, message } = this.#isBinary ? fromProtobuf(data) : fromJson(data);
    const answer = this.#answers.get(cid);
    if (answer === undefined) {
      if (name === 'channel_message') this.#contents.get(message.content)?.resolve(message);
      this.onMessage(name, message);
    } else if (name === 'error') {
      answer.reject(new Error(`error ${message.code} ${message.message}`));
    } else {
      answer.resolve(message);
    }
  }
}

function fromProtobuf(data: Buffer): { cid: string; name: string; message: Message } {
  const { cid, content } = EnvelopeFrame.fromBytes(data).toMessage();
  return { cid, name: content?.name ?? '', message: content?.message };
}

function fromJson(data: Buffer): { cid: string; name: string; message: Message } {
  const { cid = '', ...content } = JSON.parse(data.toString());
  const [name = '', message] = Object.entries(content)[0] ?? [];
  return { cid, name, message };
}
