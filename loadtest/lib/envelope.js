import { bool, fromBuffer, list, message, string, toBuffer, uint } from './protobuf.js';

// Names and numbers as in proto/realtime.proto and proto/api.proto; only what the scenarios use.

const BoolValue = message({ value: [1, bool] });
const Empty = message({});

/** One message of the realtime socket, either way. */
export const Envelope = message({
  cid: [1, string],
  channel: [2, message({ id: [1, string] })],
  channel_join: [
    3,
    message({ target: [1, string], type: [2, uint], persistence: [3, BoolValue], hidden: [4, BoolValue] }),
  ],
  channel_leave: [4, message({ channel_id: [1, string] })],
  channel_message: [5, message({ content: [6, string] })],
  channel_message_ack: [6, Empty],
  channel_message_send: [7, message({ channel_id: [1, string], content: [2, string] })],
  error: [11, message({ code: [1, uint], message: [2, string] })],
  notifications: [23, message({ notifications: [1, list(message({ id: [1, string], sender_id: [5, string] }))] })],
  ping: [32, Empty],
  pong: [33, Empty],
});

/** `type` of a channel_join. */
export const ROOM = 1;
export const DIRECT_MESSAGE = 2;

/** @returns {ArrayBuffer} */
export function encodeEnvelope(envelope) {
  return toBuffer(Envelope.write(envelope));
}

/** @param {ArrayBuffer} data */
export function decodeEnvelope(data) {
  return Envelope.read(fromBuffer(data));
}
