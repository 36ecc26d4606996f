// Prints what idle sockets cost a node in memory, when they come for the first time and when they come again:
//   npx tsx scripts/bench-sockets.ts [--sockets 4000] [--fills 5] [--settle 3] [--uws 1]
// and the options of bench-stage.ts. The players have signed in before, live in a process of their own and appear
// online. `live` is what the JavaScript heap keeps per socket after a garbage collection, `resident` the memory of the
// process then: over the node that never had a socket, and over the one that the fill before has left empty.
// What the process has before the collection is a matter of when V8 collects, hence only its size is shown.
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startClients } from './bench-client.ts';
import { openStage } from './bench-stage.ts';

const listener = process.argv.includes('--uws') ? 'uws' : 'node';
const defaults = { sockets: 4000, fills: 5, settle: 3, uws: 0 };
const { app, close, numbers } = await openStage(defaults, { config: { 'socket.listener': listener } });
const { sockets, fills, settle } = numbers;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const kib = (bytes: number): number => bytes / 1024;

/** Memory in KiB, as it is and after a full garbage collection. */
async function measure(): Promise<{ asIs: number; live: number; resident: number }> {
  await sleep(settle * 1000);
  const asIs = kib(process.memoryUsage.rss());
  for (let round = 0; round < 3; round++) {
    collect();
    await sleep(100);
  }
  const { heapUsed, rss } = process.memoryUsage();
  return { asIs, live: kib(heapUsed), resident: kib(rss) };
}

const clients = await startClients(`http://127.0.0.1:${app.port}`, sockets);
const fresh = await measure();
let empty = fresh;
console.log(`${listener} listener, ${sockets} sockets; ${(fresh.resident / 1024).toFixed(0)} MiB without any`);
const columns = [
  'fill',
  'live',
  'resident',
  'over the empty node',
  'MiB full, as is',
  'MiB empty',
  'ms CPU per connect',
];
console.log(columns.join('   '));
for (let fill = 1; fill <= fills; fill++) {
  const before = process.cpuUsage();
  await clients.order('open');
  const { user, system } = process.cpuUsage(before);
  const full = await measure();
  await clients.order('close');
  const after = await measure();
  const perSocket = [full.live - fresh.live, full.resident - fresh.resident, full.resident - empty.resident];
  const cells = [
    ...perSocket.map((value) => (value / sockets).toFixed(1)),
    (full.asIs / 1024).toFixed(0),
    (after.resident / 1024).toFixed(0),
    ((user + system) / 1000 / sockets).toFixed(2),
  ];
  const row = [String(fill), ...cells].map((cell, index) => cell.padStart(columns[index]?.length ?? 0));
  console.log(row.join('   '));
  empty = after;
}
clients.stop();
await close();
