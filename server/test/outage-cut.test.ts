import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../testing/database.ts';
import { FaultProxy } from '../testing/fault-proxy.ts';
import { type Player, request, signIn } from '../testing/http.ts';
import { unique } from '../testing/names.ts';
import { startTestNode, type TestNode } from '../testing/node.ts';
import { type Format, formats, TestSocket } from '../testing/socket.ts';
import { waitFor } from '../testing/wait.ts';

// The connection to the database is cut while a call is on its way (reliability anchor F3): the caller is told whether
// sending it again is safe, and what it is told is true.

const [safe, unknown] = [1, 2];

describe('a connection to the database that is cut', () => {
  let schema: TestSchema;
  let proxy: FaultProxy;
  let node: TestNode;
  let player: Player;
  let sql: pg.Client;
  const sockets = {} as Record<Format, TestSocket>;
  let collection: string;

  beforeAll(async () => {
    schema = await createTestSchema();
    proxy = new FaultProxy(schema.url);
    const config = { 'database.acquire_timeout_ms': 500 };
    node = await startTestNode({ databaseUrl: await proxy.listen(), config });
    player = await signIn(node);
    for (const format of formats) sockets[format] = await TestSocket.connect(node, player.token, { format });
    sql = new pg.Client(schema.url);
    await sql.connect();
  });
  beforeEach(() => {
    collection = unique('c');
  });
  afterEach(async () => {
    proxy.onChunk = () => 'pass';
    expect(node.errors).toEqual([]);
  });
  afterAll(async () => {
    await sql.end();
    await node.stop();
    await proxy[Symbol.asyncDispose]();
    await schema.drop();
  });

  /** Cuts once, at the first chunk towards the database that holds all these texts. */
  const cutAt = (how: 'cut-before' | 'cut-after', ...texts: string[]): { readonly done: boolean } => {
    const cut = { done: false };
    proxy.onChunk = (chunk) => {
      if (cut.done || !texts.every((text) => chunk.includes(text))) return 'pass';
      cut.done = true;
      return how;
    };
    return cut;
  };
  const objectsOf = (...keys: string[]) => keys.map((key) => ({ collection, key, value: `{"in":"${collection}"}` }));
  const call = async (format: Format, method: string, message: object) => {
    const { call_result: result } = await sockets[format].request({ call: { method, request: message } });
    return { code: 0, retry: 0, ...result };
  };
  const storedKeys = async (): Promise<string[]> => {
    const { rows } = await sql.query<{ key: string }>('SELECT key FROM storage WHERE collection = $1 ORDER BY key', [
      collection,
    ]);
    return rows.map(({ key }) => key);
  };

  describe.each(formats)('over call, %s', (format) => {
    it.each(['cut-before', 'cut-after'] as const)('leaves a single write in doubt (%s)', async (how) => {
      const cut = cutAt(how, collection);
      const objects = objectsOf('k');
      expect(await call(format, 'WriteStorageObjects', { objects })).toMatchObject({
        code: 14,
        message: 'Database unavailable.',
        retry: unknown,
      });
      expect(cut.done).toBe(true);
      // Asking again settles it, either way.
      expect(await call(format, 'WriteStorageObjects', { objects })).toMatchObject({ code: 0 });
      expect(await storedKeys()).toEqual(['k']);
    });

    it.each(['cut-before', 'cut-after'] as const)('repeats a batch that had not come to its end (%s)', async (how) => {
      const cut = cutAt(how, collection, 'key-b');
      const objects = objectsOf('key-a', 'key-b', 'key-c');
      const { code, response } = await call(format, 'WriteStorageObjects', { objects });
      expect(cut.done).toBe(true);
      expect(code).toBe(0);
      expect(response.acks).toHaveLength(3);
      expect(await storedKeys()).toEqual(['key-a', 'key-b', 'key-c']);
    });

    it.each(['cut-before', 'cut-after'] as const)('leaves a batch in doubt at its commit (%s)', async (how) => {
      const cut = { done: false, near: false };
      proxy.onChunk = (chunk) => {
        if (chunk.includes(collection)) cut.near = true;
        if (cut.done || !cut.near || !chunk.includes('muster_commit')) return 'pass';
        cut.done = true;
        return how;
      };
      const objects = objectsOf('a', 'b');
      expect(await call(format, 'WriteStorageObjects', { objects })).toMatchObject({ code: 14, retry: unknown });
      expect(cut.done).toBe(true);
      // All or nothing, whichever it was.
      expect([[], ['a', 'b']]).toContainEqual(await storedKeys());
      expect(await call(format, 'WriteStorageObjects', { objects })).toMatchObject({ code: 0 });
    });

    it.each(['cut-before', 'cut-after'] as const)('repeats a read without a word (%s)', async (how) => {
      const objects = objectsOf('k');
      await call(format, 'WriteStorageObjects', { objects });
      const cut = cutAt(how, 'storage_read', collection);
      const object_ids = [{ collection, key: 'k', user_id: player.id }];
      const { code, response } = await call(format, 'ReadStorageObjects', { object_ids });
      expect(cut.done).toBe(true);
      expect(code).toBe(0);
      expect(response.objects).toHaveLength(1);
    });

    it('says that a call had no effect when there was nobody to send it to', async () => {
      proxy.onChunk = () => 'cut-before';
      // Each of these loses a connection, and nothing connects any more.
      await waitFor('a node without connections', async () => {
        const { code, retry } = await call(format, 'WriteStorageObjects', { objects: objectsOf('first') });
        expect(code).toBe(14);
        return retry === safe;
      });
      const startedAt = performance.now();
      const objects = objectsOf('k');
      expect(await call(format, 'WriteStorageObjects', { objects })).toMatchObject({ code: 14, retry: safe });
      expect(performance.now() - startedAt).toBeLessThan(1500);
      expect(await storedKeys()).toEqual([]);
      proxy.onChunk = () => 'pass';
      await waitFor('a connection', async () => (await call(format, 'WriteStorageObjects', { objects })).code === 0);
    });
  });

  it('answers 503 over REST', async () => {
    const cut = cutAt('cut-after', collection);
    const { authorization } = player;
    const body = { objects: objectsOf('k') };
    const reply = await request(node, 'PUT', '/v2/storage', { authorization, body });
    expect(cut.done).toBe(true);
    expect(reply).toMatchObject({ status: 503, body: { code: 14, message: 'Database unavailable.' } });
    expect((await request(node, 'PUT', '/v2/storage', { authorization, body })).status).toBe(200);
  });

  it('never says "failed" of a write that happened, over many cuts', async () => {
    const outcomes = { ok: 0, doubt: 0 };
    for (let round = 0; round < 60; round++) {
      const key = `round${round}`;
      const isBatch = round % 3 === 0;
      const objects = isBatch ? objectsOf(key, `${key}b`) : objectsOf(key);
      let chunks = 0;
      const cutIndex = 1 + (round % 4);
      proxy.onChunk = (chunk) => {
        if (chunks === 0 && !chunk.includes(collection)) return 'pass';
        chunks++;
        if (chunks !== cutIndex) return 'pass';
        return round % 2 === 0 ? 'cut-after' : 'cut-before';
      };
      const format = formats[round % 2] ?? 'json';
      const { code, retry } = await call(format, 'WriteStorageObjects', { objects });
      proxy.onChunk = () => 'pass';
      const isStored = (await storedKeys()).includes(key);
      if (code === 0) {
        outcomes.ok++;
        expect(isStored).toBe(true);
      } else {
        expect(code).toBe(14);
        if (retry === safe) expect(isStored).toBe(false);
        else outcomes.doubt++;
      }
    }
    expect(outcomes.ok).toBeGreaterThan(0);
    expect(outcomes.doubt).toBeGreaterThan(0);
  });
});
