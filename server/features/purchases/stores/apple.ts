import { failedPrecondition, purchaseReceipt, subscriptionReceipt } from '../refusals.ts';
import type { AppleLegacyReceipts } from './apple-legacy.ts';
import { type AppleSignatures, isSigned } from './apple-signatures.ts';
import { checkApp, isSubscription, toPurchase, toSubscription } from './apple-transaction.ts';
import { textOf } from './json.ts';
import type { StorePurchase, StoreSubscription } from './store.ts';

interface Dependencies {
  readonly signatures: AppleSignatures;
  readonly legacy: AppleLegacyReceipts;
  /** Apps whose purchases are taken; none for those of all. */
  readonly bundleIds: readonly string[];
}

/** Receipts of the App Store: transactions that it signed, or those that it has to be asked about. */
export class AppleReceipts {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** What was bought, in the order of the receipt; a signed transaction needs no password. */
  async purchases(receipt: string, password: string): Promise<StorePurchase[]> {
    const { signatures, legacy, bundleIds } = this.#deps;
    if (!isSigned(receipt)) {
      if (password === '') throw failedPrecondition('Apple IAP is not configured.');
      return await legacy.purchases(receipt, password);
    }
    const transaction = signatures.open(receipt);
    if (isSubscription(transaction)) throw subscriptionReceipt();
    checkApp(bundleIds, textOf(transaction, 'bundleId'));
    return [toPurchase(transaction, receipt)];
  }

  /** The subscriptions of the receipt; the one that lasts longest comes first. */
  async subscriptions(receipt: string, password: string): Promise<[StoreSubscription, ...StoreSubscription[]]> {
    const { signatures, legacy, bundleIds } = this.#deps;
    if (!isSigned(receipt)) return await legacy.subscriptions(receipt, password);
    const transaction = signatures.open(receipt);
    if (!isSubscription(transaction)) throw purchaseReceipt();
    checkApp(bundleIds, textOf(transaction, 'bundleId'));
    const response = JSON.stringify({ jws: receipt });
    return [{ ...toSubscription(transaction), response, notification: '' }];
  }
}
