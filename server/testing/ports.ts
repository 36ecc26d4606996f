import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports from which systems take the near ends of connections (Linux: from 32768, others: from 49152). */
const firstPort = 15_000;
const lastPort = 31_999;

/**
 * A port on which nobody listens. It is none that the system gives out by itself, to a connection or to a listener on port
 * 0, so it is still free when a process that takes a second to start listens on it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort + 1));
    const server = createServer();
    try {
      await once(server.listen(port), 'listening');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
      throw error;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
