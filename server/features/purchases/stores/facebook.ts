import { createHmac, timingSafeEqual } from 'node:crypto';
import { refusal } from '../refusals.ts';
import { instantOf, numberOf, parseFields, textOf } from './json.ts';
import { checkIds, Environment, Store, type StorePurchase } from './store.ts';

/** The purchase that Facebook signed with the app's secret. */
export function readFacebookPurchase(signedRequest: string, appSecret: string): StorePurchase {
  const [signature = '', payload = '', ...rest] = signedRequest.split('.');
  if (signature === '' || payload === '' || rest.length > 0) throw refusal('invalid signedRequest format');
  const expected = createHmac('sha256', appSecret).update(payload).digest();
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw refusal('signedRequest verification failed');
  }
  const text = Buffer.from(payload, 'base64url').toString('utf8');
  const fields = parseFields(text);
  if (fields === null) throw refusal('signedRequest payload is no JSON object');
  const [transactionId, productId] = [textOf(fields, 'purchase_token'), textOf(fields, 'product_id')];
  checkIds(transactionId, productId);
  return {
    store: Store.FACEBOOK_INSTANT,
    environment: Environment.PRODUCTION,
    transactionId,
    productId,
    purchaseTime: instantOf((numberOf(fields, 'purchase_time') ?? Number.NaN) * 1000),
    refundTime: undefined,
    record: text,
    response: text,
  };
}
