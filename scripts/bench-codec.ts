// Prints nanoseconds per operation of the wire codecs: npx tsx scripts/bench-codec.ts
import { EnvelopeFrame, payload } from '../server/wire/envelope.ts';
import { decodeEnvelopeJson, encodeEnvelopeJson } from '../server/wire/envelope-json.ts';
import { decodeEnvelopeProtobuf } from '../server/wire/envelope-protobuf.ts';
import { decodeJson, decodeUtf8, restMode } from '../server/wire/json-decode.ts';
import { encodeJson } from '../server/wire/json-encode.ts';
import { type AnyMessage, messageType } from '../server/wire/types.ts';

const runMilliseconds = 500;
const batch = 1000;
const rounds = 5;

/** The fastest of several rounds: the others met the garbage collector or the neighbours. */
function bench(name: string, run: () => unknown): void {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    let count = 0;
    let elapsed = 0;
    while (elapsed < runMilliseconds * 1e6) {
      for (let i = 0; i < batch; i++) sink = run();
      count += batch;
      elapsed = Number(process.hrtime.bigint() - start);
    }
    best = Math.min(best, elapsed / count);
  }
  console.log(`${name.padEnd(52)} ${best.toFixed(0).padStart(7)} ns/op`);
}

// Keeps results alive, so that no call is optimised away.
let sink: unknown;

const value = JSON.stringify({ level: 12, coins: 4711, name: 'Hero of the day', items: 'x'.repeat(130) });
const writeType = messageType('nakama.api.WriteStorageObjectsRequest');
const writeText = JSON.stringify({
  objects: [{ collection: 'saves', key: 'slot1', value, version: '*', permission_read: 1, permission_write: 1 }],
});
const writeBytes = Buffer.from(writeText);
const ackType = messageType('nakama.api.StorageObjectAcks');
const userId = '4c2ae592-b2a7-445e-98ec-697694478b1c';
const time = { seconds: 1_784_204_939, nanos: 0 };
const ack: AnyMessage = {
  acks: [{ collection: 'saves', key: 'slot1', version: 'd41d8cd98f00b204e9800998ecf8427e', user_id: userId }],
};

const accountType = messageType('nakama.api.Account');
const account: AnyMessage = {
  user: {
    id: userId,
    username: 'hero_of_the_day',
    display_name: 'Hero',
    lang_tag: 'en',
    metadata: '{"title": "knight"}',
    edge_count: 12,
    online: true,
    create_time: time,
    update_time: time,
  },
  wallet: '{"coins": 100}',
  email: 'hero@example.com',
  devices: [{ id: 'b4d3c2a1-0000-4000-8000-123456789abc' }],
};

const channelId = `2...${userId}`;
const content = JSON.stringify({ text: 'Good game, everyone!', emote: 7 });
const send = EnvelopeFrame.of(payload('channel_message_send', { channel_id: channelId, content }), '17');
const sendText = encodeEnvelopeJson(send);
const message = payload('channel_message', {
  channel_id: channelId,
  message_id: userId,
  code: { value: 0 },
  sender_id: userId,
  username: 'hero_of_the_day',
  content,
  create_time: { seconds: 1_784_204_939, nanos: 123_456_789 },
  update_time: { seconds: 1_784_204_939, nanos: 123_456_789 },
  persistent: { value: true },
  room_name: 'lobby',
});
const messageFrame = EnvelopeFrame.of(message);

bench(`storage write, decode JSON (${writeBytes.length} B, checks UTF-8)`, () =>
  decodeJson(writeType, decodeUtf8(writeBytes), restMode),
);
bench('  same with JSON.parse, unchecked', () => JSON.parse(writeBytes.toString()));
bench('storage acks, encode JSON', () => encodeJson(ackType, ack));
bench('  same with JSON.stringify', () => JSON.stringify(ack));
bench('storage write, decode and encode JSON', () => {
  decodeJson(writeType, decodeUtf8(writeBytes), restMode);
  return encodeJson(ackType, ack);
});
bench(`account, encode JSON (${encodeJson(accountType, account).length} B)`, () => encodeJson(accountType, account));
bench('  same with JSON.stringify', () => JSON.stringify(account));
bench(`channel_message_send, decode JSON (${sendText.length} B)`, () => decodeEnvelopeJson(sendText));
bench(`channel_message_send, decode protobuf (${send.protobuf.length} B)`, () => decodeEnvelopeProtobuf(send.protobuf));
bench('channel_message_send, encode JSON', () =>
  encodeEnvelopeJson(EnvelopeFrame.of(payload('channel_message_send', { channel_id: channelId, content }), '17')),
);
bench(
  'channel_message_send, encode protobuf',
  () => EnvelopeFrame.of(payload('channel_message_send', { channel_id: channelId, content }), '17').protobuf.length,
);
bench('channel_message, encode JSON', () => encodeEnvelopeJson(EnvelopeFrame.of(message)));
bench('channel_message, encode protobuf', () => EnvelopeFrame.of(message).protobuf.length);
bench('channel_message from another node, encode JSON', () =>
  encodeEnvelopeJson(EnvelopeFrame.fromBytes(messageFrame.protobuf)),
);
if (sink === undefined) throw new Error('nothing was measured');
