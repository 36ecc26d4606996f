import { afterEach, describe, expect, test } from 'vitest';
import { StreamMode } from '../../cluster/stream.ts';
import type { Feature } from '../../features/feature.ts';
import type { Hooks } from '../../gateway/hooks.ts';
import { request, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode, type TestNodeOptions } from '../../testing/node.ts';
import { freePort } from '../../testing/ports.ts';
import { formats, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { handshake, RawClient } from '../../transports/listener-test-client.ts';
import { join } from '../api/chat-support.ts';
import { newName } from '../api/socket-support.ts';

const goingAway = { code: 1001, reason: 'server shutting down' };

/** Something that waits until it is let go. */
class Gate {
  /** How many wait, or have waited. */
  arrivals = 0;
  #open = (): void => {};
  readonly #opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });

  async pass(): Promise<void> {
    this.arrivals++;
    await this.#opened;
  }

  open(): void {
    this.#open();
  }
}

/** Holds GetAccount at the gate. */
const held = (gate: Gate): Hooks => ({
  before: (name) =>
    name === 'GetAccount'
      ? async (_ctx, request) => {
          await gate.pass();
          return request;
        }
      : undefined,
  after: () => undefined,
});

describe.each(listenerKinds)('%s listener', (listener) => {
  const nodes: TestNode[] = [];
  afterEach(() => Promise.all(nodes.splice(0).map((node) => node.stop())));

  async function start({ config, ...options }: TestNodeOptions = {}): Promise<TestNode> {
    const node = await startTestNode({ ...options, config: { 'socket.listener': listener, ...config } });
    nodes.push(node);
    return node;
  }

  test('stopping ends all sockets with 1001, and presences with them', async () => {
    const node = await start();
    const target = newName();
    const sockets: TestSocket[] = [];
    for (const format of [...formats, ...formats]) {
      const { token } = await signIn(node);
      const socket = await TestSocket.connect(node, token, { format, query: { status: 'true' } });
      await join(socket, target);
      sockets.push(socket);
    }
    const { streams } = node.app.features.streams;
    const room = { mode: StreamMode.CHANNEL, subject: '', subcontext: '', label: target };
    expect(await streams.presences(room)).toHaveLength(sockets.length);
    await node.stop();
    for (const socket of sockets) expect(await socket.waitClosed()).toEqual(goingAway);
    expect(await streams.presences(room)).toEqual([]);
    expect(node.app.openSockets).toBe(0);
    expect(node.errors).toEqual([]);
  });

  test('a node without sockets stops as well, and stopping again is harmless', async () => {
    const node = await start();
    const stops = [node.app.stop(), node.app.stop()];
    await Promise.all(stops);
    await node.app.stop();
    expect(node.errors).toEqual([]);
  });

  test.each(formats)('the request in hand is answered, those that wait are not, %s', async (format) => {
    const gate = new Gate();
    const node = await start({ hooks: held(gate) });
    const { token, id, authorization } = await signIn(node);
    const socket = await TestSocket.connect(node, token, { format });
    const other = await TestSocket.connect(node, token, { format });
    socket.send({ cid: 'in hand', call: { method: 'GetAccount' } });
    socket.send({ cid: 'waiting', ping: {} });
    const overHttp = request(node, 'GET', '/v2/account', { authorization });
    await waitFor('both requests to be in hand', () => gate.arrivals === 2);
    const stopped = node.app.stop();
    // Nobody waits for the slow one.
    expect(await other.waitClosed()).toEqual(goingAway);
    expect(socket.closed).toBeUndefined();
    gate.open();
    await stopped;
    expect(await socket.waitClosed()).toEqual(goingAway);
    expect(socket.received.map(({ cid }) => cid)).toEqual(['in hand']);
    expect(socket.received[0].call_result.response.user.id).toBe(id);
    expect((await overHttp).body.user.id).toBe(id);
  });

  test('while the node stops there are no new sockets', async () => {
    const gate = new Gate();
    const node = await start({ hooks: held(gate) });
    const { token } = await signIn(node);
    const socket = await TestSocket.connect(node, token);
    const idle = await RawClient.connect(node.port);
    socket.send({ call: { method: 'GetAccount' } });
    await waitFor('the request to be in hand', () => gate.arrivals === 1);
    const stopped = node.app.stop();
    await expect(TestSocket.connect(node, token)).rejects.toThrow();
    idle.write(handshake(`/ws?token=${token}`));
    expect(await idle.response()).toMatchObject({ status: 503, body: 'Service unavailable' });
    gate.open();
    await stopped;
    await idle.end();
  });

  test('the port is free again at once', async () => {
    // A port of their own, as in production; one that the system picked may be kept from others for a while.
    const config = { 'socket.port': await freePort() };
    const node = await start({ config });
    const { token } = await signIn(node);
    const socket = await TestSocket.connect(node, token);
    await node.stop();
    const next = await start({ config });
    const { token: nextToken } = await signIn(next);
    await (await TestSocket.connect(next, nextToken)).settle();
    expect(await socket.waitClosed()).toEqual(goingAway);
  });

  test('a socket that ends while features still get to know it is taken out of them afterwards', async () => {
    const gate = new Gate();
    const events: string[] = [];
    const slow: Feature = {
      name: 'slow',
      methods: [],
      async socketOpened() {
        events.push('opening');
        await gate.pass();
        events.push('opened');
      },
      async socketClosed() {
        events.push('closed');
      },
    };
    const later: Feature = {
      name: 'later',
      methods: [],
      async socketOpened() {
        events.push('not to be opened any more');
      },
    };
    const node = await start({ extraFeatures: () => [slow, later] });
    const { token } = await signIn(node);
    const socket = await TestSocket.connect(node, token);
    await waitFor('the socket to be opening', () => events.length === 1);
    socket.ws.terminate();
    await waitFor('the socket to be gone', () => node.app.openSockets === 0);
    gate.open();
    await waitFor('the clean-up', () => events.length === 3);
    await node.stop();
    expect(events).toEqual(['opening', 'opened', 'closed']);
    expect(node.errors).toEqual([]);
  });

  test('messages that come while features get to know the socket wait for them', async () => {
    const gate = new Gate();
    const slow: Feature = { name: 'slow', methods: [], socketOpened: () => gate.pass() };
    const node = await start({ extraFeatures: () => [slow] });
    const { token } = await signIn(node);
    const socket = await TestSocket.connect(node, token);
    const answered = socket.settle();
    await waitFor('the socket to be opening', () => gate.arrivals === 1);
    expect(socket.received).toEqual([]);
    gate.open();
    await answered;
  });

  test('a socket that a feature cannot take is closed, to come back later', async () => {
    const broken: Feature = {
      name: 'broken',
      methods: [],
      async socketOpened() {
        throw new Error('not now');
      },
    };
    const node = await start({ extraFeatures: () => [broken] });
    const { token, id } = await signIn(node);
    const socket = await TestSocket.connect(node, token, { query: { status: 'true' } });
    expect(await socket.waitClosed()).toEqual({ code: 1013, reason: 'service unavailable' });
    const online = { mode: StreamMode.STATUS, subject: id, subcontext: '', label: '' };
    await waitFor('its presences to be gone', async () => {
      const presences = await node.app.features.streams.streams.presences(online);
      return presences.length === 0;
    });
  });
});
