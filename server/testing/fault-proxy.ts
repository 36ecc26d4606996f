import { connect, createServer, type Server, type Socket } from 'node:net';
import { sleep } from './wait.ts';

/** Length of PostgreSQL's ReadyForQuery message. */
const endBytes = 6;

type Cut = 'pass' | 'cut-before' | 'cut-after' | 'swallow';

/** A TCP proxy before a database that can do to connections what networks do. */
export class FaultProxy {
  /**
   * Asked about every chunk that a client sends. `cut-before` drops the connection in place of passing it on,
   * `cut-after` passes it on and drops the connection before any answer, `swallow` passes it on and no answer ever.
   */
  onChunk: (chunk: Buffer) => Cut = () => 'pass';
  /**
   * Deliver the last bytes of each answer late, so that a client reads the end of one apart from the rest: for
   * PostgreSQL, that is the transaction status.
   */
  lateEnds = false;
  /** Connections that were made. */
  accepted = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #target: URL;

  constructor(targetUrl: string) {
    this.#target = new URL(targetUrl);
    this.#server = createServer((client) => this.#serve(client));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    const url = new URL(this.#target);
    url.port = String(address !== null && typeof address === 'object' ? address.port : 0);
    return url.href;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    this.accepted++;
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        (socket === client ? upstream : client).destroy();
      });
    }
    let deaf = false;
    upstream.on('data', async (chunk) => {
      if (deaf) return;
      if (!this.lateEnds || chunk.length <= endBytes) {
        client.write(chunk);
        return;
      }
      upstream.pause();
      client.write(chunk.subarray(0, -endBytes));
      await sleep(2);
      client.write(chunk.subarray(-endBytes));
      upstream.resume();
    });
    client.on('data', (chunk) => {
      const cut = this.onChunk(chunk);
      if (cut === 'cut-before') {
        client.destroy();
        return;
      }
      upstream.write(chunk);
      if (cut === 'pass') return;
      deaf = true;
      // The database still gets to work on it before its connection goes away.
      if (cut === 'cut-after') client.resetAndDestroy();
    });
  }
}
