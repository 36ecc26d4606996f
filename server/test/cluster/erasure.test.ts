import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { notify, StandInStores } from '../api/purchases-support.ts';

/** Where an erased user may still be named: the tombstone, and the mark that kills tokens until they have expired. */
const tombstones = ['session_invalidation', 'user_tombstone'];

describe.skipIf(!redisAvailable)('a user who is erased', () => {
  let stores: StandInStores;
  let schema: TestSchema;
  let redis: TestRedis;
  let nodes: TestNode[];
  let sql: pg.Client;
  let keys: Redis;

  beforeAll(async () => {
    [schema, redis, stores] = await Promise.all([createTestSchema(), startTestRedis(), StandInStores.start()]);
    nodes = await Promise.all(
      ['one', 'two'].map((name) =>
        startTestNode({ databaseUrl: schema.url, config: { ...stores.config, name, 'redis.url': redis.url } }),
      ),
    );
    sql = new pg.Client(schema.url);
    await sql.connect();
    keys = new Redis(redis.url);
  });
  afterAll(async () => {
    keys.disconnect();
    await sql.end();
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all([schema.drop(), redis.stop(), stores.stop()]);
  });

  /** Tables in which some row mentions the text. */
  async function tablesWith(text: string): Promise<string[]> {
    const tables = await sql.query(`SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`);
    const found: string[] = [];
    for (const { tablename } of tables.rows) {
      const { rowCount } = await sql.query(`SELECT 1 FROM ${tablename} t WHERE t::text LIKE $1 LIMIT 1`, [`%${text}%`]);
      if (rowCount !== 0) found.push(tablename);
    }
    return found;
  }

  /** Keys of Redis that mention the text, in their name or in what they hold. */
  async function keysWith(text: string): Promise<string[]> {
    const found: string[] = [];
    for (const key of await keys.keys('*')) {
      if (key.includes(text) || (await contentOf(key)).some((part) => part.includes(text))) found.push(key);
    }
    return found;
  }

  async function contentOf(key: string): Promise<Buffer[]> {
    switch (await keys.type(key)) {
      case 'string':
        return [(await keys.getBuffer(key)) ?? Buffer.alloc(0)];
      case 'hash':
        return Object.values(await keys.hgetallBuffer(key)).concat((await keys.hkeysBuffer(key)) as Buffer[]);
      case 'set':
        return keys.smembersBuffer(key);
      case 'zset':
        return keys.zrangeBuffer(key, 0, -1);
      case 'list':
        return keys.lrangeBuffer(key, 0, -1);
      default:
        return [];
    }
  }

  /** The next notification about the subscription that was bought last. */
  let renew: () => Buffer;

  const one = (): TestNode => nodes[0] as TestNode;
  const two = (): TestNode => nodes[1] as TestNode;
  const featuresOf = (node: TestNode) => node.app.features;

  /** Everything a player can leave behind; `other` is who it has to do with. */
  async function live(player: Player, other: Player): Promise<TestSocket[]> {
    const { authorization } = player;
    const { friends, notifications, wallet } = featuresOf(one());
    const body = { objects: [{ collection: 'saves', key: 'a', value: '{"a":1}' }] };
    expect((await request(one(), 'PUT', '/v2/storage', { authorization, body })).status).toBe(200);
    await friends.friends.add(player, { ids: [other.id], usernames: [] });
    await friends.friends.add(other, { ids: [player.id], usernames: [] });
    const notice = { subject: 'Hello', content: '{}', code: 1, persistent: true };
    await notifications.notifications.send([
      { ...notice, userId: player.id, senderId: other.id },
      { ...notice, userId: other.id, senderId: player.id },
    ]);
    await wallet.wallets.update(
      { userId: player.id, changeset: { coins: 5n } },
      { updateLedger: true, key: crypto.randomUUID() },
    );
    const { leaderboards } = featuresOf(one()).leaderboards;
    await leaderboards.create({ id: 'erasure', resetSchedule: '0 0 1 1 *', enableRanks: true });
    for (const { id } of [player, other]) await leaderboards.writeRecord('erasure', { ownerId: id, score: 7n });
    // One group of its own, and one that it made and gave to the other.
    for (const name of ['own', 'given']) {
      const created = await request(one(), 'POST', '/v2/group', {
        authorization,
        body: { name: `${name} ${player.id.slice(0, 8)}` },
      });
      expect(created.status).toBe(200);
      if (name === 'own') continue;
      const path = `/v2/group/${created.body.id}`;
      for (const verb of ['add', 'promote', 'promote']) {
        expect((await request(two(), 'POST', `${path}/${verb}?user_ids=${other.id}`, { authorization })).status).toBe(
          200,
        );
      }
    }
    await relate(player, other);
    await buy(player);
    await guess(player);
    const partner = await TestSocket.connect(two(), other.token);
    const direct = await partner.request({ channel_join: { target: player.id, type: 2 } });
    await partner.request({ channel_message_send: { channel_id: direct.channel.id, content: '{"by":"other"}' } });
    await partner.close();
    const sockets = [
      await TestSocket.connect(one(), player.token, { query: { status: 'true' } }),
      await TestSocket.connect(two(), player.token),
    ];
    for (const socket of sockets) {
      const { channel } = await socket.request({ channel_join: { target: 'erased', type: 1 } });
      await socket.request({ channel_message_send: { channel_id: channel.id, content: '{"by":"me"}' } });
    }
    return sockets;
  }

  /** The edges that are left: a block, a group that it may not enter, and one that it asks to enter. */
  async function relate(player: Player, other: Player): Promise<void> {
    const ask = (verb: string, path: string, { authorization }: Player, body: object = {}) =>
      request(one(), verb, path, { authorization, body });
    const enemy = await signIn(two());
    expect((await ask('POST', `/v2/friend/block?ids=${player.id}`, enemy)).status).toBe(200);
    for (const [name, open] of [
      ['closed', false],
      ['hostile', true],
    ] as const) {
      const { body } = await ask('POST', '/v2/group', other, { name: `${name} ${other.id.slice(0, 8)}`, open });
      expect((await ask('POST', `/v2/group/${body.id}/join`, player)).status).toBe(200);
      if (!open) continue;
      expect((await ask('POST', `/v2/group/${body.id}/ban?user_ids=${player.id}`, other)).status).toBe(200);
    }
  }

  /** Purchases of which the stores' own words name the player. */
  async function buy({ id, authorization }: Player): Promise<void> {
    const named = { externalAccountIdentifiers: { obfuscatedExternalAccountId: id } };
    const season = stores.googleSubscription(named);
    const product = stores.googleProduct({ obfuscatedExternalAccountId: id });
    const signed = stores.signedByApple(stores.transaction({ appAccountToken: id }));
    for (const [path, body] of [
      ['subscription/google', { receipt: JSON.stringify(season.receipt) }],
      ['purchase/google', { purchase: JSON.stringify(product.receipt) }],
      ['purchase/apple', { receipt: signed }],
    ] as const) {
      expect((await request(two(), 'POST', `/v2/iap/${path}`, { authorization, body })).status).toBe(200);
    }
    renew = () =>
      stores.googleNotification({
        subscriptionNotification: { version: '1.0', notificationType: 2, purchaseToken: season.token },
      });
  }

  /** Somebody tries a password. */
  async function guess({ id, authorization }: Player): Promise<void> {
    const email = `${id}@example.com`;
    const body = { email, password: 'right password' };
    expect((await request(one(), 'POST', '/v2/account/link/email', { authorization, body })).status).toBe(200);
    const wrong = { body: { email, password: 'wrong password' }, authorization: serverKeyAuth };
    expect((await request(two(), 'POST', '/v2/account/authenticate/email', wrong)).status).toBe(401);
    expect((await keysWith(id)).join()).toContain('login:account');
  }

  it('is named nowhere afterwards, in no table and in no key, but on the tombstone', async () => {
    const [player, other] = await Promise.all([signIn(one()), signIn(two())]);
    const sockets = await live(player, other);
    expect((await tablesWith(player.id)).length).toBeGreaterThan(6);
    expect((await keysWith(player.id)).length).toBeGreaterThan(0);

    // Tokens of the very second of the deletion stay valid, by contract, for an account that is not there.
    const second = Math.floor(Date.now() / 1000);
    await waitFor('the second of the sign-in to be over', () => Math.floor(Date.now() / 1000) > second);
    await featuresOf(two()).erasure.erasure.deleteAccount(player.id, { record: true });
    for (const socket of sockets) await socket.waitClosed();
    await waitFor('Redis to forget', async () => (await keysWith(player.id)).length === 0, 10_000);
    expect(await tablesWith(player.id)).toEqual(tombstones);
    // What the stores have signed names the player, too, but not as plain text.
    const records = await sql.query(
      `SELECT raw_response FROM purchase UNION ALL SELECT raw_response FROM subscription
       UNION ALL SELECT raw_notification FROM subscription`,
    );
    expect(records.rows).toEqual(Array.from({ length: 4 }, () => ({ raw_response: {} })));
    // Nor does it come back with what the store has to say later.
    expect(await notify(one(), 'google', renew())).toBe(200);
    expect(await tablesWith(player.id)).toEqual(tombstones);
    for (const node of nodes) {
      await waitFor('the token to be refused', async () => {
        const { status } = await request(node, 'GET', '/v2/account', { authorization: player.authorization });
        return status === 401;
      });
    }
    const { rows } = await sql.query('SELECT edge_count FROM users WHERE id = $1', [other.id]);
    expect(rows).toEqual([{ edge_count: 0 }]);
    const groups = await sql.query('SELECT edge_count FROM groups');
    expect(groups.rows).toEqual([{ edge_count: 1 }, { edge_count: 1 }, { edge_count: 1 }]);
    const [kept] = (await featuresOf(one()).notifications.notifications.list(other.id, 100, '')).notifications.filter(
      ({ code }) => code === 1,
    );
    expect(kept).toMatchObject({ subject: 'Hello', sender_id: '00000000-0000-0000-0000-000000000000' });
  });

  it('gets an export before: one document with everything', async () => {
    const [player, other] = await Promise.all([signIn(one()), signIn(two())]);
    const sockets = await live(player, other);
    let text = '';
    for await (const piece of featuresOf(two()).erasure.exportAccount(player.id)) text += piece;
    expect(JSON.parse(text)).toMatchObject({
      account: { user: { id: player.id, username: player.username }, wallet: '{"coins": 5}' },
      objects: [{ collection: 'saves', key: 'a', value: '{"a": 1}' }],
      friends: [{ user: { id: other.id }, state: 0 }],
      groups: expect.arrayContaining([expect.objectContaining({ creator_id: player.id, edge_count: 2 })]),
      messages: expect.arrayContaining([
        expect.objectContaining({ content: '{"by": "me"}', room_name: 'erased', sender_id: player.id }),
      ]),
      leaderboard_records: [{ leaderboard_id: 'erasure', owner_id: player.id, score: '7', num_score: 1 }],
      notifications: expect.arrayContaining([expect.objectContaining({ subject: 'Hello', sender_id: other.id })]),
      wallet_ledgers: [{ user_id: player.id, changeset: '{"coins": 5}', metadata: '{}' }],
      purchases: expect.arrayContaining([expect.objectContaining({ product_id: 'gems_100', store: 1 })]),
      subscriptions: [{ user_id: player.id, product_id: 'season', active: true }],
    });
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  it('must exist to be exported, and not to be erased', async () => {
    const { erasure, exportAccount } = featuresOf(one()).erasure;
    const nobody = crypto.randomUUID();
    await expect(exportAccount(nobody)[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 5 });
    await erasure.deleteAccount(nobody, { record: true });
    expect(await tablesWith(nobody)).toEqual([]);
    const system = '00000000-0000-0000-0000-000000000000';
    await expect(erasure.deleteAccount(system)).rejects.toThrow('Error deleting user account.');
  });

  it('writes while it is erased, and leaves nothing', async () => {
    const player = await signIn(one());
    const { authorization } = player;
    const socket = await TestSocket.connect(two(), player.token);
    const { channel } = await socket.request({ channel_join: { target: 'busy', type: 1 } });
    let isOver = false;
    const writes = (async () => {
      for (let n = 0; !isOver; n++) {
        const body = { objects: [{ collection: 'busy', key: String(n), value: '{}' }] };
        await request(nodes[n % 2] as TestNode, 'PUT', '/v2/storage', { authorization, body });
        if (socket.closed === undefined) {
          socket.send({ channel_message_send: { channel_id: channel.id, content: '{}' } });
        }
      }
    })();
    await waitFor('some writes', async () => (await tablesWith(player.id)).includes('storage'));
    await featuresOf(one()).erasure.erasure.deleteAccount(player.id);
    await socket.waitClosed();
    isOver = true;
    await writes;
    await waitFor('Redis to forget', async () => (await keysWith(player.id)).length === 0, 10_000);
    expect(await tablesWith(player.id)).toEqual(['session_invalidation']);
  });
});
