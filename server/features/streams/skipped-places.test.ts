import { describe, expect, it } from 'vitest';
import { SkippedPlaces } from './skipped-places.ts';

const place = (n: number) => ({ sequence: BigInt(n), time: BigInt(n) * 10n });

describe('skipped places', () => {
  it('are those where nothing was heard, each once', () => {
    const skipped = new SkippedPlaces();
    skipped.add(place(3), place(7), [40n, 70n]);
    const taken = [3, 4, 5, 5, 6, 7, 8].map((n) => skipped.take(place(n)));
    expect(taken).toEqual([false, false, true, false, true, false, false]);
  });

  it('are not more than sequences tell', () => {
    const skipped = new SkippedPlaces();
    skipped.add(place(3), place(6), [40n, 50n, 60n]);
    // A store that began anew says nothing about how many there were.
    skipped.add({ sequence: 100n, time: 60n }, { sequence: 2n, time: 90n }, [90n]);
    expect([4, 5, 6, 7, 8].map((n) => skipped.take(place(n)))).not.toContain(true);
    skipped.add(place(10), place(12), [120n]);
    expect(skipped.take({ sequence: 11n, time: 101n })).toBe(true);
    expect(skipped.take({ sequence: 11n, time: 102n })).toBe(false);
  });

  it('of long ago are forgotten', () => {
    const skipped = new SkippedPlaces();
    for (let n = 0; n < 40; n += 2) skipped.add(place(n), place(n + 2), [place(n + 2).time]);
    const late = Array.from({ length: 20 }, (_, n) => skipped.take(place(2 * n + 1)));
    expect(late).toEqual([...Array(4).fill(false), ...Array(16).fill(true)]);
  });
});
