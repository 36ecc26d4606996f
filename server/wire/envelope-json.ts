import type { EnvelopeFrame } from './envelope.ts';
import { payloadFields } from './envelope.ts';
import { decodeJson, socketMode } from './json-decode.ts';
import { encodeJson, encodeJsonString } from './json-encode.ts';
import { type AnyMessage, type FieldType, messageType } from './types.ts';

/** An envelope from a client. */
export interface ReceivedEnvelope {
  /** Empty when the client wants no cid in the answer. */
  cid: string;
  /** Undefined: an envelope without payload. */
  content: { field: FieldType; message: AnyMessage } | undefined;
}

const envelopeType = messageType('nakama.realtime.Envelope');

/** Decodes a frame of a JSON socket, strictly. Throws WireDecodeError (spec: realtime.md, section 2.2). */
export function decodeEnvelopeJson(text: string): ReceivedEnvelope {
  const envelope = decodeJson(envelopeType, text, socketMode);
  const cid = envelope.cid as string;
  for (const name of Object.keys(envelope)) {
    const field = payloadFields.byName.get(name);
    if (field) return { cid, content: { field, message: envelope[name] as AnyMessage } };
  }
  return { cid, content: undefined };
}

/** The frame as JSON text, e.g. `{"cid":"9","pong":{}}` (spec: realtime.md, section 2.1). */
export function encodeEnvelopeJson(frame: EnvelopeFrame): string {
  const { cid, content } = frame.toMessage();
  const cidMember = cid === '' ? '' : `"cid":${encodeJsonString(cid)}`;
  if (content === undefined) return `{${cidMember}}`;
  const type = payloadFields.byName.get(content.name)?.message;
  if (!type) throw new Error(`no envelope field ${content.name}`);
  const text = encodeJson(type, content.message as AnyMessage);
  return `{${cidMember}${cidMember === '' ? '' : ','}"${content.name}":${text}}`;
}
