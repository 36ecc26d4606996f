import Long from 'long';
import { describe, expect, it } from 'vitest';
import { WireDecodeError } from './decode-error.ts';
import { setFromText } from './json-decode.ts';
import { type AnyMessage, messageType } from './types.ts';

const sample = messageType('muster.testing.Sample');
const own = (message: unknown): AnyMessage => ({ ...(message as AnyMessage) });

function refused(run: () => unknown, text: RegExp): void {
  expect(run).toThrow(WireDecodeError);
  expect(run).toThrow(text);
}

describe('text of query parameters', () => {
  const set = (path: string, ...values: string[]): AnyMessage => {
    const message = new sample.cls();
    setFromText(message, sample, path, values);
    return message;
  };

  it('sets scalars, in either spelling', () => {
    expect(set('text', '').text).toBe('');
    expect(set('maybe_text', 'a b').maybe_text).toEqual({ value: 'a b' });
    expect(set('maybeText', 'a').maybe_text).toBeInstanceOf(messageType('google.protobuf.StringValue').cls);
    expect(set('small', '-5').small).toBe(-5);
    expect(set('small', '+5').small).toBe(5);
    expect(set('natural', '007').natural).toBe(7);
    expect(set('maybe_natural', '4294967295').maybe_natural).toEqual({ value: 4294967295 });
    expect(String(set('big', '-9223372036854775808').big)).toBe('-9223372036854775808');
    expect(String(set('huge', '18446744073709551615').huge)).toBe('18446744073709551615');
    expect(String((set('maybeBig', '9007199254740993').maybe_big as AnyMessage).value)).toBe('9007199254740993');
    expect(set('ratio', '-1.5e3').ratio).toBe(-1500);
    expect(set('ratio', '-inf').ratio).toBe(Number.NEGATIVE_INFINITY);
    expect(set('ratio', 'nan').ratio).toBeNaN();
    expect(set('data', 'AA').data).toEqual(Buffer.from([0]));
    expect(set('colour', 'BLUE').colour).toBe(2);
    expect(set('colour', '2').colour).toBe(2);
    expect(own(set('time', '1970-01-01T00:00:01.5Z').time)).toEqual({ seconds: Long.ONE, nanos: 500_000_000 });
    expect(set('left', 'a').left).toBe('a');
  });

  it('takes the listed spellings of bools', () => {
    for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) expect(set('flag', text).flag).toBe(true);
    for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
      expect(set('maybe_flag', text).maybe_flag).toEqual({ value: false });
    }
    for (const text of ['', 'yes', 'tRUE', '2', ' true']) refused(() => set('flag', text), /parsing field "flag"/);
  });

  it.each(['small', 'natural', 'big', 'huge', 'maybe_small', 'maybe_big', 'maybe_natural'])(
    'refuses what is no integer: %s',
    (name) => {
      for (const text of ['', '1e1', '0x5', '1.0', ' 5', '5 ', '--5', '+', 'a', '1_0', '9'.repeat(30)]) {
        refused(() => set(name, text), new RegExp(`parsing field "${name}"`));
      }
    },
  );

  it.each([
    ['small', '2147483648'],
    ['natural', '-1'],
    ['big', '9223372036854775808'],
    ['huge', '-1'],
    ['ratio', '1e400'],
    ['ratio', ''],
    ['ratio', `${'1'.repeat(9000)}x`],
    ['data', '!'],
    ['colour', 'MAUVE'],
    ['colour', '77'],
    ['colour', '__proto__'],
    ['time', 'yesterday'],
    ['child', 'a'],
  ])('refuses %s=%s', (name, text) => refused(() => set(name, text), /parsing field/));

  it('collects lists and refuses two values for one field', () => {
    expect(set('texts', 'a', '', 'b,c').texts).toEqual(['a', '', 'b,c']);
    expect((set('bigs', '1', '2').bigs as Long[]).map(String)).toEqual(['1', '2']);
    refused(() => set('text', 'a', 'b'), /^too many values for field "text": a, b$/);
    refused(() => set('maybe_text', 'a', 'b'), /^too many values for field "maybe_text": a, b$/);
  });

  it('reads map entries', () => {
    const message = set('labels[a.b]', 'v');
    setFromText(message, sample, 'labels[__proto__]', ['w']);
    expect(Object.entries(message.labels as AnyMessage)).toEqual([
      ['a.b', 'v'],
      ['__proto__', 'w'],
    ]);
    expect(String((set('counters[]', '5').counters as AnyMessage)[''])).toBe('5');
    refused(() => set('labels', 'v'), /one value per key/);
    refused(() => set('labels[a]', 'v', 'w'), /one value per key/);
    refused(() => set('counters[a]', 'x'), /parsing field "counters"/);
  });

  it('follows dots into messages', () => {
    const message = set('child.child.small', '5');
    setFromText(message, sample, 'child.text', ['a']);
    setFromText(message, sample, 'child.labels[k]', ['v']);
    const child = message.child as AnyMessage;
    expect(child).toBeInstanceOf(sample.cls);
    expect(child.text).toBe('a');
    expect((child.child as AnyMessage).small).toBe(5);
    expect(child.labels).toEqual({ k: 'v' });
    refused(() => set('text.a', '1'), /"text" is not a message/);
    refused(() => set('children.text', '1'), /"children" is not a message/);
    refused(() => set(`${'child.'.repeat(1000)}text`, '1'), /too deep/);
  });

  it('refuses a second member of a oneof', () => {
    const message = set('left', 'a');
    refused(() => setFromText(message, sample, 'right', ['1']), /oneof "choice"/);
  });

  it.each(['nope', 'child.nope', '__proto__', '__proto__.x', 'constructor.prototype.x', '', '.', 'a]', 'nope[a]'])(
    'ignores %j',
    (path) => {
      expect(set(path, 'x').text).toBe('');
      expect(({} as AnyMessage).x).toBeUndefined();
    },
  );
});
