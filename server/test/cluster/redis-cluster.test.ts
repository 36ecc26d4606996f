import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashSlot } from '../../cluster/redis-slots.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { unique } from '../../testing/names.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { redisAvailable, type TestRedis } from '../../testing/redis.ts';
import { startTestRedisCluster, type TestRedisCluster } from '../../testing/redis-cluster.ts';
import { waitFor } from '../../testing/wait.ts';
import { RoomLoad } from './load.ts';
import { Guest, history, waitForAgreement, waitForMessages } from './support.ts';

// Two nodes on a Redis Cluster whose servers fail and change (anchors F5 and F16; invariants C1, P1, P2, X1).

/** From the end of a fault until all is as it should be. */
const recoveryMs = 15_000;

describe.skipIf(!redisAvailable)('two nodes on a Redis Cluster', () => {
  let schema: TestSchema;
  let redis: TestRedisCluster;
  let nodes: [TestNode, TestNode];
  let marker: string;

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedisCluster({ replica: true })]);
    let prefix: string;
    // What matters most lies on the server that has a replica.
    do prefix = unique('test');
    while (hashSlot(`${prefix}:`) >= 5461);
    marker = `{${prefix}:}marker`;
    const config = { 'redis.cluster': redis.addresses, 'redis.key_prefix': prefix };
    const start = (name: string): Promise<TestNode> =>
      startTestNode({ databaseUrl: schema.url, config: { name, ...config } });
    nodes = [await start('one'), await start('two')];
  });
  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.stop()));
    await Promise.all([schema?.drop(), redis?.stop()]);
  });

  it('tell everybody in a room of joins, leaves and messages in one order', async () => {
    const room = unique('room');
    const residents = [await Guest.enter(nodes[0], room), await Guest.enter(nodes[1], room, 'protobuf')];
    const visitors = await Promise.all([0, 1, 2, 3].map((i) => Guest.arrive(nodes[i % 2] ?? nodes[0], room)));
    await waitForAgreement(residents, recoveryMs);
    for (let round = 0; round < 5; round++) {
      for (const { presences } of residents) presences.history = '';
      await Promise.all(
        visitors.map(async (visitor) => {
          expect(await visitor.join()).toBeUndefined();
          expect((await visitor.say(unique('hello'))).error).toBeUndefined();
          expect(await visitor.leave()).toBeUndefined();
        }),
      );
      await waitForAgreement(residents, recoveryMs);
      const [one, other] = residents.map(({ presences }) => presences.history);
      expect(other).toBe(one);
      expect(one?.match(/joined|left/g)).toHaveLength(2 * visitors.length);
    }
    const stored = await history(residents[0] as Guest);
    expect(stored).toHaveLength(5 * visitors.length);
    await waitFor('all messages', () => residents.every(({ heard }) => heard.length === stored.length));
    expect(residents.map(({ heard }) => heard)).toEqual([stored, stored]);
    for (const { socket } of [...residents, ...visitors]) socket.ws.terminate();
  });

  it('have everybody again whatever happens to the servers, and close no socket', async () => {
    const load = await RoomLoad.start(nodes, { rooms: 3, residents: 1 });
    await waitFor('the load to run', () => load.said.length > 20 && load.during('leave').length > 3);
    const faults: [string, (home: TestRedis) => Promise<void>][] = [
      ['handed over to the replica', () => redis.handOver(redis.servers[3] as TestRedis)],
      [
        'was killed, and the other one took over',
        async (home) => {
          await home.kill9();
          await waitFor('a new master', async () => (await redis.owner(marker)) !== home);
          await home.restart();
          await redis.works();
        },
      ],
      ['slot moved', () => redis.move(marker, redis.servers[1] as TestRedis)],
      [
        'came back empty',
        async (home) => {
          await home.kill9();
          await home.restart();
          await redis.works();
        },
      ],
    ];
    for (const [what, fail] of faults) {
      await fail(await redis.owner(marker));
      const over = performance.now();
      await waitForMessages(load.residents, recoveryMs);
      console.info(`messages got through ${Math.round(performance.now() - over)} ms after a master ${what}`);
    }
    await load.stop();
    await waitForAgreement(load.guests, recoveryMs);
    expect(load.guests.flatMap((guest) => guest.presences.faults)).toEqual([]);
    expect(load.guests.map((guest) => guest.socket.closed)).toEqual(load.guests.map(() => undefined));
    for (const guest of load.residents) {
      const stored = await history(guest);
      await waitFor('all stored messages', () => guest.heard.length >= stored.length, 5000).catch(() => undefined);
      expect(guest.heard).toEqual(stored);
      const said = load.said.filter((one) => one.guest.room === guest.room).map(({ text }) => text);
      expect(said.filter((text) => !stored.includes(text))).toEqual([]);
    }
    await load.close();
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });
});
