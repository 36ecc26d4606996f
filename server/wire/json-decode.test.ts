import Long from 'long';
import { describe, expect, it } from 'vitest';
import { WireDecodeError } from './decode-error.ts';
import { decodeJson, decodeJsonField, decodeUtf8, restMode, socketMode } from './json-decode.ts';
import { maxJsonDepth } from './json-reader.ts';
import { type AnyMessage, type FieldType, messageType } from './types.ts';

const sample = messageType('muster.testing.Sample');
const call = messageType('nakama.realtime.Call');
const megabyte = 1_000_000;

const rest = (text: string): AnyMessage => decodeJson(sample, text, restMode);
const socket = (text: string): AnyMessage => decodeJson(sample, text, socketMode);
const value = (name: string, json: string): unknown => rest(`{"${name}":${json}}`)[name];
const own = (message: unknown): AnyMessage => ({ ...(message as AnyMessage) });

function fieldOf(name: string): FieldType {
  const field = sample.byName.get(name);
  if (!field) throw new Error(name);
  return field;
}

function refused(run: () => unknown, text = /^proto: /): void {
  expect(run).toThrow(WireDecodeError);
  expect(run).toThrow(text);
}

describe('the JSON text', () => {
  it.each([
    ['', 'unexpected end'],
    [' ', 'unexpected end'],
    ['{', 'unexpected end'],
    ['{"text"', 'unexpected end'],
    ['{"text":', 'invalid value'],
    ['{"text":"a', 'unexpected end'],
    ['{"text":"a}', 'unexpected end'],
    ['{"text":"a\\"}', 'unexpected end'],
    ['{"text":"a",}', 'unexpected token "}"'],
    ['{,}', 'unexpected token ","'],
    ['{text:"a"}', 'unexpected token "t"'],
    ["{'text':'a'}", 'unexpected token "\'"'],
    ['{"text" "a"}', 'unexpected token'],
    ['{"text":"a" "flag":true}', 'unexpected token'],
    ['{"texts":["a",]}', 'invalid value'],
    ['{"texts":["a" "b"]}', 'unexpected token'],
    ['{"texts":["a"}', 'unexpected token'],
    ['{"x":[1,]}', 'unexpected token "]"'],
    ['{"x":[}', 'unexpected token'],
    ['{"x":nul}', 'unexpected token "n"'],
    ['{"x":nullx}', 'invalid value'],
    ['{"x":truefalse}', 'invalid value'],
    ['{"x":01}', 'invalid value'],
    ['{"x":1.}', 'unexpected token'],
    ['{"x":.5}', 'unexpected token'],
    ['{"x":+1}', 'unexpected token'],
    ['{"x":-}', 'unexpected token'],
    ['{"x":1e}', 'unexpected token'],
    ['{"x":1e+}', 'unexpected token'],
    ['{"x":0x10}', 'invalid value'],
    ['{"x":NaN}', 'unexpected token'],
    ['{"x":// c\n1}', 'unexpected token'],
    ['\ufeff{}', 'unexpected token'],
    ['\u00a0{}', 'unexpected token'],
    ['null', 'unexpected token "n"'],
    ['[]', 'unexpected token "["'],
    ['"a"', 'unexpected token'],
    ['5', 'unexpected token'],
  ])('refuses %j', (text, message) => {
    expect(() => rest(text)).toThrow(WireDecodeError);
    expect(() => rest(text)).toThrow(message);
    expect(() => socket(text)).toThrow(WireDecodeError);
  });

  it('takes white space anywhere', () => {
    expect(own(rest(' \t\r\n{ "text" : "a" ,\n"texts" : [ "b" , "c" ] , "labels" : { } } ')).texts).toEqual(['b', 'c']);
  });

  it('says where the fault is', () => {
    refused(
      () => rest('{\n  "text": "a",\n  "flag": 1}'),
      /^proto: \(line 3:11\): invalid value for bool field "flag"$/,
    );
    refused(() => rest('{"text";'), /^proto: syntax error \(line 1:8\): unexpected token ";"$/);
  });

  it('does not show values, and cuts names', () => {
    refused(() => rest('{"text": 12345}'), /^((?!12345).)*$/);
    expect(() => socket(`{"${'x'.repeat(megabyte)}":1}`)).toThrow(/^.{0,120}$/);
  });

  it('reads one value in REST bodies and refuses more on sockets', () => {
    expect(rest('{"text":"a"} garbage {').text).toBe('a');
    expect(rest('{}]').text).toBe('');
    refused(() => socket('{"text":"a"} x'));
    refused(() => socket('{}{}'));
    expect(socket('{}\n ').text).toBe('');
  });

  it('skips unknown members in REST bodies, with their syntax checked', () => {
    expect(rest('{"nope":{"a":[1,-2.5e3,"\\u00e9",true,false,null,{}]},"text":"a"}').text).toBe('a');
    expect(rest('{"nope":1,"nope":2}').text).toBe('');
    refused(() => rest('{"nope":{"a":[1,}}'));
    refused(() => rest('{"nope":"\\x"}'));
    refused(() => socket('{"nope":1}'), /unknown field "nope"/);
    refused(() => socket('{"child":{"nope":1}}'), /unknown field "nope"/);
    refused(() => socket('{"__proto__":1}'), /unknown field "__proto__"/);
  });

  it('gives an instance of the class, with all defaults', () => {
    const message = rest('{}');
    expect(message).toBeInstanceOf(sample.cls);
    expect(own(message)).toEqual({
      texts: [],
      bigs: [],
      children: [],
      labels: {},
      counters: {},
      ratios: {},
      relatives: {},
    });
    expect(message.child).toBeNull();
  });
});

describe('members', () => {
  it('may be spelled both ways', () => {
    expect(own(rest('{"maybe_text":"a"}').maybe_text)).toEqual({ value: 'a' });
    expect(own(rest('{"maybeText":"a"}').maybe_text)).toEqual({ value: 'a' });
  });

  it('may come once, whatever the spelling and even as null', () => {
    refused(() => rest('{"text":"a","text":"a"}'), /duplicate field "text"/);
    refused(() => rest('{"maybe_text":"a","maybeText":"b"}'), /duplicate field "maybeText"/);
    refused(() => rest('{"text":null,"text":"a"}'), /duplicate field/);
    refused(() => rest('{"child":{"text":"a","te\\u0078t":"b"}}'), /duplicate field/);
  });

  it('are unset when null', () => {
    const names = sample.fields.map((field) => `"${field.name}":null`);
    expect(own(rest(`{${names.join()}}`))).toEqual(own(rest('{}')));
    expect(own(socket(`{${names.join()}}`))).toEqual(own(rest('{}')));
  });

  it('of one oneof exclude each other', () => {
    refused(() => rest('{"left":"a","right":"1"}'), /oneof choice is already set/);
    refused(() => rest('{"right":"1","left":""}'), /oneof choice is already set/);
    expect(rest('{"left":null,"right":"1"}').right).toEqual(Long.fromNumber(1));
    expect(rest('{"left":"","right":null}').left).toBe('');
  });
});

describe('strings', () => {
  it.each([
    ['""', ''],
    ['"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\/\b\f\n\r\t'],
    ['"\\u00E9\\ud83d\\ude00"', 'é😀'],
    ['"é😀\u007f\u2028"', 'é😀\u007f\u2028'],
    [`"${'a'.repeat(100)}\\\\"`, `${'a'.repeat(100)}\\`],
    ['"\\\\\\""', '\\"'],
  ])('takes %s', (json, text) => {
    expect(value('text', json)).toBe(text);
  });

  it.each([
    '5',
    'true',
    '{}',
    '["a"]',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud800a"',
    '"\\u12"',
    '"\\u12g4"',
    '"\\x41"',
    '"\\',
    '"a\nb"',
    '"a\tb"',
    '"\u0000"',
    '"\u001f"',
    `"${'a'.repeat(100)}\n"`,
    `"${'a'.repeat(100)}\\ud800"`,
  ])('refuses %j', (json) => {
    refused(() => value('text', json));
    refused(() => rest(`{${json}:1}`));
  });

  it('only from valid UTF-8', () => {
    expect(decodeUtf8(Buffer.from('é😀'))).toBe('é😀');
    expect(decodeUtf8(new Uint8Array([65, 66]).subarray(1))).toBe('B');
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x9f]]) {
      refused(() => decodeUtf8(Uint8Array.from(bytes)), /invalid UTF-8/);
    }
  });
});

describe('lists, maps and messages', () => {
  it('nest', () => {
    const message = rest('{"child":{"text":"a"},"children":[{},{"text":"b"}],"relatives":{"x":{"small":1}}}');
    expect((message.child as AnyMessage).text).toBe('a');
    expect((message.children as AnyMessage[]).map((child) => child.text)).toEqual(['', 'b']);
    expect((message.children as AnyMessage[])[0]).toBeInstanceOf(sample.cls);
    expect(((message.relatives as AnyMessage).x as AnyMessage).small).toBe(1);
  });

  it.each([
    '{"texts":[null]}',
    '{"bigs":[null]}',
    '{"children":[null]}',
    '{"labels":{"a":null}}',
    '{"counters":{"a":null}}',
    '{"relatives":{"a":null}}',
    '{"texts":"a"}',
    '{"texts":{}}',
    '{"labels":[]}',
    '{"labels":{"a":1}}',
    '{"labels":{"a":"1","a":"1"}}',
    '{"labels":{"a":"1","\\u0061":"1"}}',
    '{"labels":{"__proto__":"1","__proto__":"1"}}',
    '{"labels":{1:"1"}}',
    '{"child":[]}',
    '{"child":"a"}',
  ])('refuse %s', (text) => refused(() => rest(text)));

  it('keep map keys that mean something to JavaScript', () => {
    const keys = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', '', '0'];
    const json = keys.map((key) => `"${key}":"v"`).join();
    for (const message of [rest(`{"labels":{${json}}}`), socket(`{"labels":{${json}}}`)]) {
      const labels = message.labels as AnyMessage;
      expect(Object.getPrototypeOf(labels)).toBe(Object.prototype);
      expect(Object.keys(labels).sort()).toEqual([...keys].sort());
      expect(JSON.stringify(labels)).toContain('"__proto__":"v"');
    }
    const relatives = rest('{"relatives":{"__proto__":{"text":"a"}}}').relatives as AnyMessage;
    expect(relatives.text).toBeUndefined();
    expect(Object.getPrototypeOf(relatives)).toBe(Object.prototype);
    expect(({} as AnyMessage).v).toBeUndefined();
  });
});

describe('embedded bytes', () => {
  const request = (json: string): string => String(decodeJson(call, `{"request":${json}}`, socketMode).request);

  it.each(['{"a":[1, "é\\u00e9"],"a":2}', '[]', '"text"', '5', 'true', '{ }'])('take %s as it is', (json) => {
    expect(request(` ${json} `)).toBe(json);
  });

  it('are checked for syntax, and unset when null', () => {
    refused(() => request('{"a":}'));
    refused(() => request('{'));
    expect(decodeJson(call, '{"method":"m","request":null}', socketMode).request).toHaveLength(0);
  });
});

describe('a single field', () => {
  it('is decoded as that field', () => {
    expect((decodeJsonField(fieldOf('child'), '{"text":"a"} x', restMode) as AnyMessage).text).toBe('a');
    expect(decodeJsonField(fieldOf('texts'), '["a"]', restMode)).toEqual(['a']);
    expect(decodeJsonField(fieldOf('labels'), '{"a":"b"}', restMode)).toEqual({ a: 'b' });
    expect(decodeJsonField(fieldOf('small'), '5', restMode)).toBe(5);
    refused(() => decodeJsonField(fieldOf('child'), 'null', restMode));
    refused(() => decodeJsonField(fieldOf('small'), 'null', restMode));
    refused(() => decodeJsonField(fieldOf('child'), '{} x', socketMode));
    refused(() => decodeJsonField(fieldOf('small'), '5x', restMode));
  });
});

describe('hostile texts', () => {
  it.each([
    ['known messages', '{"child":', '}'],
    ['unknown objects', '{"nope":', '}'],
    ['lists in unknown members', '[', ']'],
  ])('deep nesting of %s is an error, not a crash', (_, open, close) => {
    const nest = (depth: number): string => {
      const inner = `${open.repeat(depth)}${open === '[' ? '' : '{}'}${close.repeat(depth)}`;
      return open === '[' ? `{"nope":${inner}}` : inner;
    };
    refused(() => rest(nest(100_000)), /nesting depth/);
    refused(() => rest(open === '[' ? `{"nope":${open.repeat(100_000)}` : open.repeat(100_000)), /nesting depth/);
    expect(() => rest(nest(maxJsonDepth - 1))).not.toThrow();
    refused(() => rest(nest(maxJsonDepth)), /nesting depth/);
  });

  it.each([
    ['backslashes', `{"text":"${'\\'.repeat(megabyte)}`],
    ['escaped quotes', `{"text":"${'\\"'.repeat(megabyte / 2)}`],
    ['escapes', `{"text":"${'\\u00e9'.repeat(megabyte / 6)}"}`],
    ['white space', `{${' '.repeat(megabyte)}`],
    ['line ends', `{${'\n'.repeat(megabyte)}x`],
    ['digits', `{"small":${'9'.repeat(megabyte)}}`],
    ['zeros', `{"big":1${'0'.repeat(megabyte)}x}`],
    ['zeros and ones', `{"big":"0.${'0'.repeat(megabyte)}1"}`],
    ['fraction', `{"ratio":"1.${'1'.repeat(megabyte)}x"}`],
    ['exponent', `{"small":1e${'9'.repeat(megabyte)}}`],
    ['base64', `{"data":"${'A'.repeat(megabyte)}!"}`],
    ['base64 padding', `{"data":"${'='.repeat(megabyte)}"}`],
    ['timestamp', `{"time":"${'2'.repeat(megabyte)}"}`],
    ['members', `{${'"nope":0,'.repeat(megabyte / 9)}"x":1}`],
    ['map keys', `{"labels":{${Array.from({ length: 60_000 }, (_, i) => `"k${i}":"v"`).join()}}}`],
    ['list', `{"bigs":[${'1,'.repeat(megabyte / 2)}1]}`],
    ['open lists', `{"nope":${'[],'.repeat(megabyte / 3)}`],
    ['quotes', `{${'""'.repeat(megabyte / 2)}`],
  ])('a megabyte of %s takes a moment', (_, text) => {
    const start = performance.now();
    try {
      rest(text);
    } catch (error) {
      expect(error).toBeInstanceOf(WireDecodeError);
    }
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
