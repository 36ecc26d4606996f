import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../store/database.ts';
import { exportRows } from '../export-items.ts';
import type { UserData } from '../feature.ts';
import { forgetPurchaseRecords, forgetSubscriptionRecords, purchasesOfUser, subscriptionsOfUser } from './queries.ts';
import { storedPurchase, storedSubscription } from './validated.ts';
import { toPurchase, toSubscription } from './wire.ts';

/** Purchases outlive their owner, as the system user's: what was bought, when and where, but not what the store wrote. */
export function purchasesUserData(db: Database, clock: Clock): UserData {
  return {
    async erase(tx, userId) {
      await tx.execute(forgetPurchaseRecords, [userId]);
      await tx.execute(forgetSubscriptionRecords, [userId]);
    },
    lists: [
      {
        key: 'purchases',
        items: (userId) =>
          exportRows(db, purchasesOfUser, userId, 'nakama.api.ValidatedPurchase', (row) =>
            toPurchase(storedPurchase(row)),
          ),
      },
      {
        key: 'subscriptions',
        items: (userId) =>
          exportRows(db, subscriptionsOfUser, userId, 'nakama.api.ValidatedSubscription', (row) =>
            toSubscription(storedSubscription(row, clock)),
          ),
      },
    ],
  };
}
