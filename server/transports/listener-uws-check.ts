import type { us_listen_socket } from 'uWebSockets.js';
import { connect } from 'node:net';

type Uws = typeof import('uWebSockets.js');

/** Long enough for the first piece to be read by itself. */
const pauseMs = 20;
const deadlineMs = 2000;

/**
 * Does this build of uWebSockets.js serve a request whose request line arrives in two TCP segments? Builds from before
 * the vendor mended it answer 505, which hits every request line longer than a segment, such as a long list of user
 * ids. Asks the module itself, over loopback, because builds carry no version.
 */
export async function servesSplitRequestLines(uws: Uws): Promise<boolean> {
  const app = uws.App().get('/*', (response) => {
    response.end();
  });
  const socket = await new Promise<us_listen_socket | false>((resolve) => {
    app.listen('127.0.0.1', 0, resolve);
  });
  if (!socket) return false;
  try {
    return await isServedInPieces(uws.us_socket_local_port(socket));
  } finally {
    uws.us_listen_socket_close(socket);
    app.close();
  }
}

function isServedInPieces(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const client = connect(port, '127.0.0.1');
    const end = (isServed: boolean): void => {
      clearTimeout(deadline);
      client.destroy();
      resolve(isServed);
    };
    const deadline = setTimeout(end, deadlineMs, false);
    client.setNoDelay(true);
    client.once('connect', () => {
      client.write('GET /first');
      setTimeout(() => client.write('second HTTP/1.1\r\nHost: localhost\r\n\r\n'), pauseMs);
    });
    client.once('data', (answer) => end(answer.toString('latin1').startsWith('HTTP/1.1 200 ')));
    client.once('error', () => end(false));
    client.once('close', () => end(false));
  });
}
