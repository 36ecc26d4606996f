import type { Random } from '../../testing/random.ts';

/** Spoils well-formed bytes in one of the usual ways. */
export function mutate(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  switch (random.below(7)) {
    case 0:
      return copy.subarray(0, random.below(copy.length + 1));
    case 1:
      return Buffer.concat([copy, random.bytes(random.below(64))]);
    case 2: {
      for (let n = 1 + random.below(8); n > 0 && copy.length > 0; n--)
        copy[random.below(copy.length)] = random.below(256);
      return copy;
    }
    case 3: {
      const at = random.below(copy.length + 1);
      return Buffer.concat([copy.subarray(0, at), random.bytes(1 + random.below(16)), copy.subarray(at)]);
    }
    case 4: {
      const at = random.below(copy.length + 1);
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + random.below(8))]);
    }
    case 5:
      return Buffer.concat([copy, copy]);
    default: {
      // One bit, where structure lives: near the front.
      if (copy.length > 0) {
        const at = random.below(Math.min(copy.length, 24));
        copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      }
      return copy;
    }
  }
}

const nested = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth);

/** JSON that is meant to hurt a parser, or what comes after it. */
export const hostileJson: readonly string[] = [
  '',
  ' ',
  'null',
  '[]',
  '"text"',
  '1e999999',
  '-',
  '{',
  '{"cid"',
  '{"cid":',
  '{"cid":"1"',
  '{"cid":"1",}',
  '{"cid":"1"}{"cid":"2"}',
  '{"cid":1}',
  '{"cid":"\\ud800","ping":{}}',
  '{"cid":"\u0001","ping":{}}',
  '{"__proto__":{"polluted":true},"ping":{}}',
  '{"constructor":{"prototype":{"polluted":true}},"ping":{}}',
  '{"ping":{"__proto__":null}}',
  '{"ping":{},"ping":{}}',
  '{"ping":{},"pong":{}}',
  '{"status_update":{"status":{"value":"x"}}}',
  '{"channel_join":{"target":"a","type":1e400}}',
  '{"channel_join":{"target":"a","type":9223372036854775808}}',
  '{"channel_join":{"target":"a","type":"1.5"}}',
  '{"channel_message_send":{"channel_id":"2...r","content":{}}}',
  '{"call":{"method":"__proto__"}}',
  '{"call":{"method":"constructor","request":{}}}',
  '{"call":{"method":"GetAccount","request":[]}}',
  '{"call":{"method":"WriteStorageObjects","request":{"objects":[null]}}}',
  nested('[', ']', 2000),
  nested('{"a":', '}', 700),
  `{"ping":${nested('{"a":', '}', 600)}}`,
  `{"call":{"method":"GetUsers","request":${nested('[', ']', 1500)}}}`,
  `{"cid":"${'x'.repeat(4000)}"}`,
  `{"channel_join":{"target":"${'\\u0000'.repeat(600)}","type":1}}`,
  `{"status_follow":{"user_ids":[${'"",'.repeat(900)}""]}}`,
];

/** Protobuf bytes that are meant to hurt a parser. */
export const hostileProtobuf: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from([0x00]),
  Buffer.from([0xff]),
  // Varints of ten and more bytes.
  Buffer.alloc(11, 0xff),
  Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
  Buffer.from([0x0a, ...Array<number>(10).fill(0x80), 0x01]),
  // A length far beyond the frame.
  Buffer.from([0x82, 0x02, 0xff, 0xff, 0xff, 0x7f]),
  // Group wire types, nested deep.
  Buffer.alloc(2000, 0x0b),
  Buffer.from([0x0c]),
  Buffer.from([0x83, 0x02, 0x84, 0x02]),
  // cid as a varint, and as invalid UTF-8.
  Buffer.from([0x08, 0x01, 0x82, 0x02, 0x00]),
  Buffer.from([0x0a, 0x02, 0xc3, 0x28, 0x82, 0x02, 0x00]),
  // Field number 0 and the largest one.
  Buffer.from([0x02, 0x00]),
  Buffer.from([0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00]),
  // The same payload twice, then another one.
  Buffer.from([0x82, 0x02, 0x00, 0x82, 0x02, 0x00, 0x8a, 0x02, 0x00]),
  // A call whose request is garbage.
  Buffer.from([0xc2, 0x3e, 0x0f, 0x0a, 0x0a, ...Buffer.from('GetAccount'), 0x12, 0x01, 0xff]),
];
