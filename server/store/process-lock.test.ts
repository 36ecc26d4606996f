import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identify, isAlive, readIdentity, withFileLock } from './process-lock.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-lock-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('a process is known by pid and start time', async () => {
  const self = await identify(process.pid);
  expect(await isAlive(self)).toBe(true);
  expect(await isAlive({ pid: self.pid, startTime: '1' })).toBe(false);
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
  const other = await identify(child.pid as number);
  expect(await isAlive(other)).toBe(true);
  child.kill('SIGKILL');
  await new Promise((resolve) => child.on('exit', resolve));
  expect(await isAlive(other)).toBe(false);
});

test('one at a time', async () => {
  const file = path.join(folder, 'lock');
  let inside = 0;
  await Promise.all(
    Array.from({ length: 8 }, () =>
      withFileLock(file, 10_000, async () => {
        expect(++inside).toBe(1);
        await sleep(5);
        inside--;
      }),
    ),
  );
  expect(await readdir(folder)).toEqual([]);
});

test('a lock is released when the work fails, and a wait for it ends', async () => {
  const file = path.join(folder, 'lock');
  await expect(withFileLock(file, 1_000, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await withFileLock(file, 1_000, async () => {
    await expect(withFileLock(file, 100, async () => {})).rejects.toThrow('held by another process');
  });
});

test('the lock of a dead process is taken over, by one of many', async () => {
  const file = path.join(folder, 'lock');
  let inside = 0;
  let done = 0;
  for (let round = 0; round < 30; round++) {
    await writeFile(file, JSON.stringify({ pid: process.pid, startTime: '1', nonce: 'x' }));
    await Promise.all(
      Array.from({ length: 8 }, () =>
        withFileLock(file, 10_000, async () => {
          expect(++inside).toBe(1);
          if (done % 3 === 0) await sleep(1);
          inside--;
          done++;
        }),
      ),
    );
  }
  expect(done).toBe(240);
  expect(await readdir(folder)).toEqual([]);
});

test('garbage is no identity', async () => {
  await writeFile(path.join(folder, 'x'), 'garbage');
  expect(await readIdentity(path.join(folder, 'x'))).toBeUndefined();
  expect(await readIdentity(path.join(folder, 'missing'))).toBeUndefined();
});
