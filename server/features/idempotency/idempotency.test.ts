import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../platform/errors.ts';
import { Database } from '../../store/database.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { FaultProxy } from '../../testing/fault-proxy.ts';
import { signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { quiet } from '../../testing/store.ts';
import { Idempotency } from './idempotency.ts';

// Reliability anchors F3 and F27, with changes of wallets as the effect.

describe('operations with an idempotency key', () => {
  let schema: TestSchema;
  let proxy: FaultProxy;
  let one: TestNode;
  let two: TestNode;
  let sql: pg.Client;
  let userId: string;
  let key: string;
  beforeAll(async () => {
    schema = await createTestSchema();
    proxy = new FaultProxy(schema.url);
    one = await startTestNode({ databaseUrl: await proxy.listen(), config: { name: 'one' } });
    two = await startTestNode({ databaseUrl: schema.url, config: { name: 'two' } });
    sql = new pg.Client(schema.url);
    await sql.connect();
  });
  beforeEach(async () => {
    userId = (await signIn(two)).id;
    key = crypto.randomUUID();
  });
  afterAll(async () => {
    await sql.end();
    expect([...one.errors, ...two.errors]).toEqual([]);
    await Promise.all([one.stop(), two.stop()]);
    await proxy[Symbol.asyncDispose]();
    await schema.drop();
  });

  const pay = (node: TestNode, coins: bigint, options: { key?: string; updateLedger?: boolean } = { key }) =>
    node.app.features.wallet.wallets.update({ userId, changeset: { coins } }, { updateLedger: true, ...options });
  const coinsAndRows = async (): Promise<[coins: string, rows: number]> => {
    const { rows } = await sql.query(
      `SELECT wallet ->> 'coins' AS coins, (SELECT count(*) FROM wallet_ledger WHERE user_id = users.id)::int AS rows
       FROM users WHERE id = $1`,
      [userId],
    );
    return [rows[0].coins, rows[0].rows];
  };
  const storedKeys = async (): Promise<number> =>
    (await sql.query('SELECT count(*)::int AS count FROM muster_idempotency')).rows[0].count;

  it('happen once, and answer a repeat on any node as they did the first time', async () => {
    const first = await pay(one, 10n);
    expect(await pay(one, -4n, { key: `${key}-other` })).toMatchObject({ updated: { coins: 6n } });
    expect(await pay(one, 10n)).toEqual(first);
    expect(await pay(two, 10n)).toEqual(first);
    expect(first).toEqual({ userId, previous: {}, updated: { coins: 10n } });
    expect(await coinsAndRows()).toEqual(['6', 2]);
  });

  it('happen once when 50 callers ask at once over two nodes', async () => {
    for (let round = 0; round < 5; round++) {
      const roundKey = `${key}-${round}`;
      const calls = Array.from({ length: 50 }, (_, n) => pay(n % 2 === 0 ? one : two, 1n, { key: roundKey }));
      const answers = await Promise.all(calls);
      for (const answer of answers) expect(answer).toEqual(answers[0]);
      expect(answers[0]?.updated).toEqual({ coins: BigInt(round + 1) });
      expect(await coinsAndRows()).toEqual([String(round + 1), round + 1]);
    }
  });

  it('are refused when the key was used for another request, whoever comes first', async () => {
    await pay(one, 1n);
    const { wallets } = one.app.features.wallet;
    const another = { code: 6, message: 'Idempotency key was used for another request.' };
    await expect(pay(one, 2n)).rejects.toMatchObject(another);
    await expect(pay(two, 1n, { key, updateLedger: false })).rejects.toMatchObject(another);
    await expect(wallets.updateMany([{ userId, changeset: { coins: 1n } }], { key })).rejects.toMatchObject(another);
    expect(await coinsAndRows()).toEqual(['1', 1]);

    const other = `${key}-race`;
    const calls = Array.from({ length: 20 }, (_, n) => pay(n % 2 === 0 ? one : two, BigInt(n + 1), { key: other }));
    const settled = await Promise.allSettled(calls);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of settled) if (result.status === 'rejected') expect(result.reason).toMatchObject(another);
    expect((await coinsAndRows())[1]).toBe(2);
  });

  it('leave nothing of the key when they fail, and may be asked again', async () => {
    const before = await storedKeys();
    await expect(pay(one, -5n)).rejects.toThrow("rejected negative value at path 'coins'");
    expect(await storedKeys()).toBe(before);
    await pay(one, 5n, {});
    expect(await pay(two, -5n)).toMatchObject({ updated: { coins: 0n } });
    // Now the wallet would not bear it a second time, but it need not.
    expect(await pay(one, -5n)).toMatchObject({ previous: { coins: 5n }, updated: { coins: 0n } });
    expect(await coinsAndRows()).toEqual(['0', 2]);
  });

  it.each(['cut-before', 'cut-after'] as const)('settle an outcome that got lost with the commit (%s)', async (how) => {
    let committed = 0;
    for (let round = 1; round <= 20; round++) {
      const roundKey = `${key}-${how}-${round}`;
      const cut = { done: false, near: false };
      proxy.onChunk = (chunk) => {
        if (chunk.includes('idempotency_store')) cut.near = true;
        if (cut.done || !cut.near || !chunk.includes('muster_commit')) return 'pass';
        cut.done = true;
        return how;
      };
      const lost = await pay(one, 1n, { key: roundKey }).catch((error) => error);
      proxy.onChunk = () => 'pass';
      expect(lost).toBeInstanceOf(AppError);
      expect([lost.code, lost.retry, cut.done]).toEqual([14, 'unknown', true]);
      // The database may still be at it; what the repeat answers does not depend on that.
      if ((await coinsAndRows())[1] === round) committed++;
      const answer = { userId, updated: { coins: BigInt(round) } };
      expect(await pay(round % 2 === 0 ? one : two, 1n, { key: roundKey })).toMatchObject(answer);
      expect(await pay(one, 1n, { key: roundKey })).toMatchObject(answer);
      expect(await coinsAndRows()).toEqual([String(round), round]);
    }
    if (how === 'cut-before') expect(committed).toBe(0);
    else expect(committed).toBeGreaterThan(0);
  });

  it('need a key that is one', async () => {
    const message = 'Idempotency key must be 1-256 characters.';
    for (const bad of ['', 'k'.repeat(257), `\ud800${key}`]) {
      await expect(pay(one, 1n, { key: bad })).rejects.toMatchObject({ code: 3, message });
    }
    for (const odd of ['k'.repeat(256), `\0${key}`, `😀${key}`]) await pay(one, 1n, { key: odd });
    expect(await coinsAndRows()).toEqual(['3', 3]);
  });

  it('do not keep the ids of users', async () => {
    await pay(one, 1n, { key: `reward:${userId}` });
    const { rows } = await sql.query(
      `SELECT count(*)::int AS count FROM muster_idempotency
       WHERE position($1 IN result) > 0 OR position(convert_to($1, 'UTF8') IN key || request) > 0`,
      [userId],
    );
    expect(rows[0].count).toBe(0);
  });

  it('are forgotten after a while, the old ones only', async () => {
    await sql.query('DELETE FROM muster_idempotency');
    await sql.query(
      `INSERT INTO muster_idempotency (key, request, result, create_time)
       SELECT sha256(n::text::bytea), '', '', now() - INTERVAL '2 hours' FROM generate_series(1, 1234) AS n`,
    );
    await pay(one, 1n);
    const db = new Database({ url: schema.url }, quiet);
    const hour = new Idempotency(db, 3600);
    const purged = await Promise.all([hour.purge(), hour.purge()]);
    expect(purged[0] + purged[1]).toBe(1234);
    expect(await storedKeys()).toBe(1);
    expect(await hour.purge()).toBe(0);
    await db.close();
    await pay(one, 1n);
    expect(await coinsAndRows()).toEqual(['1', 1]);
  });
});
