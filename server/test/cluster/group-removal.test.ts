import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

// Who is sent away from a group, or loses it, while one of two nodes is cut off from Redis.

interface Member {
  readonly player: Player;
  readonly socket: TestSocket;
}

describe.skipIf(!redisAvailable)('group channels of two nodes, one of them cut off', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let one: TestNode;
  let two: TestNode;
  const sockets: TestSocket[] = [];

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    const start = (name: string, url: string): Promise<TestNode> =>
      startTestNode({ databaseUrl: schema.url, config: { name, 'redis.url': url } });
    [one, two] = [await start('one', redis.url), await start('two', proxy.url)];
  });
  afterAll(async () => {
    await Promise.all([one?.stop(), two?.stop()]);
    await Promise.all([schema?.drop(), proxy?.close()]);
    await redis?.stop();
  });

  let group: string;
  let owner: Member;
  /** On the first node, and on the second, which is the one that gets cut off. */
  let here: Member;
  let there: Member;

  const member = async (node: TestNode): Promise<Member> => {
    const player = await signIn(node);
    const socket = await TestSocket.connect(node, player.token);
    sockets.push(socket);
    return { player, socket };
  };
  const call = async (node: TestNode, verb: string, path: string, body?: object): Promise<Envelope> => {
    const { authorization } = owner.player;
    const reply = await request(node, verb, path, { authorization, ...(body === undefined ? {} : { body }) });
    expect([reply.status, path]).toEqual([200, path]);
    return reply.body;
  };
  const join = async ({ socket }: Member): Promise<void> => {
    const { error } = await socket.request({ channel_join: { target: group, type: 3 } });
    expect(error).toBeUndefined();
  };
  const say = ({ socket }: Member, n: number): Promise<Envelope> =>
    socket.request({ channel_message_send: { channel_id: `3.${group}..`, content: `{"n":${n}}` } });
  /** Codes of the messages that were heard, in that order. */
  const codes = ({ socket }: Member): number[] =>
    socket.received.flatMap(({ channel_message: message }) => (message === undefined ? [] : [message.code]));
  const leaves = ({ socket }: Member): string[] =>
    socket.received.flatMap(({ channel_presence_event: event }) =>
      (event?.leaves ?? []).map(({ user_id }: Envelope) => user_id),
    );

  beforeEach(async () => {
    owner = await member(one);
    group = (await call(one, 'POST', '/v2/group', { name: `group-${owner.player.id}`, open: true })).id;
    [here, there] = [await member(one), await member(two)];
    await call(one, 'POST', `/v2/group/${group}/add?user_ids=${here.player.id}&user_ids=${there.player.id}`);
    for (const each of [owner, here, there]) await join(each);
    for (const { socket } of [owner, here, there]) {
      await socket.settle();
      socket.received.length = 0;
    }
  });
  afterEach(async () => {
    proxy.heal();
    for (const socket of sockets.splice(0)) socket.ws.terminate();
    await waitFor('the sockets to be gone', () => [one, two].every(({ app }) => app.openSockets === 0));
  });

  it('F7: a member kicked by the node that is cut off hears nothing after that, and is gone once it is back', async () => {
    proxy.cut();
    await call(two, 'POST', `/v2/group/${group}/kick?user_ids=${here.player.id}`);
    expect(codes(there)).toEqual([6]);
    // The other node comes upon it with the next message, which is not for the one who was kicked.
    await say(owner, 1);
    await waitFor('the owner to hear it', () => codes(owner).length === 2);
    expect([codes(owner), codes(here)]).toEqual([[6, 0], [6]]);
    expect((await say(here, 2)).error.message).toBe('Must join channel before sending messages');
    proxy.heal();
    await waitFor('the leave', () => leaves(owner).includes(here.player.id));
    await waitFor('the other node to hear as well', () => codes(there).length === 2);
    await say(owner, 3);
    await waitFor('everybody who is left to hear it', () => [owner, there].every((each) => codes(each).length === 3));
    expect([codes(here), leaves(here)]).toEqual([[6], []]);
  });

  it('F7: a member of the node that is cut off hears nothing after it is back', async () => {
    proxy.cut();
    await call(one, 'POST', `/v2/group/${group}/ban?user_ids=${there.player.id}`);
    await say(owner, 1);
    expect([codes(owner), codes(here)]).toEqual([
      [8, 0],
      [8, 0],
    ]);
    proxy.heal();
    await waitFor('the end of the membership', async () => (await say(there, 2)).error !== undefined);
    await say(owner, 3);
    await waitFor('the others to hear more', () => codes(here).at(-1) === 0 && codes(here).length > 2);
    await there.socket.settle();
    // Whether it learns of it depends on what its node gets to know first.
    expect([[], [8]]).toContainEqual(codes(there));
    await waitFor('the leave', () => leaves(owner).includes(there.player.id));
  });

  it('F7: a group deleted by the node that is cut off is silent everywhere once it is back', async () => {
    proxy.cut();
    await call(two, 'DELETE', `/v2/group/${group}`);
    proxy.heal();
    const refused = async (each: Member): Promise<boolean> => (await say(each, 1)).error !== undefined;
    for (const each of [owner, here, there]) await waitFor('the end of the channel', () => refused(each));
    for (const { socket } of [owner, here, there]) await socket.settle();
    expect([owner, here, there].flatMap(leaves)).toEqual([]);
  });
});
