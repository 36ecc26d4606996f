// Prints what a chat room costs the servers that hold it, one node or several:
//   npx tsx scripts/bench-room.ts --urls http://127.0.0.1:7350,http://127.0.0.1:7351 --pids 4711,4712 --redis-pid 4713
// Members spread evenly over the nodes; the first one sends. CPU time is read from /proc, so Linux only.
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { WebSocket } from 'ws';
import { EnvelopeFrame, payload } from '../server/wire/envelope.ts';
import { nakama } from '../server/wire/generated/messages.js';
import { cpuSeconds, openSocket, signIn } from './bench-client.ts';

const { values } = parseArgs({
  options: {
    urls: { type: 'string', default: 'http://127.0.0.1:7350' },
    pids: { type: 'string', default: '' },
    'redis-pid': { type: 'string', default: '' },
    key: { type: 'string', default: 'defaultkey' },
    members: { type: 'string', default: '200' },
    rate: { type: 'string', default: '200' },
    'warm-up': { type: 'string', default: '10' },
    seconds: { type: 'string', default: '10' },
  },
});
const urls = values.urls.split(',');
const members = Number(values.members);
const ratePerSecond = Number(values.rate);
const seconds = Number(values.seconds);
/** By then each node has compiled what it needs. */
const warmUpMs = Number(values['warm-up']) * 1000;
function join(socket: WebSocket, room: string): Promise<string> {
  const persistence = { value: false };
  const request = payload('channel_join', { target: room, type: 1, persistence, hidden: { value: false } });
  return new Promise((resolve, reject) => {
    const read = (data: Buffer): void => {
      const { channel, error } = nakama.realtime.Envelope.decode(data);
      if (error) reject(new Error(error.message));
      if (channel) resolve(channel.id);
      if (error || channel) socket.off('message', read);
    };
    socket.on('message', read);
    socket.send(EnvelopeFrame.of(request, '1').protobuf);
  });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const sockets: WebSocket[] = [];
for (let index = 0; index < members; index++) {
  const url = urls[index % urls.length] as string;
  sockets.push(await openSocket(url, await signIn(url, values.key)));
}
const room = `bench-${randomUUID()}`;
let channelId = '';
for (const socket of sockets) channelId = await join(socket, room);
await sleep(1000);

let sent = 0;
let deliveries = 0;
for (const socket of sockets) socket.on('message', () => deliveries++);
const [sender] = sockets as [WebSocket];
const content = JSON.stringify({ text: 'x'.repeat(80) });
const started = performance.now();
const pacer = setInterval(() => {
  for (const due = ((performance.now() - started) / 1000) * ratePerSecond; sent < due; sent++) {
    sender.send(EnvelopeFrame.of(payload('channel_message_send', { channel_id: channelId, content })).protobuf);
  }
}, 1);

const pids = [...values.pids.split(','), values['redis-pid']].filter((pid) => pid !== '');
await sleep(warmUpMs);
const before = { sent, deliveries, at: performance.now(), cpu: pids.map(cpuSeconds) };
await sleep(seconds * 1000);
const took = (performance.now() - before.at) / 1000;
const after = { sent, deliveries, cpu: pids.map(cpuSeconds) };
clearInterval(pacer);
for (const socket of sockets) socket.terminate();

const delivered = after.deliveries - before.deliveries;
console.log(
  `${urls.length} node(s), ${members} members, ${((after.sent - before.sent) / took).toFixed(0)} messages/s sent`,
);
console.log(`${(delivered / took).toFixed(0)} deliveries and acks per second`);
let total = 0;
for (const [index, pid] of pids.entries()) {
  const used = (after.cpu[index] as number) - (before.cpu[index] as number);
  total += used;
  const name = pid === values['redis-pid'] ? 'Redis' : 'node';
  console.log(`${name} ${pid}: ${used.toFixed(2)} CPU-s, ${((used / delivered) * 1e6).toFixed(2)} us per delivery`);
}
console.log(`together: ${((total / delivered) * 1e6).toFixed(2)} us per delivery`);
