import type { Clock } from '../platform/clock.ts';

/**
 * A wall clock that stands still until a test puts it forward, for rules that look at whole seconds. Deadlines and
 * rate limits, which are measured otherwise, go on as usual.
 */
export class TestClock implements Clock {
  #now = Date.now();

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return performance.now();
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
