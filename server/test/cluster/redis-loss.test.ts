import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

const joins = (envelope: Envelope): string[] =>
  (envelope.channel_presence_event?.joins ?? []).map((join: Envelope) => join.user_id);
const leaves = (envelope: Envelope): string[] =>
  (envelope.channel_presence_event?.leaves ?? []).map((leave: Envelope) => leave.user_id);

describe.skipIf(!redisAvailable)('Redis killed and restarted empty under two nodes', () => {
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
  });

  it('keeps sockets and SQL calls, and has everybody in the room again', async () => {
    const [alice, bob, carol, dave] = await Promise.all([signIn(one), signIn(two), signIn(two), signIn(one)]);
    const a = await TestSocket.connect(one, alice.token);
    const b = await TestSocket.connect(two, bob.token);
    const c = await TestSocket.connect(two, carol.token);
    const join = { channel_join: { target: 'survivors', type: 1, persistence: false } };
    const { channel } = await a.request(join);
    await b.request(join);
    await c.request(join);
    await a.take('the join of carol', (envelope) => joins(envelope).includes(carol.id));

    await redis.kill9();
    const { authorization } = alice;
    for (const node of [one, two]) {
      const body = { objects: [{ collection: 'c', key: 'while-down', value: '{"a":1}' }] };
      expect((await request(node, 'PUT', '/v2/storage', { authorization, body })).status).toBe(200);
      expect((await request(node, 'GET', '/v2/account', { authorization })).status).toBe(200);
    }
    // Leaves while nobody can be told.
    await c.close();
    await redis.restart();

    let n = 0;
    await waitFor(
      'a message to get through',
      async () => {
        const content = JSON.stringify({ n: ++n });
        const reply = await a.request({ channel_message_send: { channel_id: channel.id, content } });
        if (reply.error !== undefined) return false;
        return b.received.some((envelope) => envelope.channel_message?.content === content);
      },
      10_000,
    );
    await a.take('the leave of carol', (envelope) => leaves(envelope).includes(carol.id), 10_000);

    const d = await TestSocket.connect(one, dave.token);
    // Each node fills Redis again with its own presences, in its own time.
    await waitFor(
      'everybody, and nobody else, to be in the room',
      async () => {
        const { channel: seen } = await d.request(join);
        const present = new Set((seen.presences as Envelope[]).map((presence) => presence.user_id));
        present.delete(dave.id);
        return present.size === 2 && present.has(alice.id) && present.has(bob.id);
      },
      10_000,
    );
    await a.take('the join of dave', (envelope) => joins(envelope).includes(dave.id));
    await b.take('the join of dave', (envelope) => joins(envelope).includes(dave.id));
    for (const socket of [a, b, d]) expect(socket.closed).toBeUndefined();
    await Promise.all([a.close(), b.close(), d.close()]);
  });

  it('still knows who logged out before', async () => {
    const player = await signIn(one);
    const { authorization, token, refreshToken } = player;
    const body = { token, refresh_token: refreshToken };
    expect((await request(one, 'POST', '/v2/session/logout', { authorization, body })).status).toBe(200);
    await redis.kill9();
    await redis.restart();
    expect((await request(one, 'GET', '/v2/account', { authorization })).status).toBe(401);
    await waitFor(
      'the other node to refuse',
      async () => (await request(two, 'GET', '/v2/account', { authorization })).status === 401,
      5000,
    );
  });
});
