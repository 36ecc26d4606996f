import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IndexDefinition, IndexListing, IndexPage } from '../../features/storage-index/index.ts';
import { nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { sql } from '../../store/sql.ts';
import { restDoor } from '../../testing/doors.ts';
import { request, signIn } from '../../testing/http.ts';
import { type ServerKind, serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { StorageClient } from './storage-support.ts';

// Objects written by clients through any node, searched by server code on every node.

const define = (name: string, more: Partial<IndexDefinition> = {}): IndexDefinition => ({
  ...{ name, collection: name, key: '', fields: ['level'], sortableFields: [], maxEntries: 1000, indexOnly: false },
  ...more,
});

const definitions = [
  ...['levels', 'pages', 'gone', 'busy', 'stale', 'erased', 'together', 'access'].map((name) => define(name)),
  define('few', { maxEntries: 10, indexOnly: true }),
  define('only', { fields: ['level', 'tags', 'none'], indexOnly: true }),
  define('keyed', { key: 'profile' }),
  define('filtered', { fields: ['level', 'open'] }),
  define('sorted', { fields: ['score', 'name'], sortableFields: ['score'] }),
  define('whole', { fields: ['level'] }),
];

interface Realm {
  readonly server: TestServer;
  readonly dbs: readonly Database[];
  /** What registering more of the same answered. */
  readonly refusals: readonly string[];
  readonly errors: readonly string[];
}

async function startRealm(kind: ServerKind, disableIndexOnly = false): Promise<Realm> {
  const dbs: Database[] = [];
  const refusals: string[] = [];
  const server = await startTestServer({
    kind,
    config: { 'storage.disable_index_only': disableIndexOnly, 'database.pool_size': 8 },
    extraFeatures: (kit, { storageIndex: { storageIndexes } }) => {
      dbs.push(kit.db);
      for (const definition of definitions) storageIndexes.register(definition);
      storageIndexes.registerFilter('filtered', ({ value }) => {
        const { open } = JSON.parse(value);
        if (open === 'throw') throw new Error('broken filter');
        return open;
      });
      for (const wrong of [{ name: '' }, { collection: '' }, { maxEntries: 0 }, { fields: [] }, {}]) {
        try {
          storageIndexes.register(define('levels', wrong));
        } catch (error) {
          refusals.push((error as Error).message);
        }
      }
      return [];
    },
  });
  return { server, dbs, refusals, errors: server.errors };
}

/** What every node answers, which must be the same. */
async function search(server: TestServer, name: string, more: Partial<IndexListing> = {}): Promise<IndexPage> {
  const pages: IndexPage[] = [];
  for (const node of server.nodes) {
    await node.catchUp();
    pages.push(await node.app.features.storageIndex.storageIndexes.list({ name, query: '', limit: 100, ...more }));
  }
  for (const page of pages) expect(page).toEqual(pages[0]);
  return pages[0] as IndexPage;
}

const player = async (server: TestServer): Promise<StorageClient> =>
  new StorageClient(await restDoor(server), await signIn(server));

describe.each(serverKinds)('storage indexes on %s', (kind) => {
  let realm: Realm;
  let server: TestServer;
  let a: StorageClient;
  let b: StorageClient;

  beforeAll(async () => {
    realm = await startRealm(kind);
    server = realm.server;
    [a, b] = [await player(server), await player(server)];
  });
  afterAll(() => server?.stop());

  const keys = async (name: string, query = '', more: Partial<IndexListing> = {}): Promise<string[]> =>
    (await search(server, name, { query, ...more })).objects.map(({ key }) => key);
  const write = (collection: string, key: string, value: object, by = a) =>
    by.write({ collection, key, value: JSON.stringify(value) });

  it('refuses what is no index', () => {
    expect(realm.refusals.slice(0, 5)).toEqual([
      "storage index 'name' must be set",
      "storage index 'collection' must be set",
      "storage Index 'max_entries' must be > 0",
      "storage Index 'fields' must contain at least one top level key to index",
      'cannot create index: index with name "levels" already exists',
    ]);
    const { storageIndexes } = server.features.storageIndex;
    expect(() => storageIndexes.register(define('late'))).toThrow('before the server starts');
  });

  it('68: finds objects by the members that are indexed, and by what every object has', async () => {
    await write('levels', 'k', { level: 5, x: 1 });
    expect(await keys('levels', '+value.level:>=5')).toEqual(['k']);
    expect(await keys('levels', '+value.x:1')).toEqual([]);
    for (const clause of [
      `user_id:${a.id}`,
      'key:k',
      'collection:levels',
      'read:1',
      'write:1',
      'create_time:>"2020-01-01T00:00:00Z"',
    ]) {
      expect([clause, await keys('levels', `+${clause}`)]).toEqual([clause, ['k']]);
    }
    const [object] = (await search(server, 'levels')).objects;
    expect(object).toMatchObject({ user_id: a.id, read: 1, write: 1, value: '{"x": 1, "level": 5}' });
    // Once none of its indexed members is left, it is not there any more.
    await write('levels', 'k', { x: 1 });
    expect(await keys('levels')).toEqual([]);
  });

  it('indexes what lies below the members', async () => {
    await write('whole', 'k', { level: { a: [1, 'two', { b: true, c: '2024-05-01' }] } });
    for (const clause of ['a:1', 'a:two', 'a.b:T', 'a.c:<"2024-05-02T00:00:00Z"', 'a:t?o', 'a:/t.o/', 'a:twa~']) {
      expect([clause, await keys('whole', `+value.level.${clause}`)]).toEqual([clause, ['k']]);
    }
  });

  it('69: keeps the newest when there are too many', async () => {
    for (let n = 1; n <= 11; n++) await write('few', `k${n}`, { level: n });
    expect(await keys('few')).toHaveLength(11);
    await write('few', 'k1', { level: 100 });
    await write('few', 'k12', { level: 12 });
    expect(await keys('few')).toEqual(['k1', ...[4, 5, 6, 7, 8, 9, 10, 11, 12].map((n) => `k${n}`)]);
  });

  it('70: answers indexed members alone where that is asked for', async () => {
    await write('only', 'k', { x: 1, tags: ['b', 'a'], level: 9_007_199_254 });
    const { objects } = await search(server, 'only', { query: '+value.tags:a' });
    expect(objects).toMatchObject([{ key: 'k', value: '{"level":9007199254,"tags":["b","a"]}', read: 1 }]);
    expect(JSON.parse((await a.readOwn('only', 'k'))?.value ?? '')).toMatchObject({ x: 1 });
  });

  it('71: goes through pages, with cursors that fit nothing else', async () => {
    for (const key of ['k1', 'k2', 'k3']) await write('pages', key, { level: 1 });
    const query = '+value.level:1';
    const pages: string[][] = [];
    const cursors: string[] = [''];
    do {
      const page = await search(server, 'pages', { query, limit: 1, cursor: cursors.at(-1) });
      pages.push(page.objects.map(({ key }) => key));
      cursors.push(page.cursor);
    } while (cursors.at(-1) !== '' && pages.length < 10);
    expect(pages).toEqual([['k1'], ['k2'], ['k3']]);
    const cursor = cursors[1] as string;
    const refused = async (more: Partial<IndexListing>, message: string, code = 3): Promise<void> =>
      expect(search(server, 'pages', { query, limit: 1, cursor, ...more })).rejects.toMatchObject({ code, message });
    await refused({ limit: 2 }, 'invalid cursor: limit mismatch');
    await refused({ query: '*' }, 'invalid cursor: query mismatch');
    await refused({ order: ['key'] }, 'invalid cursor: order mismatch');
    await refused({ cursor: '!' }, 'invalid cursor');
    await refused({ cursor: cursor.slice(4) }, 'invalid cursor');
    for (const limit of [0, -1, 10_001, 1.5]) await refused({ limit }, 'limit must be 1-10000');
    await refused({ callerId: 'x' }, 'expects caller id to be valid identifier');
    await refused({ name: '' }, 'index "" not found', 5);
    await refused({ name: 'nope' }, 'index "nope" not found', 5);
    await refused({ query: '+a:', cursor: '' }, 'incomplete query');
  });

  it('72: forgets what is deleted', async () => {
    await write('gone', 'k', { level: 1 });
    await write('gone', 'l', { level: 1 });
    await a.delete({ collection: 'gone', key: 'k' });
    expect(await keys('gone')).toEqual(['l']);
    await a.delete({ collection: 'gone', key: 'l' });
    expect(await keys('gone')).toEqual([]);
  });

  it('orders by fields, those without them last', async () => {
    const scores = {
      k1: { score: 2, name: 'b' },
      k2: { score: 10, name: 'b' },
      k3: { score: [1, 30] },
      k4: { name: 'a' },
    };
    for (const [key, value] of Object.entries(scores)) await write('sorted', key, value);
    expect(await keys('sorted')).toEqual(['k1', 'k2', 'k3', 'k4']);
    expect(await keys('sorted', '', { order: ['value.score'] })).toEqual(['k3', 'k1', 'k2', 'k4']);
    expect(await keys('sorted', '', { order: ['-value.score'] })).toEqual(['k3', 'k2', 'k1', 'k4']);
    expect(await keys('sorted', '', { order: ['value.name', '-value.score'] })).toEqual(['k4', 'k2', 'k1', 'k3']);
    expect(await keys('sorted', '', { order: ['-update_time'] })).toEqual(['k4', 'k3', 'k2', 'k1']);
  });

  it('holds only the key that it is for', async () => {
    await write('keyed', 'profile', { level: 1 });
    await write('keyed', 'other', { level: 1 });
    await write('keyed', 'profile', { level: 1 }, b);
    expect(await keys('keyed')).toEqual(['profile', 'profile']);
  });

  it('holds what its filter lets in', async () => {
    await write('filtered', 'k', { level: 9, open: true });
    await write('filtered', 'l', { level: 9, open: false });
    expect(await keys('filtered', '+value.level:>5')).toEqual(['k']);
    // A filter that fails decides nothing.
    for (const open of ['throw', 'no answer']) await write('filtered', 'k', { level: 1, open });
    expect(await search(server, 'filtered', { query: '+value.level:9' })).toMatchObject({ objects: [{ key: 'k' }] });
    await write('filtered', 'k', { level: 9, open: false });
    expect(await keys('filtered')).toEqual([]);
    expect(realm.server.errors.every((line) => line.includes('whether to index'))).toBe(true);
  });

  it.each(['access', 'only'])('shows callers what they may see: %s', async (collection) => {
    const before = (await keys(collection)).length;
    const value = '{"level":77}';
    for (const [key, permission_read] of [
      ['p0', 0],
      ['p1', 1],
      ['p2', 2],
    ] as const) {
      await a.write({ collection, key, value, permission_read });
    }
    const visible = (callerId: string, limit = 100): Promise<string[]> =>
      keys(collection, '+value.level:77', { callerId, limit });
    expect(await visible('')).toEqual(['p0', 'p1', 'p2']);
    expect(await visible(a.id)).toEqual(collection === 'only' ? ['p0', 'p1', 'p2'] : ['p1', 'p2']);
    expect(await visible(b.id)).toEqual(['p2']);
    // Pages are cut before that, and may be empty with more to come.
    const page = await search(server, collection, { query: '+value.level:77', callerId: b.id, limit: 1 });
    expect(page).toMatchObject({ objects: [], cursor: expect.stringMatching(/./) });
    expect(await keys(collection)).toHaveLength(before + 3);
  });

  it('follows batches, multiUpdate and what is rolled back', async () => {
    const [ack] = await a.write(
      { collection: 'together', key: 'z', value: '{"level":1}' },
      { collection: 'together', key: 'a', value: '{"level":2}' },
    );
    const { objects } = await search(server, 'together', { order: ['-key'] });
    expect(objects).toMatchObject([{ key: 'z', version: ack?.version }, { key: 'a' }]);
    const { multiUpdate } = server.features.multiUpdate;
    const id = { collection: 'together', ownerId: a.id, version: '' };
    const written = { ...id, value: '{"level":3}', permissionRead: 1, permissionWrite: 1 };
    await multiUpdate.run({ storageWrites: [{ ...written, key: 'm' }], storageDeletes: [{ ...id, key: 'a' }] });
    expect(await keys('together', '', { order: ['key'] })).toEqual(['m', 'z']);
    const failing = [
      { ...written, key: 'b' },
      { ...written, key: 'm', version: 'no' },
    ];
    await expect(multiUpdate.run({ storageWrites: failing })).rejects.toMatchObject({ code: 3 });
    expect(await keys('together', '', { order: ['key'] })).toEqual(['m', 'z']);
  });

  it('forgets accounts', async () => {
    const c = await player(server);
    for (const by of [b, c]) await write('erased', 'k', { level: 1 }, by);
    expect(await keys('erased')).toHaveLength(2);
    await request(server, 'DELETE', '/v2/account', { authorization: c.player.authorization });
    expect((await search(server, 'erased')).objects).toMatchObject([{ user_id: b.id }]);
  });

  it('heals what it was not told of', async () => {
    for (const key of ['k', 'l']) await write('stale', key, { level: 1 });
    const [db] = realm.dbs;
    const change = sql(
      'test_change',
      `UPDATE storage SET value = '{"level": 2}', version = 'new' WHERE collection = 'stale' AND key = 'k'`,
      'write',
    );
    const remove = sql('test_remove', `DELETE FROM storage WHERE collection = 'stale' AND key = 'l'`, 'write');
    for (const statement of [change, remove]) await db?.execute(statement);
    expect((await search(server, 'stale', { query: 'value.level:1' })).objects).toMatchObject([
      { key: 'k', version: 'new' },
    ]);
    expect(await keys('stale', 'value.level:1')).toEqual([]);
    expect(await keys('stale', 'value.level:2')).toEqual(['k']);
  });

  it('has in the end what the table has, whoever wrote at the same time', async () => {
    const writers = await Promise.all(Array.from({ length: 10 }, () => player(server)));
    const work = Array.from({ length: 100 }, async (_, n) => {
      const by = writers[n % writers.length] as StorageClient;
      for (let round = 0; round < 5; round++) {
        const key = `k${(n + round) % 7}`;
        // Now and then a node reads everything again while it hears of single objects.
        if (n % 10 === round) server.features.storageIndex.storageIndexes.changedSomehow();
        if ((n + round) % 6 === 0) await by.tryDelete({ collection: 'busy', key });
        else await by.tryWrite({ collection: 'busy', key, value: JSON.stringify({ level: n * 10 + round }) });
      }
    });
    await Promise.all(work);
    const table = sql<{ name: string }>(
      'test_table',
      `SELECT user_id || key || version AS name FROM storage WHERE collection = 'busy'`,
      'read',
    );
    const rows = (await realm.dbs[0]?.query(table)) ?? [];
    const { objects } = await search(server, 'busy', { limit: 1000 });
    expect(rows.length).toBeGreaterThan(10);
    expect(objects.map(({ user_id, key, version }) => user_id + key + version).sort()).toEqual(
      rows.map(({ name }) => name).sort(),
    );
    // Their entries are of those versions, too: nothing is left to heal.
    for (const { key, user_id, value } of objects) {
      const { level } = JSON.parse(value);
      expect(await keys('busy', `+user_id:${user_id} +key:${key} +value.level:${level}`)).toEqual([key]);
    }
  });
});

it('reads the database for every index when the configuration says so, and loads what is there at start', async () => {
  const first = await startRealm(serverKinds[0], true);
  try {
    const a = await player(first.server);
    await a.write({ collection: 'only', key: 'k', value: '{"x":1,"level":2}', permission_read: 0 });
    for (let n = 0; n < 12; n++) await a.write({ collection: 'few', key: `k${n}`, value: '{"level":1}' });
    const { objects } = await search(first.server, 'only');
    expect(objects).toMatchObject([{ value: '{"x": 1, "level": 2}' }]);
    expect((await search(first.server, 'only', { callerId: a.id })).objects).toEqual([]);
    const { storage } = first.server.features.storage;
    const system = { collection: 'filtered', ownerId: nilUuid, version: '', permissionRead: 2, permissionWrite: 0 };
    await storage.write('server', [
      { ...system, key: 'in', value: '{"open":true}' },
      { ...system, key: 'out', value: '{"open":false}' },
    ]);
    const { databaseUrl } = first.server;
    const second = await startTestServer({
      databaseUrl,
      extraFeatures: (_kit, { storageIndex: { storageIndexes } }) => {
        for (const definition of definitions) storageIndexes.register(definition);
        storageIndexes.registerFilter('filtered', ({ value }) => JSON.parse(value).open);
        return [];
      },
    });
    try {
      expect((await search(second, 'only')).objects).toMatchObject([{ value: '{"level":2}' }]);
      expect((await search(second, 'filtered')).objects).toMatchObject([{ key: 'in', user_id: nilUuid }]);
      const few = (await search(second, 'few')).objects.map(({ key }) => key);
      expect(few).toEqual(['k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9', 'k10', 'k11']);
    } finally {
      await second.stop();
    }
  } finally {
    await first.server.stop();
  }
});
