import { unavailable } from '../../../platform/errors.ts';
import { failedPrecondition, purchaseReceipt, refusal, subscriptionReceipt } from '../refusals.ts';
import { checkApp, environmentOf } from './apple-transaction.ts';
import { type Fields, instantOf, listOf, numberOf, objectOf, textOf } from './json.ts';
import { checkIds, type Environment, Store, type StorePurchase, type StoreSubscription } from './store.ts';
import type { Answer, StoreCalls } from './store-calls.ts';

const production = 'https://buy.itunes.apple.com/verifyReceipt';
const sandbox = 'https://sandbox.itunes.apple.com/verifyReceipt';
const receiptOfSandbox = 21007;

/** Most text that is kept of one receipt, where each purchase keeps all of it. */
const maxRecordChars = 4_194_304;

/** Receipts of before StoreKit 2, which Apple takes apart for us. */
export class AppleLegacyReceipts {
  readonly #calls: StoreCalls;
  readonly #bundleIds: readonly string[];

  constructor(calls: StoreCalls, bundleIds: readonly string[]) {
    this.#calls = calls;
    this.#bundleIds = bundleIds;
  }

  /** What was bought once, in the order of the receipt. */
  async purchases(receipt: string, password: string): Promise<StorePurchase[]> {
    const { text, fields } = await this.#verified(receipt, password);
    const items = [...listOf(objectOf(fields, 'receipt') ?? {}, 'in_app'), ...listOf(fields, 'latest_receipt_info')];
    const single = items.filter((item) => !expires(item));
    if (single.length === 0 && items.length > 0) throw subscriptionReceipt();
    const bought = firstOfEach(single, 'transaction_id');
    const record = recordOf(bought, text);
    const environment = environmentOf(textOf(fields, 'environment'));
    return bought.map((item) => toPurchase(item, environment, record(item)));
  }

  /** The subscriptions of the receipt, each as of its last period; the one that lasts longest comes first. */
  async subscriptions(receipt: string, password: string): Promise<[StoreSubscription, ...StoreSubscription[]]> {
    const { text, fields } = await this.#verified(receipt, password);
    const periods = listOf(fields, 'latest_receipt_info').filter(expires).sort(longestFirst);
    const last = firstOfEach(periods, 'original_transaction_id');
    const record = recordOf(last, text);
    const environment = environmentOf(textOf(fields, 'environment'));
    const [longest, ...others] = last.map((item) => toSubscription(item, environment, record(item)));
    if (longest === undefined) throw purchaseReceipt();
    return [longest, ...others];
  }

  async #verified(receipt: string, password: string): Promise<Answer> {
    const json = JSON.stringify({ 'receipt-data': receipt, 'exclude-old-transactions': true, password });
    const deadline = this.#calls.deadline();
    let answer = await this.#calls.json('Apple', { url: production, json, deadline });
    if (numberOf(answer.fields, 'status') === receiptOfSandbox) {
      answer = await this.#calls.json('Apple', { url: sandbox, json, deadline });
    }
    const { fields } = answer;
    const status = numberOf(fields, 'status');
    if (status === undefined) throw refusal('response from Apple service has no status');
    if (status !== 0) {
      if (isSet(fields['is-retryable']) || isSet(fields.is_retryable)) {
        throw unavailable('Apple IAP verification is currently unavailable. Try again later.');
      }
      throw failedPrecondition(`Invalid Receipt. Status: ${status}`);
    }
    checkApp(this.#bundleIds, textOf(objectOf(fields, 'receipt') ?? {}, 'bundle_id'));
    return answer;
  }
}

const isSet = (flag: unknown): boolean => flag === true || flag === 1 || flag === '1' || flag === 'true';

const expires = (item: Fields): boolean => textOf(item, 'expires_date_ms') !== '';

/** Refunded periods come last: that of a plan before an upgrade may have been meant to last longer than what it is now. */
function longestFirst(a: Fields, b: Fields): number {
  const refunded = Number(isCancelled(a)) - Number(isCancelled(b));
  return refunded || (numberOf(b, 'expires_date_ms') ?? 0) - (numberOf(a, 'expires_date_ms') ?? 0);
}

const isCancelled = (item: Fields): boolean => textOf(item, 'cancellation_date_ms') !== '';

function firstOfEach(items: readonly Fields[], key: string): Fields[] {
  const first = new Map<string, Fields>();
  for (const item of items) if (!first.has(textOf(item, key))) first.set(textOf(item, key), item);
  return [...first.values()];
}

/** What is kept with each item of a receipt: all of it, or that item where there are too many. */
function recordOf(items: readonly Fields[], receipt: string): (item: Fields) => string {
  const isTooMuch = items.length * receipt.length > maxRecordChars;
  return (item) => (isTooMuch ? JSON.stringify(item) : receipt);
}

function toPurchase(item: Fields, environment: Environment, record: string): StorePurchase {
  const [transactionId, productId] = [textOf(item, 'transaction_id'), textOf(item, 'product_id')];
  checkIds(transactionId, productId);
  return {
    store: Store.APPLE,
    environment,
    transactionId,
    productId,
    purchaseTime: instantOf(numberOf(item, 'purchase_date_ms')),
    refundTime: instantOf(numberOf(item, 'cancellation_date_ms') ?? 0),
    record,
    response: record,
  };
}

function toSubscription(item: Fields, environment: Environment, response: string): StoreSubscription {
  const originalTransactionId = textOf(item, 'original_transaction_id');
  const productId = textOf(item, 'product_id');
  checkIds(originalTransactionId, productId);
  return {
    store: Store.APPLE,
    environment,
    originalTransactionId,
    productId,
    purchaseTime: instantOf(numberOf(item, 'original_purchase_date_ms')),
    periodStart: instantOf(numberOf(item, 'purchase_date_ms') ?? 0),
    expireTime: instantOf(numberOf(item, 'expires_date_ms')),
    refundTime: instantOf(numberOf(item, 'cancellation_date_ms') ?? 0),
    response,
    notification: '',
  };
}
