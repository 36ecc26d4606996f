import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ListRequest, Page } from '../../features/purchases/index.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { Random } from '../../testing/random.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { newTransactionId } from './purchases-support.ts';

type Kind = 'purchases' | 'subscriptions';
type List = (request: ListRequest) => Promise<Page<{ readonly userId: string; readonly id: string }>>;

describe.each(serverKinds)('lists of purchases on %s', (serverKind) => {
  let server: TestServer;
  let sql: pg.Client;
  let players: Player[];
  beforeAll(async () => {
    server = await startTestServer({ kind: serverKind });
    sql = new pg.Client(server.databaseUrl);
    await sql.connect();
  });
  afterAll(async () => {
    await sql?.end();
    expect(server?.errors).toEqual([]);
    await server?.stop();
  });

  const insert = async (kind: Kind, userId: string, atMs: number, id = newTransactionId()): Promise<string> => {
    const time = new Date(atMs);
    if (kind === 'purchases') {
      await sql.query(
        `INSERT INTO purchase (transaction_id, user_id, product_id, purchase_time) VALUES ($1, $2, 'gems', $3)`,
        [id, userId, time],
      );
    } else {
      await sql.query(
        `INSERT INTO subscription (original_transaction_id, user_id, product_id, purchase_time, expire_time)
         VALUES ($1, $2, 'season', $3, now() + INTERVAL '1 day')`,
        [id, userId, time],
      );
    }
    return id;
  };

  const lists: Readonly<Record<Kind, List>> = {
    async purchases(listRequest) {
      const page = await server.features.purchases.purchases.list(listRequest);
      return { ...page, items: page.items.map(({ userId, transactionId: id }) => ({ userId, id })) };
    },
    async subscriptions(listRequest) {
      const page = await server.features.purchases.subscriptions.list(listRequest);
      return { ...page, items: page.items.map(({ userId, originalTransactionId: id }) => ({ userId, id })) };
    },
  };

  /** Ids in the order in which the database has them, which is what lists have to agree with. */
  const expected = async (kind: Kind, where = 'true', values: unknown[] = []): Promise<string[]> => {
    const [table, id] =
      kind === 'purchases' ? ['purchase', 'transaction_id'] : ['subscription', 'original_transaction_id'];
    const { rows } = await sql.query(
      `SELECT ${id} AS id FROM ${table} WHERE ${where} ORDER BY purchase_time DESC, user_id DESC, ${id} DESC`,
      values,
    );
    return rows.map((row) => row.id);
  };

  const walk = async (kind: Kind, listRequest: ListRequest, between = async () => {}): Promise<string[][]> => {
    const pages: string[][] = [];
    let cursor = '';
    do {
      const page = await lists[kind]({ ...listRequest, cursor });
      pages.push(page.items.map(({ id }) => id));
      cursor = page.cursor;
      await between();
    } while (cursor !== '');
    return pages;
  };

  describe.each<Kind>(['purchases', 'subscriptions'])('%s', (kind) => {
    const first = Date.UTC(2024, 0, 1);
    beforeAll(async () => {
      players = await Promise.all([signIn(server), signIn(server)]);
      await sql.query('DELETE FROM purchase');
      await sql.query('DELETE FROM subscription');
      const random = new Random(7);
      // Many at the same moment: the other columns of the key tell them apart.
      for (let count = 0; count < 60; count++) {
        await insert(kind, random.pick(players).id, first + random.below(6) * 1000);
      }
    });

    test.each([1, 7, 60, 100])('all of them, in pages of %i', async (limit) => {
      const pages = await walk(kind, { limit });
      expect(pages.flat()).toEqual(await expected(kind));
      expect(pages).toHaveLength(Math.max(1, Math.ceil(60 / limit)));
    });

    test('those of one user', async () => {
      for (const { id } of players) {
        const ids = (await walk(kind, { limit: 4, userId: id.toUpperCase() })).flat();
        expect(ids).toEqual(await expected(kind, 'user_id = $1', [id]));
        expect(ids.length).toBeGreaterThan(10);
      }
      expect(await lists[kind]({ limit: 10, userId: randomUUID() })).toEqual({ items: [], cursor: '', prevCursor: '' });
    });

    test('forth and back', async () => {
      const all = await expected(kind);
      const list = lists[kind];
      const one = await list({ limit: 20 });
      expect(one.prevCursor).toBe('');
      const two = await list({ limit: 20, cursor: one.cursor });
      const three = await list({ limit: 20, cursor: two.cursor });
      expect(three.cursor).toBe('');
      const ids = (page: Page<{ id: string }>) => page.items.map(({ id }) => id);
      expect([...ids(one), ...ids(two), ...ids(three)]).toEqual(all);
      const back = await list({ limit: 20, cursor: three.prevCursor });
      expect(ids(back)).toEqual(ids(two));
      expect(ids(await list({ limit: 20, cursor: back.cursor }))).toEqual(ids(three));
      const start = await list({ limit: 30, cursor: back.prevCursor });
      expect(ids(start)).toEqual(ids(one));
      expect(ids(await list({ limit: 100, cursor: start.prevCursor }))).toEqual([]);
    });

    test('within bounds, both of which are included', async () => {
      const at = (seconds: number) => ({ seconds: first / 1000 + seconds, nanos: 0 });
      const bounds = { after: at(1), before: at(3) };
      const ids = (await walk(kind, { limit: 5, ...bounds })).flat();
      const between = 'purchase_time BETWEEN $1 AND $2';
      expect(ids).toEqual(await expected(kind, between, [new Date(first + 1000), new Date(first + 3000)]));
      expect(ids.length).toBeGreaterThan(10);
      const { cursor } = await lists[kind]({ limit: 5, ...bounds });
      const other = lists[kind]({ limit: 5, ...bounds, before: at(4), cursor });
      await expect(other).rejects.toThrow(`${kind} list cursor invalid`);
    });

    test('cursors of others, of another list, and none at all are refused', async () => {
      const [a, b] = players.map(({ id }) => id);
      const list = lists[kind];
      const { cursor } = await list({ limit: 1, userId: a });
      const { cursor: ofAll } = await list({ limit: 1 });
      const otherKind = kind === 'purchases' ? 'subscriptions' : 'purchases';
      const message = `${kind} list cursor invalid`;
      await expect(list({ limit: 1, userId: b, cursor })).rejects.toThrow(message);
      await expect(list({ limit: 1, cursor })).rejects.toThrow(message);
      await expect(list({ limit: 1, userId: a, cursor: ofAll })).rejects.toThrow(message);
      await expect(lists[otherKind]({ limit: 1, cursor: ofAll })).rejects.toThrow(`${otherKind} list cursor invalid`);
      for (const bad of ['zzz', '!', 'x'.repeat(5000)]) {
        await expect(list({ limit: 1, cursor: bad })).rejects.toThrow(message);
      }
    });

    test('limits and users that are none are refused', async () => {
      for (const limit of [0, -1, 101, 1.5, Number.NaN]) {
        await expect(lists[kind]({ limit })).rejects.toThrow('limit must be 1-100');
      }
      await expect(lists[kind]({ limit: 1, userId: 'abc' })).rejects.toThrow('expects a valid user ID');
    });

    test('rows that come and go while somebody leafs through cost nobody else their place', async () => {
      const before = await expected(kind);
      const random = new Random(11);
      const gone: string[] = [];
      const table = kind === 'purchases' ? 'purchase' : 'subscription';
      const id = kind === 'purchases' ? 'transaction_id' : 'original_transaction_id';
      const seen = await walk(kind, { limit: 3 }, async () => {
        await insert(kind, random.pick(players).id, first + random.below(8) * 1000 - 1000);
        const victim = random.pick(before);
        gone.push(victim);
        await sql.query(`DELETE FROM ${table} WHERE ${id} = $1`, [victim]);
      });
      const found = seen.flat();
      expect(new Set(found).size).toBe(found.length);
      const stayed = before.filter((each) => !gone.includes(each));
      expect(stayed.length).toBeGreaterThan(30);
      expect(found.filter((each) => stayed.includes(each))).toEqual(stayed);
    });
  });

  test('purchases #63: a client lists its own subscriptions, forth and back', async () => {
    const player = await signIn(server);
    const start = Date.UTC(2024, 5, 1);
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) ids.unshift(await insert('subscriptions', player.id, start + count * 1000));
    await insert('subscriptions', (await signIn(server)).id, start + 2500);
    const list = async (body: object) => {
      const { authorization } = player;
      const reply = await request(server, 'POST', '/v2/iap/subscription', { authorization, body });
      expect(reply.status).toBe(200);
      const found: { original_transaction_id: string }[] = reply.body.validated_subscriptions ?? [];
      return { ...reply.body, ids: found.map(({ original_transaction_id: id }) => id) };
    };
    const all = await list({});
    expect(all.ids).toEqual(ids);
    expect([all.cursor, all.prev_cursor]).toEqual([undefined, undefined]);
    const one = await list({ limit: 2 });
    expect([one.ids, one.prev_cursor]).toEqual([ids.slice(0, 2), undefined]);
    const two = await list({ limit: 2, cursor: one.cursor });
    expect(two.ids).toEqual(ids.slice(2, 4));
    const three = await list({ limit: 2, cursor: two.cursor });
    expect([three.ids, three.cursor]).toEqual([ids.slice(4), undefined]);
    expect((await list({ limit: 2, cursor: three.prev_cursor })).ids).toEqual(two.ids);
    expect((await list({ limit: 2, cursor: two.prev_cursor })).ids).toEqual(one.ids);

    const other = await signIn(server);
    const stolen = await request(server, 'POST', '/v2/iap/subscription', {
      authorization: other.authorization,
      body: { cursor: one.cursor },
    });
    expect([stolen.status, stolen.body]).toEqual([500, { code: 2, message: 'subscriptions list cursor invalid' }]);
  });

  test('of several subscriptions to a product the one that lasts longest is found', async () => {
    const player = await signIn(server);
    const ids = [newTransactionId(), newTransactionId(), newTransactionId()];
    for (const [index, days] of [1, 3, 2].entries()) {
      await sql.query(
        `INSERT INTO subscription (original_transaction_id, user_id, product_id, purchase_time, expire_time, refund_time)
         VALUES ($1, $2, 'pass', now(), now() + $3 * INTERVAL '1 day', $4)`,
        [ids[index], player.id, days, new Date(days === 3 ? 1_700_000_000_000 : 0)],
      );
    }
    const { body } = await request(server, 'GET', '/v2/iap/subscription/pass', { authorization: player.authorization });
    // It was refunded, which shows.
    expect(body).toMatchObject({ original_transaction_id: ids[1], refund_time: '2023-11-14T22:13:20Z' });
    expect(body.active).toBeUndefined();
    const { subscriptions } = server.features.purchases;
    expect(await subscriptions.getByProductId(player.id, 'pass')).toMatchObject({ originalTransactionId: ids[1] });
    await expect(subscriptions.getByProductId(player.id, 'none')).rejects.toThrow('subscription not found');
    await expect(subscriptions.getByProductId('abc', 'pass')).rejects.toThrow('expects a valid user ID');
    expect(await subscriptions.get('none')).toBeNull();
  });
});
