import { expect, it } from 'vitest';
import { RestartDelay } from './workers-restart-delay.ts';

it('doubles from 0.2 s to 10 s while lives are short, and begins anew after a long one', () => {
  const delay = new RestartDelay();
  const delays = [0, 0, 9999, 0, 0, 0, 0, 0].map((livedMs) => delay.after(livedMs));
  expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(delay.after(10_000)).toBe(200);
  expect(delay.after(0)).toBe(400);
});
