import type { Config } from '../platform/config.ts';

/** What a newcomer sees once the server is up: where it is, its keys, and a first client. */
export function welcome({ socket }: Config, port: number): string {
  return `
  Muster is up.

    HTTP API    http://127.0.0.1:${port}
    WebSocket   ws://127.0.0.1:${port}/ws
    Health      http://127.0.0.1:${port}/healthcheck   readiness: /ready
    Server key  ${socket.server_key}

  A first client (npm install @heroiclabs/nakama-js), in a file such as hello.mjs:

    import { Client } from '@heroiclabs/nakama-js';

    const client = new Client('${socket.server_key}', '127.0.0.1', '${port}');
    const session = await client.authenticateDevice('my-first-device', true, 'player1');
    const socket = client.createSocket();
    await socket.connect(session, true);
    socket.onchannelmessage = (message) => console.log(message.username, 'says', message.content);
    const room = await socket.joinChat('lobby', 1, true, false);
    await socket.writeChatMessage(room.id, { text: 'Hello!' });

  Ctrl-C stops it. Data stays in the data folder.

`;
}
