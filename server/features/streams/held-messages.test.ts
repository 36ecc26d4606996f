import { describe, expect, it } from 'vitest';
import { Random } from '../../testing/random.ts';
import { HeldMessages } from './held-messages.ts';

const place = (n: number) => ({ sequence: BigInt(n), time: BigInt(n) * 10n });

function add(held: HeldMessages<string>, n: number, { message = true, bytes = 1, since = 0 } = {}): void {
  held.add({ position: place(n), message: message ? `m${n}` : undefined, bytes: message ? bytes : 0, since });
}

/** Everything in it, taken out: messages, and places as `?`. */
const drain = (held: HeldMessages<string>): string[] =>
  held.takeUpTo(1n << 62n).map(({ position, message }) => message ?? `?${position.sequence}`);

describe('held messages', () => {
  it('have the order of their places, whatever the order they come in', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const held = new HeldMessages<string>(100, 1e6);
      const left = Array.from({ length: 30 }, (_, n) => n);
      while (left.length > 0) add(held, left.splice(random.below(left.length), 1)[0] ?? 0);
      expect(drain(held), `seed ${seed}`).toEqual(Array.from({ length: 30 }, (_, n) => `m${n}`));
    }
  });

  it('are held once; a message takes the seat of its place', () => {
    const held = new HeldMessages<string>(100, 1e6);
    add(held, 2, { message: false, since: 5 });
    add(held, 1);
    add(held, 2, { since: 9 });
    add(held, 2);
    add(held, 1, { message: false });
    expect(held.size).toBe(2);
    expect(held.lastDue(15, 10)).toEqual(place(2));
    expect(drain(held)).toEqual(['m1', 'm2']);
  });

  it.each([
    ['count', 3, 1e6],
    ['bytes', 1000, 30],
  ])('keep only the place of what is beyond the limit of the %s', (_name, maxCount, maxBytes) => {
    const held = new HeldMessages<string>(maxCount, maxBytes);
    for (let n = 10; n <= 50; n++) add(held, n, { bytes: 10 });
    expect(held.isFull).toBe(true);
    // One place says that there is more, however much; what comes before it is known to be missing without a word.
    add(held, 5, { bytes: 10 });
    expect(held.size).toBe(4);
    expect(drain(held)).toEqual(['m10', 'm11', 'm12', '?50']);
    expect([held.size, held.isFull]).toEqual([0, false]);
    add(held, 60, { bytes: 10 });
    expect(drain(held)).toEqual(['m60']);
  });

  it('count the bytes of what is taken out', () => {
    const held = new HeldMessages<string>(100, 30);
    for (const n of [1, 2, 3]) add(held, n, { bytes: 10 });
    expect(held.isFull).toBe(true);
    held.shift();
    expect(held.isFull).toBe(false);
    add(held, 4, { bytes: 10 });
    expect(held.isFull).toBe(true);
    expect(held.takeUpTo(30n).map(({ message }) => message)).toEqual(['m2', 'm3']);
    add(held, 5, { bytes: 10 });
    expect(held.isFull).toBe(false);
    held.clear();
    expect([held.size, held.first]).toEqual([0, undefined]);
  });

  it('know how far they have waited long enough', () => {
    const held = new HeldMessages<string>(100, 1e6);
    add(held, 7, { since: 10 });
    add(held, 3, { since: 30 });
    add(held, 9, { since: 20 });
    expect(held.oldest).toBe(10);
    expect(held.lastDue(59, 50)).toBeUndefined();
    expect(held.lastDue(60, 50)).toEqual(place(7));
    expect(held.lastDue(70, 50)).toEqual(place(9));
  });
});
