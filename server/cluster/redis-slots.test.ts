import { describe, expect, it } from 'vitest';
import { hashSlot, spreadTags } from './redis-slots.ts';

describe('slots of a Redis Cluster', () => {
  // The first is the check value of the CRC, the others are what CLUSTER KEYSLOT answers.
  it.each([
    ['123456789', 0x31c3],
    ['foo', 12_182],
    ['{user1000}.following', 3443],
    ['a{user1000}{b}', 3443],
    ['{}key', 14_961],
    ['läuft', 1393],
  ])('%s lies in slot %i', (key, slot) => {
    expect(hashSlot(key)).toBe(slot);
  });

  it.each([1, 5, 16])('%i tags lie in as many equal parts', (count) => {
    const tags = spreadTags(count);
    expect(tags.map((tag) => Math.floor((hashSlot(`x{${tag}}y`) * count) / 16_384))).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
  });
});
