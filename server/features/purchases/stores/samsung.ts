import { refusal } from '../refusals.ts';
import { instantOf, parseFields, textOf } from './json.ts';
import { checkIds, Environment, Store, type StorePurchase } from './store.ts';
import type { StoreCalls } from './store-calls.ts';

/** The purchase of that id. */
export async function readSamsungPurchase(
  calls: StoreCalls,
  purchaseId: string,
  packageName: string,
): Promise<StorePurchase> {
  // As the store spells it: another spelling that the store would understand would be another transaction here.
  if (!/^[\w.:-]+$/.test(purchaseId)) throw failed('invalid purchase id');
  const url = `https://iap.samsungapps.com/iap/v6/receipt?purchaseID=${encodeURIComponent(purchaseId)}`;
  const { status, body } = await calls.call('Samsung', { url, deadline: calls.deadline() });
  const text = body.toString('utf8');
  if (status !== 200) throw failed(`status ${status}`);
  const fields = parseFields(text);
  if (fields === null) throw failed('response is no JSON object');
  if (textOf(fields, 'status') !== 'success') {
    throw failed(`${textOf(fields, 'status')} ${textOf(fields, 'errorMessage')}`.trim());
  }
  const productId = textOf(fields, 'itemId');
  if (productId === '') throw failed('response names no item');
  checkIds(purchaseId, productId);
  const app = textOf(fields, 'packageName');
  if (app !== '' && packageName !== '' && app !== packageName) throw failed('purchase belongs to another app');
  return {
    store: Store.SAMSUNG,
    environment: textOf(fields, 'mode') === 'TEST' ? Environment.SANDBOX : Environment.PRODUCTION,
    transactionId: purchaseId,
    productId,
    purchaseTime: instantOf(Date.parse(`${textOf(fields, 'purchaseDate').replace(' ', 'T')}Z`)),
    refundTime: undefined,
    record: text,
    response: text,
  };
}

const failed = (what: string): Error => refusal(`Samsung IAP: ${what}`);
