import { AppError, Code, internalUnlessTransient } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { sqlState } from '../../store/pg-errors.ts';
import { instantParam } from '../../store/types.ts';
import { type PurchaseRow, type SubscriptionRow, upsertPurchases, upsertSubscription } from './queries.ts';
import { epoch, type StorePurchase, type StoreSubscription } from './stores/store.ts';

const noSuchReference = '23503';

/** Did nothing come of it because there is no such user? */
export const isUnknownUser = (error: unknown): boolean => sqlState(error) === noSuchReference;

/**
 * Keeps purchases of one receipt, and answers the row of each by its transaction. Those that are new become the user's;
 * the others stay whose they are. Throws NOT_FOUND when there is something new and no such user.
 */
export async function keepPurchases(
  db: Database,
  userId: string,
  found: readonly [StorePurchase, ...StorePurchase[]],
): Promise<ReadonlyMap<string, PurchaseRow>> {
  const [{ store, environment }] = found;
  const rows = await kept(
    db.query(upsertPurchases, [
      userId,
      store,
      environment,
      found.map(({ transactionId }) => transactionId),
      found.map(({ productId }) => productId),
      found.map(({ purchaseTime }) => instantParam(purchaseTime)),
      found.map(({ refundTime }) => instantParam(refundTime ?? epoch)),
      found.map(({ record }) => record),
    ]),
  );
  return new Map(rows.map((row) => [row.transaction_id, row]));
}

/** Keeps a subscription. A new one becomes the user's; one that is there stays whose it is. Throws as `keepPurchases`. */
export async function keepSubscription(
  db: Database,
  userId: string,
  found: StoreSubscription,
): Promise<SubscriptionRow> {
  const [row] = await kept(
    db.query(upsertSubscription, [
      found.originalTransactionId,
      userId,
      found.productId,
      found.store,
      found.environment,
      instantParam(found.purchaseTime),
      instantParam(found.expireTime),
      instantParam(found.refundTime),
      found.response || '{}',
      found.notification || '{}',
      instantParam(found.periodStart),
    ]),
  );
  return row as SubscriptionRow;
}

async function kept<Row>(rows: Promise<Row[]>): Promise<Row[]> {
  try {
    return await rows;
  } catch (error) {
    if (isUnknownUser(error)) throw new AppError(Code.NOT_FOUND, 'user not found', { cause: error });
    throw internalUnlessTransient(error, 'Error storing purchases.');
  }
}
