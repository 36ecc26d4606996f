// Prints what notifications to players who are online cost: npx tsx scripts/bench-notify.ts [--sockets 1000] and the
// options of bench-stage.ts. The sockets live in a process of their own, so CPU time is the server's alone.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { NewNotification } from '../server/features/notifications/index.ts';
import { openStage } from './bench-stage.ts';

const { app, bench, close, numbers } = await openStage({ sockets: 1000, concurrency: 4 });
const { notifications } = app.features.notifications;

const clients = fork(fileURLToPath(new URL('./bench-sockets.ts', import.meta.url)), {
  execArgv: ['--import', 'tsx'],
  env: { ...process.env, BENCH_URL: `http://127.0.0.1:${app.port}`, BENCH_SOCKETS: String(numbers.sockets) },
});
const [userIds] = (await once(clients, 'message')) as [string[]];
/** How many the clients have heard so far. */
const heard = async (): Promise<number> => {
  clients.send('count');
  return ((await once(clients, 'message')) as [number])[0];
};

let sent = 0;
const notify = (persistent: boolean): NewNotification[] => {
  sent += userIds.length;
  return userIds.map((userId) => ({ userId, subject: 'Bench', content: '{"n":1}', code: 1, senderId: '', persistent }));
};
const users = userIds.length;
await bench(`live to ${users} users who are online`, () => notifications.send(notify(false)));
await bench(`stored and live to ${users} users who are online`, () => notifications.send(notify(true)));
await bench('the same to everybody at once, live', async () => {
  sent += users;
  await notifications.sendAll({ subject: 'Bench', content: '{"n":1}', code: 1, senderId: '', persistent: false });
  // What was sent in a turn of the event loop leaves at its end.
  await turn();
});
while ((await heard()) < sent) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(`${sent} notifications sent, ${await heard()} heard`);
clients.kill();
await close();
