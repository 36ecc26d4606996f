import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ConnectGate, GateClosed } from './connect-gate.ts';

test('while it fails, all callers together try at most five times a second, one at a time', async () => {
  const changes: string[] = [];
  const gate = new ConnectGate({
    onDown: () => changes.push('down'),
    onUp: (failures) => changes.push(`up ${failures}`),
  });
  const attempts: number[] = [];
  let running = 0;
  let healthy = false;
  let most = 0;
  const connect = async (): Promise<string> => {
    attempts.push(performance.now());
    most = Math.max(most, ++running);
    await sleep(1);
    running--;
    if (!healthy) throw new Error('refused');
    return 'connected';
  };
  await expect(gate.open(connect)).rejects.toThrow('refused');
  most = 0;
  const callers = Array.from({ length: 20 }, async () => {
    for (;;) {
      try {
        return await gate.open(connect);
      } catch {
        // again
      }
    }
  });
  await sleep(2_500);
  expect(most).toBe(1);
  expect(gate.lastError).toBeInstanceOf(Error);
  for (const start of attempts) {
    expect(attempts.filter((at) => at >= start && at < start + 1_000).length).toBeLessThanOrEqual(5);
  }
  healthy = true;
  const healed = performance.now();
  expect(await Promise.all(callers)).toEqual(Array.from({ length: 20 }, () => 'connected'));
  expect(performance.now() - healed).toBeLessThan(1_500);
  expect(gate.lastError).toBeUndefined();
  expect(changes[0]).toBe('down');
  expect(changes.length).toBe(2);
});

test('failures side by side count once', async () => {
  const gate = new ConnectGate({ onDown: () => {}, onUp: () => {} });
  const fail = async (): Promise<never> => {
    await sleep(5);
    throw new Error('refused');
  };
  await Promise.allSettled(Array.from({ length: 14 }, () => gate.open(fail)));
  const began = performance.now();
  await gate.open(async () => 'connected');
  expect(performance.now() - began).toBeLessThan(150);
});

test('closing wakes those who wait', async () => {
  const gate = new ConnectGate({ onDown: () => {}, onUp: () => {} });
  for (let round = 0; round < 3; round++) await gate.open(() => Promise.reject(new Error('refused'))).catch(() => {});
  const waiting = gate.open(async () => 'connected');
  gate.close();
  await expect(waiting).rejects.toBeInstanceOf(GateClosed);
});
