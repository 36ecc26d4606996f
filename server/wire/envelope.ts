import protobuf from 'protobufjs/minimal.js';
import type { EnvelopePayloads, Init } from './generated/messages.js';
import { nakama } from './generated/messages.js';
import { type AnyMessage, type FieldType, messageType } from './types.ts';

export type PayloadName = keyof EnvelopePayloads;

/** One realtime message: what travels in an Envelope, before it has a format. */
export interface Payload<K extends PayloadName = PayloadName> {
  readonly name: K;
  readonly message: Init<EnvelopePayloads[K]>;
}

/** Builds a payload with its type checked against the envelope's field. */
export function payload<K extends PayloadName>(name: K, message: Init<EnvelopePayloads[K]>): Payload<K> {
  return { name, message };
}

/** The Envelope's payload fields by field number and by name; `cid` is not among them. */
export const payloadFields: { byId: ReadonlyMap<number, FieldType>; byName: ReadonlyMap<string, FieldType> } = (() => {
  const fields = messageType('nakama.realtime.Envelope').fields.filter((field) => field.oneof === 'message');
  return {
    byId: new Map(fields.map((field) => [field.id, field])),
    byName: new Map(fields.map((field) => [field.name, field])),
  };
})();

const cidTag = (1 << 3) | 2;

/**
 * An outgoing envelope that is encoded at most once per format, however many sockets it goes to.
 * The JSON codec fills `json`; `protobuf` is the form that travels between nodes.
 */
export class EnvelopeFrame {
  /** The JSON text as UTF-8, once some socket asked for it. */
  json: Uint8Array | undefined;
  #bytes: Uint8Array | undefined;
  readonly #cid: string;
  readonly #payload: Payload | undefined;

  private constructor(cid: string, content: Payload | undefined, bytes: Uint8Array | undefined) {
    this.#cid = cid;
    this.#payload = content;
    this.#bytes = bytes;
  }

  /** A message the server sends by itself (no cid), or the answer to `cid`. Without payload it is an empty ack. */
  static of(content: Payload | undefined, cid = ''): EnvelopeFrame {
    return new EnvelopeFrame(cid, content, undefined);
  }

  /** An envelope that another node (or this one) encoded. */
  static fromBytes(bytes: Uint8Array): EnvelopeFrame {
    return new EnvelopeFrame('', undefined, bytes);
  }

  get protobuf(): Uint8Array {
    this.#bytes ??= encodeEnvelope(this.#cid, this.#payload);
    return this.#bytes;
  }

  /** The envelope as a message object, for codecs other than protobuf. */
  toMessage(): { cid: string; content: Payload | undefined } {
    if (this.#payload !== undefined || this.#bytes === undefined) return { cid: this.#cid, content: this.#payload };
    const envelope = nakama.realtime.Envelope.decode(this.#bytes) as unknown as AnyMessage;
    for (const name of payloadFields.byName.keys()) {
      if (Object.hasOwn(envelope, name)) {
        return {
          cid: envelope.cid as string,
          content: { name: name as PayloadName, message: envelope[name] as never },
        };
      }
    }
    return { cid: envelope.cid as string, content: undefined };
  }
}

// The static Envelope encoder tests each of its 52 members in turn; here the one that is set is known.
function encodeEnvelope(cid: string, content: Payload | undefined): Uint8Array {
  const writer = protobuf.Writer.create();
  if (cid !== '') writer.uint32(cidTag).string(cid);
  if (content !== undefined) {
    const field = payloadFields.byName.get(content.name);
    if (!field?.message) throw new Error(`no envelope field ${content.name}`);
    writer.uint32(((field.id << 3) | 2) >>> 0);
    field.message.cls.encode(content.message as AnyMessage, writer.fork()).ldelim();
  }
  return writer.finish();
}
