import { allMethodTypes } from '../wire/types.ts';
import { request } from './http.ts';
import type { Target } from './server.ts';
import { type Format, TestSocket } from './socket.ts';

/** What a method answered, through whichever door. */
export interface Outcome {
  /** Canonical RPC code, 0 for success. */
  readonly code: number;
  readonly message: string;
  /** The response message in its JSON form. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into responses freely
  readonly response: any;
}

/** A way to call API methods: REST, or `call` over a socket. The same test runs through each. */
export interface Door {
  readonly name: string;
  /**
   * @param authorization what goes into the Authorization header; '' for none (a socket then acts as its own session).
   * @param message the request message in its JSON form.
   */
  call(method: string, authorization: string, message?: object): Promise<Outcome>;
  close(): Promise<void>;
}

/** Calls over HTTP, by the method's first binding. */
export function restDoor(target: Target): Door {
  return {
    name: 'REST',
    async call(method, authorization, message = {}) {
      const { verb, path, body } = toHttp(method, { ...message });
      const reply = await request(target, verb, path, {
        ...(authorization === '' ? {} : { authorization }),
        ...(body === undefined ? {} : { body }),
      });
      if (reply.status === 200) return { code: 0, message: '', response: reply.body };
      return { code: reply.body.code, message: reply.body.message, response: undefined };
    },
    async close() {},
  };
}

/** Calls over sockets of its own, one on each node, whose session has nothing to do with the caller's. */
export async function callDoor(target: Target, token: string, format: Format): Promise<Door> {
  const count = 'nodes' in target ? target.nodes.length : 1;
  const sockets = await Promise.all(Array.from({ length: count }, () => TestSocket.connect(target, token, { format })));
  let calls = 0;
  return {
    name: `call over ${format}`,
    async call(method, authorization, message = {}) {
      const socket = sockets[calls++ % count] as TestSocket;
      const { call_result: result } = await socket.request({ call: { method, authorization, request: message } });
      return { code: result.code ?? 0, message: result.message ?? '', response: result.response ?? {} };
    },
    async close() {
      await Promise.all(sockets.map((socket) => socket.close()));
    },
  };
}

/** Spreads a request message over path, query and body as the method's binding says. */
function toHttp(name: string, message: Record<string, unknown>): { verb: string; path: string; body?: unknown } {
  const binding = allMethodTypes().find((type) => type.name === name)?.http[0];
  if (binding === undefined) throw new Error(`no HTTP binding for ${name}`);
  const path = binding.path.replace(/\{(\w+)\}/g, (_, field: string) => {
    const value = String(message[field] ?? '');
    delete message[field];
    return encodeURIComponent(value);
  });
  if (binding.body === '*') return { verb: binding.verb, path, body: message };
  const body = binding.body === undefined ? undefined : (message[binding.body] ?? {});
  if (binding.body !== undefined) delete message[binding.body];
  const query = new URLSearchParams();
  for (const [field, value] of Object.entries(message)) {
    for (const item of Array.isArray(value) ? value : [value]) query.append(field, String(item));
  }
  const target = query.size === 0 ? path : `${path}?${query}`;
  return body === undefined ? { verb: binding.verb, path: target } : { verb: binding.verb, path: target, body };
}
