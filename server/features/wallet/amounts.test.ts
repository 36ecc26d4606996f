import { describe, expect, it } from 'vitest';
import { amountsText, isAmount, parseAmounts, parseBalances } from './amounts.ts';

const max = 9223372036854775807n;

describe('reading a wallet', () => {
  it.each([
    ['{}', {}],
    ['{"coins": 10, "gems": 0}', { coins: 10n, gems: 0n }],
    ['{"a": -5, "b": -0}', { a: -5n, b: 0n }],
    ['{"exact": 9007199254740993}', { exact: 9007199254740993n }],
    [`{"max": ${max}, "min": -9223372036854775808}`, { max, min: -max - 1n }],
    ['{"wallet.coins": 1, "": 2, "ключ \\"q\\" \\\\ 😀": 3}', { 'wallet.coins': 1n, '': 2n, 'ключ "q" \\ 😀': 3n }],
    ['{"10": 1, "9": 2}', { 9: 2n, 10: 1n }],
  ])('%s', (text, amounts) => {
    expect(parseAmounts(text)).toEqual(amounts);
  });

  it('leaves alone what is no 64-bit whole number', () => {
    const text =
      '{"half": 0.5, "one": 1.0, "big": 9223372036854775808, "low": -9223372036854775809, "text": "7", "none": null, ' +
      '"yes": true, "list": [1, {"x": 2}], "deep": {"coins": 3, "}": "{"}, "coins": 4}';
    expect(parseAmounts(text)).toEqual({ coins: 4n });
    const balances = parseBalances(text);
    expect([...balances.keys()]).toHaveLength(10);
    for (const [key, amount] of balances) expect([key, amount]).toEqual([key, key === 'coins' ? 4n : null]);
  });

  it('does not take long for a number that is too long', () => {
    const startedAt = performance.now();
    expect(parseBalances(`{"long": ${'9'.repeat(200_000)}}`).get('long')).toBeNull();
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  it('has no keys but its own', () => {
    const amounts = parseAmounts('{"__proto__": 1, "constructor": 2}');
    expect(Object.entries(amounts)).toEqual([
      ['__proto__', 1n],
      ['constructor', 2n],
    ]);
    expect(Object.getPrototypeOf(amounts)).toBe(Object.prototype);
  });
});

describe('writing amounts', () => {
  it('is read back as it was, to the last digit', () => {
    const amounts = parseAmounts(`{"__proto__": 1, "a\\"b": ${max}, "c": -9007199254740993, "\\u0001": 0}`);
    expect(parseAmounts(amountsText(Object.entries(amounts)))).toEqual(amounts);
    expect(amountsText(Object.entries(amounts))).toBe(
      `{"__proto__":1,"a\\"b":${max},"c":-9007199254740993,"\\u0001":0}`,
    );
  });

  it('knows the bounds of 64 bits', () => {
    expect([max, -max - 1n, 0n].map(isAmount)).toEqual([true, true, true]);
    expect([max + 1n, -max - 2n].map(isAmount)).toEqual([false, false]);
  });
});
