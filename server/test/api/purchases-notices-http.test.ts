import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type HttpReply, request, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { waitFor } from '../../testing/wait.ts';
import { endpointIds, StandInStores } from './purchases-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

const unknownPath = { code: 5, message: 'Not Found' };
const maxBytes = 262_144;

describe.each(serverKinds)('the way of notifications of stores on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind, config: stores.config });
  });
  afterEach(() => stores.web.heal());
  afterAll(async () => {
    expect(server?.errors).toEqual([]);
    await server?.stop();
  });

  const bodyOf = (store: 'apple' | 'google'): Buffer =>
    store === 'apple'
      ? stores.appleNotification('TEST', stores.transaction())
      : stores.googleNotification({ testNotification: { version: '1.0' } });
  const paths = (store: 'apple' | 'google', id: string = endpointIds[store]): string[] =>
    ['notifications', 'subscriptions'].map((word) => `/v2/console/${store}/${word}/${id}`);

  test.each(['apple', 'google'] as const)('%s comes by two paths and any verb, without a token', async (store) => {
    for (const path of paths(store)) {
      for (const verb of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        const reply = await request(server, verb, path, { body: bodyOf(store) });
        expect([verb, reply.status, reply.text]).toEqual([verb, 200, '']);
        expect(reply.headers.get('content-type')).toBeNull();
      }
      // A verb without a body has nothing to say, which is no notification.
      expect((await request(server, 'GET', path)).status).toBe(500);
    }
  });

  test.each(['apple', 'google'] as const)('%s: a wrong id is a path that does not exist', async (store) => {
    const other = store === 'apple' ? 'google' : 'apple';
    const right = endpointIds[store];
    const wrong = ['', 'x', endpointIds[other], `${right}x`, right.slice(1), right.toUpperCase(), `${right}/`];
    for (const id of [...wrong, `${right}%00`, `%2F${right}`, `${right}/x`]) {
      for (const path of paths(store, id)) {
        const { status, body } = await request(server, 'POST', path, { body: bodyOf(store) });
        expect([id, status, body]).toEqual([id, 404, unknownPath]);
      }
    }
    const { authorization } = await signIn(server);
    const reply = await request(server, 'POST', `${paths(store, 'x')[0]}`, { authorization, body: bodyOf(store) });
    expect([reply.status, reply.body]).toEqual([404, unknownPath]);
    // Nothing of what strangers send is read, let alone unpacked.
    const large = await request(server, 'POST', `${paths(store, 'x')[0]}`, { body: Buffer.alloc(2 * maxBytes) });
    expect(large.status).toBe(404);
  });

  test('an escaped id is the same id', async () => {
    const id = endpointIds.apple.replace('-', '%2D');
    expect((await request(server, 'POST', `${paths('apple', id)[0]}`, { body: bodyOf('apple') })).status).toBe(200);
  });

  test('where no id is configured there is nothing', async () => {
    const closed = await startTestServer({ kind });
    for (const store of ['apple', 'google'] as const) {
      for (const path of [...paths(store, ''), ...paths(store)]) {
        const { status, body } = await request(closed, 'POST', path, { body: bodyOf(store) });
        expect([path, status, body]).toEqual([path, 404, unknownPath]);
      }
    }
    await closed.stop();
  });

  test('bodies are bounded, packed or not', async () => {
    const path = `${paths('google')[0]}`;
    const packed = (body: Uint8Array) =>
      request(server, 'POST', path, { body: gzipSync(body), headers: { 'content-encoding': 'gzip' } });
    expect((await packed(bodyOf('google'))).status).toBe(200);
    expect((await packed(Buffer.alloc(4 * maxBytes))).status).toBe(429);
    expect((await request(server, 'POST', path, { body: Buffer.alloc(maxBytes + 1) })).status).toBe(400);
    expect((await request(server, 'POST', path, { body: Buffer.alloc(maxBytes) })).status).toBe(500);
  });

  test('only so many are handled at once, the others are to come again', async () => {
    const limits = { 'limits.store_notifications_concurrent': 1, 'limits.store_notifications_queued': 1 };
    const busy = await startTestServer({ kind, config: { ...stores.config, ...limits } });
    const [node] = busy.nodes;
    if (node === undefined) throw new Error('no node');
    let heard = 0;
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    node.app.features.purchases.callbacks.onSubscriptionNotification('apple', async () => {
      heard++;
      await gate;
    });
    const { id: appAccountToken } = await signIn(busy);
    const transaction = stores.transaction({ expiresDate: Date.now() + 1_000_000, appAccountToken });
    const send = (): Promise<HttpReply> => {
      const body = stores.appleNotification('SUBSCRIBED', transaction);
      return request(node, 'POST', `${paths('apple')[0]}`, { body });
    };
    const first = send();
    await waitFor('the first to be handled', () => heard === 1);
    // One of two waits for the first, the other finds no place.
    const others = [send(), send()];
    const refused = await Promise.race(others);
    expect([refused.status, refused.text]).toEqual([503, '']);
    open();
    const answers = await Promise.all([first, ...others]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 503]);
    expect((await send()).status).toBe(200);
    expect(heard).toBe(3);
    await busy.stop();
  });
});
