import { describe, expect, it } from 'vitest';
import { Random } from '../../testing/random.ts';
import { type Amounts, parseBalances } from './amounts.ts';
import { changesText, parseResults, resultsText } from './outcome.ts';
import { PostingRejected, postChanges, type WalletChange } from './posting.ts';

const max = 9223372036854775807n;
const walletsOf = (texts: Record<string, string>) =>
  new Map(Object.entries(texts).map(([userId, text]) => [userId, parseBalances(text)]));
const change = (userId: string, changeset: Amounts) => ({ userId, changeset });

function rejection(wallet: string, changeset: Amounts): PostingRejected {
  try {
    postChanges(walletsOf({ a: wallet }), [change('a', changeset)]);
  } catch (error) {
    if (error instanceof PostingRejected) return error;
  }
  throw new Error('was not rejected');
}

describe('postings', () => {
  it('add to what is there, from 0 where nothing is, and keep keys at 0', () => {
    const { results, accounts } = postChanges(walletsOf({ a: '{"coins": 10, "gems": 1, "odd": "x"}' }), [
      change('a', { coins: -10n, stars: 3n, none: 0n }),
    ]);
    expect(results).toEqual([
      {
        userId: 'a',
        previous: { coins: 10n, gems: 1n },
        updated: { coins: 0n, gems: 1n, stars: 3n, none: 0n },
      },
    ]);
    expect([...(accounts.get('a') ?? [])]).toEqual([
      ['coins', 0n],
      ['stars', 3n],
      ['none', 0n],
    ]);
  });

  it('are exact where a double is not', () => {
    const { results } = postChanges(walletsOf({ a: '{"coins": 9007199254740992}' }), [change('a', { coins: 1n })]);
    expect(results[0]?.updated).toEqual({ coins: 9007199254740993n });
  });

  it.each([
    ['{}', -1n, 0n],
    ['{"coins": 10}', -11n, 10n],
    ['{"coins": -5}', 4n, -5n],
    ['{"coins": -5}', 0n, -5n],
    [`{"coins": ${max}}`, 1n, max],
    [`{"coins": ${max}}`, max, max],
    ['{}', -max - 1n, 0n],
  ])('of %s and %s are rejected: negative, or beyond 64 bits', (wallet, amount, current) => {
    const error = rejection(wallet, { coins: amount });
    expect(error.message).toBe("wallet update rejected negative value at path 'coins'");
    expect(error).toMatchObject({ code: 9, userId: 'a', path: 'coins', current, amount });
  });

  it.each(['0.5', '"7"', 'null', '[1]', '{"x": 1}', '9223372036854775808', '1.0'])('refuse to change %s', (value) => {
    const error = rejection(`{"odd": ${value}}`, { odd: 1n });
    expect(error.message).toBe("wallet update rejected change of what is no whole number at path 'odd'");
    expect(error).toMatchObject({ code: 9, userId: 'a', path: 'odd', current: null, amount: 1n });
  });

  it('of one user follow each other, and their results end with the same wallet', () => {
    const { results, accounts } = postChanges(walletsOf({ a: '{}', b: '{"coins": 1}' }), [
      change('a', { coins: 5n }),
      change('nobody', { coins: -100n }),
      change('b', {}),
      change('a', { coins: -3n }),
    ]);
    expect(results).toEqual([
      { userId: 'a', previous: {}, updated: { coins: 2n } },
      { userId: 'b', previous: { coins: 1n }, updated: { coins: 1n } },
      { userId: 'a', previous: { coins: 5n }, updated: { coins: 2n } },
    ]);
    expect([...accounts.keys()]).toEqual(['a', 'b']);
    // Each step has to hold, not only the sum.
    expect(() =>
      postChanges(walletsOf({ a: '{}' }), [change('a', { coins: -1n }), change('a', { coins: 2n })]),
    ).toThrow(PostingRejected);
  });

  it('keep the sum, whatever is moved (seed 7)', () => {
    const random = new Random(7);
    const users = ['a', 'b', 'c', 'd'];
    const wallets = walletsOf(Object.fromEntries(users.map((user) => [user, '{"coins": 1000}'])));
    let rejected = 0;
    for (let n = 0; n < 2000; n++) {
      const [from, to, amount] = [random.pick(users), random.pick(users), BigInt(random.below(900))];
      const copy = new Map([...wallets].map(([user, balances]) => [user, new Map(balances)]));
      try {
        postChanges(copy, [change(from, { coins: -amount }), change(to, { coins: amount })]);
        for (const [user, balances] of copy) wallets.set(user, balances);
      } catch {
        rejected++;
      }
      const balances = [...wallets.values()].map((each) => each.get('coins') ?? 0n);
      expect(balances.reduce((sum, each) => sum + each, 0n)).toBe(4000n);
      expect(balances.every((each) => each >= 0n)).toBe(true);
    }
    expect(rejected).toBeGreaterThan(100);
    expect(rejected).toBeLessThan(1900);
  });
});

describe('what is remembered of changes', () => {
  const changes: WalletChange[] = [
    { userId: 'a', changeset: { coins: 5n, gems: 1n } },
    { userId: 'x', changeset: { coins: 1n } },
    { userId: 'a', changeset: {}, metadata: '{"n": 1}' },
  ];

  it('is the same text for the same changes only', () => {
    const text = changesText(changes);
    expect(changesText([{ userId: 'a', changeset: { gems: 1n, coins: 5n } }, ...changes.slice(1)])).toBe(text);
    expect(changesText(changes.toReversed())).not.toBe(text);
    expect(changesText([{ userId: 'a', changeset: { coins: 5n, gems: 2n } }, ...changes.slice(1)])).not.toBe(text);
    expect(changesText([...changes.slice(0, 2), { userId: 'a', changeset: {} }])).not.toBe(text);
  });

  it('gives the results back, exact, each to its user', () => {
    const { results } = postChanges(walletsOf({ a: '{"coins": 9007199254740993}' }), changes);
    const text = resultsText(changes, results);
    expect(parseResults(changes, text)).toEqual(results);
    expect(text).not.toContain('userId');
    expect(parseResults(changes, resultsText(changes, []))).toEqual([]);
  });
});
