import { describe, expect, test } from 'vitest';
import type { Hooks } from '../../gateway/hooks.ts';
import { formats, type TestSocket } from '../../testing/socket.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import { newName, onEachServer, takePresenceEvent } from '../api/socket-support.ts';

const pingPeriodMs = 200;
const pongWaitMs = 800;
/** How much later than due the server may notice, on a busy machine too. */
const tardinessMs = 1500;

/** When the server pinged, in milliseconds since `start`. */
function recordPings(socket: TestSocket, start = performance.now()): number[] {
  const pings: number[] = [];
  socket.ws.on('ping', () => pings.push(performance.now() - start));
  return pings;
}

const config = {
  'socket.ping_period_ms': pingPeriodMs,
  'socket.pong_wait_ms': pongWaitMs,
  'socket.ping_backoff_threshold': 5,
};

/** Makes GetAccount take longer than the wait for a pong. */
const slowCall: Hooks = {
  before: (name) =>
    name === 'GetAccount'
      ? async (_ctx, request) => {
          await sleep(1.5 * pongWaitMs);
          return request;
        }
      : undefined,
  after: () => undefined,
};

onEachServer({ config, hooks: slowCall }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('KA-01: a peer that shows no life is pinged once and then closed, and its leave is announced', async () => {
      const target = newName();
      const { socket: other } = await realm.client({ format });
      await other.request({ channel_join: { target, type: 1 } });
      const player = await realm.player();
      const start = performance.now();
      const silent = await realm.connect(player, { format, autoPong: false });
      const pings = recordPings(silent, start);
      const { channel } = await silent.request({ channel_join: { target, type: 1 } });
      const { code, reason } = await silent.waitClosed();
      const elapsed = performance.now() - start;
      expect({ code, reason }).toEqual({ code: 1000, reason: 'pong timeout' });
      expect(elapsed).toBeGreaterThan(pongWaitMs);
      expect(elapsed).toBeLessThan(pongWaitMs + tardinessMs);
      expect(pings).toHaveLength(1);
      expect(pings[0]).toBeGreaterThan(pingPeriodMs);
      await takePresenceEvent(other, 'channel_presence_event', 'leaves', channel.self.session_id);
    });

    test('a few messages are no sign of life', async () => {
      const { socket } = await realm.client({ format, autoPong: false });
      for (let i = 0; i < 4; i++) await socket.settle();
      expect(await socket.waitClosed()).toEqual({ code: 1000, reason: 'pong timeout' });
    });

    test("nor are the client's own WebSocket pings", async () => {
      const { socket } = await realm.client({ format, autoPong: false });
      const pinging = setInterval(() => socket.ws.ping(), 50);
      socket.ws.on('close', () => clearInterval(pinging));
      expect(await socket.waitClosed()).toEqual({ code: 1000, reason: 'pong timeout' });
    });

    test('KA-02: every fifth message is one, also of a peer that never answers a ping', async () => {
      const { socket } = await realm.client({ format, autoPong: false });
      const pings = recordPings(socket);
      // Five messages take less than the wait for a pong; the whole takes longer.
      const start = performance.now();
      while (performance.now() - start < 2.5 * pongWaitMs) {
        await socket.settle();
        await sleep(pongWaitMs / 10);
      }
      await socket.settle();
      // The fifth message re-arms the ping, too.
      expect(pings.length).toBeGreaterThan(1);
    });

    test('a peer that answers pings stays, and is pinged again and again', async () => {
      const { socket } = await realm.client({ format });
      const pings = recordPings(socket);
      await waitFor('more pings than fit into the wait for a pong', () => pings.length > 5);
      await socket.settle();
    });

    test('KA-06: pongs are seen while a long request is under way', async () => {
      const { player, socket } = await realm.client({ format });
      const { call_result } = await socket.request({ call: { method: 'GetAccount' } });
      expect(call_result.response.user.id).toBe(player.id);
      await socket.settle();
    });

    test('KA-03: a WebSocket ping gets its pong with the same bytes', async () => {
      const { socket } = await realm.client({ format });
      const pongs: string[] = [];
      socket.ws.on('pong', (data) => pongs.push(data.toString()));
      socket.ws.ping('x');
      socket.ws.ping('');
      socket.ws.ping('y'.repeat(125));
      await waitFor('three pongs', () => pongs.length === 3);
      expect(pongs).toEqual(['x', '', 'y'.repeat(125)]);
    });

    test('KA-05: the code of a close comes back, and leaves are announced', async () => {
      const target = newName();
      const { socket: other } = await realm.client({ format });
      const { socket } = await realm.client({ format });
      await other.request({ channel_join: { target, type: 1 } });
      const { channel } = await socket.request({ channel_join: { target, type: 1 } });
      socket.ws.close(4321, 'bye');
      expect((await socket.waitClosed()).code).toBe(4321);
      await takePresenceEvent(other, 'channel_presence_event', 'leaves', channel.self.session_id);
    });
  });
});
