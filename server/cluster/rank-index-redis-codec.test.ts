import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { Random } from '../testing/random.ts';
import {
  decodeMember,
  decodeOwner,
  decodeSeen,
  decodeSet,
  encodeEntry,
  encodeOwner,
  encodeSet,
  versionBytes,
} from './rank-index-redis-codec.ts';

const largest = 2n ** 63n - 1n;
const numbers = [0n, 1n, 255n, 256n, 2n ** 24n - 1n, 2n ** 24n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 40n, 2n ** 53n];
const scores = [...numbers, 2n ** 53n + 1n, 2n ** 56n - 1n, 2n ** 56n, largest - 1n, largest];
const version = { created: 1_796_126_400_123_457, writes: 2 ** 31 - 1 };

const memberOf = (owner: string, score: bigint, subscore: bigint): Buffer =>
  Buffer.concat([encodeEntry({ owner, score, subscore, version }).subarray(versionBytes), encodeOwner(owner)]);

it('orders members by score, subscore and owner', () => {
  const random = new Random(3);
  const owners = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', randomUUID()];
  const records = Array.from({ length: 400 }, () => ({
    ...{ owner: random.pick(owners), score: random.pick(scores), subscore: random.pick(scores) },
  }));
  const compare = (a: bigint | string, b: bigint | string): number => (a < b ? -1 : a > b ? 1 : 0);
  for (const a of records) {
    for (const b of records.slice(0, 60)) {
      const expected = compare(a.score, b.score) || compare(a.subscore, b.subscore) || compare(a.owner, b.owner);
      const bytes = Buffer.compare(memberOf(a.owner, a.score, a.subscore), memberOf(b.owner, b.score, b.subscore));
      expect(bytes).toBe(expected);
    }
  }
});

it('reads what it has written', () => {
  for (const score of scores) {
    for (const subscore of scores) {
      const owner = randomUUID();
      expect(decodeMember(memberOf(owner, score, subscore))).toEqual({ owner, score, subscore });
      const raw = encodeEntry({ owner, score, subscore, version });
      expect(decodeSeen(raw)).toEqual({ version, score: { score, subscore }, raw });
      expect(decodeSeen(raw.subarray(0, versionBytes))).toMatchObject({ version });
      expect(decodeSeen(raw.subarray(0, versionBytes)).score).toBeUndefined();
      expect(decodeOwner(encodeOwner(owner))).toBe(owner);
    }
  }
});

it('names sets by any board, in letters that mean nothing to Redis', () => {
  for (const board of ['a', '{x}', 'two words', 'a.b.7', 'Größe 🏆', '\u0000\n', 'x'.repeat(128)]) {
    const name = encodeSet({ board, expiry: 1_768_176_000 });
    expect(name).toMatch(/^[\w-]+\.\d+$/);
    expect(decodeSet(name)).toEqual({ board, expiry: 1_768_176_000 });
  }
});
