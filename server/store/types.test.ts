import { describe, expect, test } from 'vitest';
import {
  compareInstants,
  instantFromMillis,
  instantParam,
  instantToMillis,
  parseInstant,
  truncateToSeconds,
  typeParsers,
} from './types.ts';

describe('instants', () => {
  test.each([
    ['1970-01-01 00:00:00+00', 0, 0],
    ['1970-01-01 00:00:00.000001+00', 0, 1_000],
    ['1969-12-31 23:59:59.999999+00', -1, 999_999_000],
    ['2024-02-29 12:34:56.123456+00', 1_709_210_096, 123_456_000],
    ['2024-02-29 12:34:56.1+00', 1_709_210_096, 100_000_000],
    ['2000-03-01 00:00:00+00', 951_868_800, 0],
    ['9999-12-31 23:59:59.999999+00', 253_402_300_799, 999_999_000],
    ['0001-01-01 00:00:00+00', -62_135_596_800, 0],
    ['0001-12-31 00:00:00+00 BC', -62_135_683_200, 0],
    ['12024-02-29 00:00:00+00', 317_278_684_800, 0],
    ['294276-12-31 23:59:59.999999+00', 9_224_318_015_999, 999_999_000],
    ['4713-11-24 00:00:00+00 BC', -210_835_180_800, 0],
    ['infinity', Number.POSITIVE_INFINITY, 0],
    ['-infinity', Number.NEGATIVE_INFINITY, 0],
  ])('%s', (text, seconds, nanos) => {
    expect(parseInstant(text)).toEqual({ seconds, nanos });
    expect(parseInstant(instantParam({ seconds, nanos }))).toEqual({ seconds, nanos });
  });

  test('other offsets and no offset', () => {
    expect(parseInstant('2024-01-01 05:30:00+05:30').seconds).toBe(Date.UTC(2024, 0, 1) / 1_000);
    expect(parseInstant('2023-12-31 20:00:00-04').seconds).toBe(Date.UTC(2024, 0, 1) / 1_000);
    expect(parseInstant('1800-01-01 00:00:00+00:53:28').seconds).toBe(Date.UTC(1800, 0, 1) / 1_000 - 3_208);
    expect(parseInstant('2024-01-01 00:00:00').seconds).toBe(Date.UTC(2024, 0, 1) / 1_000);
  });

  test('agrees with Date over its range', () => {
    let state = 7;
    for (let round = 0; round < 20_000; round++) {
      state = (state * 48_271) % 2_147_483_647;
      const millis = Math.floor((state / 2_147_483_647 - 0.2) * 253_402_300_800_000);
      const instant = instantFromMillis(millis);
      expect(instantToMillis(instant)).toBe(millis);
      const text = instantParam(instant);
      if (millis >= -62_135_596_800_000) {
        expect(text.slice(0, 23)).toBe(new Date(millis).toISOString().slice(0, 23).replace('T', ' '));
      }
      expect(parseInstant(text)).toEqual(instant);
    }
  });

  test('comparing and truncating', () => {
    expect(compareInstants({ seconds: 1, nanos: 5 }, { seconds: 1, nanos: 6 })).toBeLessThan(0);
    expect(compareInstants({ seconds: 2, nanos: 0 }, { seconds: 1, nanos: 6 })).toBeGreaterThan(0);
    expect(compareInstants({ seconds: 2, nanos: 1 }, { seconds: 2, nanos: 1 })).toBe(0);
    expect(truncateToSeconds({ seconds: -1, nanos: 999_999_000 })).toEqual({ seconds: -1, nanos: 0 });
  });

  test('garbage is an error, not a wrong time', () => {
    expect(() => parseInstant('yesterday')).toThrow('Unreadable timestamp');
  });
});

test('json stays text, int8 becomes bigint', () => {
  const parse = typeParsers.getTypeParser as unknown as (oid: number) => (text: string) => unknown;
  const json = '{"big": 9007199254740993}';
  expect(parse(3802)(json)).toBe(json);
  expect(parse(114)(json)).toBe(json);
  expect(parse(20)('-9223372036854775808')).toBe(-(2n ** 63n));
  expect(parse(1016)('{1,NULL,9007199254740993}')).toEqual([1n, null, 9007199254740993n]);
  expect(parse(23)('7')).toBe(7);
});
