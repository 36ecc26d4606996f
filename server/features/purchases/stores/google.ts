import { createHash, createPrivateKey } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { Clock } from '../../../platform/clock.ts';
import type { Instant } from '../../../store/types.ts';
import { failedPrecondition, refusal } from '../refusals.ts';
import type { AccessToken, AccessTokens } from './access-tokens.ts';
import { type Fields, instantOf, listOf, numberOf, objectOf, parseFields, textOf, timeOf } from './json.ts';
import { checkIds, Environment, epoch, Store, type StorePurchase, type StoreSubscription } from './store.ts';
import type { Answer, StoreCalls } from './store-calls.ts';

/** The service account that asks. */
export interface GoogleAccount {
  readonly clientEmail: string;
  /** PEM; line ends may be written as `\n`. */
  readonly privateKey: string;
}

/** A purchase or subscription that Google tells of by itself. */
export interface GooglePurchase {
  readonly packageName: string;
  readonly token: string;
}

const tokenUrl = 'https://accounts.google.com/o/oauth2/token';
const scope = 'https://www.googleapis.com/auth/androidpublisher';
const applications = 'https://androidpublisher.googleapis.com/androidpublisher/v3/applications';
const tokenLifetimeSec = 3600;

interface Dependencies {
  readonly calls: StoreCalls;
  readonly tokens: AccessTokens;
  readonly clock: Clock;
}

/** Purchases of Google Play, as its developer API knows them. */
export class GooglePurchases {
  readonly #calls: StoreCalls;
  readonly #tokens: AccessTokens;
  readonly #clock: Clock;

  constructor({ calls, tokens, clock }: Dependencies) {
    this.#calls = calls;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** The purchase of a client's receipt. The account is looked at before the receipt. */
  async readReceipt(receipt: string, account: GoogleAccount): Promise<StorePurchase> {
    return await this.#with(account, async (get) => {
      const claimed = parseReceipt(receipt);
      const { packageName, productId, token } = claimed;
      if (productId === '') throw malformed();
      if (claimed.state !== 0) throw failedPrecondition(`Invalid Receipt. State: ${claimed.state}`);
      const path = `${segment(packageName)}/purchases/products/${segment(productId)}/tokens/${segment(token)}`;
      return toPurchase(claimed, await get(path));
    });
  }

  /** The subscription of a client's receipt. The account is looked at before the receipt. */
  async readSubscriptionReceipt(receipt: string, account: GoogleAccount): Promise<StoreSubscription> {
    return await this.#with(account, async (get) => {
      const claimed = parseReceipt(receipt);
      return toSubscription(claimed, await get(subscriptionPath(claimed)), claimed.timeMs);
    });
  }

  /** A subscription by its token, and what else Google says of it. */
  async subscription(
    purchase: GooglePurchase,
    account: GoogleAccount,
  ): Promise<{ subscription: StoreSubscription; fields: Fields }> {
    return await this.#with(account, async (get) => {
      const answer = await get(subscriptionPath(purchase));
      return { subscription: toSubscription(purchase, answer, undefined), fields: answer.fields };
    });
  }

  /** A one-time purchase by its token, and what else Google says of it. */
  async purchase(
    { packageName, token }: GooglePurchase,
    account: GoogleAccount,
  ): Promise<{ purchase: StorePurchase; fields: Fields }> {
    return await this.#with(account, async (get) => {
      const { text, fields } = await get(`${segment(packageName)}/purchases/productsv2/tokens/${segment(token)}`);
      const productId = textOf(listOf(fields, 'productLineItem')[0] ?? {}, 'productId');
      checkIds(token, productId);
      const purchase: StorePurchase = {
        store: Store.GOOGLE,
        environment: objectOf(fields, 'testPurchaseContext') === null ? Environment.PRODUCTION : Environment.SANDBOX,
        transactionId: token,
        productId,
        purchaseTime: timeOf(fields, 'purchaseCompletionTime') ?? instantOf(this.#clock.now()),
        refundTime: undefined,
        record: text,
        response: text,
      };
      return { purchase, fields };
    });
  }

  /** @param work is given what reads a path below the applications, in the account's name. */
  async #with<T>(account: GoogleAccount, work: (get: (path: string) => Promise<Answer>) => Promise<T>): Promise<T> {
    const deadline = this.#calls.deadline();
    return await this.#tokens.use(
      nameOf(account),
      () => this.#fetchToken(account, deadline),
      (token) => {
        const headers = { authorization: `Bearer ${token}` };
        return work((path) => this.#calls.json('Google', { url: `${applications}/${path}`, headers, deadline }));
      },
    );
  }

  async #fetchToken({ clientEmail, privateKey }: GoogleAccount, deadline: number): Promise<AccessToken> {
    const iat = Math.floor(this.#clock.now() / 1000);
    const claims = { iss: clientEmail, scope, aud: tokenUrl, iat, exp: iat + tokenLifetimeSec };
    const assertion = sign(claims, privateKey);
    const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
    const { fields } = await this.#calls.json('Google', { url: tokenUrl, form, deadline });
    const token = textOf(fields, 'access_token');
    if (token === '') throw refusal('response from Google service has no access token');
    return { token, expiresIn: numberOf(fields, 'expires_in') ?? 0 };
  }
}

const malformed = (): Error => refusal('receipt is malformed');

/** Whoever presents another key has another token, whatever the address. */
const nameOf = ({ clientEmail, privateKey }: GoogleAccount): string =>
  `google ${clientEmail} ${createHash('sha256').update(privateKey).digest('base64')}`;

function sign(claims: object, privateKey: string): string {
  try {
    const key = createPrivateKey(privateKey.replaceAll('\\n', '\n'));
    return jwt.sign(claims, key, { algorithm: 'RS256' });
  } catch (error) {
    throw refusal('google iap private key invalid', error);
  }
}

/** One segment of a path, which the text cannot leave. */
function segment(text: string): string {
  if (text === '' || text === '.' || text === '..' || !isWellFormed(text)) throw malformed();
  return encodeURIComponent(text);
}

/** No half of a character is alone. */
const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

interface Receipt extends GooglePurchase {
  readonly productId: string;
  /** 0 for bought. */
  readonly state: number;
  readonly timeMs: number | undefined;
}

/** What a client claims: plain, or as a text in the field `json`. */
function parseReceipt(receipt: string): Receipt {
  const outer = parseFields(receipt);
  const fields = outer === null || outer.json === undefined ? outer : parseFields(textOf(outer, 'json'));
  if (fields === null || textOf(fields, 'packageName') === '' || textOf(fields, 'purchaseToken') === '') {
    throw malformed();
  }
  return {
    packageName: textOf(fields, 'packageName'),
    productId: textOf(fields, 'productId'),
    token: textOf(fields, 'purchaseToken'),
    state: numberOf(fields, 'purchaseState') ?? 0,
    timeMs: numberOf(fields, 'purchaseTime'),
  };
}

function toPurchase({ token, productId, timeMs }: Receipt, { text, fields }: Answer): StorePurchase {
  const state = numberOf(fields, 'purchaseState') ?? 0;
  if (state !== 0) throw failedPrecondition(`Invalid Receipt. State: ${state}`);
  const sold = textOf(fields, 'productId');
  if (sold !== '' && sold !== productId) throw malformed();
  checkIds(token, productId);
  return {
    store: Store.GOOGLE,
    environment: numberOf(fields, 'purchaseType') === 0 ? Environment.SANDBOX : Environment.PRODUCTION,
    transactionId: token,
    productId,
    purchaseTime: instantOf(numberOf(fields, 'purchaseTimeMillis') ?? timeMs),
    refundTime: undefined,
    record: text,
    response: text,
  };
}

const subscriptionPath = ({ packageName, token }: GooglePurchase): string =>
  `${segment(packageName)}/purchases/subscriptionsv2/tokens/${segment(token)}`;

/** @param claimedMs when it was bought, if Google does not say. */
function toSubscription(
  { token }: GooglePurchase,
  { text, fields }: Answer,
  claimedMs: number | undefined,
): StoreSubscription {
  const [item] = listOf(fields, 'lineItems');
  if (item === undefined) throw refusal('response from Google service has no line items');
  const originalTransactionId = textOf(fields, 'linkedPurchaseToken') || token;
  const productId = textOf(item, 'productId');
  checkIds(originalTransactionId, productId);
  const purchaseTime: Instant = timeOf(fields, 'startTime') ?? instantOf(claimedMs);
  return {
    store: Store.GOOGLE,
    environment: objectOf(fields, 'testPurchase') === null ? Environment.PRODUCTION : Environment.SANDBOX,
    originalTransactionId,
    productId,
    purchaseTime,
    periodStart: purchaseTime,
    // A purchase that is pending has no end yet.
    expireTime: timeOf(item, 'expiryTime') ?? epoch,
    refundTime: epoch,
    response: text,
    notification: '',
  };
}
