import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bus } from '../../cluster/bus.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type HttpReply, type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { TestSocket } from '../../testing/socket.ts';
import { sleep, waitFor } from '../../testing/wait.ts';

// What users are told of, while the node of whoever causes it is cut off from Redis. What counts is in SQL: nobody waits
// for the bus, and nothing that is stored gets lost.

describe.skipIf(!redisAvailable)('notices while Redis is out of reach', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let node: TestNode;
  let bus: Bus;
  let [owner, member, friend] = [] as unknown as [Player, Player, Player];
  let socket: TestSocket;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    node = await startTestNode({
      databaseUrl: schema.url,
      config: { 'redis.url': proxy.url },
      extraFeatures: (kit) => {
        bus = kit.bus;
        return [];
      },
    });
    [owner, member, friend] = [await signIn(node), await signIn(node), await signIn(node)];
    socket = await TestSocket.connect(node, owner.token);
  });
  afterAll(async () => {
    await socket?.close();
    await node?.stop();
    await proxy?.close();
    await Promise.all([schema?.drop(), redis?.stop()]);
  });

  const call = (player: Player, verb: string, path: string, body?: object): Promise<HttpReply> =>
    request(node, verb, path, { authorization: player.authorization, ...(body === undefined ? {} : { body }) });
  const codesOf = async (player: Player): Promise<number[]> => {
    const { body } = await call(player, 'GET', '/v2/notification?limit=100');
    return (body.notifications ?? []).map(({ code }: { code: number }) => code);
  };
  const newGroup = async (open: boolean): Promise<string> => {
    const { body } = await call(owner, 'POST', '/v2/group', { name: crypto.randomUUID(), open });
    return body.id;
  };

  it.each(['cut', 'stall'] as const)('F6: nobody waits for the bus, and what is stored is found: %s', async (fault) => {
    const [open, closed] = [await newGroup(true), await newGroup(false)];
    const { channel } = await socket.request({ channel_join: { target: open, type: 3 } });
    const before = await Promise.all([owner, member, friend].map(codesOf));
    proxy[fault]();
    // Of a connection that has only fallen silent the bus learns with time.
    if (fault === 'cut') await waitFor('the bus to notice', () => !bus.isWhole);

    // A frame for nobody: the bus gives it up after as long as calls would wait for theirs.
    let hasGivenUp = false;
    const given = bus.publish('nobody', new Uint8Array(1)).catch(() => {
      hasGivenUp = true;
    });
    const calls: [Player, string][] = [
      [member, `/v2/friend?ids=${friend.id}`],
      [friend, `/v2/friend?ids=${member.id}`],
      [member, `/v2/group/${open}/join`],
      [member, `/v2/group/${closed}/join`],
      [owner, `/v2/group/${closed}/add?user_ids=${member.id}`],
      [owner, `/v2/group/${open}/promote?user_ids=${member.id}`],
      [owner, `/v2/group/${open}/kick?user_ids=${member.id}`],
      [member, `/v2/group/${closed}/leave`],
    ];
    for (const [player, path] of calls) expect([(await call(player, 'POST', path)).status, path]).toEqual([200, path]);
    if (fault === 'cut') expect(hasGivenUp).toBe(false);
    expect(await Promise.all([owner, member, friend].map(codesOf))).toEqual([
      [...(before[0] ?? []), -5],
      [...(before[1] ?? []), -3, -4],
      [...(before[2] ?? []), -2],
    ]);

    proxy.heal();
    await given;
    await waitFor('the bus to be whole', () => bus.isWhole);
    // The messages of the channel that nobody could be told of follow.
    const codes = await waitFor('the messages', async () => {
      await sleep(50);
      const heard = socket.received.flatMap(({ channel_message: message }) =>
        message?.channel_id === channel.id ? [message.code] : [],
      );
      return heard.length >= 3 && heard;
    });
    expect(codes).toEqual([3, 7, 6]);
    const stored = await call(owner, 'GET', `/v2/channel/${encodeURIComponent(channel.id)}?limit=10`);
    expect(stored.body.messages.map(({ code }: { code: number }) => code)).toEqual([3, 7, 6]);
    await call(member, 'DELETE', `/v2/friend?ids=${friend.id}`);
  });
});
