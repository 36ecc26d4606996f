import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Attempt, LockPolicy, SharedCounters } from '../../cluster/counters.ts';
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

/** Clocks are read in whole milliseconds. */
const roundingMs = 5;

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
      const policy = { limit: 3, windowMs: 600, lockMs: 900, attemptMs: 60_000 };

      it('locks at the limit, counted over all nodes', async () => {
        expect(await fail(a, 'k', policy)).toBe(true);
        expect(await fail(b, 'k', policy)).toBe(true);
        expect(await isLocked(b, 'k', policy)).toBe(false);
        expect(await fail(a, 'k', policy)).toBe(true);
        for (const counters of cluster.counters) expect(await isLocked(counters, 'k', policy)).toBe(true);
        expect(await isLocked(a, 'k2', policy)).toBe(false);
      });

      it('counts failures that come at once', async () => {
        const failed = await Promise.all(
          Array.from({ length: 9 }, (_, i) => fail(at(cluster.counters, i % 3), 'k', policy)),
        );
        expect(failed.filter(Boolean)).toHaveLength(3);
        expect(await isLocked(b, 'k', policy)).toBe(true);
      });

      it('has no more attempts under way than may fail, and locks nobody out for them', async () => {
        const asked = await Promise.all(
          Array.from({ length: 9 }, (_, i) => at(cluster.counters, i % 3).attempt('k', policy)),
        );
        const granted = asked.filter((attempt) => attempt !== null);
        expect(granted).toHaveLength(3);
        for (const attempt of granted) await attempt.released();
        const again = await Promise.all(Array.from({ length: 4 }, () => b.attempt('k', policy)));
        expect(again.filter((attempt) => attempt !== null)).toHaveLength(3);
      });

      it('counts failures and attempts under way together', async () => {
        await fail(a, 'k', policy);
        const [second, third] = [await b.attempt('k', policy), await a.attempt('k', policy)];
        expect(await b.attempt('k', policy)).toBeNull();
        await second?.failed();
        expect(await a.attempt('k', policy)).toBeNull();
        await third?.released();
        expect(await fail(b, 'k', policy)).toBe(true);
        expect(await isLocked(a, 'k', policy)).toBe(true);
      });

      it('forgets an attempt that nobody settles', async () => {
        const hasty = { ...policy, limit: 1, attemptMs: 400 };
        expect(await a.attempt('k', hasty)).not.toBeNull();
        expect(await b.attempt('k', hasty)).toBeNull();
        await cluster.advance(500);
        expect(await b.attempt('k', hasty)).not.toBeNull();
      });

      it('never lets more fail within the window than the limit, whoever asks', async () => {
        const seed = 12;
        const random = new Random(seed);
        const tight = { limit: 3, windowMs: 200, lockMs: 60, attemptMs: 60_000 };
        const failures: number[] = [];
        const open: Attempt[] = [];
        for (let step = 0; step < 120; step++) {
          const attempt = await random.pick(cluster.counters).attempt('k', tight);
          if (attempt !== null) open.push(attempt);
          if (open.length > 0 && random.chance(0.5)) {
            const [settled] = open.splice(random.below(open.length), 1);
            if (random.chance(0.2)) await settled?.released();
            else {
              failures.push(cluster.now());
              await settled?.failed();
            }
          }
          if (random.chance(0.5)) await cluster.advance(random.below(20));
        }
        expect(failures.length, `seed ${seed}`).toBeGreaterThan(3);
        // The lock ends before the window does, and then counting begins anew.
        const span = tight.lockMs - roundingMs;
        for (const start of failures) {
          const within = failures.filter((time) => time >= start && time < start + span);
          expect(within.length, `seed ${seed}`).toBeLessThanOrEqual(tight.limit);
        }
      });

      it('ends the lock in time, whatever is asked meanwhile, and begins anew', async () => {
        for (let i = 0; i < 3; i++) await fail(a, 'k', policy);
        await cluster.advance(500);
        expect(await fail(b, 'k', policy)).toBe(false);
        expect(await isLocked(b, 'k', policy)).toBe(true);
        await cluster.advance(500);
        expect(await isLocked(b, 'k', policy)).toBe(false);
        for (let i = 0; i < 3; i++) expect(await fail(a, 'k', policy)).toBe(true);
        expect(await fail(a, 'k', policy)).toBe(false);
      });

      it('does not count the failures that led to a lock again when the lock is over', async () => {
        const short = { ...policy, limit: 2, windowMs: 3000, lockMs: 300 };
        for (let i = 0; i < 2; i++) await fail(a, 'k', short);
        expect(await isLocked(a, 'k', short)).toBe(true);
        await cluster.advance(400);
        for (let i = 0; i < 2; i++) expect(await fail(b, 'k', short)).toBe(true);
        expect(await fail(b, 'k', short)).toBe(false);
      });

      it('forgets failures older than the window', async () => {
        for (let i = 0; i < 2; i++) await fail(a, 'k', policy);
        await cluster.advance(700);
        for (let i = 0; i < 2; i++) await fail(a, 'k', policy);
        expect(await isLocked(a, 'k', policy)).toBe(false);
        await fail(a, 'k', policy);
        expect(await isLocked(a, 'k', policy)).toBe(true);
      });

      it('looks at any window, not at fixed ones', async () => {
        await fail(a, 'k', policy);
        await cluster.advance(450);
        await fail(a, 'k', policy);
        await cluster.advance(250);
        await fail(a, 'k', policy);
        expect(await isLocked(a, 'k', policy)).toBe(false);
        await fail(a, 'k', policy);
        expect(await isLocked(a, 'k', policy)).toBe(true);
      });

      it('resets failures and locks, and no attempts', async () => {
        for (let i = 0; i < 2; i++) await fail(a, 'k', policy);
        const open = await a.attempt('k', policy);
        await b.reset('k');
        for (let i = 0; i < 2; i++) expect(await fail(a, 'k', policy)).toBe(true);
        expect(await fail(a, 'k', policy)).toBe(false);
        await open?.failed();
        await b.reset('k');
        expect(await isLocked(a, 'k', policy)).toBe(false);
      });

      it('keeps buckets and locks of one key apart', async () => {
        const rate = { perSecond: 0.1, burst: 1 };
        await a.take('k', rate);
        for (let i = 0; i < 3; i++) await fail(a, 'k', policy);
        await a.reset('k');
        expect(await a.take('k', rate)).toBe(false);
      });

      it('locks at the first failure when the limit is 1', async () => {
        const strict = { ...policy, limit: 1 };
        expect(await fail(a, 'k', strict)).toBe(true);
        expect(await isLocked(b, 'k', strict)).toBe(true);
      });

      it('refuses what makes no sense', async () => {
        const wrongs = [
          { limit: 0 },
          { limit: 1001 },
          { limit: 1.5 },
          { windowMs: 0 },
          { lockMs: 0 },
          { attemptMs: 0 },
        ];
        for (const wrong of wrongs) await rejection(a.attempt('k', { ...policy, ...wrong }), Code.INVALID_ARGUMENT);
      });
    });
  });
}

/** One attempt that fails; false when it was refused. */
async function fail(counters: SharedCounters, key: string, policy: LockPolicy): Promise<boolean> {
  const attempt = await counters.attempt(key, policy);
  await attempt?.failed();
  return attempt !== null;
}

/** Where nothing is under way. */
async function isLocked(counters: SharedCounters, key: string, policy: LockPolicy): Promise<boolean> {
  const attempt = await counters.attempt(key, policy);
  await attempt?.released();
  return attempt === null;
}
