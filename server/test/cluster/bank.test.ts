import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { signIn } from '../../testing/http.ts';
import { type ProcessNode, startProcessNode } from '../../testing/process-node.ts';
import { Random } from '../../testing/random.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import { totalOfWallets, violations } from './bank-checks.ts';
import { BankClients, type Transfer } from './bank-clients.ts';

// Reliability anchor F12: coins move between wallets while nodes and Redis are killed, and none is lost or made. The
// whole of it: MUSTER_BANK_OPERATIONS=20000 npx vitest run --project single server/test/cluster/bank.test.ts

const operations = Number(process.env['MUSTER_BANK_OPERATIONS'] ?? 3000);
const seed = Number(process.env['MUSTER_BANK_SEED'] ?? 12);
const accountCount = 50;
const opening = 1000;
const clientCount = 24;
/** How long the clients take for all operations, if nothing goes wrong. */
const runMs = Math.max(20_000, 4 * operations);
const program = fileURLToPath(new URL('bank-node.ts', import.meta.url));

describe.skipIf(!redisAvailable)('a bank on two nodes', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let sql: pg.Client;
  /** By their place; one that is being restarted is still there. */
  const nodes: ProcessNode[] = [];
  /** What all of them logged as errors. */
  const errors: (readonly string[])[] = [];
  const accounts: string[] = [];

  const startNode = async (place: number): Promise<void> => {
    const flags = { name: `bank-${place}`, 'database.url': schema.url, 'redis.url': redis.url };
    const node = await startProcessNode(flags, { program });
    nodes[place] = node;
    errors.push(node.errors);
  };
  /** As a crash would, and another one in its place. */
  const killNode = async (place: number): Promise<void> => {
    const node = nodes[place] as ProcessNode;
    process.kill(node.pid, 'SIGKILL');
    await node.stop();
    await startNode(place);
  };
  const killRedis = async (): Promise<void> => {
    await redis.kill9();
    await sleep(1000);
    await redis.restart();
  };

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    await startNode(0);
    await startNode(1);
    sql = new pg.Client(schema.url);
    await sql.connect();
    for (let n = 0; n < accountCount; n++) accounts.push((await signIn(nodes[n % 2] as ProcessNode)).id);
    await sql.query('UPDATE users SET wallet = $2 WHERE id = ANY ($1)', [accounts, `{"coins": ${opening}}`]);
  });
  afterAll(async () => {
    await sql.end();
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all([schema.drop(), redis.stop()]);
  });

  it(
    `F12: neither loses nor makes a coin over ${operations} transfers, with all its nodes and Redis killed (seed ${seed})`,
    async () => {
      const { token } = await signIn(nodes[0] as ProcessNode);
      const clients = new BankClients({
        random: new Random(seed),
        accounts,
        token,
        urls: () => nodes.map(({ url }) => url),
        pauseMs: (clientCount * runMs) / operations,
      });
      const watch = watchTotal(schema.url);
      clients.start(clientCount);
      const reached = (share: number): Promise<unknown> =>
        waitFor(`${share} of the transfers`, () => clients.history.length >= share * operations, 10 * runMs);
      await reached(0.15);
      await killNode(0);
      await reached(0.4);
      await killNode(1);
      await reached(0.55);
      await killRedis();
      await reached(0.75);
      await killNode(0);
      await reached(1);
      await clients.stop();
      const totals = await watch.stop();
      // What a killed node had sent may still be under way; a node that stops waits for its own.
      await Promise.all(nodes.map((node) => node.stop()));

      const { history, surprises, unanswered, repeats } = clients;
      const count = (outcome: string): number => history.filter((transfer) => transfer.outcome === outcome).length;
      const counts = { ok: count('ok'), failed: count('failed'), unknown: count('unknown') };
      console.log('bank', { transfers: history.length, ...counts, unanswered, repeats, snapshots: totals.length });
      expect(surprises).toEqual([]);
      expect(errors.flat()).toEqual([]);
      expect(new Set(totals)).toEqual(new Set([accountCount * opening]));
      expect(totals.length).toBeGreaterThan(50);
      const bank = { accounts, opening };
      expect(await violations(sql, history, bank)).toEqual([]);
      for (const [fault, expected] of canaries(history)) {
        await sql.query('BEGIN');
        await sql.query(fault);
        expect((await violations(sql, history, bank)).join('\n'), fault).toContain(expected);
        await sql.query('ROLLBACK');
      }
      expect(history.length).toBeGreaterThanOrEqual(operations);
      expect(counts.ok).toBeGreaterThan(0.8 * operations);
      expect(counts.failed).toBeGreaterThan(0);
      expect(repeats).toBeGreaterThan(0.05 * operations);
      // The faults did hit.
      expect(unanswered).toBeGreaterThan(0);
    },
    60_000 + 12 * runMs,
  );
});

/** Faults that the checks must see, or they could not be trusted. */
function canaries(history: readonly Transfer[]): [sql: string, expected: string][] {
  const { key, from, to } = history.findLast(({ outcome, withObject }) => outcome === 'ok' && withObject) as Transfer;
  const add = (coins: number, id: string): string =>
    `UPDATE users SET wallet = jsonb_build_object('coins', (wallet ->> 'coins')::int + ${coins}) WHERE id = '${id}';`;
  const refused = history.find(({ outcome }) => outcome === 'failed')?.key;
  return [
    [add(1, to), 'W1'],
    [add(-1, from) + add(1, to), 'W2'],
    [`DELETE FROM wallet_ledger WHERE metadata ->> 'key' = '${key}'`, `W3: ${key} was acknowledged`],
    [
      `INSERT INTO wallet_ledger SELECT gen_random_uuid(), user_id, changeset, metadata FROM wallet_ledger
       WHERE metadata ->> 'key' = '${key}'`,
      `W3: ${key} is in the ledger as`,
    ],
    [`UPDATE wallet_ledger SET metadata = '{"key": "none"}' WHERE metadata ->> 'key' = '${key}'`, 'nobody asked'],
    [`DELETE FROM storage WHERE key = '${key}'`, `${key} and its object`],
    [
      `UPDATE wallet_ledger SET metadata = '{"key": "${refused}"}' WHERE metadata ->> 'key' = '${key}'`,
      `W3: ${refused} is in the ledger as`,
    ],
    [`UPDATE wallet_ledger SET metadata = '{"key": "${refused}"}' WHERE metadata ->> 'key' = '${key}'`, 'was refused'],
  ];
}

/** Adds up all wallets, all the time. */
function watchTotal(url: string): { stop(): Promise<number[]> } {
  const totals: number[] = [];
  let isStopping = false;
  const loop = async (): Promise<void> => {
    const sql = new pg.Client(url);
    await sql.connect();
    while (!isStopping) {
      totals.push(await totalOfWallets(sql));
      await sleep(10);
    }
    await sql.end();
  };
  const running = loop();
  return {
    async stop() {
      isStopping = true;
      await running;
      return totals;
    },
  };
}
