import { createHmac, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { ConfigOverrides } from '../../platform/config.ts';
import { issueCertificate } from '../../testing/certificates.ts';
import { request } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import type { Target } from '../../testing/server.ts';
import { type Asked, type Page, StandIn } from '../../testing/stand-in.ts';

// The app stores, as far as purchases go: what they answer has the shape that they document, and what they sign is
// signed as they do it, with keys of the test's own.

const apple = 'buy.itunes.apple.com';
const appleSandbox = 'sandbox.itunes.apple.com';
const googleAccounts = 'accounts.google.com';
const googlePlay = 'androidpublisher.googleapis.com';
const huaweiLogin = 'oauth-login.cloud.huawei.com';
const huawei = 'orders-dre.iap.hicloud.com';
const huaweiAppTouch = 'orders-at-dre.iap.dbankcloud.com';
const samsung = 'iap.samsungapps.com';

export const hosts = { apple, appleSandbox, googleAccounts, googlePlay, huaweiLogin, huawei, huaweiAppTouch, samsung };

export const packageName = 'com.example.game';
export const bundleId = 'com.example.ios';
export const endpointIds = { apple: 'apple-secret', google: 'google-secret' } as const;
const password = 'apple-password';
const clientEmail = 'server@example.iam.gserviceaccount.com';
const huaweiClient = { id: '101', secret: 'huawei-secret' };
const facebookSecret = 'facebook-secret';

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A transaction id nobody has used yet. */
export const newTransactionId = (): string => unique('transaction');

/** Sends a notification as the store does, and answers the status. */
export async function notify(target: Target, store: 'apple' | 'google', body: Uint8Array): Promise<number> {
  const path = `/v2/console/${store}/notifications/${endpointIds[store]}`;
  return (await request(target, 'POST', path, { body })).status;
}

export class StandInStores {
  readonly web: StandIn;
  readonly #google: KeyObject;
  readonly #googlePublic: KeyObject;
  readonly #huawei: KeyObject;
  readonly #chain = appleChain();
  /** Answers of Apple's two sites, by receipt. */
  readonly appleReceipts = new Map<string, object>();
  readonly appleSandboxReceipts = new Map<string, object>();
  /** Answers of Samsung, by purchase id. */
  readonly samsungReceipts = new Map<string, object>();
  /** Answers of Huawei, by purchase token. */
  readonly huaweiOrders = new Map<string, object>();
  /** What is given out as access token, and how long it lasts. */
  googleToken = { access_token: 'google-token', expires_in: 3599, token_type: 'Bearer' };
  huaweiToken = { access_token: 'huawei-token', expires_in: 3600, token_type: 'Bearer' };
  /** Further settings for nodes that use these stores. */
  readonly config: ConfigOverrides;

  private constructor(web: StandIn) {
    this.web = web;
    const google = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const huawei = generateKeyPairSync('rsa', { modulusLength: 2048 });
    this.#google = google.privateKey;
    this.#googlePublic = google.publicKey;
    this.#huawei = huawei.privateKey;
    this.config = {
      'outbound.routes': web.routes,
      'iap.apple.shared_password': password,
      'iap.apple.notifications_endpoint_id': endpointIds.apple,
      'iap.apple.root_fingerprints': [new X509Certificate(this.#chain.root.der).fingerprint256],
      'iap.google.client_email': clientEmail,
      'iap.google.private_key': this.googleKey,
      'iap.google.notifications_endpoint_id': endpointIds.google,
      'iap.huawei.public_key': huawei.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
      'iap.huawei.client_id': huaweiClient.id,
      'iap.huawei.client_secret': huaweiClient.secret,
      'iap.facebook_instant.app_secret': facebookSecret,
    };
    this.#serve();
  }

  static async start(): Promise<StandInStores> {
    return new StandInStores(await StandIn.start(Object.values(hosts)));
  }

  async stop(): Promise<void> {
    await this.web.stop();
  }

  get googleKey(): string {
    return this.#google.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  // Apple

  /** What StoreKit 2 hands to the client. */
  signedByApple(payload: object): string {
    const { leaf, issuer, root } = this.#chain;
    const x5c = [leaf, issuer, root].map(({ der }) => der.toString('base64'));
    const text = `${encode({ alg: 'ES256', x5c })}.${encode(payload)}`;
    const signature = sign('sha256', Buffer.from(text), { key: leaf.key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }

  /** A transaction of StoreKit 2; of a subscription if it has `expiresDate`. */
  transaction(changes: object = {}): object {
    const transactionId = newTransactionId();
    return {
      transactionId,
      originalTransactionId: transactionId,
      bundleId,
      productId: 'gems_100',
      purchaseDate: 1_700_000_000_000,
      originalPurchaseDate: 1_700_000_000_000,
      quantity: 1,
      type: 'Consumable',
      inAppOwnershipType: 'PURCHASED',
      signedDate: 1_700_000_001_000,
      environment: 'Production',
      ...changes,
    };
  }

  /** The body of a notification of the App Store. */
  appleNotification(
    notificationType: string,
    transaction: object,
    {
      subtype,
      renewal,
      signedDate = Date.now(),
      ...data
    }: { subtype?: string; renewal?: object; signedDate?: number; bundleId?: string } = {},
  ): Buffer {
    const payload = {
      notificationType,
      ...(subtype === undefined ? {} : { subtype }),
      notificationUUID: unique('notification'),
      version: '2.0',
      signedDate,
      data: {
        bundleId,
        environment: 'Production',
        signedTransactionInfo: this.signedByApple(transaction),
        ...(renewal === undefined ? {} : { signedRenewalInfo: this.signedByApple(renewal) }),
        ...data,
      },
    };
    return Buffer.from(JSON.stringify({ signedPayload: this.signedByApple(payload) }));
  }

  #verifyReceipt(receipts: ReadonlyMap<string, object>, { body }: Asked): Page {
    const asked = JSON.parse(body);
    if (asked['exclude-old-transactions'] !== true) return { json: { status: 21000 } };
    if (asked.password !== password) return { json: { status: 21004 } };
    return { json: receipts.get(asked['receipt-data']) ?? { status: 21002 } };
  }

  // Google

  /** Serves a one-time product, and answers the receipt of its purchase. */
  googleProduct(response: object = {}, claims: object = {}): { token: string; receipt: object; response: object } {
    const token = newTransactionId();
    const product = {
      kind: 'androidpublisher#productPurchase',
      purchaseTimeMillis: '1700000000123',
      purchaseState: 0,
      consumptionState: 0,
      orderId: `GPA.${token}`,
      acknowledgementState: 0,
      regionCode: 'US',
      ...response,
    };
    this.#servePlay(`purchases/products/gems_100/tokens/${token}`, product);
    const receipt = {
      orderId: `GPA.${token}`,
      packageName,
      productId: 'gems_100',
      purchaseTime: 1_700_000_000_123,
      purchaseState: 0,
      purchaseToken: token,
      ...claims,
    };
    return { token, receipt, response: product };
  }

  /** Serves a subscription, and answers the receipt of its purchase. */
  googleSubscription(
    response: object = {},
    token = newTransactionId(),
  ): { token: string; receipt: object; response: object } {
    const subscription = {
      kind: 'androidpublisher#subscriptionPurchaseV2',
      regionCode: 'US',
      startTime: '2024-01-01T00:00:00.123Z',
      subscriptionState: 'SUBSCRIPTION_STATE_ACTIVE',
      latestOrderId: `GPA.${token}`,
      acknowledgementState: 'ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED',
      lineItems: [{ productId: 'season', expiryTime: '2034-01-01T00:00:00.456Z' }],
      ...response,
    };
    this.#servePlay(`purchases/subscriptionsv2/tokens/${token}`, subscription);
    const receipt = {
      packageName,
      productId: 'season',
      purchaseTime: 1_704_067_200_123,
      purchaseState: 0,
      purchaseToken: token,
    };
    return { token, receipt, response: subscription };
  }

  /** Serves a one-time product as Google knows it when it was given back. */
  googleProductV2(token: string, response: object = {}): void {
    this.#servePlay(`purchases/productsv2/tokens/${token}`, {
      kind: 'androidpublisher#productPurchaseV2',
      productLineItem: [{ productId: 'gems_100' }],
      purchaseStateContext: { purchaseState: 'CANCELLED' },
      orderId: `GPA.${token}`,
      regionCode: 'US',
      purchaseCompletionTime: '2024-01-01T00:00:00.789Z',
      acknowledgementState: 'ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED',
      ...response,
    });
  }

  /** Takes it from the store. */
  forgetGoogle(path: string): void {
    this.web.serve(playAddress(path), () => notFoundAtGoogle);
  }

  /** The body of a push of Pub/Sub. */
  googleNotification(content: object): Buffer {
    const data = { version: '1.0', packageName, eventTimeMillis: String(Date.now()), ...content };
    return Buffer.from(
      JSON.stringify({
        message: {
          attributes: { key: 'value' },
          data: Buffer.from(JSON.stringify(data)).toString('base64'),
          messageId: '136969346945',
        },
        subscription: 'projects/myproject/subscriptions/mysubscription',
      }),
    );
  }

  #servePlay(path: string, response: object): void {
    this.web.serve(playAddress(path), ({ authorization }) => {
      if (authorization !== `Bearer ${this.googleToken.access_token}`) return unauthorizedAtGoogle;
      return { json: response };
    });
  }

  #issueGoogleToken({ form }: Asked): Page {
    const url = `https://${googleAccounts}/o/oauth2/token`;
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
      return { status: 400, json: { error: 'unsupported_grant_type' } };
    }
    try {
      const claims = jwt.verify(form.get('assertion') ?? '', this.#googlePublic, {
        algorithms: ['RS256'],
        audience: url,
        issuer: clientEmail,
      }) as jwt.JwtPayload;
      if (claims['scope'] !== 'https://www.googleapis.com/auth/androidpublisher') throw new Error('scope');
      return { json: this.googleToken };
    } catch {
      return { status: 400, json: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' } };
    }
  }

  // Huawei

  /** Serves an order, and answers what the client has of it. */
  huaweiOrder(bought: object = {}, claims: object = {}): { purchase: string; signature: string; orderId: string } {
    const orderId = newTransactionId();
    const purchaseToken = unique('token');
    const data = {
      autoRenewing: false,
      orderId,
      packageName,
      applicationId: 101,
      kind: 0,
      productId: 'gems_100',
      productName: '100 gems',
      purchaseTime: 1_700_000_000_123,
      purchaseState: 0,
      purchaseToken,
      consumptionState: 0,
      currency: 'EUR',
      price: 99,
      country: 'DE',
    };
    const purchaseTokenData = JSON.stringify({ ...data, ...bought });
    const dataSignature = this.#signedByHuawei(purchaseTokenData);
    this.huaweiOrders.set(purchaseToken, { responseCode: '0', purchaseTokenData, dataSignature });
    const purchase = JSON.stringify({ ...data, ...claims });
    return { purchase, signature: this.#signedByHuawei(purchase), orderId };
  }

  #signedByHuawei(text: string): string {
    return sign('sha256', Buffer.from(text), this.#huawei).toString('base64');
  }

  #verifyOrder({ body, authorization }: Asked): Page {
    const token = Buffer.from(`APPAT:${this.huaweiToken.access_token}`).toString('base64');
    if (authorization !== `Basic ${token}`) return { status: 401, json: { error: 'unauthorized' } };
    const asked = JSON.parse(body);
    const order = this.huaweiOrders.get(asked.purchaseToken);
    return { json: order ?? { responseCode: '5', responseMessage: 'parameter error' } };
  }

  #issueHuaweiToken({ form }: Asked): Page {
    const isKnown =
      form.get('grant_type') === 'client_credentials' &&
      form.get('client_id') === huaweiClient.id &&
      form.get('client_secret') === huaweiClient.secret;
    if (!isKnown) return { status: 403, json: { error: 1101, error_description: 'invalid request' } };
    return { json: this.huaweiToken };
  }

  // Facebook and Samsung

  /** What FBInstant hands to the client. */
  signedByFacebook(changes: object = {}, secret = facebookSecret): string {
    const payload = encode({
      algorithm: 'HMAC-SHA256',
      app_id: '200000000000000',
      developer_payload: '',
      is_consumed: false,
      issued_at: 1_700_000_001,
      payment_action_type: 'charge',
      payment_id: '990361254213390',
      product_id: 'gems_100',
      purchase_time: 1_700_000_000,
      purchase_token: newTransactionId(),
      ...changes,
    });
    return `${createHmac('sha256', secret).update(payload).digest('base64url')}.${payload}`;
  }

  /** Serves a receipt, and answers its purchase id. */
  samsungPurchase(changes: object = {}): string {
    const id = newTransactionId();
    this.samsungReceipts.set(id, {
      itemId: 'gems_100',
      paymentId: '20191129013006730832TRAN',
      orderId: 'S20191129KRA1908197',
      packageName,
      itemName: 'Test Pack',
      itemDesc: 'IAP Test Item. Best value!',
      purchaseDate: '2023-11-14 22:13:20',
      paymentAmount: '100.000',
      status: 'success',
      paymentMethod: 'Credit Card',
      mode: 'PRODUCTION',
      consumeYN: 'N',
      currencyCode: 'KRW',
      currencyUnit: '₩',
      ...changes,
    });
    return id;
  }

  #serve(): void {
    const { web } = this;
    web.serve(`${apple}/verifyReceipt`, (asked) => this.#verifyReceipt(this.appleReceipts, asked));
    web.serve(`${appleSandbox}/verifyReceipt`, (asked) => this.#verifyReceipt(this.appleSandboxReceipts, asked));
    web.serve(`${googleAccounts}/o/oauth2/token`, (asked) => this.#issueGoogleToken(asked));
    web.serve(`${huaweiLogin}/oauth2/v3/token`, (asked) => this.#issueHuaweiToken(asked));
    for (const host of [huawei, huaweiAppTouch]) {
      web.serve(`${host}/applications/purchases/tokens/verify`, (asked) => this.#verifyOrder(asked));
    }
    web.serve(`${samsung}/iap/v6/receipt`, ({ query }) => ({
      json: this.samsungReceipts.get(query.get('purchaseID') ?? '') ?? {
        status: 'fail',
        errorCode: 9135,
        errorMessage: 'not exist order',
      },
    }));
  }
}

const playAddress = (path: string): string => `${googlePlay}/androidpublisher/v3/applications/${packageName}/${path}`;

const googleError = (status: number, message: string): Page => ({ status, json: { error: { code: status, message } } });
const unauthorizedAtGoogle = googleError(401, 'Request had invalid authentication credentials.');
const notFoundAtGoogle = googleError(404, 'The purchase token was not found.');

function appleChain() {
  const root = issueCertificate({ name: 'Root', curve: 'secp384r1', ca: true });
  const marks = ['1.2.840.113635.100.6.2.1'];
  const issuer = issueCertificate({ name: 'Developer Relations', issuer: root, curve: 'secp384r1', ca: true, marks });
  const leaf = issueCertificate({ name: 'Prod ECC', issuer, marks: ['1.2.840.113635.100.6.11.1'] });
  return { root, issuer, leaf };
}
