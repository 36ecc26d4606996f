import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';
import { newTransactionId, notify, StandInStores } from './purchases-support.ts';

const nilUuid = '00000000-0000-0000-0000-000000000000';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

describeDoors('stores that are not configured', {}, (doorway) => {
  let player: Player;
  beforeAll(async () => {
    player = await signIn(doorway.server);
  });
  const refused = async (method: string, message: object, code: number, text: string) => {
    expect(await doorway.call(method, player.authorization, message)).toMatchObject({ code, message: text });
  };

  test('purchases #53: Google is checked before the purchase', async () => {
    await refused('ValidatePurchaseGoogle', {}, 9, 'Google IAP is not configured.');
    await refused('ValidatePurchaseGoogle', { purchase: '{}' }, 9, 'Google IAP is not configured.');
    await refused('ValidateSubscriptionGoogle', {}, 9, 'Google IAP is not configured.');
  });

  test('purchases #54: Apple is checked after the receipt, and only for those of before StoreKit 2', async () => {
    await refused('ValidatePurchaseApple', {}, 3, 'Receipt cannot be empty.');
    await refused('ValidatePurchaseApple', { receipt: 'abc' }, 9, 'Apple IAP is not configured.');
    await refused('ValidatePurchaseApple', { receipt: 'a.b.c.d' }, 9, 'Apple IAP is not configured.');
    await refused('ValidatePurchaseApple', { receipt: 'a.b.c' }, 2, 'JWS verification failed: it is malformed');
  });

  test('purchases #55: Apple is checked before the receipt of a subscription', async () => {
    await refused('ValidateSubscriptionApple', {}, 9, 'Apple IAP is not configured.');
    await refused('ValidateSubscriptionApple', { receipt: 'a.b.c' }, 9, 'Apple IAP is not configured.');
  });

  test('purchases: the others', async () => {
    await refused('ValidatePurchaseHuawei', {}, 9, 'Huawei IAP is not configured.');
    await refused('ValidatePurchaseFacebookInstant', {}, 9, 'Facebook Instant IAP is not configured.');
    await refused('ValidatePurchaseSamsung', {}, 3, 'Purchase ID cannot be empty.');
  });

  test('purchases #62: no subscription to that product', async () => {
    await refused('GetSubscription', { product_id: 'none' }, 5, 'subscription not found');
    await refused('GetSubscription', { product_id: 'no\0ne' }, 5, 'subscription not found');
  });

  test('purchases #63: no subscriptions', async () => {
    expect(await doorway.ok('ListSubscriptions', player.authorization, {})).toEqual({});
    const badLimit = 'Invalid limit - limit must be between 1 and 1000.';
    for (const limit of [0, 101, -1]) await refused('ListSubscriptions', { limit }, 3, badLimit);
    const badCursor = 'subscriptions list cursor invalid';
    const cursors = ['zzz', '!', Buffer.from('["subscription","","","",1,0,"x","y",true]').toString('base64url')];
    for (const cursor of cursors) await refused('ListSubscriptions', { cursor }, 2, badCursor);
  });

  test('purchases #67: none without a session', async () => {
    for (const method of ['ValidatePurchaseGoogle', 'ListSubscriptions', 'GetSubscription']) {
      const message = method === 'GetSubscription' ? { product_id: 'x' } : {};
      expect(await doorway.call(method, 'Bearer nonsense', message)).toMatchObject({ code: 16 });
    }
  });

  test('purchases: no fault of the server in any of it', () => {
    expect(doorway.server.errors).toEqual([]);
  });
});

describeDoors('purchases', { config: stores.config }, (doorway) => {
  let sql: pg.Client;
  beforeAll(async () => {
    sql = new pg.Client(doorway.server.databaseUrl);
    await sql.connect();
  });
  afterAll(async () => {
    await sql?.end();
    expect(doorway.server.errors).toEqual([]);
  });

  const validate = async ({ authorization }: Player, message: object): Promise<Envelope> => {
    const reply = await doorway.ok('ValidatePurchaseFacebookInstant', authorization, message);
    expect(reply.validated_purchases).toHaveLength(1);
    return reply.validated_purchases[0];
  };
  const stored = async (transactionId: string) =>
    (await sql.query('SELECT * FROM purchase WHERE transaction_id = $1', [transactionId])).rows;
  const payloadOf = (signed: string) => Buffer.from(signed.split('.')[1] ?? '', 'base64url').toString();

  test('purchases #56, #57, #58: first seen, seen again, seen with somebody else', async () => {
    const [a, b] = [await signIn(doorway.server), await signIn(doorway.server)];
    const id = newTransactionId();
    const body = { signed_request: stores.signedByFacebook({ purchase_token: id }) };
    const was = await validate(a, body);
    expect(was).toEqual({
      user_id: a.id,
      product_id: 'gems_100',
      transaction_id: id,
      store: 3,
      purchase_time: '2023-11-14T22:13:20Z',
      create_time: expect.stringMatching(/Z$/),
      update_time: expect.stringMatching(/Z$/),
      provider_response: payloadOf(body.signed_request),
      environment: 2,
    });
    expect(was.update_time).toBe(was.create_time);
    expect(await stored(id)).toMatchObject([{ user_id: a.id, product_id: 'gems_100', store: 3, environment: 2 }]);

    let last = was.update_time;
    for (const player of [a, b]) {
      const is = await validate(player, body);
      expect(is).toEqual({ ...was, user_id: player.id, seen_before: true, update_time: is.update_time });
      expect(Date.parse(is.update_time)).toBeGreaterThanOrEqual(Date.parse(last));
      expect(is.update_time).not.toBe(last);
      last = is.update_time;
    }
    expect(await stored(id)).toMatchObject([{ user_id: a.id }]);
  });

  test('purchases #59: what is not to be kept is not kept', async () => {
    const player = await signIn(doorway.server);
    const id = newTransactionId();
    const body = { signed_request: stores.signedByFacebook({ purchase_token: id }), persist: false };
    for (let time = 0; time < 2; time++) {
      expect(await validate(player, body)).toEqual({
        user_id: player.id,
        product_id: 'gems_100',
        transaction_id: id,
        store: 3,
        purchase_time: '2023-11-14T22:13:20Z',
        provider_response: payloadOf(body.signed_request),
        environment: 2,
      });
    }
    expect(await stored(id)).toEqual([]);
  });

  test.each<[what: string, signedRequest: () => string, message: string]>([
    ['#60: of another app', () => stores.signedByFacebook({}, 'other'), 'signedRequest verification failed'],
    ['of nobody', () => `AAAA.${stores.signedByFacebook().split('.')[1]}`, 'signedRequest verification failed'],
    [
      'for another payload',
      () => `${stores.signedByFacebook().split('.')[0]}.e30`,
      'signedRequest verification failed',
    ],
    ['in one part', () => 'abc', 'invalid signedRequest format'],
    ['in three parts', () => 'a.b.c', 'invalid signedRequest format'],
    ['without a payload', () => 'abc.', 'invalid signedRequest format'],
    ['without a purchase', () => stores.signedByFacebook({ purchase_token: undefined }), 'receipt is malformed'],
    ['without a product', () => stores.signedByFacebook({ product_id: '' }), 'receipt is malformed'],
    [
      'with an id beyond measure',
      () => stores.signedByFacebook({ purchase_token: 'x'.repeat(513) }),
      'receipt is malformed',
    ],
    [
      'with an id that no column holds',
      () => stores.signedByFacebook({ purchase_token: 'x\0' }),
      'receipt is malformed',
    ],
    ['without a time', () => stores.signedByFacebook({ purchase_time: undefined }), 'receipt has no valid time'],
    ['after the end of time', () => stores.signedByFacebook({ purchase_time: 1e15 }), 'receipt has no valid time'],
  ])('purchases: Facebook Instant refuses a signature %s', async (_what, signedRequest, message) => {
    const { authorization } = await signIn(doorway.server);
    const request = { signed_request: signedRequest() };
    const outcome = await doorway.call('ValidatePurchaseFacebookInstant', authorization, request);
    expect(outcome).toMatchObject({ code: 2, message });
  });

  test('purchases #61: what is missing for Huawei, Google, Facebook and Apple', async () => {
    const { authorization } = await signIn(doorway.server);
    const missing = async (method: string, request: object, message: string) => {
      expect(await doorway.call(`Validate${method}`, authorization, request)).toMatchObject({ code: 3, message });
    };
    await missing('PurchaseHuawei', { purchase: '{}' }, 'Signature cannot be empty.');
    await missing('PurchaseHuawei', { signature: 'x' }, 'Purchase cannot be empty.');
    await missing('PurchaseHuawei', {}, 'Purchase cannot be empty.');
    await missing('PurchaseGoogle', {}, 'Purchase cannot be empty.');
    await missing('PurchaseFacebookInstant', {}, 'SignedRequest cannot be empty.');
    await missing('PurchaseApple', {}, 'Receipt cannot be empty.');
    await missing('SubscriptionGoogle', {}, 'Receipt cannot be empty.');
    await missing('SubscriptionApple', {}, 'Receipt cannot be empty.');
  });

  test('purchases #64: they outlive their owner', async () => {
    const player = await signIn(doorway.server);
    const id = newTransactionId();
    await validate(player, { signed_request: stores.signedByFacebook({ purchase_token: id }) });
    const season = stores.googleSubscription();
    const receipt = JSON.stringify(season.receipt);
    const buy = async ({ authorization }: Player): Promise<Envelope> =>
      (await doorway.ok('ValidateSubscriptionGoogle', authorization, { receipt })).validated_subscription;
    expect(await buy(player)).toMatchObject({ user_id: player.id, active: true });
    await doorway.ok('DeleteAccount', player.authorization);

    expect(await stored(id)).toMatchObject([{ user_id: nilUuid, product_id: 'gems_100' }]);
    const { purchases, subscriptions } = doorway.server.features.purchases;
    expect(await purchases.get(id)).toMatchObject({ userId: '', transactionId: id });
    expect(await subscriptions.get(season.token)).toMatchObject({ userId: '', active: true });
    // Whoever comes next with it does not become its owner.
    const other = await signIn(doorway.server);
    expect((await buy(other)).user_id).toBeUndefined();
    expect(await doorway.ok('ListSubscriptions', other.authorization, {})).toEqual({});
  });

  test('purchases: a refund that is known is not forgotten by validating again', async () => {
    const [a, b] = [await signIn(doorway.server), await signIn(doorway.server)];
    const { token, receipt } = stores.googleProduct();
    stores.googleProductV2(token);
    const buy = async ({ authorization }: Player): Promise<Envelope> => {
      const request = { purchase: JSON.stringify(receipt) };
      return (await doorway.ok('ValidatePurchaseGoogle', authorization, request)).validated_purchases[0];
    };
    expect((await buy(a)).refund_time).toBeUndefined();
    const notification = stores.googleNotification({
      voidedPurchaseNotification: { purchaseToken: token, orderId: 'x', productType: 2, refundType: 1 },
    });
    expect(await notify(doorway.server, 'google', notification)).toBe(200);
    const [{ refund_time: refundTime }] = await stored(token);
    expect(refundTime.getTime()).toBeGreaterThan(Date.now() - 60_000);
    for (const player of [a, b]) {
      const found = await buy(player);
      expect(found.seen_before).toBe(true);
      expect(Date.parse(found.refund_time)).toBe(refundTime.getTime());
    }
    expect(await stored(token)).toMatchObject([{ refund_time: refundTime, user_id: a.id }]);
  });

  test('purchases: server code validates for a user, and for nobody else', async () => {
    const player = await signIn(doorway.server);
    const { purchases } = doorway.server.features.purchases;
    const signed = () => stores.signedByFacebook();
    expect(await purchases.validateFacebookInstant(player.id, signed())).toMatchObject([
      { userId: player.id, seenBefore: false },
    ]);
    await expect(purchases.validateFacebookInstant('abc', signed())).rejects.toThrow('expects a valid user ID');
    const stranger = 'b0000000-0000-4000-8000-000000000001';
    await expect(purchases.validateFacebookInstant(stranger, signed())).rejects.toMatchObject({
      code: 5,
      message: 'user not found',
    });
    expect(await purchases.validateFacebookInstant(stranger, signed(), { persist: false })).toHaveLength(1);
    await expect(purchases.get('')).rejects.toThrow('expects a transaction id string');
    expect(await purchases.get('none')).toBeNull();
    expect(await purchases.get('no\0ne')).toBeNull();
  });
});
