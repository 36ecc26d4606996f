import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bus } from '../../cluster/bus.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { restDoor } from '../../testing/doors.ts';
import { signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { waitFor } from '../../testing/wait.ts';
import { StorageClient } from '../api/storage-support.ts';

// Indexes on two nodes while Redis, which carries the news between them, is away (reliability anchors F5 and F6).

describe.skipIf(!redisAvailable)('storage indexes without Redis for a while', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let nodes: TestNode[];
  let clients: StorageClient[];
  const buses: Bus[] = [];

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    nodes = [];
    for (const [name, url] of [
      ['one', proxy.url],
      ['two', redis.url],
    ] as const) {
      const node = await startTestNode({
        databaseUrl: schema.url,
        config: { name, 'redis.url': url },
        extraFeatures: ({ bus }, { storageIndex }) => {
          buses.push(bus);
          storageIndex.storageIndexes.register({
            ...{ name: 'i', collection: 'c', key: '', fields: ['n'], sortableFields: [], maxEntries: 100 },
            indexOnly: true,
          });
          return [];
        },
      });
      nodes.push(node);
    }
    clients = await Promise.all(nodes.map(async (node) => new StorageClient(await restDoor(node), await signIn(node))));
  });
  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.stop()));
    await proxy?.close();
    await Promise.all([schema?.drop(), redis?.stop()]);
  });

  const found = async (node: TestNode | undefined): Promise<string[]> => {
    const listing = { name: 'i', query: '', limit: 100, order: ['key'] };
    const { objects } = (await node?.app.features.storageIndex.storageIndexes.list(listing)) ?? { objects: [] };
    return objects.map(({ key, value }) => `${key}${value}`);
  };
  const write = (client: StorageClient | undefined, key: string, n: number) =>
    client?.write({ collection: 'c', key, value: `{"n":${n}}` });
  const everywhere = async (expected: string[]): Promise<void> => {
    for (const node of nodes) {
      await waitFor(`${node.port} to find ${expected}`, async () => `${await found(node)}` === `${expected}`);
    }
  };

  it('F5: catch up when it was killed meanwhile', async () => {
    const [one, two] = clients;
    await write(one, 'a', 1);
    await write(two, 'b', 1);
    await everywhere(['a{"n":1}', 'b{"n":1}']);
    await redis.kill9();
    await waitFor('both to notice', () => buses.every((bus) => !bus.isWhole));
    await write(one, 'a', 2);
    await one?.delete({ collection: 'c', key: 'a' });
    await write(one, 'c', 2);
    await write(two, 'b', 2);
    // Whoever writes finds it at once; of the other's the nodes know nothing yet.
    expect(await found(nodes[0])).toEqual(['b{"n":1}', 'c{"n":2}']);
    expect(await found(nodes[1])).toEqual(['a{"n":1}', 'b{"n":2}']);
    await redis.restart();
    await everywhere(['b{"n":2}', 'c{"n":2}']);
  });

  it('F6: tell afterwards what one of them could not tell while it was cut off', async () => {
    const [one] = clients;
    proxy.cut();
    await waitFor('it to notice', () => !buses[0]?.isWhole);
    await write(one, 'd', 3);
    expect(await found(nodes[0])).toContain('d{"n":3}');
    expect(await found(nodes[1])).not.toContain('d{"n":3}');
    proxy.heal();
    // The other has missed nothing and has no gap to mend: it hears that there was something.
    await everywhere(['b{"n":2}', 'c{"n":2}', 'd{"n":3}']);
    for (const node of nodes) expect(node.errors).toEqual([]);
  });
});
