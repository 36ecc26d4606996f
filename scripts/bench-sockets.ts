// The clients of bench-notify.ts: signs players in, opens a socket for each, and counts what they hear.
import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';
import { nakama } from '../server/wire/generated/messages.js';

const { BENCH_URL: url = '', BENCH_SOCKETS: count = '0' } = process.env;
const signIns = 20;
let heard = 0;

async function open(): Promise<string> {
  const response = await fetch(`${url}/v2/account/authenticate/device`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('defaultkey:')}` },
    body: JSON.stringify({ id: randomUUID() }),
  });
  const { token } = (await response.json()) as { token: string };
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?format=protobuf&token=${token}`, {
    perMessageDeflate: false,
  });
  socket.on('message', (data: Buffer) => {
    heard += nakama.realtime.Envelope.decode(data).notifications?.notifications.length ?? 0;
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const [, claims = ''] = token.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).uid;
}

const userIds: string[] = [];
await Promise.all(
  Array.from({ length: signIns }, async () => {
    while (userIds.length < Number(count)) {
      const at = userIds.push('') - 1;
      userIds[at] = await open();
    }
  }),
);
process.on('message', () => process.send?.(heard));
process.send?.(userIds);
