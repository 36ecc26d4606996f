import exec from 'k6/execution';

/** Milliseconds with fractions since the run began; one clock for all players. */
export function now() {
  return exec.instance.currentTestRunDuration;
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** What the promise answers; rejects when that takes longer. @param {string} what it is, for the error. */
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
