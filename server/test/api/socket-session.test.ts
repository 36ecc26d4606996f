import { describe, expect, test } from 'vitest';
import { configFrom } from '../../platform/config.ts';
import { request } from '../../testing/http.ts';
import { formats, type HandshakeRefused, type TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import {
  newName,
  onEachServer,
  otherFormat,
  outliveIssueSecond,
  settled,
  takePresenceEvent,
} from './socket-support.ts';

const disconnected = { code: 1000, reason: 'server-side session disconnect' };

/** The notice that a socket gets as its last message. */
const notice = (subject: string, code: number): object => ({
  notifications: [
    {
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      subject,
      content: '{}',
      code,
      // Seconds, without a fraction; no sender, and persistent is false.
      create_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    },
  ],
});

async function join(socket: TestSocket, target: string): Promise<string> {
  const { channel } = await socket.request({ channel_join: { target, type: 1 } });
  return channel.self.session_id;
}

onEachServer({ config: { 'session.single_socket': true } }, (realm) => {
  describe.each(formats)('%s, single socket', (format) => {
    test('SE-01: a new socket replaces the older one', async () => {
      const target = newName();
      const { socket: other } = await realm.client();
      const player = await realm.player();
      const first = await realm.connect(player, { format });
      await join(other, target);
      const sessionId = await join(first, target);
      const second = await realm.connect(player, { format: otherFormat(format) });
      expect(await first.waitClosed()).toEqual(disconnected);
      expect(first.received.at(-1)).toEqual({ notifications: notice('single_socket', -7) });
      await second.settle();
      await takePresenceEvent(other, 'channel_presence_event', 'leaves', sessionId);
      await other.settle();
    });

    test('CL-03: of two sockets opened at the same moment exactly one survives', async () => {
      const player = await realm.player();
      let survivor = await realm.connect(player, { format });
      for (let run = 1; run <= 50; run++) {
        const pair = await Promise.all([realm.connect(player, { format }), realm.connect(player, { format })]);
        const [loser] = await waitFor(`one of the two to close, run ${run}`, () => {
          const closed = pair.filter((socket) => socket.closed);
          return closed.length > 0 ? closed : undefined;
        });
        expect(loser?.closed).toEqual(disconnected);
        expect(await survivor.waitClosed()).toEqual(disconnected);
        survivor = loser === pair[0] ? pair[1] : pair[0];
        await survivor.settle();
      }
    });
  });
});

onEachServer({}, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('SE-02: a ban tells all sockets, closes them, and refuses new ones', async () => {
      const target = newName();
      const { socket: other } = await realm.client();
      const player = await realm.player();
      const sockets = [
        await realm.connect(player, { format }),
        await realm.connect(player, { format: otherFormat(format) }),
      ];
      await join(other, target);
      const ids = [];
      for (const socket of sockets) ids.push(await join(socket, target));
      await outliveIssueSecond(player);
      await realm.server.features.accounts.accounts.ban([player.id]);
      for (const socket of sockets) {
        expect(await socket.waitClosed()).toEqual(disconnected);
        expect(socket.received.at(-1)).toEqual({ notifications: notice('banned', -8) });
      }
      for (const id of ids) await takePresenceEvent(other, 'channel_presence_event', 'leaves', id);
      const refused = await realm.connect(player, { format }).catch((error: HandshakeRefused) => error);
      expect(refused).toMatchObject({ status: 401, text: 'Missing or invalid token' });
    });

    test('SE-03: deleting the account closes its sockets without a notice', async () => {
      const { player, socket } = await realm.client({ format });
      const { status } = await request(realm.server, 'DELETE', '/v2/account', { authorization: player.authorization });
      expect(status).toBe(200);
      expect(await socket.waitClosed()).toEqual(disconnected);
      expect(socket.received).toEqual([]);
    });

    test('an account deleted by a call over its own socket', async () => {
      const { socket } = await realm.client({ format });
      socket.send({ cid: 'x', call: { method: 'DeleteAccount' } });
      expect(await socket.waitClosed()).toEqual(disconnected);
    });

    test('SE-06: a dropped connection leaves every stream once, for followers too', async () => {
      const { socket: other } = await realm.client({ format });
      const { player, socket } = await realm.client({ format, query: { status: 'true' } });
      await other.request({ status_follow: { user_ids: [player.id] } });
      const targets = [newName(), newName(), newName()];
      let sessionId = '';
      for (const target of targets) {
        await join(other, target);
        sessionId = await join(socket, target);
      }
      socket.ws.terminate();
      await takePresenceEvent(other, 'status_presence_event', 'leaves', sessionId);
      for (const target of targets) {
        const { channel_presence_event } = await other.take(
          `the leave from ${target}`,
          ({ channel_presence_event: event }) => event?.room_name === target && 'leaves' in event,
        );
        expect(channel_presence_event.leaves.map(({ session_id }: { session_id: string }) => session_id)).toEqual([
          sessionId,
        ]);
      }
      const leaves = (await settled(other, 'channel_presence_event')).filter((event) => 'leaves' in event);
      expect(leaves).toEqual([]);
      expect((await settled(other, 'status_presence_event')).filter((event) => 'leaves' in event)).toEqual([]);
    });

    test('sockets of one player live and die on their own', async () => {
      const player = await realm.player();
      const first = await realm.connect(player, { format });
      const second = await realm.connect(player, { format });
      await first.close();
      await second.settle();
    });
  });

  test('SE-05: single match or single party without single socket is refused', () => {
    for (const kind of ['match', 'party'] as const) {
      expect(() => configFrom({ [`session.single_${kind}`]: true })).toThrow(
        `Single ${kind} cannot be enabled without single socket`,
      );
      expect(() => configFrom({ [`session.single_${kind}`]: true, 'session.single_socket': true })).not.toThrow(
        /Single/,
      );
    }
  });
});

onEachServer({ config: { 'session.token_expiry_sec': 1 } }, (realm) => {
  test.each(formats)('SE-04: %s: a socket outlives its token', async (format) => {
    const { player, socket } = await realm.client({ format });
    await waitFor('the token to expire', async () => {
      const { authorization } = player;
      return (await request(realm.server, 'GET', '/v2/account', { authorization })).status === 401;
    });
    await socket.settle();
    // Also for calls, which are made as the socket's session.
    const { call_result } = await socket.request({ call: { method: 'GetAccount' } });
    expect(call_result.response.user.id).toBe(player.id);
  });
});
