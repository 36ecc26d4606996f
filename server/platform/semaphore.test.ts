import { expect, it } from 'vitest';
import { AppError, Code } from './errors.ts';
import { Semaphore } from './semaphore.ts';

function gate(): { promise: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

it('runs so many at once, in the order of arrival', async () => {
  const semaphore = new Semaphore(2, 10);
  const started: number[] = [];
  const gates = Array.from({ length: 5 }, gate);
  const all = gates.map(({ promise }, index) =>
    semaphore.run(async () => {
      started.push(index);
      await promise;
      return index * 2;
    }),
  );
  await Promise.resolve();
  expect(started).toEqual([0, 1]);
  expect([semaphore.running, semaphore.waiting]).toEqual([2, 3]);
  gates[1]?.open();
  await all[1];
  await new Promise(setImmediate);
  expect(started).toEqual([0, 1, 2]);
  for (const { open } of gates) open();
  expect(await Promise.all(all)).toEqual([0, 2, 4, 6, 8]);
  expect([semaphore.running, semaphore.waiting]).toEqual([0, 0]);
});

it('refuses when the queue is full', async () => {
  const semaphore = new Semaphore(1, 1, 'Busy.');
  const { promise, open } = gate();
  const first = semaphore.run(() => promise);
  const second = semaphore.run(() => 'second');
  const third = semaphore.run(() => 'third');
  await expect(third).rejects.toThrow(AppError);
  await expect(third).rejects.toMatchObject({ code: Code.RESOURCE_EXHAUSTED, message: 'Busy.' });
  open();
  await first;
  expect(await second).toBe('second');
});

it('gives the slot back after a failure', async () => {
  const semaphore = new Semaphore(1, 0);
  await expect(semaphore.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const failing = semaphore.run(() => {
    throw new Error('neither');
  });
  await expect(failing).rejects.toThrow('neither');
  expect(await semaphore.run(() => 1)).toBe(1);
});
