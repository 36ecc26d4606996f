import { refusal } from '../refusals.ts';
import { type Fields, instantOf, numberOf, textOf } from './json.ts';
import { checkIds, Environment, Store, type StorePurchase, type StoreSubscription } from './store.ts';

// Transactions as StoreKit 2 signs them. Times are unix milliseconds; what is 0 is as good as missing.

/** Only subscriptions expire. */
export const isSubscription = (transaction: Fields): boolean => (numberOf(transaction, 'expiresDate') ?? 0) !== 0;

export function environmentOf(name: string): Environment {
  return name === 'Sandbox' ? Environment.SANDBOX : Environment.PRODUCTION;
}

/** @param jws the transaction as it was signed; what is kept. */
export function toPurchase(transaction: Fields, jws: string): StorePurchase {
  const [transactionId, productId] = [textOf(transaction, 'transactionId'), textOf(transaction, 'productId')];
  checkIds(transactionId, productId);
  return {
    store: Store.APPLE,
    environment: environmentOf(textOf(transaction, 'environment')),
    transactionId,
    productId,
    purchaseTime: instantOf(numberOf(transaction, 'purchaseDate')),
    refundTime: instantOf(numberOf(transaction, 'revocationDate') ?? 0),
    record: JSON.stringify({ jws }),
    response: '',
  };
}

export function toSubscription(transaction: Fields): Omit<StoreSubscription, 'response' | 'notification'> {
  const originalTransactionId = textOf(transaction, 'originalTransactionId');
  const productId = textOf(transaction, 'productId');
  checkIds(originalTransactionId, productId);
  const bought = numberOf(transaction, 'purchaseDate');
  return {
    store: Store.APPLE,
    environment: environmentOf(textOf(transaction, 'environment')),
    originalTransactionId,
    productId,
    purchaseTime: instantOf(numberOf(transaction, 'originalPurchaseDate') ?? bought),
    periodStart: instantOf(bought ?? 0),
    expireTime: instantOf(numberOf(transaction, 'expiresDate')),
    refundTime: instantOf(numberOf(transaction, 'revocationDate') ?? 0),
  };
}

/** Throws for what was bought in an app that is not one of these; any is, where there are none. */
export function checkApp(bundleIds: readonly string[], bundleId: string): void {
  if (bundleIds.length > 0 && !bundleIds.includes(bundleId)) throw refusal('receipt belongs to another app');
}
