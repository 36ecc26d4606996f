import { afterAll, beforeAll, describe } from 'vitest';
import { callDoor, type Door, type Outcome, restDoor } from './doors.ts';
import { signIn } from './http.ts';
import { listenerKinds, startTestNode, type TestNode, type TestNodeOptions } from './node.ts';

const doorKinds = ['REST', 'call json', 'call protobuf'] as const;

/** What a suite that runs through every door works with. Usable inside tests and hooks, not while they are declared. */
export interface Doorway {
  readonly node: TestNode;
  /** Calls a method; the outcome may be a failure. */
  call(method: string, authorization: string, message?: object): Promise<Outcome>;
  /** Calls a method that has to succeed, and answers its response. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into responses freely
  ok(method: string, authorization: string, message?: object): Promise<any>;
}

/** Declares the same tests for REST and for `call` in both socket formats, on every listener; one node per listener. */
export function describeDoors(title: string, options: TestNodeOptions, define: (doorway: Doorway) => void): void {
  describe.each(listenerKinds)(`${title} on %s`, (listener) => {
    let node: TestNode;
    beforeAll(async () => {
      node = await startTestNode({ ...options, config: { ...options.config, 'socket.listener': listener } });
    });
    afterAll(() => node?.stop());

    describe.each(doorKinds)('through %s', (kind) => {
      let door: Door;
      beforeAll(async () => {
        door = await openDoor(node, kind);
      });
      afterAll(() => door?.close());

      define({
        get node() {
          return node;
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

async function openDoor(node: TestNode, kind: (typeof doorKinds)[number]): Promise<Door> {
  if (kind === 'REST') return restDoor(node);
  const { token } = await signIn(node);
  return callDoor(node, token, kind === 'call json' ? 'json' : 'protobuf');
}
