import type { EnvelopeFrame } from '../wire/envelope.ts';
import { decodeEnvelopeJson, encodeEnvelopeJson, type ReceivedEnvelope } from '../wire/envelope-json.ts';
import { decodeEnvelopeProtobuf, decodeProtobuf } from '../wire/envelope-protobuf.ts';
import { decodeJson, decodeUtf8, restMode } from '../wire/json-decode.ts';
import { encodeJson } from '../wire/json-encode.ts';
import type { AnyMessage, MessageType } from '../wire/types.ts';

/** One of the two formats a socket may speak. Decoding throws WireDecodeError for anything malformed. */
export interface SocketCodec {
  readonly format: 'json' | 'protobuf';
  readonly isBinary: boolean;
  /** The envelope's bytes: made once, however many sockets ask for them. */
  encode(frame: EnvelopeFrame): Uint8Array;
  decode(frame: Buffer): ReceivedEnvelope;
  /** The request inside a `call`. */
  decodeEmbedded(type: MessageType, bytes: Uint8Array): AnyMessage;
  /** The response inside a `call_result`. */
  encodeEmbedded(type: MessageType, message: AnyMessage): Uint8Array;
}

export const jsonCodec: SocketCodec = {
  format: 'json',
  isBinary: false,
  encode: (frame) => {
    frame.json ??= Buffer.from(encodeEnvelopeJson(frame));
    return frame.json;
  },
  decode: (frame) => decodeEnvelopeJson(decodeUtf8(frame)),
  decodeEmbedded: (type, bytes) =>
    bytes.length === 0 ? new type.cls() : decodeJson(type, decodeUtf8(bytes), restMode),
  encodeEmbedded: (type, message) => Buffer.from(encodeJson(type, message)),
};

export const protobufCodec: SocketCodec = {
  format: 'protobuf',
  isBinary: true,
  encode: (frame) => frame.protobuf,
  decode: decodeEnvelopeProtobuf,
  decodeEmbedded: decodeProtobuf,
  encodeEmbedded: (type, message) => type.cls.encode(message).finish(),
};
