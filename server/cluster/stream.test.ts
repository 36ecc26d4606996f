import { describe, expect, it } from 'vitest';
import { AppError, Code } from '../platform/errors.ts';
import { nilUuid } from '../platform/ids.ts';
import { makeStream, parseStreamKey, streamKey, streamTopic } from './stream.ts';

const group = '11111111-1111-4111-8111-111111111111';
const user = '22222222-2222-4222-8222-222222222222';

const codeOf = (run: () => unknown): unknown => {
  try {
    return run();
  } catch (error) {
    return error instanceof AppError ? error.code : error;
  }
};

describe('stream keys', () => {
  it('joins the four parts with dots', () => {
    expect(streamKey(makeStream(4, group, user))).toBe(`4.${group}.${user}.`);
    expect(streamKey(makeStream(2, '', '', 'lobby'))).toBe('2...lobby');
  });

  it('parses what it made, dots and all in the label', () => {
    for (const stream of [
      makeStream(0, user),
      makeStream(4, group, user),
      makeStream(255, '', '', 'a.b..c.'),
      makeStream(2, '', '', '.'),
      makeStream(6, group, '', 'node-1'),
      makeStream(2, '', '', 'Größe ✓'),
    ]) {
      expect(parseStreamKey(streamKey(stream))).toEqual(stream);
    }
  });

  it('takes the nil UUID for absent', () => {
    expect(makeStream(2, nilUuid, nilUuid, 'x')).toEqual(makeStream(2, '', '', 'x'));
  });

  it('refuses what is no key', () => {
    for (const key of ['', '2', '2.', '2..', '256...', '-1...', 'x...', '...', '..a.b', '+...']) {
      expect(
        codeOf(() => parseStreamKey(key)),
        key,
      ).toBe(Code.INVALID_ARGUMENT);
    }
    expect(codeOf(() => streamKey(makeStream(2, 'a.b')))).toBe(Code.INVALID_ARGUMENT);
  });

  it('reads only the numbers it writes', () => {
    for (const key of ['0x2...', '1e1...', '02...', ' 2...', '2 ...', '-0...']) {
      expect(
        codeOf(() => parseStreamKey(key)),
        key,
      ).toBe(Code.INVALID_ARGUMENT);
    }
  });

  it('has a topic of its own for each stream', () => {
    expect(streamTopic(makeStream(2, '', '', 'lobby'))).toBe('stream:2...lobby');
  });
});
