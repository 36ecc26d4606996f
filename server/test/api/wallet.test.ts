import { expect, test } from 'vitest';
import type { MultiUpdate } from '../../features/multi-update/index.ts';
import type { Ledger, Wallets } from '../../features/wallet/index.ts';
import { newId } from '../../platform/ids.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';

// Cases of the spec: storage-wallet-purchases.md, sections 3, 4 and 8. Clients have no method that changes a wallet, nor
// one that lists the ledger: game code does, on whichever node, and clients see what their account shows. The corners of
// the arithmetic have their tests beside the code.

describeDoors('wallets', {}, (doorway) => {
  const wallets = (): Wallets => doorway.server.features.wallet.wallets;
  const ledger = (): Ledger => doorway.server.features.wallet.ledger;
  const multiUpdate = (): MultiUpdate => doorway.server.features.multiUpdate.multiUpdate;
  /** What the account shows, as text. */
  const shown = async ({ authorization }: Player): Promise<string> =>
    (await doorway.ok('GetAccount', authorization)).wallet;
  const give = (player: Player, coins: bigint, updateLedger = true) =>
    wallets().update({ userId: player.id, changeset: { coins } }, { updateLedger });
  const rows = async ({ id }: Player): Promise<number> => (await ledger().list({ userId: id })).items.length;

  test('wallet #42, #43, #44: what is added, what is too much to take, and what is left', async () => {
    const player = await signIn(doorway.server);
    expect(await shown(player)).toBe('{}');
    expect(await give(player, 10n)).toEqual({ userId: player.id, previous: {}, updated: { coins: 10n } });
    expect(await shown(player)).toBe('{"coins": 10}');
    await expect(give(player, -11n)).rejects.toThrow("wallet update rejected negative value at path 'coins'");
    expect(await shown(player)).toBe('{"coins": 10}');
    expect(await rows(player)).toBe(1);
    expect((await give(player, -10n)).updated).toEqual({ coins: 0n });
    expect(await shown(player)).toBe('{"coins": 0}');
  });

  test('wallet #45, #46: of several all or none, and those of unknown users left out', async () => {
    const [a, b] = [await signIn(doorway.server), await signIn(doorway.server)];
    const change = (userId: string, coins: bigint) => ({ userId, changeset: { coins } });
    await expect(wallets().updateMany([change(a.id, 5n), change(b.id, -1n)])).rejects.toThrow("at path 'coins'");
    expect([await shown(a), await shown(b)]).toEqual(['{}', '{}']);
    const unknown = newId();
    const results = await wallets().updateMany([change(unknown, 1n), change(a.id, 1n)]);
    expect(results).toEqual([{ userId: a.id, previous: {}, updated: { coins: 1n } }]);
    expect(await shown(a)).toBe('{"coins": 1}');
    await expect(wallets().update(change(unknown, 1n))).rejects.toMatchObject({ code: 5, message: 'user not found' });
  });

  test('wallet #47, #48: the ledger is listed from the newest on, to its owner’s cursor only', async () => {
    const [a, b] = [await signIn(doorway.server), await signIn(doorway.server)];
    for (const coins of [1n, 2n, 3n]) await give(a, coins);
    await give(b, 1n);
    const first = await ledger().list({ userId: a.id, limit: 2 });
    expect(first.items.map(({ changeset }) => changeset)).toEqual(['{"coins": 3}', '{"coins": 2}']);
    const second = await ledger().list({ userId: a.id, limit: 2, cursor: first.nextCursor });
    expect([second.items.map(({ changeset }) => changeset), second.nextCursor]).toEqual([['{"coins": 1}'], '']);
    const foreign = ledger().list({ userId: b.id, limit: 2, cursor: first.nextCursor });
    await expect(foreign).rejects.toMatchObject({ code: 3, message: 'wallet ledger cursor invalid' });
  });

  test('wallet #49: metadata of a row is merged', async () => {
    const player = await signIn(doorway.server);
    const change = { userId: player.id, changeset: { coins: 1n }, metadata: '{"a":1}' };
    await wallets().update(change, { updateLedger: true });
    const [item] = (await ledger().list({ userId: player.id })).items;
    const merged = await ledger().updateMetadata(item?.id ?? '', '{"note":"x"}');
    expect(JSON.parse(merged.metadata)).toEqual({ a: 1, note: 'x' });
    expect((await ledger().list({ userId: player.id })).items).toEqual([merged]);
    expect(merged.changeset).toBe('{"coins": 1}');
  });

  test('wallet #50, #51: objects and wallets change together or not at all', async () => {
    const player = await signIn(doorway.server);
    const write = (key: string, version = '') => ({
      ...{ collection: 'wallet', key, ownerId: player.id, value: '{}', version },
      ...{ permissionRead: 1, permissionWrite: 1 },
    });
    const objects = async (): Promise<string[]> => {
      const request = { collection: 'wallet', user_id: player.id, limit: 10 };
      const { objects: found = [] } = await doorway.ok('ListStorageObjects', player.authorization, request);
      return found.map(({ key }: { key: string }) => key);
    };
    const pay = (coins: bigint) => [{ userId: player.id, changeset: { coins } }];
    const overdrawn = multiUpdate().run({ storageWrites: [write('k')], walletUpdates: pay(-1n) });
    await expect(overdrawn).rejects.toThrow("wallet update rejected negative value at path 'coins'");
    expect(await objects()).toEqual([]);
    const stale = multiUpdate().run({ storageWrites: [write('k', 'f'.repeat(32))], walletUpdates: pay(5n) });
    await expect(stale).rejects.toThrow('Storage write rejected - version check failed.');
    expect([await shown(player), await objects()]).toEqual(['{}', []]);
    await multiUpdate().run({ storageWrites: [write('k')], walletUpdates: pay(5n) });
    expect([await shown(player), await objects()]).toEqual(['{"coins": 5}', ['k']]);
  });

  test('wallet #52: amounts beyond what a double holds are exact', async () => {
    const player = await signIn(doorway.server);
    await give(player, 9_007_199_254_740_992n);
    await give(player, 1n);
    expect(await shown(player)).toBe('{"coins": 9007199254740993}');
  });
});
