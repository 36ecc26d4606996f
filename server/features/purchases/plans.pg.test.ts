import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nilUuid } from '../../platform/ids.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import {
  findPurchase,
  findSubscription,
  findSubscriptionTo,
  forgetPurchaseRecords,
  forgetSubscriptionRecords,
  purchaseLists,
  purchasesOfUser,
  subscriptionLists,
  subscriptionsOfUser,
} from './queries.ts';

// What is asked of tables with many rows. MUSTER_TEST_PLANS=1 prints the plans.

const count = 20_000;
const user = '00000000-0000-4000-8000-000000000007';

const orphan = (table: string): Statement => ({
  name: `orphan_${table}`,
  text: `UPDATE ${table} SET user_id = DEFAULT WHERE user_id = $1`,
  kind: 'write',
});

describe('many purchases and subscriptions', () => {
  let node: TestNode;
  let sql: pg.Client;
  beforeAll(async () => {
    node = await startTestNode();
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
    await sql.query(
      `INSERT INTO users (id, username)
       SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n FROM generate_series(1, 200) AS n`,
    );
    const owner = `('00000000-0000-4000-8000-' || lpad((1 + n % 200)::text, 12, '0'))::uuid`;
    const at = `'2024-01-01'::timestamptz + n * INTERVAL '1 minute'`;
    await sql.query(
      `INSERT INTO purchase (transaction_id, user_id, product_id, purchase_time)
       SELECT 'p' || n, ${owner}, 'gems', ${at} FROM generate_series(1, ${count}) AS n`,
    );
    await sql.query(
      `INSERT INTO subscription (original_transaction_id, user_id, product_id, purchase_time, expire_time)
       SELECT 's' || n, ${owner}, 'season' || n % 7, ${at}, ${at} FROM generate_series(1, ${count}) AS n`,
    );
    await sql.query('ANALYZE');
  });
  afterAll(async () => {
    await sql?.end();
    await node?.stop();
  });

  const bounds = ['-infinity', 'infinity'];
  const statements: readonly (readonly [statement: Statement, params: readonly Param[]])[] = [
    [findPurchase, ['p7']],
    [findSubscription, ['s7']],
    [findSubscriptionTo, [user, 'season1']],
    // What the foreign keys do when a user is deleted.
    [orphan('purchase'), [user]],
    [orphan('subscription'), [user]],
    ...[forgetPurchaseRecords, forgetSubscriptionRecords, purchasesOfUser, subscriptionsOfUser].map(
      (statement) => [statement, [user]] as const,
    ),
    ...[purchaseLists, subscriptionLists].flatMap(({ older, newer, olderOfUser, newerOfUser }) => [
      [older, [...bounds, 'infinity', nilUuid, '', 101]] as const,
      [newer, [...bounds, '2024-01-05', user, 'p1', 101]] as const,
      [olderOfUser, [...bounds, 'infinity', user, '', 101]] as const,
      [newerOfUser, [...bounds, '2024-01-05', user, 'p1', 101]] as const,
    ]),
  ];

  const allUsers = new Set([purchaseLists, subscriptionLists].flatMap(({ older, newer }) => [older.name, newer.name]));

  it.each(['custom', 'generic'])('are never read from end to end, with a %s plan', async (kind) => {
    await sql.query(`SET plan_cache_mode = force_${kind}_plan`);
    for (const [{ name, text }, params] of statements) {
      const values = params.map((param) => pg.escapeLiteral(String(param)));
      await sql.query(`PREPARE explained AS ${text}`);
      const { rows } = await sql.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE explained (${values})`);
      await sql.query('DEALLOCATE explained');
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      if (process.env['MUSTER_TEST_PLANS'] !== undefined) console.log(`${name}, ${kind} plan\n${plan}\n`);
      expect(plan, name).toContain('Index Scan');
      expect(plan, name).not.toContain('Seq Scan');
      // What one user has may be sorted.
      if (allUsers.has(name)) expect(plan, name).not.toContain('Sort');
    }
  });
});
