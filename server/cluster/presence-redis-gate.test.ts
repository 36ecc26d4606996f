import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Code, unavailable } from '../platform/errors.ts';
import { Gate } from './presence-redis-gate.ts';

describe('Gate', () => {
  const make = (maxWaiting = 10, waitMs = 10_000) => {
    const gate = new Gate(maxWaiting, waitMs);
    const passed: number[] = [];
    const pass = (number: number): Promise<void> => gate.pass(async () => void passed.push(number));
    return { gate, passed, pass };
  };
  const unavailableError = expect.objectContaining({ code: Code.UNAVAILABLE, retry: 'safe' });

  it('lets pass in order, those that waited first', async () => {
    const { gate, passed, pass } = make();
    const waiting = [pass(1), pass(2)];
    expect(passed).toEqual([]);
    gate.open();
    await Promise.all([...waiting, pass(3)]);
    gate.close();
    void pass(4).catch(() => {});
    expect(passed).toEqual([1, 2, 3]);
    gate.open();
    expect(passed).toEqual([1, 2, 3, 4]);
  });

  it('lets nobody wait for long', async () => {
    const { gate, passed, pass } = make(10, 20);
    await expect(pass(1)).rejects.toEqual(unavailableError);
    gate.open();
    await sleep(1);
    expect(passed).toEqual([]);
  });

  it('bounds how many wait', async () => {
    const { gate, passed, pass } = make(2);
    const waiting = [pass(1), pass(2)];
    await expect(pass(3)).rejects.toEqual(unavailableError);
    gate.open();
    await Promise.all(waiting);
    expect(passed).toEqual([1, 2]);
  });

  it('turns away those who wait, or everybody', async () => {
    const { gate, passed, pass } = make();
    const reason = unavailable('no');
    const refused = [pass(1), pass(2)].map((waiting) => expect(waiting).rejects.toBe(reason));
    gate.refuse(reason);
    await Promise.all(refused);
    gate.open();
    await pass(3);
    gate.shut(reason);
    await expect(pass(4)).rejects.toBe(reason);
    expect(passed).toEqual([3]);
  });
});
