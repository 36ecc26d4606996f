import { pino } from 'pino';
import { expect, it } from 'vitest';
import { waitFor } from '../../testing/wait.ts';
import { Events, type GameEvent } from './events.ts';

const nobody = { user: null, sessionId: '', clientAddress: '', clientPort: '' };
const named = (name: string): GameEvent => ({ name, properties: {}, timestamp: undefined, external: false });

function open(options: { queueSize?: number; workers?: number } = {}) {
  const counts = { dropped: 0 };
  const events = new Events({
    queueSize: options.queueSize ?? 100,
    workers: options.workers ?? 2,
    log: pino({ level: 'silent' }),
    dropped: () => counts.dropped++,
  });
  return { events, counts };
}

it('hands each event to every handler of its kind, and to no other', async () => {
  const { events } = open();
  const heard: string[] = [];
  events.on('event', (_context, { name }) => void heard.push(`a ${name}`));
  events.on('event', (_context, { name }) => void heard.push(`b ${name}`));
  events.on('session_end', (_context, { name }) => void heard.push(`end ${name}`));
  events.emit('event', nobody, named('x'));
  events.emit('session_start', nobody, named('y'));
  expect(heard).toEqual([]);
  await events.close();
  expect(heard).toEqual(['a x', 'b x']);
});

it('goes on after a handler that fails', async () => {
  const { events } = open({ workers: 1 });
  const heard: string[] = [];
  events.on('event', () => Promise.reject(new Error('no')));
  events.on('event', (_context, { name }) => void heard.push(name));
  for (const name of ['a', 'b']) events.emit('event', nobody, named(name));
  await events.close();
  expect(heard).toEqual(['a', 'b']);
});

it('drops what finds no room, and takes events again once there is some', async () => {
  const { events, counts } = open({ queueSize: 3, workers: 2 });
  const waiting: (() => void)[] = [];
  let handled = 0;
  events.on('event', async () => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    handled++;
  });
  for (let n = 0; n < 3; n++) events.emit('event', nobody, named('first'));
  events.emit('event', nobody, named('too many'));
  expect(counts.dropped).toBe(1);
  await waitFor('both workers to be busy', () => waiting.length === 2);
  for (let n = 0; n < 3; n++) events.emit('event', nobody, named('second'));
  expect(counts.dropped).toBe(2);
  const freed = setInterval(() => waiting.splice(0).forEach((go) => void go()), 1);
  await events.close();
  clearInterval(freed);
  expect(handled).toBe(5);
  events.emit('event', nobody, named('too late'));
  expect(handled).toBe(5);
});

it('handles thousands in order with one worker', async () => {
  const { events } = open({ queueSize: 10_000, workers: 1 });
  const heard: string[] = [];
  events.on('event', (_context, { name }) => void heard.push(name));
  const names = Array.from({ length: 5000 }, (_, n) => String(n));
  for (const name of names) events.emit('event', nobody, named(name));
  await events.close();
  expect(heard).toEqual(names);
});
