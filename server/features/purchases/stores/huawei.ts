import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { failedPrecondition, refusal } from '../refusals.ts';
import type { AccessTokens } from './access-tokens.ts';
import { type Fields, instantOf, numberOf, objectOf, parseFields, textOf } from './json.ts';
import { checkIds, Environment, Store, type StorePurchase } from './store.ts';
import type { StoreCalls } from './store-calls.ts';

export interface HuaweiClient {
  /** Base64 of the DER of the app's payment key. */
  readonly publicKey: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

const tokenUrl = 'https://oauth-login.cloud.huawei.com/oauth2/v3/token';
const orders = 'https://orders-dre.iap.hicloud.com';
const ordersOfAppTouch = 'https://orders-at-dre.iap.dbankcloud.com';
const verifyPath = '/applications/purchases/tokens/verify';

/** Purchases of AppGallery: signed by the client's store, and confirmed by the order service. */
export class HuaweiPurchases {
  readonly #calls: StoreCalls;
  readonly #tokens: AccessTokens;

  constructor(calls: StoreCalls, tokens: AccessTokens) {
    this.#calls = calls;
    this.#tokens = tokens;
  }

  /** @param purchase the InAppPurchaseData, exactly as signed. */
  async read(purchase: string, signature: string, client: HuaweiClient): Promise<StorePurchase> {
    const isSigned = verify('sha256', Buffer.from(purchase), keyOf(client), Buffer.from(signature, 'base64'));
    if (!isSigned) throw refusal('inAppPurchaseData invalid signature');
    const claimed = parseFields(purchase);
    if (claimed === null) throw refusal('inAppPurchaseData is no JSON object');
    const { text, bought } = await this.#confirm(claimed, client);
    const state = numberOf(bought, 'purchaseState') ?? 0;
    if (state !== 0) throw failedPrecondition(`Invalid Receipt. State: ${state}`);
    const [transactionId, productId] = [textOf(bought, 'orderId'), textOf(bought, 'productId')];
    checkIds(transactionId, productId);
    return {
      store: Store.HUAWEI,
      environment: numberOf(bought, 'purchaseType') === 0 ? Environment.SANDBOX : Environment.PRODUCTION,
      transactionId,
      productId,
      purchaseTime: instantOf(numberOf(claimed, 'purchaseTime')),
      refundTime: undefined,
      record: text,
      response: text,
    };
  }

  async #confirm(claimed: Fields, client: HuaweiClient): Promise<{ text: string; bought: Fields }> {
    const deadline = this.#calls.deadline();
    const root = numberOf(claimed, 'accountFlag') === 1 ? ordersOfAppTouch : orders;
    const json = JSON.stringify({
      purchaseToken: textOf(claimed, 'purchaseToken'),
      productId: textOf(claimed, 'productId'),
    });
    const { text, fields } = await this.#tokens.use(
      `huawei ${client.clientId}`,
      () => this.#fetchToken(client, deadline),
      (token) => {
        const headers = { authorization: `Basic ${Buffer.from(`APPAT:${token}`).toString('base64')}` };
        return this.#calls.json('Huawei', { url: root + verifyPath, json, headers, deadline });
      },
    );
    const code = fields.responseCode;
    if (String(code) !== '0') throw failedPrecondition(`Invalid Receipt. Code: ${code}`);
    const bought = objectOf(fields, 'purchaseTokenData') ?? parseFields(textOf(fields, 'purchaseTokenData'));
    if (bought === null) throw refusal('response from Huawei service has no purchaseTokenData');
    return { text, bought };
  }

  async #fetchToken({ clientId, clientSecret }: HuaweiClient, deadline: number) {
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret };
    const { fields } = await this.#calls.json('Huawei', { url: tokenUrl, form, deadline });
    const token = textOf(fields, 'access_token');
    if (token === '') throw refusal('response from Huawei service has no access token');
    return { token, expiresIn: numberOf(fields, 'expires_in') ?? 0 };
  }
}

function keyOf({ publicKey }: HuaweiClient): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
  } catch (error) {
    throw refusal('huawei iap public key invalid', error);
  }
}
