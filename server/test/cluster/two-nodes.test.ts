import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

async function joined(
  node: TestNode,
  player: Player,
  room: string,
): Promise<{ socket: TestSocket; channel: Envelope }> {
  const socket = await TestSocket.connect(node, player.token, { format: 'protobuf' });
  const { channel } = await socket.request({ channel_join: { target: room, type: 1 } });
  return { socket, channel };
}

describe.skipIf(!redisAvailable)('two nodes on one Redis', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let one: TestNode;
  let two: TestNode;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    one = await startTestNode({ databaseUrl: schema.url, config: { name: 'one', 'redis.url': redis.url } });
    two = await startTestNode({ databaseUrl: schema.url, config: { name: 'two', 'redis.url': redis.url } });
  });

  afterAll(async () => {
    await Promise.all([one.stop(), two.stop()]);
    await Promise.all([schema.drop(), redis.stop()]);
    expect([...one.errors, ...two.errors]).toEqual([]);
  });

  it('CL-01: a room has the same members and messages, in the same order, on both', async () => {
    const [alice, bob] = await Promise.all([signIn(one), signIn(two)]);
    const a = await joined(one, alice, 'both');
    const b = await joined(two, bob, 'both');
    expect(b.channel.presences).toMatchObject([{ user_id: alice.id }]);
    await a.socket.take('the join of the other', (envelope) =>
      envelope.channel_presence_event?.joins?.some((join: Envelope) => join.user_id === bob.id),
    );

    const send = async (socket: TestSocket, from: string): Promise<void> => {
      for (let n = 0; n < 50; n++) {
        const content = JSON.stringify({ from, n });
        await socket.request({ channel_message_send: { channel_id: a.channel.id, content } });
      }
    };
    await Promise.all([send(a.socket, 'a'), send(b.socket, 'b')]);
    const heard = (socket: TestSocket): string[] =>
      socket.received.flatMap((envelope) => envelope.channel_message?.content ?? []);
    await waitFor('all messages on both', () => heard(a.socket).length === 100 && heard(b.socket).length === 100);
    expect(heard(a.socket)).toEqual(heard(b.socket));

    await b.socket.close();
    await a.socket.take('the leave of the other', (envelope) =>
      envelope.channel_presence_event?.leaves?.some((leave: Envelope) => leave.user_id === bob.id),
    );
    await a.socket.close();
  });

  it('CL-02: followers on one node see the status of users on the other', async () => {
    const [alice, bob] = await Promise.all([signIn(one), signIn(two)]);
    const follower = await TestSocket.connect(one, alice.token);
    await follower.request({ status_follow: { user_ids: [bob.id] } });
    const online = await TestSocket.connect(two, bob.token, { query: { status: 'true' } });
    const event = await follower.takePayload('status_presence_event');
    expect(event.joins).toMatchObject([{ user_id: bob.id, status: '' }]);
    const { body } = await request(one, 'GET', `/v2/user?ids=${bob.id}`, { authorization: alice.authorization });
    expect(body.users[0].online).toBe(true);
    await online.close();
    expect((await follower.takePayload('status_presence_event')).leaves).toMatchObject([{ user_id: bob.id }]);
    await follower.close();
  });

  it('CL-04: a logout on one node is refused on the other, over REST and at the handshake', async () => {
    const player = await signIn(one);
    const { authorization, token, refreshToken } = player;
    expect((await request(two, 'GET', '/v2/account', { authorization })).status).toBe(200);
    const body = { token, refresh_token: refreshToken };
    expect((await request(one, 'POST', '/v2/session/logout', { authorization, body })).status).toBe(200);
    await waitFor(
      'the other node to refuse',
      async () => (await request(two, 'GET', '/v2/account', { authorization })).status === 401,
      1000,
    );
    await expect(TestSocket.connect(two, token)).rejects.toThrow('401');
  });

  it('a ban on one node ends sockets on the other', async () => {
    const player = await signIn(one);
    const socket = await TestSocket.connect(two, player.token);
    await one.app.features.accounts.accounts.ban([player.id]);
    expect((await socket.takePayload('notifications')).notifications).toMatchObject([{ code: -8, subject: 'banned' }]);
    expect(await socket.waitClosed()).toEqual({ code: 1000, reason: 'server-side session disconnect' });
  });

  it('of 50 conditional writes over both nodes exactly one wins', async () => {
    const player = await signIn(one);
    const { authorization } = player;
    const object = { collection: 'race', key: 'k', value: '{"n":0}' };
    const first = await request(one, 'PUT', '/v2/storage', { authorization, body: { objects: [object] } });
    const { version } = first.body.acks[0];
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        request(n % 2 === 0 ? one : two, 'PUT', '/v2/storage', {
          authorization,
          body: { objects: [{ ...object, value: JSON.stringify({ n: n + 1 }), version }] },
        }),
      ),
    );
    expect(replies.filter((reply) => reply.status === 200)).toHaveLength(1);
    for (const { status, body } of replies.filter((reply) => reply.status !== 200)) {
      expect([status, body.message]).toEqual([400, 'Storage write rejected - version check failed.']);
    }
  });

  it('a node that stops takes its presences along', async () => {
    const [alice, bob] = await Promise.all([signIn(one), signIn(two)]);
    const three = await startTestNode({ databaseUrl: schema.url, config: { name: 'three', 'redis.url': redis.url } });
    const a = await joined(one, alice, 'stopping');
    const b = await joined(three, bob, 'stopping');
    await three.stop();
    expect((await b.socket.waitClosed()).code).toBe(1001);
    await a.socket.take('the leave', (envelope) =>
      envelope.channel_presence_event?.leaves?.some((leave: Envelope) => leave.user_id === bob.id),
    );
    await a.socket.close();
  });
});
