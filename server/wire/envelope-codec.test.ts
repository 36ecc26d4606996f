import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import { WireDecodeError } from './decode-error.ts';
import { EnvelopeFrame, payload } from './envelope.ts';
import { decodeEnvelopeJson, encodeEnvelopeJson, type ReceivedEnvelope } from './envelope-json.ts';
import { decodeEnvelopeProtobuf, decodeProtobuf } from './envelope-protobuf.ts';
import { nakama } from './generated/messages.js';
import { messageType } from './types.ts';

const sample = messageType('muster.testing.Sample');
const statusUpdate = payload('status_update', { status: { value: 'busy' } });

/** The cid, the payload's name and its own fields. */
function shape({ cid, content }: ReceivedEnvelope): unknown[] {
  return content ? [cid, content.field.name, { ...content.message }] : [cid];
}

function refused(run: () => unknown): void {
  expect(run).toThrow(WireDecodeError);
  expect(run).toThrow(/^proto: /);
}

describe('envelopes in JSON, to the client', () => {
  it.each([
    [EnvelopeFrame.of(undefined), '{}'],
    [EnvelopeFrame.of(undefined, '7'), '{"cid":"7"}'],
    [EnvelopeFrame.of(payload('pong', {})), '{"pong":{}}'],
    [EnvelopeFrame.of(payload('pong', {}), 'a"b'), '{"cid":"a\\"b","pong":{}}'],
    [EnvelopeFrame.of(statusUpdate, '1'), '{"cid":"1","status_update":{"status":"busy"}}'],
    [
      EnvelopeFrame.of(payload('match_data', { match_id: 'm', op_code: 5, data: Buffer.from('hi') })),
      '{"match_data":{"match_id":"m","op_code":"5","data":"aGk="}}',
    ],
    [EnvelopeFrame.of(payload('error', { code: 0, message: 'no' }), '2'), '{"cid":"2","error":{"message":"no"}}'],
  ])('%#', (frame, text) => {
    expect(encodeEnvelopeJson(frame)).toBe(text);
    expect(encodeEnvelopeJson(EnvelopeFrame.fromBytes(frame.protobuf))).toBe(text);
  });
});

describe('envelopes in JSON, from the client', () => {
  it.each([
    ['{}', ['']],
    ['{"cid":"1"}', ['1']],
    ['{"cid":"1","ping":null}', ['1']],
    ['{"ping":{}}', ['', 'ping', {}]],
    ['{"ping":{},"cid":"2"}', ['2', 'ping', {}]],
    ['{"ping":{},"pong":null}', ['', 'ping', {}]],
    ['{"cid":"3","statusUpdate":{"status":""}}', ['3', 'status_update', { status: { value: '' } }]],
    ['{"matchJoin":{"token":"t"}}', ['', 'match_join', { metadata: {}, token: 't' }]],
  ])('%s', (text, expected) => {
    expect(shape(decodeEnvelopeJson(text))).toEqual(expected);
  });

  it.each([
    '',
    'not json',
    '[]',
    'null',
    '{} x',
    '{"cid":1}',
    '{"cid":"1","cid":"1"}',
    '{"ping":{},"pong":{}}',
    '{"ping":{},"ping":{}}',
    '{"ping":[]}',
    '{"ping":{"x":1}}',
    '{"nope":{}}',
    '{"match_join":{"match_id":"a","token":"b"}}',
    '{"message":{}}',
  ])('refuses %j', (text) => refused(() => decodeEnvelopeJson(text)));
});

describe('envelopes in protobuf, from the client', () => {
  const tag = (id: number, wireType: number): number => ((id << 3) | wireType) >>> 0;
  const bytesOf = (write: (writer: protobuf.Writer) => unknown): Uint8Array => {
    const writer = protobuf.Writer.create();
    write(writer);
    return writer.finish();
  };
  const pingId = messageType('nakama.realtime.Envelope').byName.get('ping')?.id ?? 0;
  const pongId = messageType('nakama.realtime.Envelope').byName.get('pong')?.id ?? 0;

  it('round-trip', () => {
    expect(shape(decodeEnvelopeProtobuf(new Uint8Array()))).toEqual(['']);
    expect(shape(decodeEnvelopeProtobuf(EnvelopeFrame.of(undefined, 'é').protobuf))).toEqual(['é']);
    const { cid, content } = decodeEnvelopeProtobuf(EnvelopeFrame.of(statusUpdate, '9').protobuf);
    expect([cid, content?.field.name]).toEqual(['9', 'status_update']);
    expect(content?.message).toMatchObject({ status: { value: 'busy' } });
    expect(content?.message).toBeInstanceOf(nakama.realtime.StatusUpdate);
  });

  it('read the same as through the generated class', () => {
    const bytes = nakama.realtime.Envelope.encode({ cid: '1', status_update: { status: { value: 'x' } } }).finish();
    const content = decodeEnvelopeProtobuf(bytes).content;
    expect(content?.message).toEqual(nakama.realtime.Envelope.decode(bytes).status_update);
  });

  it('may be a part of a larger buffer', () => {
    const frame = EnvelopeFrame.of(statusUpdate, '9').protobuf;
    const larger = new Uint8Array(frame.length + 8).fill(0xff);
    larger.set(frame, 4);
    expect(decodeEnvelopeProtobuf(larger.subarray(4, 4 + frame.length)).cid).toBe('9');
  });

  it('the last payload counts', () => {
    const both = bytesOf((writer) =>
      writer.uint32(tag(pingId, 2)).bytes(new Uint8Array()).uint32(tag(pongId, 2)).bytes(new Uint8Array()),
    );
    expect(decodeEnvelopeProtobuf(both).content?.field.name).toBe('pong');
    const join = bytesOf((writer) => {
      const id = messageType('nakama.realtime.Envelope').byName.get('match_join')?.id ?? 0;
      writer.uint32(tag(id, 2)).fork().uint32(tag(1, 2)).string('m').uint32(tag(2, 2)).string('t').ldelim();
    });
    const message = decodeEnvelopeProtobuf(join).content?.message;
    expect([message?.match_id, message?.token]).toEqual([null, 't']);
  });

  it.each([
    ['unknown payload', (writer: protobuf.Writer) => writer.uint32(tag(900, 2)).bytes(Uint8Array.of(1, 2, 3))],
    ['unknown varint', (writer: protobuf.Writer) => writer.uint32(tag(900, 0)).uint32(300)],
    ['unknown fixed64', (writer: protobuf.Writer) => writer.uint32(tag(900, 1)).fixed64(1)],
    ['unknown fixed32', (writer: protobuf.Writer) => writer.uint32(tag(900, 5)).fixed32(1)],
    [
      'unknown group',
      (writer: protobuf.Writer) => writer.uint32(tag(900, 3)).uint32(tag(1, 0)).uint32(1).uint32(tag(900, 4)),
    ],
    ['payload of another wire type', (writer: protobuf.Writer) => writer.uint32(tag(pingId, 0)).uint32(1)],
    ['cid of another wire type', (writer: protobuf.Writer) => writer.uint32(tag(1, 0)).uint32(1)],
  ])('an %s is no payload', (_, write) => {
    const bytes = bytesOf((writer) => write(writer).uint32(tag(1, 2)).string('c'));
    expect(shape(decodeEnvelopeProtobuf(bytes))).toEqual(['c']);
  });

  it('refuses every cut, except where a shorter envelope ends', () => {
    const bytes = EnvelopeFrame.of(statusUpdate, '12').protobuf;
    const cidLength = EnvelopeFrame.of(undefined, '12').protobuf.length;
    for (let length = 1; length < bytes.length; length++) {
      const decode = (): unknown => decodeEnvelopeProtobuf(bytes.subarray(0, length));
      if (length === cidLength) decode();
      else refused(decode);
    }
  });

  it.each([
    ['a string that is not UTF-8', [0x0a, 1, 0xff]],
    ['half a character', [0x0a, 1, 0xc3, 0xa9]],
    ['field number 0', [0x02, 0]],
    ['an end without a group', [0x0c]],
    ['a group without an end', [0x93, 0x38]],
    ['wire type 7', [0x0f]],
    ['an endless varint', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['a length beyond the end', [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('refuses %s', (_, bytes) => refused(() => decodeEnvelopeProtobuf(Uint8Array.from(bytes))));

  it('random bytes give an envelope or an error, nothing else', () => {
    let state = 12345;
    const next = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state >> 8;
    };
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: next() % 24 }, () => next() & 0xff);
      try {
        decodeEnvelopeProtobuf(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(WireDecodeError);
      }
    }
  });
});

describe('decodeProtobuf', () => {
  it('gives what was encoded', () => {
    const bytes = sample.cls.encode({ text: 'é\ufffd', big: '9007199254740993', data: Buffer.from([1]) }).finish();
    const message = decodeProtobuf(sample, bytes);
    expect([message.text, String(message.big), message.data]).toEqual([
      'é\ufffd',
      '9007199254740993',
      Buffer.from([1]),
    ]);
    expect(message).toBeInstanceOf(sample.cls);
  });

  it.each([
    ['a nested string that is not UTF-8', [0x52, 3, 0x0a, 1, 0x80]],
    ['a map key that is not UTF-8', [0x72, 3, 0x0a, 1, 0xfe]],
    ['a string beyond its message', [0x52, 2, 0x0a, 5, 0x61, 0x61, 0x61, 0x61, 0x61]],
    ['an int64 that is cut off', [0x28, 0xff]],
    ['an int64 that is cut off after four bytes', [0x28, 0x80, 0x80, 0x80, 0x80]],
    ['a nested int64 that is cut off', [0x52, 2, 0x28, 0x80, 0x18, 0x01]],
    ['a double that is cut off', [0x39, 0, 0, 0]],
  ])('refuses %s', (_, bytes) => refused(() => decodeProtobuf(sample, Uint8Array.from(bytes))));

  it('refuses nesting too deep', () => {
    let bytes = Buffer.alloc(0);
    for (let depth = 0; depth < 1000; depth++) {
      const length = protobuf.Writer.create().uint32(0x52).uint32(bytes.length).finish();
      bytes = Buffer.concat([length, bytes]);
    }
    refused(() => decodeProtobuf(sample, bytes));
  });
});
