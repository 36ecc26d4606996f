import type { TestNode } from '../../testing/node.ts';
import { RawClient, type RawResponse } from '../../transports/listener-test-client.ts';

export interface RawRequest {
  readonly method?: string;
  readonly headers?: readonly string[];
  /** A Content-Length is added, unless the headers say otherwise. */
  readonly body?: string | Uint8Array;
}

/** The bytes of a request, with nothing put right. */
export function rawRequest(target: string, { method = 'GET', headers = [], body }: RawRequest = {}): Buffer {
  const bytes = Buffer.from(body ?? '');
  const framed = headers.some((line) => /^(content-length|transfer-encoding):/i.test(line));
  const lines = ['Host: x', ...headers, ...(body === undefined || framed ? [] : [`Content-Length: ${bytes.length}`])];
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`), bytes]);
}

/** Sends a request on a connection of its own, which `fetch` would not send. */
export async function sendRaw(
  node: Pick<TestNode, 'port'>,
  target: string,
  request: RawRequest = {},
): Promise<RawResponse> {
  const client = await RawClient.connect(node.port);
  try {
    client.write(rawRequest(target, request));
    return await client.response(request.method);
  } finally {
    client.socket.destroy();
  }
}
