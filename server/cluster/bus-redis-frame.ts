import type { Retry } from '../platform/errors.ts';
import { decodeFrame, frameVersion } from './frame.ts';

/**
 * What travels in a Redis channel: the version byte of frame.ts, one byte that says what follows, then
 *
 * - plain: the payload;
 * - marked: 8 bytes that name the bus which sent it, 6 bytes that number it there, the payload. The sender knows by
 *   them that its own frame came back.
 */
const Kind = { PLAIN: 0, MARKED: 1 } as const;

const originBytes = 8;
const markedBytes = 2 + originBytes + 6;

/**
 * What a Redis script puts before a payload when it publishes on a topic itself (`PUBLISH link.channel(topic)`): its
 * frame has its place among the effects of the script. `RedisBus.fence` tells when this node has handled it.
 */
export const scriptFrameHeader: Buffer = Buffer.from([frameVersion, Kind.PLAIN]);

export function encodePlain(payload: Uint8Array): Buffer {
  const wire = Buffer.allocUnsafe(2 + payload.byteLength);
  wire.set(scriptFrameHeader);
  wire.set(payload, 2);
  return wire;
}

export function encodeMarked(origin: Buffer, sequence: number, payload: Uint8Array): Buffer {
  const wire = Buffer.allocUnsafe(markedBytes + payload.byteLength);
  wire[0] = frameVersion;
  wire[1] = Kind.MARKED;
  wire.set(origin, 2);
  wire.writeUIntBE(sequence, 2 + originBytes, 6);
  wire.set(payload, markedBytes);
  return wire;
}

export interface Received {
  readonly payload: Uint8Array;
  /** The number of a marked frame that the asking bus itself has sent, otherwise 0. */
  readonly ownSequence: number;
}

/** Undefined when only a newer node understands it, or nobody does. */
export function decodeWire(wire: Buffer, origin: Buffer): Received | undefined {
  const content = decodeFrame(wire);
  if (content === undefined) return undefined;
  if (content[0] === Kind.PLAIN) return { payload: wire.subarray(2), ownSequence: 0 };
  if (content[0] !== Kind.MARKED || wire.length < markedBytes) return undefined;
  const isOwn = wire.compare(origin, 0, originBytes, 2, 2 + originBytes) === 0;
  return { payload: wire.subarray(markedBytes), ownSequence: isOwn ? wire.readUIntBE(2 + originBytes, 6) : 0 };
}

/** The payload of frames between two nodes: a header that may gain fields, and bytes. */
export type Letter =
  | Question
  | { readonly what: 'answer'; readonly id: number }
  | { readonly what: 'failure'; readonly id: number; readonly error: LetterError }
  /** The node's name is taken by this bus, unless another one has a greater claim. */
  | { readonly what: 'claim'; readonly claim: number }
  /** From a bus to itself. */
  | { readonly what: 'fence' };

export interface Question {
  readonly what: 'question';
  readonly id: number;
  readonly from: string;
  /** The channel on which the asker waits. */
  readonly replyTo: string;
  readonly kind: string;
}

export interface LetterError {
  readonly code: number;
  readonly message: string;
  readonly retry: Retry;
  readonly realtimeCode: number;
}

export function encodeLetter(letter: Letter, body: Uint8Array = new Uint8Array()): Uint8Array {
  const header = Buffer.from(JSON.stringify(letter));
  const bytes = Buffer.allocUnsafe(4 + header.length + body.byteLength);
  bytes.writeUInt32BE(header.length);
  bytes.set(header, 4);
  bytes.set(body, 4 + header.length);
  return bytes;
}

/** Throws when the bytes are no letter. */
export function decodeLetter(bytes: Uint8Array): { letter: Letter; body: Uint8Array } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 4 + buffer.readUInt32BE();
  if (end > buffer.length) throw new RangeError('letter is cut off');
  return { letter: JSON.parse(buffer.toString('utf8', 4, end)) as Letter, body: buffer.subarray(end) };
}
