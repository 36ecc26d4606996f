import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ClusterLog } from '../../cluster/bus.ts';
import { AppError, type Code } from '../../platform/errors.ts';

/** Asks again until it holds; what other nodes notice need not have happened yet when an operation resolves. */
export async function eventually(settleMs: number, assertion: () => void | Promise<void>): Promise<void> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    try {
      await assertion();
      return;
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      await sleep(1);
    }
  }
}

/** The AppError with which the promise rejects. */
export async function rejection(promise: Promise<unknown>, ...codes: Code[]): Promise<AppError> {
  const error: unknown = await promise.then(
    () => new Error('expected a rejection'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof AppError)) throw error;
  expect(codes).toContain(error.code);
  return error;
}

/** The element, which the test knows to be there. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new Error(`there is no element ${index}`);
  return item;
}

export class CountingLog implements ClusterLog {
  errors = 0;

  warn(): void {}

  error(): void {
    this.errors++;
  }
}

/** Numbers that look random and are the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 <= n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** 0 <= n < limit. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return at(items, this.below(items.length));
  }
}
