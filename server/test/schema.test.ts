import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { migrateDown, migrateUp, migrationStatus } from '../store/migrate.ts';
import { createTestSchema, type TestSchema } from '../testing/database.ts';
import { claimsOf, request, serverKeyAuth, signIn } from '../testing/http.ts';
import { startTestNode, type TestNode } from '../testing/node.ts';
import { TestSocket } from '../testing/socket.ts';
import { md5 } from './api/storage-support.ts';
import { alice, banned, bob, createNakamaDatabase, groupId, messageIds } from './schema-nakama.ts';

// Our migrations over a database of Nakama's: its tables and rows stay, and are served.

/** Tables that both have. */
const shared = [
  'users',
  'user_device',
  'user_tombstone',
  'user_edge',
  'groups',
  'group_edge',
  'storage',
  'message',
  'notification',
  'wallet_ledger',
  'purchase',
  'subscription',
  'leaderboard',
  'leaderboard_record',
];
/** Tables that only Muster has. */
const ours = /^(muster_|session_)/;

describe('the schema', () => {
  let nakama: TestSchema;
  let fresh: TestSchema;
  beforeAll(async () => {
    [nakama, fresh] = [await createTestSchema(), await createTestSchema()];
    await createNakamaDatabase(nakama.url);
    await migrateUp(fresh.url);
  });
  afterAll(async () => {
    await nakama.drop();
    await fresh.drop();
  });

  it.each(shared)('of %s has the columns of Nakama', async (table) => {
    const [theirs, own] = [await columnsOf(nakama.url, table), await columnsOf(fresh.url, table)];
    expect(theirs.length).toBeGreaterThan(1);
    expect(own).toEqual(theirs);
  });

  it.each(shared)('of %s has the constraints of Nakama', async (table) => {
    const [theirs, own] = [await constraintsOf(nakama.url, table), await constraintsOf(fresh.url, table)];
    expect(own.map(({ definition }) => definition)).toEqual(theirs.map(({ definition }) => definition));
    // Nothing depends on the name of this one, which Nakama changed over its versions.
    const named = (rows: Constraint[]) =>
      rows.map(({ name }) => name).filter((name) => !name.startsWith('storage_') || name.endsWith('fkey'));
    expect(named(own)).toEqual(named(theirs));
  });

  it.each(shared)('of %s has the indexes of Nakama', async (table) => {
    const [theirs, own] = [await indexesOf(nakama.url, table), await indexesOf(fresh.url, table)];
    const missing = theirs.filter((index) => !own.includes(index));
    // Left out on purpose: it needs an extension.
    expect(missing).toEqual(table === 'users' ? [expect.stringContaining('gin (display_name')] : []);
    expect(own.filter((index) => !theirs.includes(index))).toEqual([]);
  });

  it('adds tables of its own and changes none of Nakama', async () => {
    const before = await snapshot(nakama.url);
    const applied = await migrateUp(nakama.url);
    expect(applied).toEqual((await migrationStatus(nakama.url)).map(({ name }) => name));
    expect(await migrateUp(nakama.url)).toEqual([]);
    const after = await snapshot(nakama.url);
    for (const [table, content] of before) expect(after.get(table), table).toEqual(content);
    const added = [...after.keys()].filter((table) => !before.has(table));
    expect(added.length).toBeGreaterThan(0);
    for (const table of added) expect(table).toMatch(ours);
  });
});

describe('a node on a database of Nakama', () => {
  let schema: TestSchema;
  let node: TestNode;
  beforeEach(async () => {
    schema = await createTestSchema();
    await createNakamaDatabase(schema.url);
    node = await startTestNode({ databaseUrl: schema.url });
  });
  afterEach(async () => {
    expect(node.errors).toEqual([]);
    await node.stop();
    await schema.drop();
  });

  const authenticate = (method: string, body: object, query = '') =>
    request(node, 'POST', `/v2/account/authenticate/${method}${query}`, { authorization: serverKeyAuth, body });

  it('signs its users in by device, email, username and custom id', async () => {
    const { email, password, customId, deviceId } = alice;
    const replies = [
      await authenticate('device', { id: deviceId }),
      await authenticate('email', { email, password }),
      await authenticate('email', { email: 'Alice@Example.COM', password }),
      await authenticate('email', { password }, `?username=${alice.username}`),
      await authenticate('custom', { id: customId }),
    ];
    for (const { status, body } of replies) {
      expect(status).toBe(200);
      expect(body.created).toBeUndefined();
      expect(claimsOf(body.token)).toMatchObject({ uid: alice.id, usn: alice.username });
    }
    expect((await signIn(node, { deviceId: bob.deviceId })).username).toBe(bob.username);
  });

  it('refuses wrong passwords, banned users and taken names', async () => {
    const { email } = alice;
    expect(await authenticate('email', { email, password: 'not the password' })).toMatchObject({
      status: 401,
      body: { code: 16, message: 'Invalid credentials.' },
    });
    expect(await authenticate('device', { id: banned.deviceId })).toMatchObject({
      status: 403,
      body: { code: 7, message: 'User account banned.' },
    });
    expect(await authenticate('device', { id: 'a-new-device-id' }, `?username=${alice.username}`)).toMatchObject({
      status: 409,
      body: { code: 6, message: 'Username is already in use.' },
    });
  });

  it('serves the account', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    const { body } = await request(node, 'GET', '/v2/account', { authorization });
    expect(body).toEqual({
      user: {
        id: alice.id,
        username: alice.username,
        display_name: 'Alice A.',
        avatar_url: 'https://example.com/a.png',
        lang_tag: 'fr',
        location: 'Paris',
        timezone: 'Europe/Paris',
        metadata: '{"level": 7}',
        steam_id: 'steam-1',
        edge_count: 3,
        create_time: '2024-02-29T12:34:56Z',
        update_time: '2024-03-01T00:00:00Z',
      },
      wallet: '{"coins": 9007199254740993}',
      email: alice.email,
      custom_id: alice.customId,
      devices: [{ id: alice.deviceId }],
      verify_time: '2024-03-02T00:00:00Z',
    });
  });

  it('serves storage objects and overwrites them by their version', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    const ids = [
      { collection: 'saves', key: 'slot1', user_id: alice.id },
      { collection: 'config', key: 'rules' },
    ];
    const read = () => request(node, 'POST', '/v2/storage', { authorization, body: { object_ids: ids } });
    const version = md5('{"hp":100,"id":9223372036854775807}');
    expect((await read()).body.objects).toMatchObject([
      {
        value: '{"hp": 100, "id": 9223372036854775807}',
        version,
        permission_read: 1,
        permission_write: 1,
        create_time: '2024-03-03T00:00:00Z',
        update_time: '2024-03-04T00:00:00Z',
      },
      { user_id: '00000000-0000-0000-0000-000000000000', value: '{"max": 3}' },
    ]);
    const listed = await request(node, 'GET', `/v2/storage/saves/${alice.id}?limit=10`, { authorization });
    expect(listed.body.objects.map(({ key }: { key: string }) => key)).toEqual(['slot1', 'profile']);

    const write = (objects: object[]) => request(node, 'PUT', '/v2/storage', { authorization, body: { objects } });
    const profile = { collection: 'saves', key: 'profile', value: '{}' };
    expect((await write([profile])).body.message).toBe('Storage write rejected - permission denied.');
    const slot = { collection: 'saves', key: 'slot1', value: '{"hp":1}', version };
    expect((await write([slot])).body.acks).toMatchObject([{ create_time: '2024-03-03T00:00:00.750Z' }]);
    expect((await write([slot])).body.message).toBe('Storage write rejected - version check failed.');
  });

  it('lists chat history and goes on with it', async () => {
    const { authorization, token } = await signIn(node, { deviceId: bob.deviceId });
    const history = () => request(node, 'GET', '/v2/channel/2...lobby?limit=10', { authorization });
    expect((await history()).body.messages).toMatchObject([
      {
        message_id: messageIds[0],
        code: 0,
        sender_id: alice.id,
        username: 'alice',
        content: '{"text": "first"}',
        room_name: 'lobby',
        persistent: true,
      },
      { message_id: messageIds[1], sender_id: bob.id, username: 'bob as he was', content: '{"text": "second"}' },
    ]);
    const socket = await TestSocket.connect(node, token);
    const { channel } = await socket.request({ channel_join: { target: 'lobby', type: 1, persistence: true } });
    await socket.request({ channel_message_send: { channel_id: channel.id, content: '{"text":"third"}' } });
    await socket.request({
      channel_message_update: { channel_id: channel.id, message_id: messageIds[1], content: '{"text":"changed"}' },
    });
    await socket.close();
    const texts = (await history()).body.messages.map(({ content }: { content: string }) => content);
    expect(texts).toEqual(['{"text": "first"}', '{"text": "changed"}', '{"text": "third"}']);
  });

  it('lists friends and goes on with them', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    const list = async () => (await request(node, 'GET', '/v2/friend', { authorization })).body.friends;
    expect(await list()).toMatchObject([{ user: { id: bob.id }, state: 0, metadata: '{}' }]);
    const add = `/v2/friend?usernames=${banned.username}`;
    expect((await request(node, 'POST', add, { authorization })).status).toBe(200);
    expect((await request(node, 'DELETE', `/v2/friend?ids=${bob.id}`, { authorization })).status).toBe(200);
    expect(await list()).toMatchObject([{ user: { id: banned.id }, state: 1 }]);
  });

  it('lists groups and goes on with them', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    const call = async (verb: string, path: string) => {
      const { status, body } = await request(node, verb, path, { authorization });
      expect([status, path]).toEqual([200, path]);
      return body;
    };
    expect(await call('GET', `/v2/user/${alice.id}/group`)).toEqual({
      user_groups: [
        {
          state: 0,
          group: {
            ...{ id: groupId, creator_id: alice.id, name: 'Guild', description: 'Of old', lang_tag: 'fr', open: false },
            ...{ metadata: '{"level": 3}', edge_count: 3, max_count: 5 },
            ...{ create_time: '2024-03-06T00:00:00Z', update_time: '2024-03-07T00:00:00Z' },
          },
        },
      ],
    });
    const users = async (query = '') =>
      ((await call('GET', `/v2/group/${groupId}/user${query}`)).group_users ?? []).map(
        ({ user, state }: { user: { id: string }; state: number }) => [user.id, state],
      );
    expect(await users()).toEqual([
      [alice.id, 0],
      [bob.id, 2],
    ]);
    // Pages go past the one who is not there.
    const first = await call('GET', `/v2/group/${groupId}/user?limit=1`);
    const second = await call('GET', `/v2/group/${groupId}/user?limit=1&cursor=${first.cursor}`);
    expect(second.group_users ?? []).toEqual([]);
    expect(await users(`?limit=1&cursor=${second.cursor}`)).toEqual([[bob.id, 2]]);
    expect(await users('?state=4')).toEqual([[banned.id, 4]]);
    await call('POST', `/v2/group/${groupId}/kick?user_ids=${banned.id}&user_ids=${bob.id}`);
    await call('POST', `/v2/group/${groupId}/add?user_ids=${banned.id}&user_ids=${bob.id}`);
    await call('POST', `/v2/group/${groupId}/promote?user_ids=${bob.id}`);
    expect(await users()).toEqual([
      [alice.id, 0],
      [bob.id, 1],
      [banned.id, 2],
    ]);
    const { messages } = await call('GET', `/v2/channel/3.${groupId}..?limit=10`);
    const told = messages.map(({ code, username }: { code: number; username: string }) => [code, username]);
    expect(told).toEqual([
      [6, bob.username],
      [4, banned.username],
      [4, bob.username],
      [7, bob.username],
    ]);
  });

  it('lists purchases and subscriptions', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    const { body } = await request(node, 'POST', '/v2/iap/subscription', { authorization, body: {} });
    const season = {
      ...{ user_id: alice.id, product_id: 'season', original_transaction_id: 's1', store: 1, environment: 2 },
      ...{ purchase_time: '2024-03-08T00:00:00Z', expiry_time: '2034-03-08T00:00:00.500Z', active: true },
      ...{ create_time: '2024-03-08T00:00:01Z', update_time: '2024-03-08T00:00:02Z' },
      ...{ refund_time: '1970-01-01T00:00:00Z' },
      ...{ provider_response: '{"kind":"subscription"}', provider_notification: '{}' },
    };
    expect(body).toEqual({ validated_subscriptions: [season] });
    const found = await request(node, 'GET', '/v2/iap/subscription/season', { authorization });
    expect(found.body).toEqual(season);
    const { purchases } = node.app.features.purchases;
    expect(await purchases.get('t1')).toMatchObject({ userId: alice.id, providerResponse: '{"orderId": "o1"}' });
  });

  it('deletes an account with what Nakama has of it', async () => {
    const { authorization } = await signIn(node, { deviceId: alice.deviceId });
    expect((await request(node, 'DELETE', '/v2/account', { authorization })).status).toBe(200);
    const counts = await query<{ count: string }>(
      schema.url,
      `SELECT count(*) FROM users WHERE id = $1
       UNION ALL SELECT count(*) FROM user_device WHERE user_id = $1
       UNION ALL SELECT count(*) FROM storage WHERE user_id = $1
       UNION ALL SELECT count(*) FROM message WHERE sender_id = $1
       UNION ALL SELECT count(*) FROM user_edge WHERE $1 IN (source_id, destination_id)
       UNION ALL SELECT count(*) FROM group_edge WHERE $1 IN (source_id, destination_id)
       UNION ALL SELECT count(*) FROM wallet_ledger WHERE user_id = $1
       UNION ALL SELECT count(*) FROM purchase WHERE user_id = $1
       UNION ALL SELECT count(*) FROM subscription WHERE user_id = $1`,
      [alice.id],
    );
    expect(counts.filter(({ count }) => count !== '0')).toEqual([]);
  });

  it('signs new users up beside the old ones', async () => {
    const player = await signIn(node);
    const object = { collection: 'saves', key: 'slot1', value: '{}' };
    const { authorization } = player;
    expect((await request(node, 'PUT', '/v2/storage', { authorization, body: { objects: [object] } })).status).toBe(
      200,
    );
    const found = await request(node, 'GET', `/v2/user?usernames=alice&ids=${player.id}`, { authorization });
    expect(found.body.users).toHaveLength(2);
  });
});

describe('migrations down and up again', () => {
  it('leave a working schema of our own', async () => {
    const schema = await createTestSchema();
    const names = await migrateUp(schema.url);
    expect(await migrateDown(schema.url, { count: names.length })).toEqual(names.toReversed());
    const left = [...(await snapshot(schema.url)).keys()].filter((table) => !table.startsWith('muster_migration'));
    expect(left).toEqual([]);
    expect(await migrateUp(schema.url)).toEqual(names);
    const node = await startTestNode({ databaseUrl: schema.url });
    expect((await signIn(node)).username).not.toBe('');
    await node.stop();
    await schema.drop();
  });
});

interface Constraint {
  readonly name: string;
  readonly definition: string;
}

/** Without those that Muster adds, which are called muster_ and may be null. */
const columnsOf = (url: string, table: string) =>
  query(
    url,
    `SELECT column_name, udt_name, character_maximum_length, is_nullable, column_default, is_identity
     FROM information_schema.columns
     WHERE table_schema = current_schema() AND table_name = $1 AND column_name NOT LIKE 'muster\\_%' ORDER BY column_name`,
    [table],
  );

const constraintsOf = (url: string, table: string) =>
  query<Constraint>(
    url,
    `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'f', 'c') ORDER BY 2, 1`,
    [table],
  );

/** What is indexed, and how; not under which name. Without the indexes that Muster adds. */
const indexesOf = async (url: string, table: string): Promise<string[]> =>
  (
    await query<{ definition: string }>(
      url,
      `SELECT regexp_replace(indexdef, '^CREATE (UNIQUE )?INDEX \\S+ ON \\S+ USING ', '\\1') AS definition FROM pg_indexes
       WHERE schemaname = current_schema() AND tablename = $1 AND indexname NOT LIKE 'muster\\_%' ORDER BY 1`,
      [table],
    )
  ).map(({ definition }) => definition);

/** Every table of the schema with its columns, constraints, indexes and rows. */
async function snapshot(url: string): Promise<Map<string, unknown>> {
  const tables = await query<{ name: string }>(
    url,
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`,
  );
  const content = new Map<string, unknown>();
  for (const { name } of tables) {
    content.set(name, {
      columns: await columnsOf(url, name),
      constraints: await constraintsOf(url, name),
      indexes: await indexesOf(url, name),
      rows: await query(
        url,
        `SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(t)) WHERE key NOT LIKE 'muster\\_%')::text AS row
         FROM ${name} t ORDER BY 1`,
      ),
    });
  }
  return content;
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}
