import protobuf from 'protobufjs/minimal.js';
import type { Presence } from './presence.ts';
import { type Stream, streamKey } from './stream.ts';
import { allChanges, decodeStreamFrame, encodePresences } from './stream-frame.ts';

/**
 * A presence as Redis keeps it: the epoch of its node (a double), the lengths of node and user (two bytes each), node,
 * user, and the encoded StreamPresence with its length before it. Numbers are big-endian. Scripts read the first parts,
 * and copy the last into events.
 */
const headBytes = 12;

export function encodeValue(presence: Presence, epoch: number): Buffer {
  const node = Buffer.from(presence.node);
  const user = Buffer.from(presence.userId);
  const head = Buffer.allocUnsafe(headBytes);
  head.writeDoubleBE(epoch);
  head.writeUInt16BE(node.length, 8);
  head.writeUInt16BE(user.length, 10);
  return Buffer.concat([head, node, user, encodedPresence(presence)]);
}

/** The same presence under another epoch of its node. */
export function withEpoch(value: Buffer, epoch: number): Buffer {
  const copy = Buffer.from(value);
  copy.writeDoubleBE(epoch);
  return copy;
}

/** The presences in what Redis keeps of one stream. */
export function decodeValues(stream: Stream, values: readonly Buffer[]): Presence[] {
  if (values.length === 0) return [];
  const joins = protobuf.Writer.create();
  for (const value of values) {
    const start = headBytes + value.readUInt16BE(8) + value.readUInt16BE(10);
    joins.uint32(joinTag).bytes(protobuf.Reader.create(value.subarray(start)).bytes());
  }
  const event = protobuf.Writer.create().uint32(streamTag).string(streamKey(stream));
  const message = decodeStreamFrame(event.uint32(eventTag).bytes(joins.finish()).finish());
  return message === undefined ? [] : [...allChanges(message).joins];
}

/** Of proto/cluster.proto: StreamFrame.stream and .presences, StreamPresenceEvent.joins; all with a length. */
const streamTag = (1 << 3) | 2;
const eventTag = (3 << 3) | 2;
const joinTag = (1 << 3) | 2;

/** With its length before it; so it stands at the end of an event that is nothing but its join. */
function encodedPresence(presence: Presence): Uint8Array {
  const frame = encodePresences(presence.stream, { leaves: [], joins: [presence] });
  const reader = protobuf.Reader.create(frame);
  while (reader.uint32() !== eventTag) reader.skip(reader.uint32());
  // The event's length and the join's tag.
  reader.uint32();
  reader.uint32();
  return frame.subarray(reader.pos);
}
