import { describe, expect, it } from 'vitest';
import { type Attempt, CircuitBreaker } from './circuit-breaker.ts';
import { ManualClock } from './clock.ts';

function setup(failures = 3) {
  const clock = new ManualClock();
  const changes: boolean[] = [];
  const breaker = new CircuitBreaker({ failures, openMs: 1000, clock, changed: (isOpen) => changes.push(isOpen) });
  const enter = (): Attempt => {
    const attempt = breaker.enter();
    if (attempt === null) throw new Error('expected to be let through');
    return attempt;
  };
  const failTimes = (times: number): void => {
    for (let i = 0; i < times; i++) enter().failed();
  };
  return { clock, changes, breaker, enter, failTimes };
}

describe('the circuit breaker', () => {
  it('opens after so many failures in a row', () => {
    const { breaker, changes, enter, failTimes } = setup();
    failTimes(2);
    enter().succeeded();
    failTimes(2);
    expect(breaker.isOpen).toBe(false);
    failTimes(1);
    expect(breaker.isOpen).toBe(true);
    expect(breaker.enter()).toBeNull();
    expect(changes).toEqual([true]);
  });

  it('lets one try when the time is over, and closes when that succeeds', () => {
    const { breaker, changes, clock, enter, failTimes } = setup();
    failTimes(3);
    clock.advance(999);
    expect(breaker.enter()).toBeNull();
    clock.advance(1);
    const probe = enter();
    expect(breaker.enter()).toBeNull();
    probe.succeeded();
    expect(changes).toEqual([true, false]);
    failTimes(2);
    expect(breaker.isOpen).toBe(false);
  });

  it('stays open as long again when the try fails, and says so once', () => {
    const { breaker, changes, clock, enter, failTimes } = setup();
    failTimes(3);
    clock.advance(1000);
    enter().failed();
    expect(breaker.enter()).toBeNull();
    clock.advance(999);
    expect(breaker.enter()).toBeNull();
    clock.advance(1);
    enter().succeeded();
    expect(changes).toEqual([true, false]);
  });

  it('lets the next one try when a try told nothing', () => {
    const { clock, enter, failTimes } = setup();
    failTimes(3);
    clock.advance(1000);
    enter().abandoned();
    enter().succeeded();
  });

  it('takes what began before it opened for what it is worth', () => {
    const { breaker, clock, enter, failTimes } = setup();
    const [late, good] = [enter(), enter()];
    failTimes(3);
    clock.advance(1000);
    const probe = enter();
    late.failed();
    expect(breaker.enter()).toBeNull();
    good.succeeded();
    expect(breaker.isOpen).toBe(false);
    probe.failed();
    expect(breaker.isOpen).toBe(false);
  });

  it('never opens when told so', () => {
    const { breaker, failTimes } = setup(0);
    failTimes(1000);
    expect(breaker.isOpen).toBe(false);
  });
});
