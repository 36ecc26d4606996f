import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ClusterLog } from '../../cluster/bus.ts';
import { AppError, type Code } from '../../platform/errors.ts';

export { Random } from '../../testing/random.ts';

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
