import { WebSocket } from 'k6/websockets';
import { within } from './clock.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';

const openTimeoutMs = 10_000;
const answerTimeoutMs = 10_000;
const closeTimeoutMs = 5_000;

/** The server answered a request with an error. */
export class Refusal extends Error {}

/** A realtime socket in protobuf. */
export class Socket {
  #ws;
  #opened;
  #closed;
  #isOpen = false;
  #lastCid = 0;
  /** What waits for an answer, by cid. */
  #waiting = new Map();

  constructor(server, token, onEnvelope) {
    const url = `${server.replace(/^http/, 'ws')}/ws?format=protobuf&token=${token}`;
    // One name for all, or every token would make a time series of its own.
    const ws = new WebSocket(url, null, { tags: { name: 'socket' } });
    ws.binaryType = 'arraybuffer';
    ws.onmessage = ({ data }) => this.#receive(decodeEnvelope(data), onEnvelope);
    this.#opened = new Promise((resolve, reject) => {
      ws.onopen = resolve;
      ws.onerror = ({ error }) => reject(new Error(error));
    });
    this.#closed = new Promise((resolve) => {
      ws.onclose = () => {
        this.#isOpen = false;
        for (const { reject } of this.#waiting.values()) reject(new Error('the socket closed before the answer'));
        resolve();
      };
    });
    this.#ws = ws;
  }

  /**
   * Rejects when the server does not take the socket within ten seconds.
   * @param {string} server as http://host:port
   * @param {(envelope: object) => void} onEnvelope gets what answers no request.
   * @returns {Promise<Socket>}
   */
  static async open(server, token, onEnvelope = () => {}) {
    const socket = new Socket(server, token, onEnvelope);
    try {
      await within(openTimeoutMs, 'opening a socket', socket.#opened);
    } catch (error) {
      // k6 hangs in a close() before the handshake is over.
      socket.#ws.onopen = () => socket.#ws.close();
      throw error;
    }
    socket.#isOpen = true;
    return socket;
  }

  get isOpen() {
    return this.#isOpen;
  }

  /** Sends a payload and answers the envelope with its cid. Throws Refusal when that is an error. */
  async request(payload) {
    const cid = String(++this.#lastCid);
    this.#ws.send(encodeEnvelope({ cid, ...payload }));
    const answer = new Promise((resolve, reject) => this.#waiting.set(cid, { resolve, reject }));
    return within(answerTimeoutMs, 'an answer', answer).finally(() => this.#waiting.delete(cid));
  }

  /** Closes it, and waits for the server to agree. */
  async close() {
    this.#isOpen = false;
    this.#ws.close();
    await within(closeTimeoutMs, 'closing a socket', this.#closed);
  }

  #receive(envelope, onEnvelope) {
    const waiting = this.#waiting.get(envelope.cid);
    if (waiting === undefined) onEnvelope(envelope);
    else if (envelope.error === undefined) waiting.resolve(envelope);
    else waiting.reject(new Refusal(envelope.error.message));
  }
}
