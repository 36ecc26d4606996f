import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newId, nilUuid } from '../../platform/ids.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { waitFor } from '../../testing/wait.ts';
import type { Amounts, Ledger, WalletChange, WalletResult, Wallets } from './index.ts';

// Cases of the spec: storage-wallet-purchases.md, section 8.

describe('wallets', () => {
  let node: TestNode;
  let sql: pg.Client;
  let wallets: Wallets;
  let ledger: Ledger;
  let alice: Player;
  let bob: Player;
  beforeAll(async () => {
    node = await startTestNode();
    ({ wallets, ledger } = node.app.features.wallet);
    sql = new pg.Client(node.databaseUrl);
    await sql.connect();
  });
  beforeEach(async () => {
    [alice, bob] = [await signIn(node), await signIn(node)];
  });
  afterAll(async () => {
    await sql.end();
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  /** What the account shows, as the client gets it. */
  const walletText = async ({ authorization }: Player): Promise<string> =>
    (await request(node, 'GET', '/v2/account', { authorization })).body.wallet;
  const setWallet = (userId: string, text: string) =>
    sql.query('UPDATE users SET wallet = $2 WHERE id = $1', [userId, text]);
  const items = async (userId: string) => (await ledger.list({ userId })).items;
  const recorded = { updateLedger: true };

  // Both ways to change one wallet: alone, and inside a transaction.
  const ways: [string, (userId: string, changeset: Amounts, metadata?: string) => Promise<WalletResult>][] = [
    ['update', (userId, changeset, metadata) => wallets.update({ userId, changeset, metadata }, recorded)],
    [
      'updateMany',
      async (userId, changeset, metadata) => {
        const [result] = await wallets.updateMany([{ userId, changeset, metadata }], recorded);
        if (result === undefined) throw new Error('no result');
        return result;
      },
    ],
    [
      'update with a key',
      (userId, changeset, metadata) =>
        wallets.update({ userId, changeset, metadata }, { ...recorded, key: crypto.randomUUID() }),
    ],
  ];

  describe.each(ways)('%s', (_name, update) => {
    it('42: adds to an empty wallet and records it', async () => {
      const result = await update(alice.id, { coins: 10n });
      expect(result).toEqual({ userId: alice.id, previous: {}, updated: { coins: 10n } });
      expect(await walletText(alice)).toBe('{"coins": 10}');
      expect(await items(alice.id)).toMatchObject([
        { userId: alice.id, changeset: '{"coins": 10}', metadata: '{}', createTime: { seconds: expect.any(Number) } },
      ]);
    });

    it('43: rejects what would make it negative, without a trace', async () => {
      await setWallet(alice.id, '{"coins": 10}');
      await expect(update(alice.id, { gems: 1n, coins: -11n })).rejects.toMatchObject({
        code: 9,
        message: "wallet update rejected negative value at path 'coins'",
        userId: alice.id,
        path: 'coins',
        current: 10n,
        amount: -11n,
      });
      expect(await walletText(alice)).toBe('{"coins": 10}');
      expect(await items(alice.id)).toEqual([]);
    });

    it('44: keeps a key at 0', async () => {
      await setWallet(alice.id, '{"coins": 10}');
      expect((await update(alice.id, { coins: -10n })).updated).toEqual({ coins: 0n });
      expect(await walletText(alice)).toBe('{"coins": 0}');
    });

    it('52: is exact to 64 bits', async () => {
      await update(alice.id, { coins: 9007199254740000n });
      expect((await update(alice.id, { coins: 993n })).updated).toEqual({ coins: 9007199254740993n });
      expect(await walletText(alice)).toBe('{"coins": 9007199254740993}');
      const max = 9223372036854775807n;
      expect((await update(alice.id, { gems: max })).updated['gems']).toBe(max);
      await expect(update(alice.id, { gems: 1n })).rejects.toThrow(
        "wallet update rejected negative value at path 'gems'",
      );
      expect(await walletText(alice)).toBe(`{"gems": ${max}, "coins": 9007199254740993}`);
      expect((await items(alice.id)).map(({ changeset }) => changeset)).toEqual([
        `{"gems": ${max}}`,
        '{"coins": 993}',
        '{"coins": 9007199254740000}',
      ]);
    });

    it('takes keys as they are', async () => {
      const changeset = { 'a.b': 1n, '': 2n, ['__proto__']: 3n, '"\\ 😀': 4n };
      const { updated } = await update(alice.id, changeset);
      expect(Object.entries(updated).sort()).toEqual(Object.entries(changeset).sort());
      expect(JSON.parse(await walletText(alice))).toEqual({ 'a.b': 1, '': 2, ['__proto__']: 3, '"\\ 😀': 4 });
    });

    it('leaves what other software has put there as it is', async () => {
      const others = '"big": 99999999999999999999, "deep": {"a": [1, 1.50, null]}, "half": 0.50, "name": "x"';
      await setWallet(alice.id, `{${others}, "coins": 1}`);
      const result = await update(alice.id, { coins: 1n });
      expect([result.previous, result.updated]).toEqual([{ coins: 1n }, { coins: 2n }]);
      const { rows } = await sql.query(`SELECT wallet = $2::jsonb AS same, wallet::text FROM users WHERE id = $1`, [
        alice.id,
        `{${others}, "coins": 2}`,
      ]);
      expect(rows[0].same).toBe(true);
      expect(rows[0].wallet).toContain('"a": [1, 1.50, null]');
      await expect(update(alice.id, { half: 1n })).rejects.toMatchObject({
        code: 9,
        message: "wallet update rejected change of what is no whole number at path 'half'",
      });
    });

    it('touches the account even if nothing is added', async () => {
      await sql.query(`UPDATE users SET update_time = '2020-01-01' WHERE id = $1`, [alice.id]);
      expect(await update(alice.id, {}, '{"why": "nothing"}')).toEqual({ userId: alice.id, previous: {}, updated: {} });
      const { rows } = await sql.query('SELECT update_time > $2 AS touched FROM users WHERE id = $1', [
        alice.id,
        '2021-01-01',
      ]);
      expect(rows[0].touched).toBe(true);
      expect(await items(alice.id)).toMatchObject([{ changeset: '{}', metadata: '{"why": "nothing"}' }]);
    });

    it.each([
      ['an id', 'nobody', {}, undefined, 'expects a valid user id'],
      ['more than 64 bits', undefined, { coins: 2n ** 63n }, undefined, 'expects changeset values to be whole numbers'],
      [
        'fewer than 64 bits',
        undefined,
        { coins: -(2n ** 63n) - 1n },
        undefined,
        'expects changeset values to be whole',
      ],
      ['a double', undefined, { coins: 1.5 }, undefined, 'expects changeset values to be whole numbers'],
      ['metadata in a list', undefined, {}, '[1]', 'Metadata must be a JSON object.'],
      ['metadata in no JSON', undefined, {}, '{"a"', 'Metadata must be a JSON object.'],
      ['a NUL in the key', undefined, { 'a\0b': 1n }, undefined, 'Invalid character in text.'],
      ['half a character in the key', undefined, { 'a\ud800b': 1n }, undefined, 'Invalid character in text.'],
      ['a NUL in the metadata', undefined, {}, '{"a": "\\u0000"}', 'Invalid character in text.'],
      ['half a character in the metadata', undefined, {}, '{"a": "\\udc00"}', 'Invalid character in text.'],
    ])('refuses %s', async (_what, userId, changeset, metadata, message) => {
      await expect(update(userId ?? alice.id, changeset as unknown as Amounts, metadata)).rejects.toMatchObject({
        code: 3,
        message: expect.stringContaining(message),
      });
      expect(await walletText(alice)).toBe('{}');
    });
  });

  it('leaves no trace without updateLedger', async () => {
    await wallets.update({ userId: alice.id, changeset: { coins: 1n } });
    await wallets.updateMany([{ userId: alice.id, changeset: { coins: 1n } }], { updateLedger: false });
    expect(await walletText(alice)).toBe('{"coins": 2}');
    expect(await items(alice.id)).toEqual([]);
  });

  it('accepts ids in any spelling', async () => {
    const { userId } = await wallets.update({ userId: `{${alice.id.toUpperCase()}}`, changeset: { coins: 1n } });
    expect(userId).toBe(alice.id);
    expect(await walletText(alice)).toBe('{"coins": 1}');
  });

  it('has one for the system user, too', async () => {
    const { updated } = await wallets.update({ userId: nilUuid, changeset: { fees: 3n } });
    expect(updated).toEqual({ fees: 3n });
  });

  it('45: applies all changes or none', async () => {
    const changes = [
      { userId: alice.id, changeset: { coins: 5n } },
      { userId: bob.id, changeset: { coins: -1n } },
    ];
    await expect(wallets.updateMany(changes, recorded)).rejects.toMatchObject({ userId: bob.id, path: 'coins' });
    expect([await walletText(alice), await walletText(bob)]).toEqual(['{}', '{}']);
    expect([...(await items(alice.id)), ...(await items(bob.id))]).toEqual([]);
  });

  it('46: skips unknown users among several, and names a single one', async () => {
    const changes = [newId(), alice.id, newId()].map((userId) => ({ userId, changeset: { coins: 1n } }));
    expect(await wallets.updateMany(changes, recorded)).toEqual([
      { userId: alice.id, previous: {}, updated: { coins: 1n } },
    ]);
    const unknown = { userId: newId(), changeset: { coins: 1n } };
    expect(await wallets.updateMany([unknown], recorded)).toEqual([]);
    expect(await wallets.updateMany([], recorded)).toEqual([]);
    for (const key of [undefined, crypto.randomUUID()]) {
      await expect(wallets.update(unknown, { key })).rejects.toMatchObject({ code: 5, message: 'user not found' });
    }
  });

  it('applies several changes of one user in order, each with a row of its own', async () => {
    const changes: WalletChange[] = [
      { userId: alice.id, changeset: { coins: 5n }, metadata: '{"n": 1}' },
      { userId: bob.id, changeset: { coins: 1n }, metadata: '{"n": 2}' },
      { userId: alice.id, changeset: { coins: -4n, gems: 1n }, metadata: '{"n": 3}' },
    ];
    const updated = { coins: 1n, gems: 1n };
    expect(await wallets.updateMany(changes, recorded)).toEqual([
      { userId: alice.id, previous: {}, updated },
      { userId: bob.id, previous: {}, updated: { coins: 1n } },
      { userId: alice.id, previous: { coins: 5n }, updated },
    ]);
    expect((await items(alice.id)).map(({ metadata }) => metadata)).toEqual(['{"n": 3}', '{"n": 1}']);
  });

  it('changes many users at once', async () => {
    const players = await Promise.all(Array.from({ length: 12 }, () => signIn(node)));
    const changes = players.map(({ id }, n) => ({ userId: id, changeset: { coins: BigInt(n) } }));
    const results = await wallets.updateMany([...changes, ...changes], recorded);
    expect(results.map(({ userId }) => userId)).toEqual([...players, ...players].map(({ id }) => id));
    for (const [n, player] of players.entries()) {
      expect(await walletText(player)).toBe(`{"coins": ${2 * n}}`);
      expect(await items(player.id)).toHaveLength(2);
    }
  });

  it('takes no more changes than can be done at once', async () => {
    const changes = Array.from({ length: 10_001 }, () => ({ userId: alice.id, changeset: { coins: 1n } }));
    const message = 'Too many wallet updates, at most 10000 at once.';
    await expect(wallets.updateMany(changes)).rejects.toMatchObject({ code: 3, message });
    expect(await wallets.updateMany(changes.slice(1), { updateLedger: true })).toHaveLength(10_000);
    expect(await walletText(alice)).toBe('{"coins": 10000}');
  });

  it('waits for whoever has the wallet locked', async () => {
    const { rows: own } = await sql.query('SELECT pg_backend_pid() AS pid');
    await sql.query('BEGIN');
    await sql.query(`UPDATE users SET wallet = '{"coins": 100}' WHERE id = $1`, [alice.id]);
    const waiting = wallets.update({ userId: alice.id, changeset: { coins: 1n } }, recorded);
    const watcher = new pg.Client(node.databaseUrl);
    await watcher.connect();
    await waitFor('it to wait', async () => {
      const blocked = 'SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))';
      return (await watcher.query(blocked, [own[0].pid])).rows.length > 0;
    });
    await watcher.end();
    await sql.query('COMMIT');
    expect(await waiting).toEqual({ userId: alice.id, previous: { coins: 100n }, updated: { coins: 101n } });
    expect(await items(alice.id)).toHaveLength(1);
  });

  it('goes with the account', async () => {
    await wallets.update({ userId: alice.id, changeset: { coins: 1n } }, recorded);
    await node.app.features.erasure.erasure.deleteAccount(alice.id);
    expect(await items(alice.id)).toEqual([]);
    await expect(wallets.update({ userId: alice.id, changeset: {} })).rejects.toThrow('user not found');
  });
});
