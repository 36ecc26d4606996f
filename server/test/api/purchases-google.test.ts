import { generateKeyPairSync } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { hosts, newTransactionId, packageName, StandInStores } from './purchases-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

const malformed = { code: 2, message: 'receipt is malformed' };
const tokenPage = `${hosts.googleAccounts}/o/oauth2/token`;

describeDoors('purchases of Google', { config: stores.config }, (doorway) => {
  const call = (player: Player, purchase: unknown) =>
    doorway.call('ValidatePurchaseGoogle', player.authorization, {
      purchase: typeof purchase === 'string' ? purchase : JSON.stringify(purchase),
    });
  const subscribeCall = (player: Player, receipt: unknown, persist = true) =>
    doorway.call('ValidateSubscriptionGoogle', player.authorization, {
      receipt: typeof receipt === 'string' ? receipt : JSON.stringify(receipt),
      persist,
    });
  const subscribe = async (player: Player, receipt: unknown, persist = true): Promise<Envelope> => {
    const outcome = await subscribeCall(player, receipt, persist);
    expect(outcome).toMatchObject({ code: 0 });
    return outcome.response.validated_subscription;
  };

  test('a receipt, plain and wrapped', async () => {
    const player = await signIn(doorway.server);
    const { token, receipt, response } = stores.googleProduct();
    const first = await call(player, receipt);
    const [bought] = first.response.validated_purchases;
    expect(bought).toEqual({
      user_id: player.id,
      product_id: 'gems_100',
      transaction_id: token,
      store: 1,
      purchase_time: '2023-11-14T22:13:20.123Z',
      create_time: bought.create_time,
      update_time: bought.create_time,
      provider_response: JSON.stringify(response),
      environment: 2,
    });
    const wrapped = { json: JSON.stringify(receipt), signature: 'x', skuDetails: '{}' };
    expect((await call(player, wrapped)).response.validated_purchases).toMatchObject([{ seen_before: true }]);
  });

  test('a test purchase, and a promotion', async () => {
    const player = await signIn(doorway.server);
    const of = async (purchaseType: number) =>
      (await call(player, stores.googleProduct({ purchaseType }).receipt)).response.validated_purchases[0].environment;
    expect(await of(0)).toBe(1);
    expect(await of(1)).toBe(2);
  });

  test.each<[what: string, purchase: () => unknown]>([
    ['no JSON', () => 'abc'],
    ['no object', () => '[]'],
    ['without an app', () => stores.googleProduct({}, { packageName: undefined }).receipt],
    ['without a token', () => stores.googleProduct({}, { purchaseToken: '' }).receipt],
    ['without a product', () => stores.googleProduct({}, { productId: undefined }).receipt],
    ['wrapped without JSON', () => ({ json: 'abc' })],
    ['wrapped without a text', () => ({ json: { packageName } })],
    ['that leads elsewhere', () => stores.googleProduct({}, { purchaseToken: '..' }).receipt],
    ['that leads elsewhere, too', () => stores.googleProduct({}, { productId: '..', purchaseToken: '..' }).receipt],
    ['with half of a character', () => stores.googleProduct({}, { purchaseToken: 'x\ud800' }).receipt],
    ['for what was not sold', () => stores.googleProduct({ productId: 'gems_1' }).receipt],
  ])('a receipt %s', async (_what, purchase) => {
    expect(await call(await signIn(doorway.server), purchase())).toMatchObject(malformed);
  });

  test('a receipt that was not paid for, by what it says or by what Google says', async () => {
    const player = await signIn(doorway.server);
    const refused = (state: number) => ({ code: 9, message: `Invalid Receipt. State: ${state}` });
    expect(await call(player, stores.googleProduct({}, { purchaseState: 1 }).receipt)).toMatchObject(refused(1));
    expect(await call(player, stores.googleProduct({ purchaseState: 1 }).receipt)).toMatchObject(refused(1));
    expect(await call(player, stores.googleProduct({ purchaseState: 2 }).receipt)).toMatchObject(refused(2));
  });

  test('a receipt that Google does not know', async () => {
    const player = await signIn(doorway.server);
    const { token, receipt } = stores.googleProduct();
    stores.forgetGoogle(`purchases/products/gems_100/tokens/${token}`);
    const payload = '{"error":{"code":404,"message":"The purchase token was not found."}}';
    expect(await call(player, receipt)).toMatchObject({
      code: 2,
      message: `non-200 response from Google service, status=404, payload=${payload}`,
    });
  });

  test('what the client says of the time does not matter', async () => {
    const player = await signIn(doorway.server);
    for (const purchaseTime of [8.64e15, -1, 'soon', undefined]) {
      const { receipt } = stores.googleProduct({}, { purchaseTime });
      const [bought] = (await call(player, receipt)).response.validated_purchases;
      expect(bought.purchase_time).toBe('2023-11-14T22:13:20.123Z');
    }
    const untimed = stores.googleProduct({ purchaseTimeMillis: undefined });
    expect((await call(player, untimed.receipt)).code).toBe(0);
    const late = stores.googleProduct({ purchaseTimeMillis: undefined }, { purchaseTime: 8.64e15 });
    expect(await call(player, late.receipt)).toMatchObject({ code: 2, message: 'receipt has no valid time' });
  });

  test('a subscription', async () => {
    const player = await signIn(doorway.server);
    const { token, receipt, response } = stores.googleSubscription();
    const expected = {
      user_id: player.id,
      product_id: 'season',
      original_transaction_id: token,
      store: 1,
      purchase_time: '2024-01-01T00:00:00.123Z',
      environment: 2,
      expiry_time: '2034-01-01T00:00:00.456Z',
      refund_time: '1970-01-01T00:00:00Z',
      active: true,
    };
    const unkept = await subscribe(player, receipt, false);
    expect(unkept).toEqual({ ...expected, provider_response: JSON.stringify(response) });
    const kept = await subscribe(player, { json: JSON.stringify(receipt) });
    expect(kept).toEqual({
      ...expected,
      create_time: kept.create_time,
      update_time: kept.create_time,
      provider_response: expect.any(String),
      provider_notification: '{}',
    });
    expect(JSON.parse(kept.provider_response)).toEqual(response);
    expect(await doorway.ok('GetSubscription', player.authorization, { product_id: 'season' })).toEqual(kept);
  });

  test('a subscription that follows another, one that has ended, one of a tester, one that is pending', async () => {
    const player = await signIn(doorway.server);
    const first = stores.googleSubscription();
    await subscribe(player, first.receipt);
    const next = stores.googleSubscription({
      linkedPurchaseToken: first.token,
      lineItems: [{ productId: 'season_pro', expiryTime: '2024-02-01T00:00:00Z' }],
    });
    const followed = await subscribe(player, next.receipt);
    expect(followed).toMatchObject({ original_transaction_id: first.token, product_id: 'season_pro' });
    expect(followed.active).toBeUndefined();
    const tested = await subscribe(player, stores.googleSubscription({ testPurchase: {} }).receipt);
    expect(tested).toMatchObject({ environment: 1 });
    const pending = await subscribe(player, stores.googleSubscription({ lineItems: [{ productId: 'x' }] }).receipt);
    expect(pending).toMatchObject({ expiry_time: '1970-01-01T00:00:00Z' });
    expect(pending.active).toBeUndefined();
  });

  test('a subscription that cannot be', async () => {
    const player = await signIn(doorway.server);
    expect(await subscribeCall(player, 'abc')).toMatchObject(malformed);
    const empty = stores.googleSubscription({ lineItems: [] });
    expect(await subscribeCall(player, empty.receipt)).toMatchObject({
      code: 2,
      message: 'response from Google service has no line items',
    });
    const unknown = { packageName, productId: 'season', purchaseToken: newTransactionId() };
    const outcome = await subscribeCall(player, unknown);
    expect(outcome).toMatchObject({ code: 2, message: expect.stringMatching(/^non-200 .* status=404, payload=/) });
    const nowhen = stores.googleSubscription({ startTime: undefined });
    expect((await subscribe(player, nowhen.receipt)).purchase_time).toBe('2024-01-01T00:00:00.123Z');
    const never = stores.googleSubscription({ lineItems: [{ productId: 'x', expiryTime: 'never' }] });
    expect(await subscribeCall(player, never.receipt)).toMatchObject({ code: 2, message: 'receipt has no valid time' });
  });
});

describe.each(serverKinds)('access to Google on %s', (kind) => {
  test('is asked for once, and again when it no longer works', async () => {
    const server = await startTestServer({ kind, config: stores.config });
    const [node] = server.nodes;
    const { id } = await signIn(server);
    const purchases = node?.app.features.purchases.purchases;
    const buy = (options = {}) =>
      purchases?.validateGoogle(id, JSON.stringify(stores.googleProduct().receipt), options);
    const before = stores.web.calls(tokenPage);
    await Promise.all(Array.from({ length: 20 }, () => buy()));
    await buy();
    expect(stores.web.calls(tokenPage)).toBe(before + 1);

    // Google does not take it any more: neither the first of many nor the others fail.
    stores.googleToken = { ...stores.googleToken, access_token: unique('token') };
    await Promise.all(Array.from({ length: 20 }, () => buy()));
    await buy();
    expect(stores.web.calls(tokenPage)).toBe(before + 2);

    // What lasts no longer than five minutes is not kept.
    stores.googleToken = { ...stores.googleToken, access_token: unique('token'), expires_in: 300 };
    await buy();
    await buy();
    expect(stores.web.calls(tokenPage)).toBe(before + 4);
    stores.googleToken = { ...stores.googleToken, expires_in: 3599 };
    await server.stop();
  });

  test('needs the right key, which is looked at before the receipt', async () => {
    const bad = { ...stores.config, 'iap.google.private_key': 'no key' };
    const server = await startTestServer({ kind, config: bad });
    const { id, authorization } = await signIn(server);
    const { purchases, subscriptions } = server.features.purchases;
    const invalid = { code: 2, message: 'google iap private key invalid' };
    await expect(purchases.validateGoogle(id, 'abc')).rejects.toMatchObject(invalid);
    await expect(subscriptions.validateGoogle(id, 'abc')).rejects.toMatchObject(invalid);
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    await expect(purchases.validateGoogle(id, 'abc', { privateKey: String(ec) })).rejects.toMatchObject(invalid);

    const { receipt } = stores.googleProduct();
    const privateKey = stores.googleKey.replaceAll('\n', '\\n');
    expect(await purchases.validateGoogle(id, JSON.stringify(receipt), { privateKey })).toHaveLength(1);
    const clientEmail = 'other@example.com';
    const refused = purchases.validateGoogle(id, JSON.stringify(receipt), { privateKey, clientEmail });
    await expect(refused).rejects.toMatchObject({
      code: 2,
      message: expect.stringMatching(/^non-200 response from Google service, status=400, payload=.*invalid_grant/),
    });
    expect(authorization).toMatch(/^Bearer /);
    await server.stop();
  });

  test('needs an account, or server code that brings one', async () => {
    const none = { ...stores.config, 'iap.google.private_key': '', 'iap.google.client_email': '' };
    const server = await startTestServer({ kind, config: none });
    const { id } = await signIn(server);
    const { purchases, subscriptions } = server.features.purchases;
    const clientEmail = String(stores.config['iap.google.client_email']);
    const notConfigured = { code: 9, message: 'Google IAP is not configured.' };
    const receipt = JSON.stringify(stores.googleSubscription().receipt);
    await expect(purchases.validateGoogle(id, 'abc', { clientEmail })).rejects.toMatchObject(notConfigured);
    await expect(subscriptions.validateGoogle(id, receipt)).rejects.toMatchObject(notConfigured);
    const account = { clientEmail, privateKey: stores.googleKey };
    expect(await subscriptions.validateGoogle(id, receipt, account)).toMatchObject({ userId: id, active: true });
    await server.stop();
  });
});
