import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SharedCounters } from '../../cluster/counters.ts';
import { Code } from '../../platform/errors.ts';
import { at, Random, rejection } from './support.ts';

export interface CountersCluster {
  /** Three nodes that count together. */
  readonly counters: readonly SharedCounters[];
  /** Lets time pass, really or by the clock that the counters were given. */
  advance(ms: number): Promise<void>;
  /** Unix milliseconds as the counters see them. */
  now(): number;
  close(): Promise<void>;
}

/** Where time really passes, the steps between two calls to `advance` may take that long without spoiling a test. */
const slackMs = 100;

export function countersContract(name: string, makeCluster: () => Promise<CountersCluster>): void {
  describe(`counters: ${name}`, () => {
    let cluster: CountersCluster;
    let a: SharedCounters;
    let b: SharedCounters;

    beforeEach(async () => {
      cluster = await makeCluster();
      [a, b] = [at(cluster.counters, 0), at(cluster.counters, 1)];
    });
    afterEach(() => cluster.close());

    describe('take', () => {
      // One token each 500 ms.
      const rate = { perSecond: 2, burst: 4 };

      it('grants the burst over all nodes together, and no more', async () => {
        const granted = await Promise.all(
          Array.from({ length: 12 }, (_, i) => at(cluster.counters, i % 3).take('k', rate)),
        );
        expect(granted.filter(Boolean)).toHaveLength(4);
      });

      it('fills up again with time, to the burst at most', async () => {
        for (let i = 0; i < 4; i++) expect(await a.take('k', rate)).toBe(true);
        expect(await b.take('k', rate)).toBe(false);
        await cluster.advance(1000);
        expect([await b.take('k', rate), await a.take('k', rate), await b.take('k', rate)]).toEqual([
          true,
          true,
          false,
        ]);
        await cluster.advance(3000);
        const granted = [];
        for (let i = 0; i < 6; i++) granted.push(await a.take('k', rate));
        expect(granted).toEqual([true, true, true, true, false, false]);
      });

      it('does not forget a part of a token', async () => {
        for (let i = 0; i < 4; i++) await a.take('k', rate);
        await cluster.advance(300);
        expect(await a.take('k', rate)).toBe(false);
        await cluster.advance(250);
        expect(await a.take('k', rate)).toBe(true);
      });

      it('takes a cost whole or not at all', async () => {
        expect(await a.take('k', rate, 3)).toBe(true);
        expect(await b.take('k', rate, 2)).toBe(false);
        expect(await b.take('k', rate, 1)).toBe(true);
        expect(await a.take('k', rate, 1)).toBe(false);
        expect(await a.take('k', rate, 0)).toBe(true);
      });

      it('keeps keys apart', async () => {
        expect(await a.take('k', rate, 4)).toBe(true);
        expect(await a.take('k2', rate, 4)).toBe(true);
      });

      it('never grants more than burst plus rate, whoever asks', async () => {
        const seed = 11;
        const random = new Random(seed);
        const start = cluster.now();
        let granted = 0;
        for (let step = 0; step < 40; step++) {
          if (await random.pick(cluster.counters).take('k', rate)) granted++;
          if (random.chance(0.5)) await cluster.advance(random.below(40));
        }
        const passed = cluster.now() - start;
        expect(granted, `seed ${seed}`).toBeLessThanOrEqual(4 + (passed / 1000) * 2);
        expect(granted, `seed ${seed}`).toBeGreaterThanOrEqual(4);
      });

      it('refuses what makes no sense', async () => {
        await rejection(a.take('k', rate, 5), Code.INVALID_ARGUMENT);
        await rejection(a.take('k', rate, -1), Code.INVALID_ARGUMENT);
        await rejection(a.take('k', rate, Number.NaN), Code.INVALID_ARGUMENT);
        await rejection(a.take('k', { perSecond: 0, burst: 4 }), Code.INVALID_ARGUMENT);
        await rejection(a.take('k', { perSecond: 2, burst: 0 }), Code.INVALID_ARGUMENT);
      });
    });

    describe('locks', () => {
      const policy = { limit: 3, windowMs: 600, lockMs: 900 };

      it('locks at the limit, counted over all nodes, and says until when', async () => {
        expect(await a.fail('k', policy)).toEqual({ locked: false });
        expect(await b.fail('k', policy)).toEqual({ locked: false });
        expect(await b.isLocked('k')).toBe(false);
        const lock = await a.fail('k', policy);
        expect(lock.locked).toBe(true);
        expect(Math.abs((lock.until ?? 0) - (cluster.now() + 900))).toBeLessThanOrEqual(slackMs);
        for (const counters of cluster.counters) expect(await counters.isLocked('k')).toBe(true);
        expect(await a.isLocked('k2')).toBe(false);
      });

      it('counts failures that come at once', async () => {
        const locks = await Promise.all(
          Array.from({ length: 9 }, (_, i) => at(cluster.counters, i % 3).fail('k', policy)),
        );
        expect(locks.filter(({ locked }) => !locked)).toHaveLength(2);
        expect(await b.isLocked('k')).toBe(true);
      });

      it('ends the lock in time, whatever fails meanwhile, and begins anew', async () => {
        for (let i = 0; i < 3; i++) await a.fail('k', policy);
        await cluster.advance(500);
        expect((await b.fail('k', policy)).locked).toBe(true);
        expect(await b.isLocked('k')).toBe(true);
        await cluster.advance(500);
        expect(await b.isLocked('k')).toBe(false);
        expect(await a.fail('k', policy)).toEqual({ locked: false });
        expect(await a.fail('k', policy)).toEqual({ locked: false });
        expect((await a.fail('k', policy)).locked).toBe(true);
      });

      it('does not count the failures that led to a lock again when the lock is over', async () => {
        const short = { limit: 2, windowMs: 3000, lockMs: 300 };
        await a.fail('k', short);
        expect((await a.fail('k', short)).locked).toBe(true);
        await cluster.advance(400);
        expect((await b.fail('k', short)).locked).toBe(false);
        expect((await b.fail('k', short)).locked).toBe(true);
      });

      it('forgets failures older than the window', async () => {
        await a.fail('k', policy);
        await a.fail('k', policy);
        await cluster.advance(700);
        expect((await a.fail('k', policy)).locked).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(true);
      });

      it('looks at any window, not at fixed ones', async () => {
        await a.fail('k', policy);
        await cluster.advance(450);
        expect((await a.fail('k', policy)).locked).toBe(false);
        await cluster.advance(250);
        expect((await a.fail('k', policy)).locked).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(true);
      });

      it('resets failures and locks', async () => {
        await a.fail('k', policy);
        await a.fail('k', policy);
        await b.reset('k');
        expect((await a.fail('k', policy)).locked).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(true);
        await b.reset('k');
        expect(await a.isLocked('k')).toBe(false);
        expect((await a.fail('k', policy)).locked).toBe(false);
      });

      it('keeps buckets and locks of one key apart', async () => {
        const rate = { perSecond: 0.1, burst: 1 };
        await a.take('k', rate);
        for (let i = 0; i < 3; i++) await a.fail('k', policy);
        await a.reset('k');
        expect(await a.take('k', rate)).toBe(false);
      });

      it('locks at the first failure when the limit is 1', async () => {
        expect((await a.fail('k', { ...policy, limit: 1 })).locked).toBe(true);
      });

      it('refuses what makes no sense', async () => {
        for (const wrong of [{ limit: 0 }, { limit: 1001 }, { limit: 1.5 }, { windowMs: 0 }, { lockMs: 0 }]) {
          await rejection(a.fail('k', { ...policy, ...wrong }), Code.INVALID_ARGUMENT);
        }
      });
    });
  });
}
