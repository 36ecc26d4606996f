import { isUtf8 } from 'node:buffer';
import protobuf from 'protobufjs/minimal.js';
import { WireDecodeError } from './decode-error.ts';
import { payloadFields } from './envelope.ts';
import type { ReceivedEnvelope } from './envelope-json.ts';
import type { AnyMessage, MessageType } from './types.ts';

const cidField = 1;
const lengthDelimited = 2;
const replacementCharacter = '\ufffd';

/**
 * Decodes a frame of a protobuf socket (spec: realtime.md, section 2.3): unknown fields are skipped, the last payload
 * counts, no known payload is no payload. Bytes fields of the result share memory with `bytes`.
 * Throws WireDecodeError.
 */
export function decodeEnvelopeProtobuf(bytes: Uint8Array): ReceivedEnvelope {
  return readAll(bytes, (reader) => {
    // The static Envelope decoder would keep every payload; this one dispatches the top level by hand.
    const envelope: ReceivedEnvelope = { cid: '', content: undefined };
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      const id = tag >>> 3;
      const wireType = tag & 7;
      if (id === 0) throw new WireDecodeError('proto: invalid field number');
      const field = payloadFields.byId.get(id);
      if (wireType !== lengthDelimited || (id !== cidField && !field)) {
        reader.skipType(wireType);
      } else if (field?.message) {
        const message = field.message.cls.decode(reader, reader.uint32());
        envelope.content = { field, message: keepLastOfOneofs(field.message, message) };
      } else {
        envelope.cid = reader.string();
      }
    }
    return envelope;
  });
}

/**
 * Decodes a message with protobufjs, but refuses strings that are not UTF-8 and lengths beyond the end, which
 * protobufjs lets pass. Bytes fields of the result share memory with `bytes`. Throws WireDecodeError.
 */
export function decodeProtobuf(type: MessageType, bytes: Uint8Array): AnyMessage {
  return readAll(bytes, (reader) => keepLastOfOneofs(type, type.cls.decode(reader)));
}

class StrictReader extends protobuf.BufferReader {
  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    const end = start + length;
    if (end > this.len) throw new WireDecodeError('proto: string is cut off');
    this.pos = end;
    const buffer = this.buf as Buffer;
    const text = buffer.toString('utf8', start, end);
    // Invalid bytes always decode to this character; looking for it is cheaper than checking every string.
    if (text.includes(replacementCharacter) && !isUtf8(buffer.subarray(start, end))) {
      throw new WireDecodeError('proto: string field contains invalid UTF-8');
    }
    return text;
  }

  override int64(): protobuf.Long {
    const value = super.int64() as protobuf.Long;
    this.#checkVarintEnd();
    return value;
  }

  override uint64(): protobuf.Long {
    const value = super.uint64() as protobuf.Long;
    this.#checkVarintEnd();
    return value;
  }

  // Near the end of a message, protobufjs takes a varint for complete whose last byte asks for more.
  #checkVarintEnd(): void {
    if (this.pos > this.len || (this.buf[this.pos - 1] ?? 0) >= 0x80)
      throw new WireDecodeError('proto: varint is cut off');
  }
}

function readAll<T>(bytes: Uint8Array, read: (reader: StrictReader) => T): T {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = new StrictReader(buffer);
  try {
    const result = read(reader);
    if (reader.pos !== reader.len) throw new WireDecodeError('proto: message is cut off');
    return result;
  } catch (error) {
    if (error instanceof WireDecodeError) throw error;
    throw new WireDecodeError('proto: cannot parse invalid wire-format data', { cause: error });
  }
}

/** protobufjs keeps every member of a oneof that it reads; the last one is what counts. */
function keepLastOfOneofs(type: MessageType, message: AnyMessage): AnyMessage {
  if (!type.fields.some((field) => field.oneof !== undefined)) return message;
  const lastMember = new Map<string, string>();
  for (const name of Object.keys(message)) {
    const oneof = type.byName.get(name)?.oneof;
    if (oneof === undefined) continue;
    const earlier = lastMember.get(oneof);
    if (earlier !== undefined) delete message[earlier];
    lastMember.set(oneof, name);
  }
  return message;
}
