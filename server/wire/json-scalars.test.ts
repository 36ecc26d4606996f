import Long from 'long';
import { describe, expect, it } from 'vitest';
import { WireDecodeError } from './decode-error.ts';
import { decodeJson, decodeJsonField, restMode, socketMode } from './json-decode.ts';
import { type AnyMessage, type FieldType, messageType } from './types.ts';

const sample = messageType('muster.testing.Sample');

const rest = (text: string): AnyMessage => decodeJson(sample, text, restMode);
const socket = (text: string): AnyMessage => decodeJson(sample, text, socketMode);
const value = (name: string, json: string): unknown => rest(`{"${name}":${json}}`)[name];
const own = (message: unknown): AnyMessage => ({ ...(message as AnyMessage) });

function refused(run: () => unknown, text = /^proto: /): void {
  expect(run).toThrow(WireDecodeError);
  expect(run).toThrow(text);
}

describe('numbers', () => {
  it.each([
    ['small', '-2147483648', -2147483648],
    ['small', '"2147483647"', 2147483647],
    ['small', '1e2', 100],
    ['small', '5.0', 5],
    ['small', '"5.0"', 5],
    ['small', '1.5e1', 15],
    ['small', '100e-2', 1],
    ['small', '-0', 0],
    ['small', '0e999999999999', 0],
    ['small', `1${'0'.repeat(400)}e-400`, 1],
    ['natural', '4294967295', 4294967295],
    ['natural', '"1E2"', 100],
    ['maybe_small', '"7"', { value: 7 }],
  ])('32 bits: %s %s', (name, json, number) => {
    const got = value(name, json);
    expect(typeof got === 'object' ? own(got) : got).toEqual(number);
  });

  it.each([
    ['big', '9007199254740993'],
    ['big', '"9223372036854775807"'],
    ['big', '-9223372036854775808'],
    ['huge', '18446744073709551615'],
    ['huge', '"9223372036854775808"'],
  ])('64 bits exactly: %s %s', (name, json) => {
    const got = value(name, json) as Long;
    expect(Long.isLong(got)).toBe(true);
    expect(got.unsigned).toBe(name === 'huge');
    expect(got.toString()).toBe(json.replaceAll('"', ''));
  });

  it.each([
    ['1e18', '1000000000000000000'],
    ['9007199254740993.0', '9007199254740993'],
    ['"0.9007199254740993e16"', '9007199254740993'],
    ['-5', '-5'],
    ['0', '0'],
  ])('64 bits from %s', (json, text) => {
    expect(String(value('big', json))).toBe(text);
    expect(String((value('bigs', `[${json}]`) as Long[])[0])).toBe(text);
    expect(String((value('counters', `{"k":${json}}`) as AnyMessage).k)).toBe(text);
    expect(String((value('maybe_big', json) as AnyMessage).value)).toBe(text);
    expect(String(value('right', json))).toBe(text);
  });

  it.each(['big', 'huge', 'small', 'natural', 'maybe_small', 'maybe_big', 'maybe_natural'])(
    'refuses what is no integer: %s',
    (name) => {
      const bad = [
        '""',
        '" 5"',
        '"5 "',
        '"+5"',
        '"0x5"',
        '"05"',
        '"1_0"',
        '"a"',
        '"NaN"',
        '1.5',
        '"1.5"',
        '1e-1',
        '1e-999',
      ];
      for (const json of [...bad, '1e999', '1e999999999999', 'true', '{}', '{"value":1}', '[]', '9'.repeat(30), '-']) {
        refused(() => value(name, json));
      }
    },
  );

  it.each([
    ['small', '2147483648'],
    ['small', '-2147483649'],
    ['natural', '-1'],
    ['natural', '4294967296'],
    ['big', '9223372036854775808'],
    ['big', '-9223372036854775809'],
    ['huge', '-1'],
    ['huge', '18446744073709551616'],
  ])('refuses what is out of range: %s %s', (name, json) => {
    refused(() => value(name, json));
    refused(() => value(name, `"${json}"`));
  });

  it.each([
    ['1.5', 1.5],
    ['-0.0', -0],
    ['"1.5e3"', 1500],
    ['1e-400', 0],
    ['"NaN"', Number.NaN],
    ['"Infinity"', Number.POSITIVE_INFINITY],
    ['"-Infinity"', Number.NEGATIVE_INFINITY],
  ])('double %s', (json, number) => {
    expect(value('ratio', json)).toBe(number);
    expect((value('ratios', `{"k":${json}}`) as AnyMessage).k).toBe(number);
  });

  it.each(['""', '" 1"', '"+1"', '"inf"', 'NaN', 'Infinity', '1e400', '"1e400"', 'true', '[]', '{}'])(
    'double refuses %s',
    (json) => refused(() => value('ratio', json)),
  );
});

describe('bools, bytes and enums', () => {
  it('bools are true and false only', () => {
    expect(value('flag', 'true')).toBe(true);
    expect(value('flag', 'false')).toBe(false);
    for (const json of ['1', '0', '"true"', '"false"', '[]', 'True']) refused(() => value('flag', json));
  });

  it.each(['+/+/', '-_-_', '+w==', '+w', '-w==', '-w', '+/8=', '+/8', ''])('bytes from %j', (text) => {
    expect(Buffer.from(value('data', `"${text}"`) as Uint8Array)).toEqual(Buffer.from(text, 'base64'));
  });

  it.each(['A', 'AAAAA', 'A===', 'AA=', 'AA=A', '====', 'AAAA=', 'AAAA====', 'A A=', '+-+-', 'AAA!', 'AAé='])(
    'bytes refuse %j',
    (text) => refused(() => value('data', `"${text}"`)),
  );

  it('enums by number or name', () => {
    expect(value('colour', '2')).toBe(2);
    expect(value('colour', '1e0')).toBe(1);
    expect(value('colour', '"BLUE"')).toBe(2);
    expect(value('colour', '77')).toBe(77);
    expect(value('colour', '-1')).toBe(-1);
    for (const json of ['true', '1.5', '2147483648', '[]']) refused(() => value('colour', json));
  });

  it('an unknown enum name is passed over in REST bodies only', () => {
    expect(own(rest('{"colour":"MAUVE","text":"a"}'))).not.toHaveProperty('colour');
    expect(decodeJsonField(sample.byName.get('colour') as FieldType, '"MAUVE"', restMode)).toBeNull();
    refused(() => socket('{"colour":"MAUVE"}'));
    refused(() => socket('{"colour":"__proto__"}'));
  });
});

describe('wrappers and timestamps', () => {
  it('wrappers take the bare value', () => {
    const message = rest('{"maybe_flag":false,"maybe_small":0,"maybe_text":"","maybe_natural":9,"maybe_big":"-3"}');
    expect(own(message.maybe_flag)).toEqual({ value: false });
    expect(own(message.maybe_small)).toEqual({ value: 0 });
    expect(own(message.maybe_text)).toEqual({ value: '' });
    expect(own(message.maybe_natural)).toEqual({ value: 9 });
    expect(own(message.maybe_big)).toEqual({ value: Long.fromNumber(-3) });
    expect(message.maybe_big).toBeInstanceOf(messageType('google.protobuf.Int64Value').cls);
    refused(() => rest('{"maybe_text":{"value":"a"}}'), /"maybe_text"/);
    refused(() => rest('{"maybe_flag":1}'));
    refused(() => rest('{"maybe_text":5}'));
  });

  it.each([
    ['1970-01-01T00:00:00Z', 0, 0],
    ['2026-07-16T12:28:59Z', 1784204939, 0],
    ['2026-07-16T14:28:59.5+02:00', 1784204939, 500_000_000],
    ['2026-07-16T07:58:59.000000001-04:30', 1784204939, 1],
    ['2024-02-29T00:00:00.123456Z', 1709164800, 123_456_000],
    ['1969-12-31T23:59:59.999999999Z', -1, 999_999_999],
    ['0001-01-01T00:00:00Z', -62135596800, 0],
    ['9999-12-31T23:59:59Z', 253402300799, 0],
  ])('timestamp %s', (text, seconds, nanos) => {
    const time = value('time', `"${text}"`);
    expect(time).toBeInstanceOf(messageType('google.protobuf.Timestamp').cls);
    expect(own(time)).toEqual({ seconds: Long.fromNumber(seconds), nanos });
  });

  it.each([
    '',
    '2026-07-16',
    '2026-07-16T12:28:59',
    '2026-07-16 12:28:59Z',
    '2026-07-16T12:28:59z',
    '2026-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00.1234567891Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+0200',
    '0000-12-31T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    ' 2026-01-01T00:00:00Z',
  ])('timestamp refuses %j', (text) => refused(() => value('time', `"${text}"`)));

  it('timestamp refuses other types', () => {
    for (const json of ['5', '{}', '{"seconds":1}', 'true']) refused(() => value('time', json));
  });
});
