import { describe, expect, it } from 'vitest';
import { nakama } from '../../server/wire/generated/messages.js';
import { DIRECT_MESSAGE, decodeEnvelope, Envelope, encodeEnvelope, ROOM } from './envelope.js';
import { bool, message, string, uint } from './protobuf.js';

const Generated = nakama.realtime.Envelope;
const texts = ['', 'plain', 'Grüße', '日本語', '😀 and more', '\0', 'x'.repeat(3000)];
const numbers = [0, 1, 127, 128, 300, 2 ** 31 - 1];

/** Every value that a type's fields can take one after another: each field alone, and all of them together. */
function samples(type) {
  if (type === string) return texts;
  if (type === uint) return numbers;
  if (type === bool) return [false, true];
  if (type.isList) {
    const items = samples({ ...type, isList: false });
    return [...items.map((item) => [item]), items];
  }
  const names = Object.keys(type.fields);
  const each = names.flatMap((name) => samples(type.fields[name][1]).map((value) => ({ [name]: value })));
  const together = Object.fromEntries(names.map((name) => [name, samples(type.fields[name][1]).at(-1)]));
  return [{}, ...each, together];
}

const payloads = Object.keys(Envelope.fields).filter((name) => name !== 'cid');
const envelopes = payloads.flatMap((name) => {
  return samples(Envelope.fields[name][1]).map((payload) => ({ cid: '7', [name]: payload }));
});

describe('the load tests’ envelopes', () => {
  it.each(payloads)('are read by the server: %s', (name) => {
    const own = envelopes.filter((envelope) => name in envelope);
    expect(own.length).toBeGreaterThan(0);
    for (const envelope of own) {
      const read = Generated.decode(new Uint8Array(encodeEnvelope(envelope)));
      expect(read).toMatchObject(envelope);
    }
  });

  it.each(payloads)('are written by the server: %s', (name) => {
    for (const envelope of envelopes.filter((each) => name in each)) {
      const bytes = Generated.encode(envelope).finish();
      expect(decodeEnvelope(Uint8Array.from(bytes).buffer)).toMatchObject(envelope);
    }
  });

  it('name the types of channels as the server does', () => {
    const { Type } = nakama.realtime.ChannelJoin;
    expect([ROOM, DIRECT_MESSAGE]).toEqual([Type.ROOM, Type.DIRECT_MESSAGE]);
  });

  it('are read from messages with fields that no scenario uses', () => {
    const time = { seconds: 1_700_000_000, nanos: 5 };
    const sent = {
      channel_id: '2...lobby',
      message_id: 'm',
      code: { value: -1 },
      create_time: time,
      content: '{"n":1}',
    };
    const bytes = Generated.encode({ channel_message: sent }).finish();
    expect(decodeEnvelope(Uint8Array.from(bytes).buffer)).toEqual({ cid: '', channel_message: { content: '{"n":1}' } });
  });
});

describe('the protobuf reader', () => {
  const type = message({ name: [1, string], count: [2, uint], inner: [3, message({ on: [1, bool] })] });
  const bytes = type.write({ name: 'Ä', count: 300, inner: { on: true } });

  it('fills in defaults of scalars only', () => {
    expect(type.read('')).toEqual({ name: '', count: 0 });
  });

  it('refuses what is cut off anywhere inside a field', () => {
    const whole = [0, 4, 7, 11];
    for (let length = 0; length <= bytes.length; length++) {
      const read = () => type.read(bytes.slice(0, length));
      if (whole.includes(length)) expect(read).not.toThrow();
      else expect(read, `${length} bytes`).toThrow('cut off');
    }
  });

  it('skips fields of every wire type that it does not know', () => {
    const unknown = '\x48\x96\x01' + '\x51abcdefgh' + '\x5a\x02hi' + '\x65abcd';
    expect(type.read(unknown + bytes)).toEqual(type.read(bytes));
  });

  it('refuses wire types that do not exist, and fields of another type', () => {
    expect(() => type.read('\x4b')).toThrow('unknown wire type 3');
    expect(() => type.read('\x08\x01')).toThrow('field name has wire type 0');
  });

  it('refuses to write a field that the message does not have', () => {
    expect(() => type.write({ nmae: 'x' })).toThrow('unknown field nmae');
  });
});
