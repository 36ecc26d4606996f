import { describe, expect, it } from 'vitest';
import { Random } from '../../testing/random.ts';
import { addJsonFields, type FieldValues, Query, QueryError } from './query.ts';

/** A document as the match listing has it. */
function label(value: object): { values(field: string): FieldValues | undefined } {
  const fields = new Map<string, FieldValues>();
  addJsonFields(fields, 'label', value);
  return { values: (field) => fields.get(field) };
}

const m1 = label({ mode: 'ctf', rank: 5, open: true, tags: ['a', 'b'], geo: { r: 'eu' } });
const m2 = label({ mode: 'ctf', rank: 4, open: false });
const m3 = label({});
const all = { M1: m1, M2: m2, M3: m3 };
const hits = (text: string): string[] => {
  const query = new Query(text);
  return Object.entries(all).flatMap(([name, document]) => (query.matches(document) ? [name] : []));
};

describe('what matches a query', () => {
  it.each([
    ['ML-01', '+label.mode:ctf', ['M1', 'M2']],
    ['ML-02', '+label.rank:>=5', ['M1']],
    ['ML-02', '+label.rank:>5', []],
    ['ML-02', '+label.rank:5', ['M1']],
    ['ML-03', '+label.open:T', ['M1']],
    ['ML-03', '+label.open:true', []],
    ['ML-04', '+label.tags:b', ['M1']],
    ['ML-05', '+label.geo.r:eu', ['M1']],
    ['ML-06', '-label.mode:ctf', ['M3']],
    ['ML-07', 'label.mode:ctf label.rank:9', ['M1', 'M2']],
    ['ML-09', '+label.mode:CTF', []],
    ['ML-09', 'ctf', []],
    ['ML-10', '+label.mode:c*', ['M1', 'M2']],
    ['ML-10', '+label.mode:/c.f/', ['M1', 'M2']],
    ['ML-10', '+label.mode:?tf', ['M1', 'M2']],
    ['ML-11', '+label.mode:ctf +label.rank:<5', ['M2']],
    ['ML-13', '*', ['M1', 'M2', 'M3']],
    ['ML-13', '', ['M1', 'M2', 'M3']],
    ['ML-13', ' * ', []],
    ['ML-20', '+label.rank:-5', []],
    ['a required clause', '+label.mode:ctf label.rank:4', ['M1', 'M2']],
    ['a clause that excludes', 'label.mode:ctf -label.rank:4', ['M1']],
    ['a required clause on no field', '+ctf', []],
    ['an excluding clause on no field', '-ctf', ['M1', 'M2', 'M3']],
    ['quoted text on no field', '"ctf"', []],
    ['the presence of a field', 'label.tags:*', ['M1']],
    ['the presence of a number', '+label.rank:*', ['M1', 'M2']],
    ['names with case', '+label.Mode:ctf', []],
    ['a number with a fraction', '+label.rank:5.0', ['M1']],
    ['a number under a wildcard', '+label.rank:5*', []],
    ['blanks after a sign or a colon', '+ label.mode: ctf', ['M1', 'M2']],
    ['more than one blank', '  +label.mode:ctf\n\t-label.rank:4 ', ['M1']],
    ['a boost without a number', '+label.mode:ctf^', ['M1', 'M2']],
    ['a negative boost', '+label.mode:ctf^-2', ['M1', 'M2']],
    ['brackets as text', '(label.mode:ctf OR label.rank:4)', []],
  ])('%s: %s', (_case, text, expected) => {
    expect(hits(text)).toEqual(expected);
  });

  it.each<[unknown, string, boolean]>([
    ['foo bar', 'foo\\ bar', true],
    ['foo bar', '"foo bar"', true],
    ['say "x"', '"say \\"x\\""', true],
    ['a:b', 'a\\:b', true],
    ['-a', '\\-a', true],
    ['a-b', 'a-b', true],
    ['a\\b', 'a\\b', true],
    ['a\\', 'a\\', true],
    ['a(b)[c]{d}', 'a(b)[c]{d}', true],
    ['5', '5', true],
    ['-5', '-5', true],
    [-5, '-5', true],
    [-5, '<-4.5', true],
    [-5, '< -4.5', true],
    ['6', '>5', false],
    [5, '>=5.0', true],
    [5, '<=4.99', false],
    ['5v5', '5v5', true],
    ['10a', '10*', true],
    ['a*b', 'a\\*b', true],
    ['axb', 'a\\*b', false],
    ['axxb', 'a*b', true],
    ['axxbc', 'a*b', false],
    ['a\nb', 'a*b', true],
    ['😀', '?', true],
    ['', '*', true],
    ['xctf', '/ctf/', false],
    ['ctf', '/\\^ctf$/', true],
    ['a.b', '/a\\.b/', true],
    ['axb', '/a\\.b/', false],
    ['a1_', '/\\w\\d\\w/', true],
    ['team-12', '/team-(1[0-9]|2)/', true],
    ['team-22', '/team-(?\\:1[0-9]|2)/', false],
    ['aaa', '/a{2,3}/', true],
    ['aaaa', '/a{2,3}/', false],
    ['aaaa', '/a{2,}/', true],
    ['aa', '/a{2}/', true],
    ['b', '/[\\^a]/', true],
    ['a', '/[\\^a]/', false],
    [']', '/[]a]/', true],
    ['a\nb', '/a.b/', false],
    ['', '//', true],
    ['a/', 'a/', true],
    ['/a/', '\\/a/', true],
    ['house', 'hause~', true],
    ['house', 'hausa~', false],
    ['house', 'hausa~2', true],
    ['house', 'house~0', true],
    ['house', 'hous~1', true],
    ['house', 'ahouse~1^3', true],
    ['house', 'ho~2', false],
    ['house', 'xxouse~2', true],
    ['house', 'use~2', true],
    [true, 'T', true],
    [false, 'F', true],
    [null, '*', false],
    [[1, [2, { a: 3 }]], '2', true],
    ['2024-05-01T10:00:00Z', '>"2024-05-01T09:59:59.5Z"', true],
    ['2024-05-01T10:00:00Z', '>"2024-05-01T12:00:00+02:00"', false],
    ['2024-05-01T10:00:00.000001Z', '>"2024-05-01T10:00:00Z"', true],
    ['2024-05-01T10:00:00', '<="2024-05-01T10:00:00Z"', true],
    ['2024-05-01 10:00:00', '>="2024-05-01T10:00:00Z"', true],
    ['2024-05-01', '<"2024-05-01T00:00:00Z"', false],
    ['2024-05-01', '<"2024-05-01T00:00:01Z"', true],
    ['2024-05-01', '2024-05-01', false],
    ['2024-02-30', '2024-02-30', true],
    ['2024-05-01x', '2024-05-01x', true],
    ['later', '>"2024-05-01T00:00:00Z"', false],
  ])('%j under %s: %s', (value, text, expected) => {
    expect(new Query(`+label.x:${text}`).matches(label({ x: value }))).toBe(expected);
  });
});

describe('scores', () => {
  const score = (text: string, document = m1): number | undefined => new Query(text).score(document);

  it('MM-23 and ML-08: more and dearer clauses first', () => {
    expect(score('+label.mode:ctf label.rank:4^10', m2)).toBeGreaterThan(score('+label.mode:ctf label.rank:4^10') ?? 0);
    expect(score('label.mode:ctf^5 label.rank:9')).toBeGreaterThan(score('label.mode:no^5 label.rank:5') ?? 0);
    expect(score('label.mode:ctg~^2')).toBeLessThan(score('label.mode:ctf~^2') ?? 0);
    expect(score('label.tags:*')).toBe(2);
    expect(score('label.tags:b^0')).toBe(0);
    expect(score('*')).toBe(score('-label.mode:x'));
  });

  it('is undefined for what does not match', () => {
    expect(score('+label.mode:x label.rank:5')).toBeUndefined();
  });
});

describe('text that is no query', () => {
  it.each([
    ...[
      '+label.mode:',
      '+label.x:>',
      'label.x:a^x',
      'label.x:a~x',
      '+',
      '-',
      'a:b:c',
      '+label.x:/[/',
      '"open',
      'a:"open',
    ],
    ...[
      '   ',
      ':a',
      '^2',
      '~1',
      'a:>b',
      'a:>=',
      'a:>"2026-05-01"',
      'a:>"2026-05-01 10:00:00"',
      'a:>"2026-13-01T00:00:00Z"',
    ],
    ...['a:~', 'a:^', 'a:+b', 'a:=b', 'a:-b', 'a:--5', 'a:b~3', 'a:5~', 'a:>5~', '++a:b', 'a: ', '+a:b +'],
    ...['/(/', '/)/', '/a**/', '/*a/', '/a|*/', '/\\1/', '/\\b/', '/a\\\\/', '/[b-a]/', '/[/', '/a{3,2}/', '/a{2000}/'],
    ...['/(?=a)/', '/(?i)a/', '/a{500}{500}/', '/(a{100}){100}/'],
  ])('ML-19: %s', (text) => {
    expect(() => new Query(text)).toThrow(QueryError);
  });
});

it('refuses what is too large', () => {
  const brackets = (count: number, close: string): string => `/${'('.repeat(count)}${close.repeat(count)}/`;
  const texts = ['a'.repeat(40_000), `a:${'?'.repeat(1000)}`, brackets(200, ')'), brackets(50, '){900}')];
  for (const text of texts) expect(() => new Query(text), text.slice(0, 100)).toThrow(QueryError);
});

it('matches in time linear to the text, whatever the pattern', () => {
  const text = `${'a'.repeat(30_000)}b`;
  for (const pattern of [
    '/(a*)*/',
    '/(a|a)*/',
    '/(a|aa)+c/',
    `${'a*'.repeat(60)}c`,
    `/${'a?'.repeat(80)}${'a'.repeat(80)}/`,
  ]) {
    expect(new Query(`+label.x:${pattern}`).matches(label({ x: text }))).toBe(false);
  }
  expect(new Query(`+label.x:${'a'.repeat(30_000)}~2`).matches(label({ x: text }))).toBe(true);
});

it('forgets what a pattern has seen without forgetting where it is', () => {
  // More states than are remembered: every text of the last 12 characters is another.
  const query = new Query(`+label.x:/(a|b)*a(a|b){12}/`);
  const random = new Random(7);
  const text = Array.from({ length: 10_000 }, () => random.pick(['a', 'b'])).join('');
  for (const [end, expected] of [
    ['a', true],
    ['b', false],
  ] as const) {
    expect(query.matches(label({ x: `${text}${end}${'b'.repeat(12)}` }))).toBe(expected);
  }
});

it('throws nothing but QueryError, and repeats itself', () => {
  const random = new Random(20_240_501);
  const pieces = [
    'label.x',
    ':',
    '+',
    '-',
    '>',
    '<',
    '=',
    '"',
    '~',
    '^',
    '\\',
    '/',
    '*',
    '?',
    ' ',
    '5',
    '.',
    'a',
    '[',
    ']',
  ];
  pieces.push('(', ')', '{2,}', '|', '\n', '😀', '\ud800', '2024-05-01T00:00:00Z', 'T', '-1');
  const document = label({ x: ['a', 5, '2024-05-01', true, 'a😀', '\ud800'], y: { z: 1 } });
  const outcomes = { parsed: 0, refused: 0 };
  for (let round = 0; round < 50_000; round++) {
    const length = 1 + random.below(12);
    const text = Array.from({ length }, () => random.pick(pieces)).join('');
    try {
      const query = new Query(text);
      expect(query.score(document) !== undefined).toBe(query.matches(document));
      outcomes.parsed++;
    } catch (error) {
      expect(error).toBeInstanceOf(QueryError);
      outcomes.refused++;
    }
  }
  expect(Math.min(outcomes.parsed, outcomes.refused)).toBeGreaterThan(1000);
});
