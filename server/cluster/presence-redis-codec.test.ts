import { describe, expect, it } from 'vitest';
import type { Presence } from './presence.ts';
import { decodeValues, encodeValue, withEpoch } from './presence-redis-codec.ts';
import { makeStream } from './stream.ts';
import { presenceBytes } from './stream-frame.ts';

describe('presences in Redis', () => {
  const stream = makeStream(2, '', '', 'läuft: 1.2');
  const presence: Presence = {
    node: 'knoten-ä',
    sessionId: 's',
    userId: 'ü',
    username: 'Ann ❤',
    hidden: true,
    persistence: true,
    status: 'x'.repeat(300),
    stream,
  };
  const plain: Presence = { ...presence, hidden: false, persistence: false, status: '', userId: '' };

  it('come back as they were', () => {
    expect(decodeValues(stream, [])).toEqual([]);
    const back = decodeValues(stream, [encodeValue(presence, 1), encodeValue(plain, 2 ** 41)]);
    expect(back).toHaveLength(2);
    expect(back).toEqual(expect.arrayContaining([presence, plain]));
  });

  it('begin with epoch, node and user, and end with what goes into events', () => {
    const value = encodeValue(presence, 1_763_000_000_000);
    expect(value.readDoubleBE()).toBe(1_763_000_000_000);
    const [node, user] = [value.readUInt16BE(8), value.readUInt16BE(10)];
    expect(value.toString('utf8', 12, 12 + node)).toBe('knoten-ä');
    expect(value.toString('utf8', 12 + node, 12 + node + user)).toBe('ü');
    // Two bytes say the length.
    expect(value.length - 12 - node - user).toBe(presenceBytes(presence) + 2);
  });

  it('change their epoch and nothing else', () => {
    const value = encodeValue(presence, 1);
    const moved = withEpoch(value, 7);
    expect([value.readDoubleBE(), moved.readDoubleBE()]).toEqual([1, 7]);
    expect(decodeValues(stream, [moved])).toEqual([presence]);
  });
});
