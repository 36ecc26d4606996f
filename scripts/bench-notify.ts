// Prints what notifications to players who are online cost: npx tsx scripts/bench-notify.ts [--sockets 1000] and the
// options of bench-stage.ts. The sockets live in a process of their own, so CPU time is the server's alone.
import { setImmediate as turn } from 'node:timers/promises';
import type { NewNotification } from '../server/features/notifications/index.ts';
import { startClients } from './bench-client.ts';
import { openStage } from './bench-stage.ts';

const { app, bench, close, numbers } = await openStage({ sockets: 1000, concurrency: 4 });
const { notifications } = app.features.notifications;

const clients = await startClients(`http://127.0.0.1:${app.port}`, numbers.sockets);
const { userIds } = clients;
await clients.order('open');

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
while ((await clients.order('count')) < sent) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(`${sent} notifications sent, ${await clients.order('count')} heard`);
clients.stop();
await close();
