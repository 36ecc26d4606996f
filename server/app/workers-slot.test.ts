import cluster from 'node:cluster';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from '../testing/wait.ts';
import { WorkerSlot } from './workers-slot.ts';

/** What a worker does, by its name. */
const script = `
const { name } = JSON.parse(process.env.MUSTER_WORKER_ASSIGNMENT);
const obey = () => process.on('message', (order) => order === (name === 'slow' ? 'hurry' : 'stop') && process.exit(0));
if (name === 'failing') process.send({ failed: 'no way' }, () => process.exit(1));
else if (name === 'dying') process.exit(3);
else {
  if (name !== 'deaf' && name !== 'late') obey();
  setTimeout(() => {
    if (name === 'late') obey();
    process.send({ up: true });
  }, name === 'late' ? 300 : 0);
  setInterval(() => {}, 60_000);
}
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-slot-'));
  const exec = path.join(folder, 'worker.cjs');
  await writeFile(exec, script);
  cluster.setupPrimary({ exec, execArgv: [], args: [] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Line {
  readonly msg: string;
  readonly pid?: number;
  readonly reason?: string;
}

function slotOf(name: string): { slot: WorkerSlot; lines: Line[]; pids(): number[] } {
  const lines: Line[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const pids = (): number[] => lines.flatMap(({ pid }) => pid ?? []);
  return { slot: new WorkerSlot({ name }, log), lines, pids };
}

const expectGone = (pid = 0): void => expect(() => process.kill(pid, 0)).toThrow('ESRCH');

it('starts another process when one dies, until it is told to stop', async () => {
  const { slot, lines, pids } = slotOf('obedient');
  await slot.start();
  for (const lives of [1, 2]) {
    process.kill(pids().at(-1) ?? 0, 'SIGKILL');
    await waitFor('another process', () => pids().length === lives + 1);
  }
  const deaths = lines.filter(({ msg }) => msg === 'a worker has died, starting another');
  expect(deaths).toMatchObject([
    { worker: 'obedient', reason: 'worker obedient ended with SIGKILL', restart_ms: 200 },
    { worker: 'obedient', restart_ms: 400 },
  ]);
  expect(await slot.stop(10_000)).toBe(true);
  expectGone(pids()[2]);
  expect(pids()).toHaveLength(3);
});

it.each([
  ['failing', 'no way'],
  ['dying', 'worker dying ended with code 3'],
])('says why the first process cannot start: %s', async (name, reason) => {
  const { slot, pids } = slotOf(name);
  await expect(slot.start()).rejects.toThrow(reason);
  expect(await slot.stop(10_000)).toBe(true);
  expect(pids()).toHaveLength(1);
});

it('kills what does not end', async () => {
  const { slot, lines, pids } = slotOf('deaf');
  await slot.start();
  expect(await slot.stop(100)).toBe(false);
  expectGone(pids()[0]);
  expect(lines.at(-1)).toMatchObject({ msg: 'a worker does not end, killing it', limit_ms: 100 });
});

it('passes on that there is no more time', async () => {
  const { slot } = slotOf('slow');
  await slot.start();
  const stopped = slot.stop(10_000);
  slot.hurry();
  expect(await stopped).toBe(true);
});

it('tells a process that was not ready to hear it, once it is', async () => {
  const { slot } = slotOf('late');
  const started = slot.start();
  expect(await slot.stop(10_000)).toBe(true);
  await started;
});

it('starts no other process once it was told to stop', async () => {
  const { slot, lines, pids } = slotOf('obedient');
  await slot.start();
  process.kill(pids()[0] ?? 0, 'SIGKILL');
  await waitFor('the death to be noticed', () => lines.some(({ msg }) => msg.startsWith('a worker has died')));
  expect(await slot.stop(10_000)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(pids()).toHaveLength(1);
});
