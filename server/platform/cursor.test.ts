import { expect, it } from 'vitest';
import { type CursorValue, decodeCursor, encodeCursor } from './cursor.ts';

const isText = (value: CursorValue): boolean => typeof value === 'string';

it('brings values back', () => {
  const values = ['ключ?>\u0000', -1.5, 9007199254740991, true, ''];
  const text = encodeCursor('list', values);
  expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(decodeCursor('list', text)).toEqual(values);
  expect(decodeCursor('list', encodeCursor('list', []))).toEqual([]);
});

it('reads both alphabets, with and without padding', () => {
  const values = ['??>>~~ÿÿ', 'x'];
  const json = JSON.stringify(['list', ...values]);
  for (const encoding of ['base64', 'base64url'] as const) {
    const text = Buffer.from(json).toString(encoding);
    expect(decodeCursor('list', text)).toEqual(values);
    expect(decodeCursor('list', text.replace(/=+$/, ''))).toEqual(values);
  }
});

it('refuses anything else', () => {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const texts = [
    '',
    '%%%',
    'a b',
    encodeCursor('other', ['x']),
    Buffer.from('["list"').toString('base64url'),
    encode({ 0: 'list' }),
    encode('list'),
    encode(null),
    encode(['list', null]),
    encode(['list', ['nested']]),
    encode(['list', { __proto__: 1 }]),
    encodeCursor('list', [Number.NaN]),
    encodeCursor('list', ['x'.repeat(5000)]),
  ];
  for (const text of texts) expect(decodeCursor('list', text)).toBeNull();
});

it('holds the values to their guards', () => {
  const text = encodeCursor('list', ['a', 1]);
  expect(decodeCursor('list', text, [isText, Number.isSafeInteger as (value: CursorValue) => boolean])).toEqual([
    'a',
    1,
  ]);
  expect(decodeCursor('list', text, [isText, isText])).toBeNull();
  expect(decodeCursor('list', text, [isText])).toBeNull();
  expect(decodeCursor('list', text, [isText, () => true, () => true])).toBeNull();
});
