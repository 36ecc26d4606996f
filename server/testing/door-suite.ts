import { afterAll, beforeAll, describe } from 'vitest';
import { callDoor, type Door, type Outcome, restDoor } from './doors.ts';
import { signIn } from './http.ts';
import type { TestNodeOptions } from './node.ts';
import { serverKinds, startTestServer, type TestServer } from './server.ts';

const doorKinds = ['REST', 'call json', 'call protobuf'] as const;

/** What a suite that runs through every door works with. Usable inside tests and hooks, not while they are declared. */
export interface Doorway {
  readonly server: TestServer;
  /** Calls a method; the outcome may be a failure. */
  call(method: string, authorization: string, message?: object): Promise<Outcome>;
  /** Calls a method that has to succeed, and answers its response. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into responses freely
  ok(method: string, authorization: string, message?: object): Promise<any>;
}

/** Declares the same tests for REST and for `call` in both socket formats, on a server of every kind of the topology. */
export function describeDoors(title: string, options: TestNodeOptions, define: (doorway: Doorway) => void): void {
  describe.each(serverKinds)(`${title} on %s`, (kind) => {
    let server: TestServer;
    beforeAll(async () => {
      server = await startTestServer({ ...options, kind });
    });
    afterAll(() => server?.stop());

    describe.each(doorKinds)('through %s', (doorKind) => {
      let door: Door;
      beforeAll(async () => {
        door = await openDoor(server, doorKind);
      });
      afterAll(() => door?.close());

      define({
        get server() {
          return server;
        },
        call: (method, authorization, message) => door.call(method, authorization, message),
        async ok(method, authorization, message) {
          const { code, message: text, response } = await door.call(method, authorization, message);
          if (code !== 0) throw new Error(`${method} failed with ${code}: ${text}`);
          return response;
        },
      });
    });
  });
}

async function openDoor(server: TestServer, kind: (typeof doorKinds)[number]): Promise<Door> {
  if (kind === 'REST') return restDoor(server);
  const { token } = await signIn(server);
  return callDoor(server, token, kind === 'call json' ? 'json' : 'protobuf');
}
