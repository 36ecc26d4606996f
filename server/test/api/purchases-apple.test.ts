import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { startTestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { bundleId, hosts, newTransactionId, StandInStores } from './purchases-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

const epoch = '1970-01-01T00:00:00Z';
const day = 86_400_000;
const inAYear = Date.now() + 365 * day;
const aYearAgo = Date.now() - 365 * day;

const subscriptionReceipt = { code: 9, message: 'Subscription Receipt. Use the appropriate function instead.' };
const purchaseReceipt = { code: 9, message: 'Purchase Receipt. Use the appropriate function instead.' };

/** Serves a receipt of before StoreKit 2, and answers what the client has of it. */
function legacy(content: object, sites = { production: true, sandbox: false }): { receipt: string; text: string } {
  const receipt = Buffer.from(newTransactionId()).toString('base64');
  const { sandbox } = sites;
  const answer = { status: 0, environment: sandbox ? 'Sandbox' : 'Production', ...content };
  (sandbox ? stores.appleSandboxReceipts : stores.appleReceipts).set(receipt, answer);
  if (sandbox) stores.appleReceipts.set(receipt, { status: 21007 });
  return { receipt, text: JSON.stringify(answer) };
}

const item = (changes: object = {}): Envelope => ({
  quantity: '1',
  product_id: 'gems_100',
  transaction_id: newTransactionId(),
  original_transaction_id: newTransactionId(),
  purchase_date_ms: '1700000000123',
  original_purchase_date_ms: '1690000000456',
  is_trial_period: 'false',
  ...changes,
});

const period = (changes: object = {}): Envelope =>
  item({ product_id: 'season', expires_date_ms: String(inAYear), ...changes });

describeDoors('purchases of Apple', { config: stores.config }, (doorway) => {
  const call = (player: Player, receipt: string, persist?: boolean) =>
    doorway.call('ValidatePurchaseApple', player.authorization, {
      receipt,
      ...(persist === undefined ? {} : { persist }),
    });
  const buy = async (player: Player, receipt: string, persist?: boolean): Promise<Envelope[]> => {
    const outcome = await call(player, receipt, persist);
    expect(outcome).toMatchObject({ code: 0 });
    return outcome.response.validated_purchases ?? [];
  };

  test('a signed transaction', async () => {
    const player = await signIn(doorway.server);
    const transaction = { ...stores.transaction({ productId: 'sword_ÿ>?' }) } as { transactionId: string };
    const jws = stores.signedByApple(transaction);
    const expected = {
      user_id: player.id,
      product_id: 'sword_ÿ>?',
      transaction_id: transaction.transactionId,
      purchase_time: '2023-11-14T22:13:20Z',
      refund_time: epoch,
      environment: 2,
    };
    expect(await buy(player, jws, false)).toEqual([expected]);
    const [bought] = await buy(player, jws);
    expect(bought).toEqual({ ...expected, create_time: bought.create_time, update_time: bought.create_time });
    expect(await buy(player, jws)).toMatchObject([{ seen_before: true }]);
    const kept = await doorway.server.features.purchases.purchases.get(transaction.transactionId);
    expect(JSON.parse(kept?.providerResponse ?? '')).toEqual({ jws });
  });

  test('a signed transaction of the sandbox, and one that was refunded', async () => {
    const player = await signIn(doorway.server);
    const sandbox = stores.signedByApple(stores.transaction({ environment: 'Sandbox' }));
    expect(await buy(player, sandbox)).toMatchObject([{ environment: 1 }]);
    const transaction = stores.transaction();
    const before = stores.signedByApple(transaction);
    const refunded = stores.signedByApple({ ...transaction, revocationDate: 1_700_000_500_000, revocationReason: 0 });
    expect(await buy(player, before)).toMatchObject([{ refund_time: epoch }]);
    const refundTime = '2023-11-14T22:21:40Z';
    expect(await buy(player, refunded)).toMatchObject([{ refund_time: refundTime, seen_before: true }]);
    // The client still has what was signed before.
    expect(await buy(player, before)).toMatchObject([{ refund_time: refundTime, seen_before: true }]);
    expect(await buy(player, before, false)).toMatchObject([{ refund_time: epoch }]);
  });

  test('a signed transaction that is a subscription, or not by Apple', async () => {
    const player = await signIn(doorway.server);
    const subscription = stores.signedByApple(stores.transaction({ expiresDate: inAYear }));
    expect(await call(player, subscription)).toMatchObject(subscriptionReceipt);
    const parts = stores.signedByApple(stores.transaction()).split('.');
    const forged = Buffer.from(JSON.stringify(stores.transaction())).toString('base64url');
    for (const receipt of [`${parts[0]}.${forged}.${parts[2]}`, 'a.b.c', `${parts[0]}.${parts[1]}.`]) {
      const outcome = await call(player, receipt);
      expect(outcome).toMatchObject({ code: 2, message: expect.stringMatching(/^JWS verification failed: /) });
    }
    const nameless = stores.signedByApple(stores.transaction({ transactionId: undefined }));
    expect(await call(player, nameless)).toMatchObject({ code: 2, message: 'receipt is malformed' });
  });

  test('a receipt of before StoreKit 2, in the order of the receipt', async () => {
    const player = await signIn(doorway.server);
    const [a, b, c] = [item({ product_id: 'z' }), item({ product_id: 'a' }), item({ product_id: 'm' })];
    const cancelled = item({ product_id: 'c', cancellation_date_ms: '1700000500000' });
    const { receipt, text } = legacy({
      receipt: { bundle_id: bundleId, in_app: [a, period(), b] },
      latest_receipt_info: [b, c, cancelled, period()],
    });
    const bought = await buy(player, receipt);
    expect(bought.map(({ product_id }) => product_id)).toEqual(['z', 'a', 'm', 'c']);
    expect(bought[1]).toEqual({
      user_id: player.id,
      product_id: 'a',
      transaction_id: b.transaction_id,
      purchase_time: '2023-11-14T22:13:20.123Z',
      create_time: expect.any(String),
      update_time: bought[1].create_time,
      refund_time: epoch,
      provider_response: text,
      environment: 2,
    });
    expect(bought[3].refund_time).toBe('2023-11-14T22:21:40Z');
    // One of them again, with another.
    const { receipt: next } = legacy({ receipt: { bundle_id: bundleId, in_app: [item(), a] } });
    expect((await buy(player, next)).map(({ seen_before }) => seen_before ?? false)).toEqual([false, true]);
  });

  test('a receipt of the sandbox', async () => {
    const player = await signIn(doorway.server);
    const { receipt } = legacy({ receipt: { in_app: [item()] } }, { production: false, sandbox: true });
    expect(await buy(player, receipt)).toMatchObject([{ environment: 1 }]);
  });

  test('a receipt with so much in it that each purchase gets its part', async () => {
    const player = await signIn(doorway.server);
    const items = Array.from({ length: 100 }, () => item({ note: 'x'.repeat(400) }));
    const { receipt, text } = legacy({ receipt: { in_app: items } });
    expect(text.length * items.length).toBeGreaterThan(4_194_304);
    const bought = await buy(player, receipt, false);
    expect(bought.map(({ provider_response }) => JSON.parse(provider_response))).toEqual(items);
  });

  test('receipts without a purchase', async () => {
    const player = await signIn(doorway.server);
    const { receipt: empty } = legacy({ receipt: { in_app: [] } });
    expect(await call(player, empty)).toMatchObject({ code: 2, message: 'expects at least one receipt' });
    expect(await buy(player, empty, false)).toEqual([]);
    const { receipt: season } = legacy({ receipt: { in_app: [period()] }, latest_receipt_info: [period()] });
    expect(await call(player, season)).toMatchObject(subscriptionReceipt);
  });

  test('receipts that Apple does not confirm', async () => {
    const player = await signIn(doorway.server);
    expect(await call(player, 'unknown')).toMatchObject({ code: 9, message: 'Invalid Receipt. Status: 21002' });
    const failing = [
      [
        { status: 21199, 'is-retryable': true },
        14,
        'Apple IAP verification is currently unavailable. Try again later.',
      ],
      [{ status: 21199, is_retryable: 1 }, 14, 'Apple IAP verification is currently unavailable. Try again later.'],
      [{ status: 21199, 'is-retryable': false }, 9, 'Invalid Receipt. Status: 21199'],
      [{ status: '21010' }, 9, 'Invalid Receipt. Status: 21010'],
      [{ status: undefined }, 2, 'response from Apple service has no status'],
      [{ receipt: { in_app: [item({ purchase_date_ms: 'soon' })] } }, 2, 'receipt has no valid time'],
      [{ receipt: { in_app: [item({ product_id: 7 })] } }, 2, 'receipt is malformed'],
    ] as const;
    for (const [content, code, message] of failing) {
      expect(await call(player, legacy(content).receipt), message).toMatchObject({ code, message });
    }
    // The shared secret was asked for.
    const { purchases } = doorway.server.features.purchases;
    const { receipt } = legacy({ receipt: { in_app: [item()] } });
    const refused = purchases.validateApple(player.id, receipt, { password: 'another' });
    await expect(refused).rejects.toMatchObject({ code: 9, message: 'Invalid Receipt. Status: 21004' });
  });

  const subscribeCall = (player: Player, receipt: string, persist?: boolean) =>
    doorway.call('ValidateSubscriptionApple', player.authorization, {
      receipt,
      ...(persist === undefined ? {} : { persist }),
    });
  const subscribe = async (player: Player, receipt: string, persist?: boolean): Promise<Envelope> => {
    const outcome = await subscribeCall(player, receipt, persist);
    expect(outcome).toMatchObject({ code: 0 });
    return outcome.response.validated_subscription;
  };

  test('a signed subscription, a change of its plan, and the owner it keeps', async () => {
    const [a, b] = [await signIn(doorway.server), await signIn(doorway.server)];
    const transaction = stores.transaction({
      productId: 'season',
      expiresDate: inAYear,
      originalPurchaseDate: 1_690_000_000_456,
    });
    const { originalTransactionId } = transaction as { originalTransactionId: string };
    const jws = stores.signedByApple(transaction);
    const expected = {
      user_id: a.id,
      product_id: 'season',
      original_transaction_id: originalTransactionId,
      purchase_time: '2023-07-22T04:26:40.456Z',
      environment: 2,
      expiry_time: new Date(inAYear).toISOString().replace('.000Z', 'Z'),
      refund_time: epoch,
      active: true,
    };
    expect(await subscribe(a, jws, false)).toEqual({ ...expected, provider_response: JSON.stringify({ jws }) });
    expect(await doorway.ok('ListSubscriptions', a.authorization)).toEqual({});
    const bought = await subscribe(a, jws);
    expect(bought).toEqual({
      ...expected,
      create_time: bought.create_time,
      update_time: bought.create_time,
      provider_response: expect.any(String),
      provider_notification: '{}',
    });
    expect(JSON.parse(bought.provider_response)).toEqual({ jws });

    const changed = stores.signedByApple({
      ...transaction,
      productId: 'season_pro',
      expiresDate: aYearAgo,
      originalPurchaseDate: 1,
    });
    const seen = await subscribe(b, changed);
    expect(seen).toMatchObject({
      user_id: a.id,
      product_id: 'season_pro',
      purchase_time: expected.purchase_time,
      create_time: bought.create_time,
    });
    expect(seen.active).toBeUndefined();
    expect(Date.parse(seen.update_time)).toBeGreaterThanOrEqual(Date.parse(bought.update_time));
    expect(await doorway.ok('ListSubscriptions', a.authorization)).toEqual({ validated_subscriptions: [seen] });
    expect(await doorway.ok('GetSubscription', a.authorization, { product_id: 'season_pro' })).toEqual(seen);
    const gone = await doorway.call('GetSubscription', a.authorization, { product_id: 'season' });
    expect(gone).toMatchObject({ code: 5, message: 'subscription not found' });
    expect(await doorway.ok('ListSubscriptions', b.authorization)).toEqual({});
  });

  test('a refund ends a subscription until it is paid for again', async () => {
    const player = await signIn(doorway.server);
    const transaction = stores.transaction({ expiresDate: inAYear });
    const before = stores.signedByApple(transaction);
    const refunded = stores.signedByApple({ ...transaction, revocationDate: 1_700_000_500_000 });
    expect(await subscribe(player, before)).toMatchObject({ active: true });
    const refundTime = '2023-11-14T22:21:40Z';
    for (const receipt of [refunded, before]) {
      const seen = await subscribe(player, receipt);
      expect(seen).toMatchObject({ refund_time: refundTime });
      expect(seen.active).toBeUndefined();
    }
    const { originalTransactionId } = transaction as { originalTransactionId: string };
    const again = stores.transaction({ originalTransactionId, expiresDate: inAYear, purchaseDate: 1_700_000_600_000 });
    expect(await subscribe(player, stores.signedByApple(again))).toMatchObject({ refund_time: epoch, active: true });
  });

  test('subscriptions of a receipt of before StoreKit 2: all are kept, the longest is answered', async () => {
    const player = await signIn(doorway.server);
    const { original_transaction_id } = period();
    const old = period({ original_transaction_id, product_id: 'season', expires_date_ms: String(aYearAgo) });
    const now = period({ original_transaction_id, product_id: 'season_pro' });
    const other = period({ product_id: 'pass', expires_date_ms: String(inAYear - day) });
    const replaced = period({
      original_transaction_id,
      product_id: 'season_year',
      expires_date_ms: String(inAYear + day),
      cancellation_date_ms: '1700000500000',
    });
    const content = { receipt: { bundle_id: bundleId }, latest_receipt_info: [old, other, replaced, now, item()] };
    const { receipt, text } = legacy(content);
    const bought = await subscribe(player, receipt);
    expect(bought).toMatchObject({
      user_id: player.id,
      product_id: 'season_pro',
      original_transaction_id,
      purchase_time: '2023-07-22T04:26:40.456Z',
      refund_time: epoch,
      active: true,
    });
    expect(JSON.parse(bought.provider_response)).toEqual(JSON.parse(text));
    const { validated_subscriptions: kept } = await doorway.ok('ListSubscriptions', player.authorization);
    expect(kept.map(({ product_id }: Envelope) => product_id).sort()).toEqual(['pass', 'season_pro']);
  });

  test('subscriptions that are none', async () => {
    const player = await signIn(doorway.server);
    expect(await subscribeCall(player, stores.signedByApple(stores.transaction()))).toMatchObject(purchaseReceipt);
    const zero = stores.signedByApple(stores.transaction({ expiresDate: 0 }));
    expect(await subscribeCall(player, zero)).toMatchObject(purchaseReceipt);
    const { receipt } = legacy({ receipt: { in_app: [period()] }, latest_receipt_info: [item()] });
    expect(await subscribeCall(player, receipt)).toMatchObject(purchaseReceipt);
    const outcome = await subscribeCall(player, 'unknown');
    expect(outcome).toMatchObject({ code: 9, message: 'Invalid Receipt. Status: 21002' });
  });
});

describe('where only some apps are taken', () => {
  test('what others sold is refused', async () => {
    const server = await startTestServer({ config: { ...stores.config, 'iap.apple.bundle_ids': ['com.a', bundleId] } });
    const { id } = await signIn(server);
    const { purchases, subscriptions } = server.features.purchases;
    const wrong = { bundleId: 'com.b' };
    const foreign = { code: 2, message: 'receipt belongs to another app' };
    await purchases.validateApple(id, stores.signedByApple(stores.transaction()));
    const signed = stores.signedByApple(stores.transaction(wrong));
    await expect(purchases.validateApple(id, signed)).rejects.toMatchObject(foreign);
    const season = stores.signedByApple(stores.transaction({ ...wrong, expiresDate: inAYear }));
    await expect(subscriptions.validateApple(id, season)).rejects.toMatchObject(foreign);
    const { receipt } = legacy({ receipt: { bundle_id: 'com.b', in_app: [item()] } });
    await expect(purchases.validateApple(id, receipt)).rejects.toMatchObject(foreign);
    expect(stores.web.calls(hosts.apple)).toBeGreaterThan(0);
    await server.stop();
  });

  test('server code may bring a secret of its own', async () => {
    const server = await startTestServer({ config: { ...stores.config, 'iap.apple.shared_password': '' } });
    const { id } = await signIn(server);
    const { purchases, subscriptions } = server.features.purchases;
    const { receipt } = legacy({ receipt: { in_app: [item()] }, latest_receipt_info: [period()] });
    const notConfigured = { code: 9, message: 'Apple IAP is not configured.' };
    await expect(purchases.validateApple(id, receipt)).rejects.toMatchObject(notConfigured);
    await expect(subscriptions.validateApple(id, receipt)).rejects.toMatchObject(notConfigured);
    const password = String(stores.config['iap.apple.shared_password']);
    expect(await purchases.validateApple(id, receipt, { password })).toHaveLength(1);
    expect(await subscriptions.validateApple(id, receipt, { password })).toMatchObject({ active: true });
    await server.stop();
  });
});
