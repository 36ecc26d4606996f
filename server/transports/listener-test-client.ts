/** A TCP client for tests that says exactly what it is told to, and keeps what it hears. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  status: number;
  headers: Map<string, string>;
  body: string;
}

export interface RawFrame {
  opcode: number;
  payload: Buffer;
}

export class RawClient {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  /** The server sent its FIN, or reset. */
  ended = false;
  #wake = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.ended = true;
        this.#wake();
      });
    }
  }

  /** `allowHalfOpen` keeps our side open when the server ends its own. */
  static async connect(port: number, allowHalfOpen = false): Promise<RawClient> {
    const client = new RawClient(connect({ port, host: '127.0.0.1', allowHalfOpen }));
    await once(client.socket, 'connect');
    return client;
  }

  static async websocket(port: number, allowHalfOpen = false): Promise<RawClient> {
    const client = await RawClient.connect(port, allowHalfOpen);
    client.write(handshake());
    const response = await client.response();
    if (response.status !== 101) throw new Error(`handshake answered ${response.status}`);
    return client;
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Waits until the condition holds for what was received, or fails after five seconds. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const timer = setTimeout(() => this.socket.destroy(new Error('too late')), 5000);
    try {
      while (!condition()) {
        if (this.ended) throw new Error(`connection ended before ${what}: ${this.received.toString('latin1')}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    if (this.ended) return;
    await this.until(() => this.ended, 'the end');
  }

  async response(method = 'GET'): Promise<RawResponse> {
    let headEnd = -1;
    await this.until(() => {
      headEnd = this.received.indexOf('\r\n\r\n');
      return headEnd >= 0;
    }, 'a response');
    const [first = '', ...lines] = this.#take(headEnd + 4)
      .toString()
      .trimEnd()
      .split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const status = Number(first.split(' ')[1]);
    if (status < 200 || method === 'HEAD') return { status, headers, body: '' };
    const length = headers.get('content-length');
    if (length === undefined) {
      await this.end();
      return { status, headers, body: this.#take(this.received.length).toString() };
    }
    await this.until(() => this.received.length >= Number(length), 'the whole body');
    return { status, headers, body: this.#take(Number(length)).toString() };
  }

  async frame(): Promise<RawFrame> {
    let bounds: { start: number; end: number } | undefined;
    await this.until(() => {
      bounds = frameBounds(this.received);
      return bounds !== undefined;
    }, 'a frame');
    const { start, end } = bounds as unknown as { start: number; end: number };
    const bytes = this.#take(end);
    return { opcode: (bytes[0] ?? 0) & 15, payload: bytes.subarray(start) };
  }

  /** The next frame, which must be a close. */
  async closeFrame(): Promise<{ code: number; text: string }> {
    const { opcode, payload } = await this.frame();
    if (opcode !== 8) throw new Error(`frame ${opcode} instead of a close`);
    return { code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), text: payload.subarray(2).toString() };
  }

  #take(bytes: number): Buffer {
    const taken = this.received.subarray(0, bytes);
    this.received = this.received.subarray(bytes);
    return taken;
  }
}

function frameBounds(data: Buffer): { start: number; end: number } | undefined {
  if (data.length < 2) return undefined;
  const short = (data[1] ?? 0) & 127;
  const start = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (data.length < start) return undefined;
  const length = short === 127 ? Number(data.readBigUInt64BE(2)) : short === 126 ? data.readUInt16BE(2) : short;
  return data.length < start + length ? undefined : { start, end: start + length };
}

export const handshake = (target = '/ws', fields: Record<string, string> = {}): string => {
  const headers = {
    Host: 'x',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    ...fields,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
};

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export function frame(
  opcode: number,
  content: string | Uint8Array,
  { fin = true, masked = true, reserved = 0 } = {},
): Buffer {
  const payload = Buffer.from(content);
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = (fin ? 128 : 0) | (reserved << 4) | opcode;
  head[1] = (masked ? 128 : 0) | (length < 126 ? length : length < 65536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, payload]);
  const mask = randomBytes(4);
  for (let index = 0; index < length; index++) payload[index] = (payload[index] ?? 0) ^ (mask[index & 3] ?? 0);
  return Buffer.concat([head, mask, payload]);
}

export const closing = (code: number, text = ''): Buffer =>
  frame(opcodes.close, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(text)]));
