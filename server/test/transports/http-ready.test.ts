import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode } from '../../testing/node.ts';
import { TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

/** A way to the database that can be cut. */
class Bridge {
  readonly url: string;
  readonly #links = new Set<Socket>();
  readonly #stop: () => void;
  isOpen = true;

  private constructor(url: string, stop: () => void) {
    this.url = url;
    this.#stop = stop;
  }

  static async to(databaseUrl: string): Promise<Bridge> {
    const target = new URL(databaseUrl);
    const server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        bridge.#links.add(one);
        one.on('error', () => undefined);
        one.on('close', () => {
          bridge.#links.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
      if (!bridge.isOpen) bridge.#dropAll();
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    const own = new URL(databaseUrl);
    own.hostname = '127.0.0.1';
    own.port = String(port);
    const bridge = new Bridge(own.href, () => server.close());
    return bridge;
  }

  cut(): void {
    this.isOpen = false;
    this.#dropAll();
  }

  mend(): void {
    this.isOpen = true;
  }

  close(): void {
    this.cut();
    this.#stop();
  }

  #dropAll(): void {
    for (const link of this.#links) link.destroy();
  }
}

describe.each(listenerKinds)('without its database on %s', (listener) => {
  let schema: TestSchema;
  let bridge: Bridge;
  let node: TestNode;
  let player: Player;
  beforeAll(async () => {
    schema = await createTestSchema();
    bridge = await Bridge.to(schema.url);
    node = await startTestNode({
      databaseUrl: bridge.url,
      config: { 'socket.listener': listener, 'database.acquire_timeout_ms': 500 },
    });
    player = await signIn(node);
    bridge.cut();
  });
  afterAll(async () => {
    await node?.stop();
    bridge?.close();
    await schema?.drop();
  });

  test('a node lives but is not ready', async () => {
    const { status, body, headers } = await request(node, 'GET', '/ready');
    expect([status, body]).toEqual([503, { ready: false }]);
    expect(headers.get('cache-control')).toMatch(/no-store/);
    for (const path of ['/', '/healthcheck']) expect((await request(node, 'GET', path)).status).toBe(200);
  });

  test('calls that need it say so, and that they may be sent again', async () => {
    const { status, body } = await request(node, 'GET', '/v2/account', player);
    expect([status, body.code]).toEqual([503, 14]);
    expect(body.message).not.toMatch(/ECONN|127\.0\.0\.1|password|SELECT/);
    const socket = await TestSocket.connect(node, player.token);
    const { call_result } = await socket.request({ call: { method: 'GetAccount' } });
    expect(call_result).toMatchObject({ code: 14, retry: 1 });
    await socket.close();
  });

  test('tokens are still told apart', async () => {
    const { status } = await request(node, 'GET', '/v2/user', { authorization: `${player.authorization}x` });
    expect(status).toBe(401);
    expect((await request(node, 'GET', '/v2/user', player)).text).toBe('{}');
  });

  test('a node is ready again once the database is', async () => {
    bridge.mend();
    await waitFor('the node to be ready', async () => (await request(node, 'GET', '/ready')).status === 200);
    expect((await request(node, 'GET', '/v2/account', player)).body.user.id).toBe(player.id);
  });
});

describe.each(listenerKinds)('a node that stops on %s', (listener) => {
  test('finishes what it is at, and accepts nothing more', async () => {
    const node = await startTestNode({ config: { 'socket.listener': listener } });
    const player = await signIn(node);
    const calls = Array.from({ length: 20 }, () => request(node, 'GET', '/v2/account', player));
    const outcomes = Promise.allSettled(calls);
    await waitFor('the first answer', () => Promise.race(calls));
    await node.stop();
    for (const outcome of await outcomes) {
      if (outcome.status === 'fulfilled') expect(outcome.value.status).toBe(200);
    }
    await expect(request(node, 'GET', '/')).rejects.toThrow();
  });
});
