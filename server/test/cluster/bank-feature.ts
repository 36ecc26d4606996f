import Long from 'long';
import type { Features } from '../../app/features.ts';
import type { Feature } from '../../features/feature.ts';
import { api } from '../../wire/method.ts';

/** A bank for tests: `TestingTransfer` moves coins between two wallets, and may write an object along. */
export function createBankFeature({ multiUpdate: { multiUpdate } }: Features): Feature {
  return {
    name: 'bank',
    methods: [
      api('TestingTransfer', { auth: 'session' }, async (_ctx, { key, from_id, to_id, coins, with_object }) => {
        const amount = BigInt(coins.toString());
        const metadata = JSON.stringify({ key });
        const object = {
          ...{ collection: 'bank', key, ownerId: from_id, value: metadata, version: '*' },
          ...{ permissionRead: 1, permissionWrite: 1 },
        };
        const { storageWriteAcks, walletUpdateAcks } = await multiUpdate.run({
          storageWrites: with_object ? [object] : [],
          walletUpdates: [
            { userId: from_id, changeset: { coins: -amount }, metadata },
            { userId: to_id, changeset: { coins: amount }, metadata },
          ],
          updateLedger: true,
          key,
        });
        const [from, to] = walletUpdateAcks.map(({ updated }) => Long.fromString(String(updated['coins'])));
        return { from_coins: from, to_coins: to, version: storageWriteAcks[0]?.version };
      }),
    ],
  };
}
