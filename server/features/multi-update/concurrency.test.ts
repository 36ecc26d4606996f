import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { otherDatabase } from '../../store/connection-config.ts';
import { signIn } from '../../testing/http.ts';
import { launchNode, type TestNode } from '../../testing/node.ts';
import { Random } from '../../testing/random.ts';
import { waitFor } from '../../testing/wait.ts';
import type { MultiUpdateRequest } from './index.ts';

// A database of its own: deadlocks are counted by database.

const base = process.env['MUSTER_TEST_DATABASE_URL'] ?? '';
const name = `test_deadlocks_${randomBytes(6).toString('hex')}`;
const url = otherDatabase(base, name);

describe('many at once on the same wallets and objects', () => {
  let nodes: TestNode[];
  let sql: pg.Client;
  const users: string[] = [];
  beforeAll(async () => {
    const config = { 'database.auto_migrate': true, 'database.pool_size': 8, 'database.acquire_timeout_ms': 30_000 };
    nodes = [await launchNode({ config: { name: 'one', ...config } }, url)];
    nodes.push(await launchNode({ config: { name: 'two', ...config } }, url));
    for (let n = 0; n < 6; n++) users.push((await signIn(nodes[0] as TestNode)).id);
    sql = new pg.Client(url);
    await sql.connect();
  });
  afterAll(async () => {
    await sql.end();
    expect(nodes.flatMap(({ errors }) => errors)).toEqual([]);
    await Promise.all(nodes.map((node) => node.stop()));
    const client = new pg.Client(base);
    await client.connect();
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await client.end();
  });

  const nodeOf = (n: number): TestNode => nodes[n % nodes.length] as TestNode;
  const multiUpdate = (n: number, request: MultiUpdateRequest) =>
    nodeOf(n).app.features.multiUpdate.multiUpdate.run(request);
  const sums = async (): Promise<{ wallets: number; ledger: number; lowest: number }> => {
    const { rows } = await sql.query(
      `SELECT (SELECT sum((wallet ->> 'coins')::numeric) FROM users)::float8 AS wallets,
         (SELECT min((wallet ->> 'coins')::numeric) FROM users)::float8 AS lowest,
         (SELECT sum((changeset ->> 'coins')::numeric) FROM wallet_ledger)::float8 AS ledger`,
    );
    return rows[0];
  };
  /** As the statistics have it: sessions report it some time later. */
  const deadlocks = async (): Promise<number> => {
    const { rows } = await sql.query('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()');
    return rows[0].deadlocks;
  };

  it('adds up 100 updates of one wallet, over both nodes', async () => {
    const userId = users[0] as string;
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        nodeOf(n).app.features.wallet.wallets.update({ userId, changeset: { coins: 1n } }, { updateLedger: true }),
      ),
    );
    const steps = results.map(({ previous, updated }) => [previous['coins'] ?? 0n, updated['coins']]);
    // Each one saw exactly what the one before it had left.
    expect(steps.sort(([a], [b]) => Number(a) - Number(b))).toEqual(steps.map((_, n) => [BigInt(n), BigInt(n + 1)]));
    expect(await sums()).toEqual({ wallets: 100, ledger: 100, lowest: 100 });
  });

  it('never spends a coin twice', async () => {
    const userId = users[1] as string;
    const pay = (n: number, coins: bigint) =>
      nodeOf(n).app.features.wallet.wallets.update({ userId, changeset: { coins } }, { updateLedger: true });
    await pay(0, 30n);
    const settled = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => pay(n, -1n)));
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(30);
    for (const result of settled) {
      if (result.status === 'rejected') expect(result.reason.message).toContain('rejected negative value');
    }
    expect(await sums()).toMatchObject({ wallets: 100, ledger: 100, lowest: 0 });
  });

  it('goes through 1000 multi-updates over the same rows in all orders without a deadlock (seed 11)', async () => {
    const random = new Random(11);
    await Promise.all(
      users.map((userId, n) => multiUpdate(n, { walletUpdates: [{ userId, changeset: { coins: 1000n } }] })),
    );
    const before = await sums();
    const shuffled = <T>(items: readonly T[]): T[] =>
      items
        .map((item) => [random.next(), item] as const)
        .sort(([a], [b]) => a - b)
        .map(([, item]) => item);
    const requestOf = (n: number): MultiUpdateRequest => {
      const some = shuffled(users).slice(0, 2 + random.below(4));
      const object = (ownerId: string) => ({ collection: 'shared', key: `k${random.below(3)}`, ownerId, version: '' });
      return {
        accountUpdates: shuffled(some)
          .slice(0, 2)
          .map((userId) =>
            random.chance(0.3) ? { userId, username: `${userId}-${n}` } : { userId, displayName: `${n}` },
          ),
        storageWrites: shuffled(some).map((ownerId) => ({
          ...object(ownerId),
          value: `{"n":${n}}`,
          permissionRead: 1,
          permissionWrite: 1,
        })),
        storageDeletes: random.chance(0.5) ? shuffled(some).slice(0, 2).map(object) : [],
        walletUpdates: shuffled([
          { userId: some[0] as string, changeset: { coins: -1n } },
          { userId: some[1] as string, changeset: { coins: 1n } },
        ]),
        updateLedger: true,
        key: random.chance(0.3) ? crypto.randomUUID() : undefined,
      };
    };
    const requests = Array.from({ length: 1000 }, (_, n) => requestOf(n));
    let next = 0;
    const client = async (): Promise<void> => {
      for (let n = next++; n < requests.length; n = next++) await multiUpdate(n, requests[n] as MultiUpdateRequest);
    };
    await Promise.all(Array.from({ length: 16 }, client));
    expect(await sums()).toMatchObject({ wallets: before.wallets, ledger: before.ledger });
    // One on purpose, which is counted: then all that there were before have been, too.
    await deadlockOnPurpose(users);
    await waitFor('the deadlock on purpose to be counted', async () => (await deadlocks()) > 0);
    await Promise.all(nodes.map((node) => node.stop()));
    await waitFor('the nodes to be gone', async () => {
      const { rows } = await sql.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'muster %' AND datname = current_database()`,
      );
      return rows.length === 0;
    });
    expect(await deadlocks()).toBe(1);
  });
});

/** Two sessions lock two users in opposite order; one of them is the victim. */
async function deadlockOnPurpose([first, second]: readonly string[]): Promise<void> {
  const clients = [new pg.Client(url), new pg.Client(url)];
  const lock = (client: pg.Client, id: string | undefined) =>
    client.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [id]);
  const [a, b] = clients as [pg.Client, pg.Client];
  for (const client of clients) {
    await client.connect();
    await client.query('BEGIN');
  }
  await lock(a, first);
  await lock(b, second);
  const settled = await Promise.allSettled([lock(a, second), lock(b, first)]);
  const victims = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
  expect(victims).toEqual(['40P01']);
  for (const client of clients) await client.end();
}
