import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signIn } from '../../testing/http.ts';
import type { ProcessNode } from '../../testing/process-node.ts';
import { Random } from '../../testing/random.ts';
import { serverKinds } from '../../testing/server.ts';
import { type Format, formats, TestSocket } from '../../testing/socket.ts';
import { closing, frame, handshake, opcodes, RawClient } from '../../transports/listener-test-client.ts';
import { EnvelopeFrame } from '../../wire/envelope.ts';
import { decodeEnvelopeJson } from '../../wire/envelope-json.ts';
import { hostileJson, hostileProtobuf, mutate } from './mutations.ts';
import { startVictims, type Victims } from './victims.ts';
import { Witness } from './witness.ts';

const framesPerRun = 5_500;
const attackers = 24;
/** Close codes that the spec allows for what we send; 1006 is a reset of the connection. */
const allowedCodes = new Set([1000, 1002, 1005, 1006, 1007, 1009]);

const wellFormed = [
  '{"cid":"1","ping":{}}',
  '{"cid":"2","channel_join":{"target":"hostile","type":1,"persistence":false}}',
  '{"cid":"3","channel_message_send":{"channel_id":"2...hostile","content":"{\\"a\\":1}"}}',
  '{"cid":"4","channel_leave":{"channel_id":"2...hostile"}}',
  '{"cid":"5","status_update":{"status":"away"}}',
  '{"cid":"6","status_follow":{"usernames":["nobody"],"user_ids":["4a1ba6ab-5a4d-4ba4-9ac5-2ba2e3a3b9a2"]}}',
  '{"cid":"7","call":{"method":"GetAccount"}}',
  '{"cid":"8","call":{"method":"ReadStorageObjects","request":{"object_ids":[{"collection":"c","key":"k"}]}}}',
  '{"cid":"9","call":{"method":"ListStorageObjects","request":{"collection":"c","limit":3,"cursor":"abc"}}}',
  '{"cid":"10","channel_message_update":{"channel_id":"2...hostile","message_id":"x","content":"{}"}}',
];

// On two nodes both are attacked, and what gets through to one of them reaches the other by way of Redis.
describe.each(serverKinds)('hostile frames on %s', (kind) => {
  let victims: Victims;
  let nodes: Victims['nodes'];
  let token: string;

  beforeAll(async () => {
    victims = await startVictims(kind);
    nodes = victims.nodes;
    token = (await signIn(nodes[0])).token;
  });
  afterAll(async () => {
    expect(await victims.stop()).toEqual(nodes.map(() => 0));
  });

  const memory = (): Promise<number[]> =>
    Promise.all(nodes.map((node) => node.metric('process_resident_memory_bytes')));

  it.each(formats)('%s: every frame gets an answer or a close, nobody else suffers', async (format) => {
    const random = new Random(20261120);
    const witness = await Witness.start(nodes.at(-1) as ProcessNode, format);
    const before = await memory();
    let left = framesPerRun;
    const outcomes = new Map<number | 'open', number>();
    const attack = async (): Promise<void> => {
      while (left > 0) {
        const batch = Array.from({ length: Math.min(left, 1 + random.below(4)) }, () => hostileFrame(random, format));
        const { port } = nodes[left % nodes.length] as ProcessNode;
        left -= batch.length;
        const outcome = await sendAll(port, token, format, batch);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: attackers }, attack));
    const report = await witness.finish();
    const grownMiB = (await memory()).map((bytes, index) => Math.round((bytes - (before[index] ?? 0)) / 2 ** 20));
    console.log(
      `${kind} ${format}: ${framesPerRun} frames, outcomes ${JSON.stringify([...outcomes])}, ` +
        `memory +${grownMiB} MiB, honest client ${report}`,
    );
    for (const outcome of outcomes.keys()) expect(outcome === 'open' || allowedCodes.has(outcome)).toBe(true);
    for (const node of nodes) {
      expect(node.hasExited).toBe(false);
      expect(node.errors).toEqual([]);
    }
    expect(Math.max(...grownMiB)).toBeLessThan(200);
  });

  it.each(formats)('%s: a well-formed socket still works afterwards', async (format) => {
    for (const node of nodes) {
      const socket = await TestSocket.connect(node, token, { format });
      expect(await socket.request({ ping: {} })).toHaveProperty('pong');
      await socket.close();
    }
  });
});

/** One WebSocket frame on the wire: hostile content, or hostile framing. */
function hostileFrame(random: Random, format: Format): Buffer {
  const opcode = format === 'json' ? opcodes.text : opcodes.binary;
  const valid = (): Buffer => {
    const text = random.pick(wellFormed);
    return format === 'json' ? Buffer.from(text) : toProtobuf(text);
  };
  switch (random.below(12)) {
    case 0:
      return frame(opcode, random.bytes(random.below(300)));
    case 1:
      return frame(opcode, format === 'json' ? random.pick(hostileJson) : random.pick(hostileProtobuf));
    case 2:
      return frame(format === 'json' ? opcodes.binary : opcodes.text, valid());
    case 3:
      return frame(random.below(16), random.bytes(random.below(40)));
    case 4:
      return frame(opcode, valid(), { masked: false });
    case 5:
      return frame(opcode, valid(), { reserved: 1 + random.below(7) });
    case 6:
      return frame(opcodes.ping, random.bytes(126 + random.below(200)));
    case 7:
      return Buffer.concat([
        frame(opcode, valid(), { fin: false }),
        frame(opcodes.continuation, mutate(random, valid())),
      ]);
    case 8:
      return frame(opcode, Buffer.alloc(4097 + random.below(4000), 0x20));
    case 9:
      return random.bytes(2 + random.below(30));
    default:
      return frame(opcode, mutate(random, valid()));
  }
}

function toProtobuf(text: string): Buffer {
  const { cid, content } = decodeEnvelopeJson(text);
  const payload = content && { name: content.field.name, message: content.message };
  return Buffer.from(EnvelopeFrame.of(payload as never, cid).protobuf);
}

/** Sends the frames on a new socket; answers the close code it got, or 'open' when it was answered and stayed. */
async function sendAll(port: number, token: string, format: Format, frames: Buffer[]): Promise<number | 'open'> {
  const client = await RawClient.connect(port);
  try {
    client.write(handshake(`/ws?token=${token}&format=${format}`));
    if ((await client.response()).status !== 101) throw new Error('handshake refused');
    for (const each of frames) client.write(each);
    // A close of ours comes last: whoever is still there then answers it.
    client.write(closing(4000));
    return await closeCode(client);
  } finally {
    client.socket.destroy();
  }
}

async function closeCode(client: RawClient): Promise<number | 'open'> {
  for (;;) {
    try {
      const { opcode, payload } = await client.frame();
      if (opcode !== opcodes.close) continue;
      const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
      return code === 4000 ? 'open' : code;
    } catch (error) {
      if (client.ended) return 1006;
      throw error;
    }
  }
}
