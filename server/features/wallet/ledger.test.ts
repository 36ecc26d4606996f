import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeCursor } from '../../platform/cursor.ts';
import { newId } from '../../platform/ids.ts';
import { signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import type { Ledger, LedgerRequest, Wallets } from './index.ts';

describe('the ledger', () => {
  let node: TestNode;
  let sql: pg.Client;
  let wallets: Wallets;
  let ledger: Ledger;
  let userId: string;
  beforeAll(async () => {
    node = await startTestNode();
    ({ wallets, ledger } = node.app.features.wallet);
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
  });
  beforeEach(async () => {
    userId = (await signIn(node)).id;
  });
  afterAll(async () => {
    await sql.end();
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  const add = (n: number) =>
    wallets.update({ userId, changeset: { coins: 1n }, metadata: `{"n": ${n}}` }, { updateLedger: true });
  /** Items at whole seconds: `time` since 2025 began; several may share one. */
  const insertAt = async (...times: number[]): Promise<void> => {
    await sql.query(
      `INSERT INTO wallet_ledger (id, user_id, changeset, metadata, create_time)
       SELECT gen_random_uuid(), $1, '{}', jsonb_build_object('at', at), TIMESTAMPTZ '2025-01-01 00:00:00Z' + at * INTERVAL '1 second'
       FROM unnest($2::int[]) AS at`,
      [userId, times],
    );
  };
  const at = (time: number) => ({ seconds: Date.UTC(2025, 0, 1) / 1000 + time, nanos: 0 });
  const list = async (request: Partial<LedgerRequest> = {}) => {
    const page = await ledger.list({ userId, ...request });
    return { ...page, values: page.items.map(({ metadata }) => Object.values(JSON.parse(metadata))[0] as number) };
  };

  it('47: lists the newest first, a page at a time', async () => {
    for (const n of [1, 2, 3]) await add(n);
    const first = await list({ limit: 2 });
    expect(first.values).toEqual([3, 2]);
    expect(first.prevCursor).toBe('');
    const second = await list({ limit: 2, cursor: first.nextCursor });
    expect(second.values).toEqual([1]);
    expect(second.nextCursor).toBe('');
    expect(first.items[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      userId,
      changeset: '{"coins": 1}',
      metadata: '{"n": 3}',
      createTime: { seconds: expect.any(Number), nanos: expect.any(Number) },
      updateTime: first.items[0]?.createTime,
    });
  });

  it('48: takes no cursor of another user, of other bounds, or of nobody', async () => {
    await insertAt(1, 2, 3);
    const { nextCursor } = await list({ limit: 1, after: at(0) });
    const other = (await signIn(node)).id;
    const invalid = { code: 3, message: 'wallet ledger cursor invalid' };
    const values = [userId, '', ''];
    const cursors: Partial<LedgerRequest>[] = [
      { cursor: nextCursor, after: at(0), userId: other },
      { cursor: nextCursor },
      { cursor: nextCursor, after: at(1) },
      { cursor: nextCursor, after: at(0), before: at(9) },
      { cursor: nextCursor.slice(0, -5), after: at(0) },
      ...[
        encodeCursor('storage', [...values, 1, 0, newId(), true]),
        encodeCursor('wallet_ledger', [...values, 1, 0, newId()]),
        encodeCursor('wallet_ledger', [...values, 1, 0, newId(), true, 1]),
        encodeCursor('wallet_ledger', [...values, 1e300, 0, newId(), true]),
        encodeCursor('wallet_ledger', [...values, 1.5, 0, newId(), true]),
        encodeCursor('wallet_ledger', [...values, 1, -1, newId(), true]),
        encodeCursor('wallet_ledger', [...values, 1, 0, "' OR true", true]),
        encodeCursor('wallet_ledger', [...values, 1, 0, newId(), 'yes']),
        '!!!',
      ].map((cursor) => ({ cursor })),
    ];
    for (const request of cursors) await expect(list(request)).rejects.toMatchObject(invalid);
    expect((await list({ limit: 9, cursor: nextCursor, after: at(0) })).values).toEqual([2, 1]);
  });

  it('pages both ways without a gap, also where many items share their time', async () => {
    await insertAt(...Array.from({ length: 250 }, (_, n) => Math.floor(n / 60)));
    const all = await list({ limit: 1000 });
    expect(all.items).toHaveLength(250);
    expect(all.nextCursor).toBe('');
    expect(all.values).toEqual(all.values.toSorted((a, b) => b - a));
    const ids = all.items.map(({ id }) => id);

    const pages = [await list({ limit: 7 })];
    for (let page = pages[0]; page?.nextCursor; page = pages.at(-1)) {
      pages.push(await list({ limit: 7, cursor: page.nextCursor }));
      expect(pages.at(-1)?.prevCursor).not.toBe('');
    }
    expect(pages.flatMap(({ items }) => items.map(({ id }) => id))).toEqual(ids);

    const last = pages.length - 1;
    let back = pages[last];
    for (let n = last - 1; n >= 0; n--) {
      back = await list({ limit: 7, cursor: back?.prevCursor ?? '' });
      expect(back.items).toEqual(pages[n]?.items);
      expect(back.nextCursor).not.toBe('');
    }
    // Nothing is newer than the first page, but one may ask.
    expect(await list({ limit: 7, cursor: back?.prevCursor ?? '' })).toMatchObject({ items: [], nextCursor: '' });
  });

  it('lists between two moments, without them, over all pages', async () => {
    await insertAt(1, 2, 3, 4, 5, 6, 7);
    expect((await list({ after: at(2), before: at(6) })).values).toEqual([5, 4, 3]);
    expect((await list({ after: at(5) })).values).toEqual([7, 6]);
    expect((await list({ before: at(2) })).values).toEqual([1]);
    const bounds = { after: at(1), before: at(7), limit: 2 };
    const first = await list(bounds);
    const second = await list({ ...bounds, cursor: first.nextCursor });
    const third = await list({ ...bounds, cursor: second.nextCursor });
    expect([first, second, third].map(({ values }) => values)).toEqual([[6, 5], [4, 3], [2]]);
    expect(third.nextCursor).toBe('');
    expect((await list({ ...bounds, cursor: third.prevCursor })).values).toEqual([4, 3]);
  });

  it('lists 100 unless told otherwise, never more than 1000, and nothing for no limit at all', async () => {
    await insertAt(...Array.from({ length: 1001 }, (_, n) => n));
    expect((await list()).items).toHaveLength(100);
    const most = await list({ limit: 1e9 });
    expect(most.items).toHaveLength(1000);
    expect((await list({ limit: 1e9, cursor: most.nextCursor })).values).toEqual([0]);
    for (const limit of [0, -1]) expect(await list({ limit })).toMatchObject({ items: [], nextCursor: '' });
    await expect(list({ userId: 'nobody' })).rejects.toMatchObject({ code: 3, message: 'expects a valid user id' });
  });

  it('49: merges metadata, and changes nothing else', async () => {
    await wallets.update({ userId, changeset: { coins: 7n }, metadata: '{"a": 1, "deep": {"x": 1}}' }, recorded);
    const [before] = (await list()).items;
    const after = await ledger.updateMetadata(before?.id ?? '', '{"note": "x", "deep": {"y": 9007199254740993}}');
    expect(after).toEqual({
      ...before,
      metadata: '{"a": 1, "deep": {"y": 9007199254740993}, "note": "x"}',
      updateTime: expect.anything(),
    });
    expect(after.updateTime).not.toEqual(before?.updateTime);
    expect((await list()).items).toEqual([after]);
  });

  it('says what is wrong with an update of metadata', async () => {
    await add(1);
    const id = (await list()).items[0]?.id ?? '';
    const refusals = [
      [newId(), '{}', 5, 'sql: no rows in result set'],
      ['x', '{}', 3, 'expects a valid item id'],
      [id, '[]', 3, 'Metadata must be a JSON object.'],
      [id, '{"a": "\\ud800"}', 3, 'Invalid character in text.'],
    ] as const;
    for (const [itemId, metadata, code, message] of refusals) {
      await expect(ledger.updateMetadata(itemId, metadata)).rejects.toMatchObject({ code, message });
    }
    expect((await list()).values).toEqual([1]);
  });

  it('deletes an item of that user only, and leaves the wallet', async () => {
    await add(1);
    const id = (await list()).items[0]?.id ?? '';
    expect(await ledger.delete((await signIn(node)).id, id)).toBe(false);
    expect((await list()).values).toEqual([1]);
    expect(await ledger.delete(userId, id)).toBe(true);
    expect(await ledger.delete(userId, id)).toBe(false);
    expect((await list()).values).toEqual([]);
    const { rows } = await sql.query('SELECT wallet::text FROM users WHERE id = $1', [userId]);
    expect(rows).toEqual([{ wallet: '{"coins": 1}' }]);
    await expect(ledger.delete(userId, 'x')).rejects.toMatchObject({ code: 3, message: 'expects a valid item id' });
    await expect(ledger.delete('x', id)).rejects.toMatchObject({ code: 3, message: 'expects a valid user id' });
  });

  const recorded = { updateLedger: true };
});
