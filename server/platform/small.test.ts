import { describe, expect, it } from 'vitest';
import { Random } from '../testing/random.ts';
import { SmallMap, SmallSet } from './small.ts';

const items = Array.from({ length: 4 }, (_, n) => ({ n }));

/** Few items, so that it is often empty or holds one. */
function anyChange(random: Random): { item: { n: number }; key: string; adds: boolean; clears: boolean } {
  const [item, key] = [items[random.below(items.length)] as { n: number }, `k${random.below(items.length)}`];
  return { item, key, adds: random.chance(0.5), clears: random.chance(0.02) };
}

describe('small collections', () => {
  it('a SmallSet does what a Set does', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const [small, model] = [new SmallSet<{ n: number }>(), new Set<{ n: number }>()];
      for (let step = 0; step < 200; step++) {
        const { item, adds, clears } = anyChange(random);
        if (clears) for (const set of [small, model]) set.clear();
        else if (adds) for (const set of [small, model]) set.add(item);
        else expect(small.delete(item), `seed ${seed}`).toBe(model.delete(item));
        expect([...small], `seed ${seed}`).toEqual([...model]);
        expect(small.size).toBe(model.size);
        for (const one of items) expect(small.has(one)).toBe(model.has(one));
      }
    }
  });

  it('a SmallMap does what a Map does', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const [small, model] = [new SmallMap<{ n: number }>(), new Map<string, { n: number }>()];
      for (let step = 0; step < 200; step++) {
        const { item, key, adds, clears } = anyChange(random);
        if (clears) for (const map of [small, model]) map.clear();
        else if (adds) for (const map of [small, model]) map.set(key, item);
        else expect(small.delete(key), `seed ${seed}`).toBe(model.delete(key));
        expect([...small], `seed ${seed}`).toEqual([...model]);
        expect([[...small.keys()], [...small.values()]]).toEqual([[...model.keys()], [...model.values()]]);
        expect(small.size).toBe(model.size);
        for (const n of items.keys()) {
          expect(small.get(`k${n}`)).toBe(model.get(`k${n}`));
          expect(small.has(`k${n}`)).toBe(model.has(`k${n}`));
        }
      }
    }
  });

  it('may lose what is being looked at', () => {
    for (const count of [1, 3]) {
      const small = new SmallSet<{ n: number }>();
      for (const item of items.slice(0, count)) small.add(item);
      for (const item of small) small.delete(item);
      expect(small.size).toBe(0);
    }
  });
});
