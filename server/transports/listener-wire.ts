/** What both listeners must agree on byte by byte. */
import { STATUS_CODES } from 'node:http';
import { SocketAddress } from 'node:net';
import type { HeaderList, HttpExchange, ListenerOptions, Rejection, RequestHead } from './listener.ts';

/** The native module could not be loaded. */
export class NativeModuleError extends Error {
  override readonly name = 'NativeModuleError';
}

export const websocketPath = '/ws';

/** How long, and how far, the rest of a refused body is read so that the client gets to see the answer. */
export const drainMs = 250;
export const drainBytes = 4 * 1024 * 1024;

export const statusLine = (status: number): string => `${status} ${STATUS_CODES[status] ?? 'Unknown'}`;

export function headerOf(headers: HeaderList, name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}

/** Bytes of the request line and the headers, as a client that wastes no space sends them. */
export function headBytes(head: Pick<RequestHead, 'method' | 'headers'>, target: string): number {
  let bytes = head.method.length + Buffer.byteLength(target) + ' '.length + ' HTTP/1.1\r\n\r\n'.length;
  for (const [name, value] of head.headers) bytes += name.length + Buffer.byteLength(value) + ': \r\n'.length;
  return bytes;
}

/** What no handler may see: heads over the limit, and bodies whose end two readers would find in different places. */
export function headFault(head: RequestHead, target: string, maxHeaderBytes: number): 400 | 431 | undefined {
  if (headBytes(head, target) > maxHeaderBytes) return 431;
  let length: string | undefined;
  for (const [name, value] of head.headers) {
    if (name === 'transfer-encoding' && value.toLowerCase() !== 'chunked') return 400;
    if (name !== 'content-length') continue;
    if (!/^\d{1,15}$/.test(value) || (length !== undefined && length !== value)) return 400;
    length = value;
  }
  return undefined;
}

/** The answer to a request that is refused before any handler sees it. */
export const refuse = (exchange: HttpExchange, status: number): void =>
  exchange.respond(status, [['Content-Type', 'text/plain; charset=utf-8']], statusLine(status), true);

export function hasBody(headers: HeaderList): boolean {
  for (const [name, value] of headers) {
    if (name === 'transfer-encoding' || (name === 'content-length' && value !== '0')) return true;
  }
  return false;
}

export function isWebSocketRequest(head: Pick<RequestHead, 'method' | 'path' | 'headers'>): boolean {
  if (head.method !== 'GET' || head.path !== websocketPath) return false;
  if (headerOf(head.headers, 'upgrade')?.toLowerCase() !== 'websocket') return false;
  return head.headers.some(([name, value]) => name === 'connection' && /(^|[\s,])upgrade($|[\s,])/i.test(value));
}

/** Refusal of a handshake no WebSocket client would send. */
export function handshakeFault(headers: HeaderList): Rejection | undefined {
  const key = headerOf(headers, 'sec-websocket-key') ?? '';
  if (/^[+/0-9A-Za-z]{22}==$/.test(key) && headerOf(headers, 'sec-websocket-version') === '13') return undefined;
  return {
    status: 400,
    headers: [
      ['Content-Type', 'text/plain; charset=utf-8'],
      ['Sec-WebSocket-Version', '13'],
    ],
    body: 'Bad Request',
  };
}

/** Headers nothing can break out of, without those the listener itself is in charge of. */
export function safeHeaders(headers: HeaderList): (readonly [name: string, value: string])[] {
  const safe: (readonly [string, string])[] = [];
  for (const [name, value] of headers) {
    const key = name.replace(notInName, '');
    if (key !== '' && !own.has(key.toLowerCase())) safe.push([key, value.replace(notInValue, ' ')]);
  }
  return safe;
}
const notInName = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/g;
const notInValue = /[^\t\x20-\x7e]/g;
const own: ReadonlySet<string> = new Set(['connection', 'content-length', 'date', 'transfer-encoding']);

export const withoutBody = (method: string, status: number): boolean =>
  method === 'HEAD' || status === 204 || status === 304;

const maxCloseTextBytes = 123;

/** Cuts a close reason to what fits a close frame, on a character boundary. */
export function closeText(text: string): string {
  if (text.length * 3 <= maxCloseTextBytes || Buffer.byteLength(text) <= maxCloseTextBytes) return text;
  const bytes = Buffer.from(text);
  let end = maxCloseTextBytes;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

/** The usual text of an address; IPv4 in IPv6 clothing comes out as IPv4. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return bytes.subarray(12).join('.');
  const address = Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{4})(?!$)/g, '$1:');
  return new SocketAddress({ address, family: 'ipv6' }).address;
}

export const listenError = (options: Pick<ListenerOptions, 'address' | 'port'>, cause?: unknown): Error =>
  new Error(`cannot listen on ${options.address || '*'}:${options.port}: in use, or not an address of this machine`, {
    cause,
  });
