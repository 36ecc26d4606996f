import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { enter, type TestServer } from './server.ts';

/** One port for clients that know only one, as the SDKs do. */
export interface Front {
  readonly port: number;
  close(): Promise<void>;
}

/** The port of a node by itself; before several nodes, a balancer that sends each request and socket to another one. */
export async function openFront(server: TestServer): Promise<Front> {
  const [node, ...others] = server.nodes;
  if (node !== undefined && others.length === 0) return { port: node.port, close: async () => {} };
  const sockets = new Set<Duplex>();
  const balancer = createServer((incoming, response) => {
    forward(server, incoming, response).catch(() => response.destroy());
  });
  balancer.on('upgrade', (incoming, socket, head) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    splice(server, incoming, socket, head).catch(() => socket.destroy());
  });
  balancer.listen(0, '127.0.0.1');
  await once(balancer, 'listening');
  return {
    port: (balancer.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      balancer.closeAllConnections();
      balancer.close();
      await once(balancer, 'close');
    },
  };
}

async function forward(server: TestServer, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { url } = await enter(server, 'call');
  const { method, headers, url: path = '/' } = incoming;
  const onward = request(url + path, { method, headers, agent: false });
  onward.on('error', () => response.destroy());
  onward.on('response', (reply) => {
    response.writeHead(reply.statusCode ?? 502, reply.headers);
    reply.pipe(response);
  });
  incoming.pipe(onward);
}

async function splice(server: TestServer, incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const { url } = await enter(server, 'socket');
  const onward = connect(Number(new URL(url).port), '127.0.0.1');
  const lines = [`GET ${incoming.url} HTTP/1.1`];
  const { rawHeaders } = incoming;
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  onward.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  for (const [from, to] of [
    [socket, onward],
    [onward, socket],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}
