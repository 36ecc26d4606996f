// The players of bench-notify.ts and bench-sockets.ts, as a process of their own (see `startClients` in bench-client.ts):
// they sign in, open a socket each and close it on order, and count the notifications they hear.
import type { WebSocket } from 'ws';
import { nakama } from '../server/wire/generated/messages.js';
import { type ClientOrder, eachOf, openSocket, signIn } from './bench-client.ts';

const { BENCH_URL: url = '', BENCH_COUNT: count = '0' } = process.env;
const concurrency = 20;
const sockets: WebSocket[] = [];
let heard = 0;

async function open(token: string): Promise<void> {
  const socket = await openSocket(url, token, { status: true });
  socket.on('message', (data: Buffer) => {
    heard += nakama.realtime.Envelope.decode(data).notifications?.notifications.length ?? 0;
  });
  sockets.push(socket);
}

const tokens: string[] = [];
await eachOf(Array.from({ length: Number(count) }), concurrency, async () => void tokens.push(await signIn(url)));
const userIds = tokens.map((token) => {
  const [, claims = ''] = token.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).uid;
});

process.on('message', async (order: ClientOrder) => {
  if (order === 'open') await eachOf(tokens, concurrency, open);
  if (order === 'close') for (const socket of sockets.splice(0)) socket.terminate();
  process.send?.(heard);
});
process.send?.(userIds);
