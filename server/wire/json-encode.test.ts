import Long from 'long';
import { describe, expect, it } from 'vitest';
import { decodeProtobuf } from './envelope-protobuf.ts';
import { decodeJson, restMode, socketMode } from './json-decode.ts';
import { encodeJson, encodeJsonString } from './json-encode.ts';
import { type AnyMessage, messageType } from './types.ts';

const sample = messageType('muster.testing.Sample');
const encode = (message: AnyMessage): string => encodeJson(sample, message);

describe('encodeJson', () => {
  it('writes proto names in declaration order', () => {
    const message = { maybe_text: { value: 'b' }, texts: ['x', ''], flag: true, small: -5, text: 'a' };
    expect(encode(message)).toBe('{"text":"a","flag":true,"small":-5,"texts":["x",""],"maybe_text":"b"}');
  });

  it('leaves out defaults', () => {
    expect(encode({})).toBe('{}');
    expect(encode(new sample.cls())).toBe('{}');
    expect(encode(sample.cls.decode(new Uint8Array()))).toBe('{}');
    const defaults = {
      text: '',
      flag: false,
      small: 0,
      natural: 0,
      big: Long.ZERO,
      huge: 0,
      ratio: 0,
      data: new Uint8Array(),
      colour: 0,
      child: null,
      texts: [],
      labels: {},
      maybe_flag: undefined,
      time: null,
      left: null,
      right: undefined,
    };
    expect(encode(defaults)).toBe('{}');
    expect(encode({ big: '0', huge: Long.UZERO })).toBe('{}');
    expect(encode({ big: '' })).toBe('{}');
    expect(encodeJson(messageType('google.protobuf.Empty'), {})).toBe('{}');
  });

  it('writes messages that are set, however empty', () => {
    expect(encode({ child: {}, children: [{}, { flag: true }], relatives: { a: {} } })).toBe(
      '{"child":{},"children":[{},{"flag":true}],"relatives":{"a":{}}}',
    );
  });

  it('writes wrappers bare, zero or not', () => {
    const zero = { maybe_flag: { value: false }, maybe_small: { value: 0 }, maybe_big: {}, maybe_text: { value: '' } };
    expect(encode(zero)).toBe('{"maybe_flag":false,"maybe_small":0,"maybe_big":"0","maybe_text":""}');
    expect(encode({ maybe_flag: {}, maybe_natural: {}, maybe_text: {} })).toBe(
      '{"maybe_flag":false,"maybe_text":"","maybe_natural":0}',
    );
    expect(encode({ maybe_big: { value: 5 }, maybe_natural: { value: 4294967295 } })).toBe(
      '{"maybe_big":"5","maybe_natural":4294967295}',
    );
  });

  it.each([
    [Long.MAX_VALUE, '9223372036854775807'],
    [Long.MIN_VALUE, '-9223372036854775808'],
    [Long.fromString('9007199254740993'), '9007199254740993'],
    [Long.fromNumber(-1), '-1'],
    [Long.fromNumber(-9007199254740991), '-9007199254740991'],
    [-7, '-7'],
    [2 ** 53, '9007199254740992'],
    ['9223372036854775807', '9223372036854775807'],
    ['-12', '-12'],
  ])('writes int64 %s as a decimal string', (big, text) => {
    expect(encode({ big, bigs: [big], counters: { a: big } })).toBe(
      `{"big":"${text}","bigs":["${text}"],"counters":{"a":"${text}"}}`,
    );
  });

  it.each([
    [Long.MAX_UNSIGNED_VALUE, '18446744073709551615'],
    [Long.fromString('9223372036854775808', true), '9223372036854775808'],
    ['18446744073709551615', '18446744073709551615'],
    [5, '5'],
  ])('writes uint64 %s as a decimal string', (huge, text) => {
    expect(encode({ huge })).toBe(`{"huge":"${text}"}`);
  });

  it('writes other numbers as JSON, and as strings what JSON cannot say', () => {
    expect(encode({ natural: 4294967295, ratio: 1.5, colour: 2 })).toBe(
      '{"natural":4294967295,"ratio":1.5,"colour":2}',
    );
    expect(encode({ ratio: Number.NaN })).toBe('{"ratio":"NaN"}');
    expect(encode({ ratio: Number.NEGATIVE_INFINITY })).toBe('{"ratio":"-Infinity"}');
    expect(encode({ ratio: -0 })).toBe('{"ratio":-0}');
    expect(encode({ ratio: 1e21 })).toBe('{"ratio":1e+21}');
    expect(encode({ ratios: { a: 0, b: Number.POSITIVE_INFINITY } })).toBe('{"ratios":{"a":0,"b":"Infinity"}}');
    expect(encode({ colour: 77 })).toBe('{"colour":77}');
  });

  it('writes bytes as padded standard base64', () => {
    expect(encode({ data: Uint8Array.from([0xfb, 0xff, 0xfe, 0xfb]) })).toBe('{"data":"+//++w=="}');
    expect(encode({ data: new Uint8Array([1, 2, 3]).subarray(1) })).toBe('{"data":"AgM="}');
  });

  it.each([
    [{}, '1970-01-01T00:00:00Z'],
    [{ seconds: 1784204939, nanos: 0 }, '2026-07-16T12:28:59Z'],
    [{ seconds: Long.fromNumber(1784204939), nanos: 500_000_000 }, '2026-07-16T12:28:59.500Z'],
    [{ seconds: '1784204939', nanos: 1_000 }, '2026-07-16T12:28:59.000001Z'],
    [{ seconds: 1784204939, nanos: 123_456_789 }, '2026-07-16T12:28:59.123456789Z'],
    [{ seconds: -1, nanos: 10 }, '1969-12-31T23:59:59.000000010Z'],
    [{ seconds: -62135596800 }, '0001-01-01T00:00:00Z'],
    [{ seconds: 253402300799 }, '9999-12-31T23:59:59Z'],
    [{ seconds: 951782400 }, '2000-02-29T00:00:00Z'],
  ])('writes the timestamp %o', (time, text) => {
    expect(encode({ time })).toBe(`{"time":"${text}"}`);
  });

  it('agrees with Date about every day of eight centuries', () => {
    for (let day = -150_000; day < 150_000; day++) {
      const date = `${new Date(day * 86_400_000).toISOString().slice(0, 10)}T23:59:58Z`;
      if (encode({ time: { seconds: day * 86_400 + 86_398 } }) !== `{"time":"${date}"}`) expect.fail(date);
    }
  });

  it('refuses timestamps without a date', () => {
    for (const time of [{ seconds: 253402300800 }, { seconds: -62135596801 }, { nanos: -1 }, { nanos: 1e9 }]) {
      expect(() => encode({ time })).toThrow(RangeError);
    }
    expect(() => encode({ time: { seconds: 1.5 } })).toThrow(RangeError);
  });

  it('writes a member of a oneof that is set, at its default too', () => {
    expect(encode({ left: '' })).toBe('{"left":""}');
    expect(encode({ right: 0 })).toBe('{"right":"0"}');
  });

  it('writes map keys as strings, whatever they are', () => {
    const labels = JSON.parse('{"__proto__":"a","x\\"y":"","7":"b"}');
    expect(encode({ labels })).toBe('{"labels":{"7":"b","__proto__":"a","x\\"y":""}}');
  });

  it('writes embedded bytes as the text they hold', () => {
    const result = messageType('nakama.realtime.CallResult');
    expect(encodeJson(result, { response: Buffer.from('{"a":"é"}') })).toBe('{"response":{"a":"é"}}');
    expect(encodeJson(result, { code: 3, response: new Uint8Array() })).toBe('{"code":3}');
  });
});

describe('encodeJsonString', () => {
  it.each([
    '',
    'a',
    'é😀',
    '"',
    '\\',
    '\n',
    '\u0000',
    '\u007f\u2028',
    '\ud800',
    'x'.repeat(500),
    `${'x'.repeat(500)}"`,
  ])('is what JSON.stringify gives: %j', (text) => expect(encodeJsonString(text)).toBe(JSON.stringify(text)));
});

describe('JSON and protobuf', () => {
  it.each([1, 20260716, 424242])('carry the same messages (seed %i)', (seed) => {
    const random = randomOf(seed);
    for (let round = 0; round < 300; round++) {
      const message = randomSample(random, 3);
      const bytes = sample.cls.encode(message).finish();
      const text = encode(message);
      JSON.parse(text);
      expect(encode(decodeProtobuf(sample, bytes))).toBe(text);
      for (const mode of [restMode, socketMode]) {
        const again = decodeJson(sample, text, mode);
        expect(Buffer.from(sample.cls.encode(again).finish()).equals(bytes)).toBe(true);
        expect(encode(again)).toBe(text);
      }
    }
  });
});

type Random = () => number;

/** mulberry32: small, and the same on every machine. */
function randomOf(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// No field is set to its default: protobufjs would write it, JSON would not.
function randomSample(random: Random, depth: number): AnyMessage {
  const int = (max: number): number => 1 + Math.floor(random() * max);
  const bits = (): number => Math.floor(random() * 2 ** 32) | 0;
  const long = (unsigned: boolean): Long => Long.fromBits(bits() >> int(31), bits() | 1, unsigned);
  const pick = <T>(from: readonly T[]): T => from[int(from.length) - 1] as T;
  const text = (): string =>
    Array.from({ length: int(60) }, () => pick(['a', '"', '\\', '\n', 'é', '😀', '\u0000'])).join('');
  const key = (): string => pick(['k', '__proto__', 'constructor', '7', 'é', '']);
  const list = <T>(make: () => T): T[] => Array.from({ length: int(3) }, make);
  const map = <T>(make: () => T): object => Object.fromEntries([[key(), make()]]);
  const ratio = (): number =>
    pick([1.5, -0, 1e300, 5e-324, Number.NaN, Number.NEGATIVE_INFINITY, random(), bits() || 1]);
  const child = (): AnyMessage => randomSample(random, depth - 1);
  const nested = depth > 0;

  const makers: Record<string, () => unknown> = {
    text,
    flag: () => true,
    small: () => bits() || 1,
    natural: () => (bits() || 1) >>> 0,
    big: () => long(false),
    huge: () => long(true),
    ratio,
    data: () => Buffer.from(list(() => int(255))),
    colour: () => int(5),
    ...(nested && { child, children: () => list(child), relatives: () => map(child) }),
    texts: () => list(text),
    bigs: () => list(() => long(false)),
    labels: () => map(text),
    counters: () => map(() => long(false)),
    ratios: () => map(ratio),
    maybe_flag: () => ({ value: true }),
    maybe_small: () => ({ value: bits() || 1 }),
    maybe_big: () => ({ value: long(false) }),
    maybe_text: () => ({ value: text() }),
    maybe_natural: () => ({ value: int(1000) }),
    time: () => ({ seconds: Long.fromNumber(bits() || 1), nanos: pick([1, 1_000, 1_000_000, 123_456_789]) }),
    [pick(['left', 'right'])]: () => undefined,
  };
  const message: AnyMessage = {};
  for (const [name, make] of Object.entries(makers)) {
    if (random() < 0.4) message[name] = make();
  }
  if ('left' in message) message.left = pick(['', text()]);
  else if ('right' in message) message.right = pick([Long.ZERO, long(false)]);
  return message;
}
