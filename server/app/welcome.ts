import type { Config } from '../platform/config.ts';

/** A first client as it also stands in the README; prints `player1 says Hello!`. */
export function firstClient(serverKey: string, port: number): string {
  return `import { Client } from '@heroiclabs/nakama-js';
import { WebSocket } from 'ws';

globalThis.WebSocket ??= WebSocket; // browsers and Node.js 22 have their own

const client = new Client('${serverKey}', '127.0.0.1', '${port}');
const session = await client.authenticateDevice('my-first-device', true, 'player1');
const socket = client.createSocket();
await socket.connect(session, true);
socket.onchannelmessage = (message) => console.log(message.username, 'says', message.content.text);
const room = await socket.joinChat('lobby', 1, true, false);
await socket.writeChatMessage(room.id, { text: 'Hello!' });
setTimeout(() => process.exit(), 500);
`;
}

/** What a newcomer sees once the server is up: where it is, its keys, and a first client. */
export function welcome({ socket }: Config, port: number): string {
  const example = firstClient(socket.server_key, port).replaceAll(/^(?=.)/gm, '    ');
  return `
  Muster is up.

    HTTP API    http://127.0.0.1:${port}
    WebSocket   ws://127.0.0.1:${port}/ws
    Health      http://127.0.0.1:${port}/healthcheck   readiness: /ready
    Server key  ${socket.server_key}

  A first client, after npm install @heroiclabs/nakama-js ws, in a file such as hello.mjs:

${example}
  Ctrl-C stops it. Data stays in the data folder.

`;
}
