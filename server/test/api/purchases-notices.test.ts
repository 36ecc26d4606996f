import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { NoticeType, type Purchase, type Subscription } from '../../features/purchases/index.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { bundleId, hosts, newTransactionId, notify, packageName, StandInStores } from './purchases-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

const nilUuid = '00000000-0000-0000-0000-000000000000';
const stranger = 'b0000000-0000-4000-8000-000000000001';
const day = 86_400_000;
const inAMonth = Math.floor(Date.now() / 1000) * 1000 + 30 * day;
const refundedAt = 1_700_000_500_000;

interface Heard {
  readonly store: 'apple' | 'google';
  readonly purchase?: Purchase;
  readonly subscription?: Subscription;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into payloads freely
  readonly payload: any;
  readonly type: NoticeType;
}

describe.each(serverKinds)('notifications of stores on %s', (kind) => {
  let server: TestServer;
  let sql: pg.Client;
  let player: Player;
  const heard: Heard[] = [];
  let failure: Error | undefined;
  beforeAll(async () => {
    server = await startTestServer({ kind, config: stores.config });
    sql = new pg.Client(server.databaseUrl);
    await sql.connect();
    for (const { app } of server.nodes) {
      const { callbacks } = app.features.purchases;
      for (const store of ['apple', 'google'] as const) {
        callbacks.onPurchaseNotification(store, (purchase, payload, type) => {
          heard.push({ store, purchase, payload: JSON.parse(payload), type });
          if (failure !== undefined) throw failure;
        });
        callbacks.onSubscriptionNotification(store, async (subscription, payload, type) => {
          heard.push({ store, subscription, payload: JSON.parse(payload), type });
          if (failure !== undefined) throw failure;
        });
      }
    }
  });
  beforeEach(async () => {
    heard.length = 0;
    failure = undefined;
    player = await signIn(server);
  });
  afterAll(async () => {
    await sql?.end();
    expect(server?.errors).toEqual([]);
    await server?.stop();
  });

  const receive = (store: 'apple' | 'google', body: Uint8Array): Promise<number> => notify(server, store, body);
  const subscriptionOf = (id: string): Promise<Subscription | null> => server.features.purchases.subscriptions.get(id);
  const purchaseOf = (id: string): Promise<Purchase | null> => server.features.purchases.purchases.get(id);
  const timeOf = (time: { seconds: number; nanos: number } | undefined): number =>
    (time?.seconds ?? Number.NaN) * 1000 + (time?.nanos ?? 0) / 1e6;

  describe('of Apple', () => {
    const subscribed = (changes: object = {}) =>
      stores.transaction({ productId: 'season', expiresDate: inAMonth, appAccountToken: player.id, ...changes }) as {
        transactionId: string;
        originalTransactionId: string;
      };
    const send = (type: string, transaction: object, options: Parameters<StandInStores['appleNotification']>[2] = {}) =>
      receive('apple', stores.appleNotification(type, transaction, options));

    test.each(['SUBSCRIBED', 'DID_CHANGE_RENEWAL_PREF', 'OFFER_REDEEMED'])('%s begins a subscription', async (type) => {
      const transaction = subscribed();
      expect(await send(type, transaction, { subtype: 'INITIAL_BUY' })).toBe(200);
      const subscription = await subscriptionOf(transaction.originalTransactionId);
      expect(subscription).toMatchObject({
        userId: player.id,
        productId: 'season',
        store: 0,
        environment: 2,
        active: true,
      });
      expect(timeOf(subscription?.expiryTime)).toBe(inAMonth);
      expect(JSON.parse(subscription?.providerNotification ?? '')).toMatchObject({ notificationType: type });
      expect(heard).toMatchObject([
        { store: 'apple', type: NoticeType.SUBSCRIBED, payload: { notificationType: type } },
      ]);
      expect(heard[0]?.subscription).toEqual(subscription);
    });

    test('whose it is: named when it was bought, known already, or worth waiting for', async () => {
      const { appAccountToken, ...nameless } = subscribed() as ReturnType<typeof subscribed> & {
        appAccountToken: string;
      };
      expect(appAccountToken).toBe(player.id);
      for (const transaction of [
        nameless,
        { ...nameless, appAccountToken: 'x' },
        { ...nameless, appAccountToken: nilUuid },
      ]) {
        expect(await send('SUBSCRIBED', transaction)).toBe(500);
        expect(await send('DID_RENEW', transaction)).toBe(200);
        expect(await send('EXPIRED', transaction)).toBe(200);
        expect(await send('REFUND', transaction)).toBe(200);
      }
      expect(await subscriptionOf(nameless.originalTransactionId)).toBeNull();
      await server.features.purchases.subscriptions.validateApple(player.id, stores.signedByApple(nameless));
      expect(await send('SUBSCRIBED', nameless)).toBe(200);
      expect(heard).toMatchObject([{ subscription: { userId: player.id } }]);
      // What the client has validated is still there.
      expect(heard[0]?.subscription?.providerResponse).toContain('"jws"');
    });

    test('of a user who does not exist it is ignored', async () => {
      const transaction = subscribed({ appAccountToken: stranger });
      expect(await send('SUBSCRIBED', transaction)).toBe(200);
      expect(await subscriptionOf(transaction.originalTransactionId)).toBeNull();
      const purchase = stores.transaction({ appAccountToken: stranger }) as { transactionId: string };
      expect(await send('REFUND', purchase)).toBe(200);
      expect(await purchaseOf(purchase.transactionId)).toBeNull();
      expect(heard).toEqual([]);
    });

    test('another plan, a renewal, an end', async () => {
      const transaction = subscribed();
      const { originalTransactionId } = transaction;
      await send('SUBSCRIBED', transaction);
      const renewal = { originalTransactionId, autoRenewProductId: 'season_pro', autoRenewStatus: 1 };
      for (const [subtype, productId] of [
        ['UPGRADE', 'season_pro'],
        ['', 'season'],
        ['DOWNGRADE', 'season_pro'],
      ] as const) {
        expect(await send('DID_CHANGE_RENEWAL_PREF', transaction, { subtype, renewal })).toBe(200);
        expect(await subscriptionOf(originalTransactionId)).toMatchObject({ productId, userId: player.id });
      }
      expect(await send('DID_RENEW', subscribed({ originalTransactionId, expiresDate: inAMonth + 30 * day }))).toBe(
        200,
      );
      expect(timeOf((await subscriptionOf(originalTransactionId))?.expiryTime)).toBe(inAMonth + 30 * day);

      const ends = { renewalDate: inAMonth - 40 * day, gracePeriodExpiresDate: inAMonth - 35 * day };
      for (const type of ['EXPIRED', 'GRACE_PERIOD_EXPIRED', 'REVOKED', 'REVOKE']) {
        expect(await send('DID_RENEW', transaction)).toBe(200);
        expect(await send(type, transaction, { renewal: { originalTransactionId, ...ends } })).toBe(200);
        const subscription = await subscriptionOf(originalTransactionId);
        expect([type, timeOf(subscription?.expiryTime)]).toEqual([type, ends.gracePeriodExpiresDate]);
        expect(subscription?.active).toBe(false);
      }
      expect(await send('EXPIRED', transaction)).toBe(200);
      expect(timeOf((await subscriptionOf(originalTransactionId))?.expiryTime)).toBe(inAMonth);
      const { SUBSCRIBED, RENEWED, EXPIRED } = NoticeType;
      const types: NoticeType[] = [SUBSCRIBED, SUBSCRIBED, SUBSCRIBED, SUBSCRIBED, RENEWED];
      for (let count = 0; count < 4; count++) types.push(RENEWED, EXPIRED);
      expect(heard.map(({ type }) => type)).toEqual([...types, EXPIRED]);
    });

    test('what comes late does not undo what has come since', async () => {
      const [first, second] = [subscribed(), inAMonth + 30 * day];
      const { originalTransactionId } = first;
      const renewed = subscribed({ originalTransactionId, expiresDate: second, productId: 'season_pro' });
      const signedDate = Date.now();
      const [early, late] = [
        stores.appleNotification('SUBSCRIBED', first, { signedDate: signedDate - 1 }),
        stores.appleNotification('DID_RENEW', renewed, { signedDate }),
      ];
      for (const body of [late, early, late]) {
        expect(await receive('apple', body)).toBe(200);
        const subscription = await subscriptionOf(originalTransactionId);
        expect(timeOf(subscription?.expiryTime)).toBe(second);
        expect(subscription?.productId).toBe('season_pro');
        expect(JSON.parse(subscription?.providerNotification ?? '')).toMatchObject({ notificationType: 'DID_RENEW' });
      }
      // Handlers hear of it all the same, with what is.
      const { RENEWED, SUBSCRIBED } = NoticeType;
      expect(heard.map(({ type }) => type)).toEqual([RENEWED, SUBSCRIBED, RENEWED]);
      expect(timeOf(heard[1]?.subscription?.expiryTime)).toBe(second);
      // What the client presents has no such date, and counts.
      const restored = { ...renewed, expiresDate: second + day };
      await server.features.purchases.subscriptions.validateApple(player.id, stores.signedByApple(restored));
      expect(timeOf((await subscriptionOf(originalTransactionId))?.expiryTime)).toBe(second + day);
    });

    test('somebody changes the mind about renewing', async () => {
      const transaction = subscribed();
      expect(await send('DID_CHANGE_RENEWAL_STATUS', transaction, { subtype: 'AUTO_RENEW_ENABLED' })).toBe(200);
      expect(heard).toEqual([]);
      expect(await subscriptionOf(transaction.originalTransactionId)).toMatchObject({ active: true });
      expect(await send('DID_CHANGE_RENEWAL_STATUS', transaction, { subtype: 'AUTO_RENEW_DISABLED' })).toBe(200);
      expect(heard).toMatchObject([{ type: NoticeType.CANCELLED, subscription: { active: true } }]);
    });

    test('the money for a subscription is given back, and it is paid for again', async () => {
      const transaction = subscribed();
      const { originalTransactionId } = transaction;
      await send('SUBSCRIBED', transaction);
      heard.length = 0;
      expect(await send('REFUND', { ...transaction, revocationDate: refundedAt })).toBe(200);
      const refunded = await subscriptionOf(originalTransactionId);
      expect(refunded).toMatchObject({ active: false, userId: player.id });
      expect(timeOf(refunded?.refundTime)).toBe(refundedAt);
      expect(heard).toMatchObject([{ type: NoticeType.REFUNDED, subscription: { active: false } }]);
      // What comes late changes nothing, a new period does.
      expect(await send('DID_RENEW', transaction)).toBe(200);
      expect(await subscriptionOf(originalTransactionId)).toMatchObject({ active: false });
      const next = subscribed({ originalTransactionId, purchaseDate: refundedAt + day });
      expect(await send('DID_RENEW', next)).toBe(200);
      expect(await subscriptionOf(originalTransactionId)).toMatchObject({ active: true });
    });

    test('the money for a former period is given back: the present one is paid for', async () => {
      const transaction = subscribed();
      await send('DID_RENEW', transaction);
      heard.length = 0;
      const former = { ...transaction, expiresDate: inAMonth - 30 * day, revocationDate: refundedAt };
      expect(await send('REFUND', former)).toBe(200);
      expect(await subscriptionOf(transaction.originalTransactionId)).toMatchObject({ active: true });
      expect(heard).toMatchObject([{ type: NoticeType.REFUNDED, subscription: { active: true } }]);
    });

    test('the money for a purchase is given back, before or after it is seen', async () => {
      const transaction = stores.transaction({ appAccountToken: player.id }) as { transactionId: string };
      const before = Date.now();
      expect(await send('REFUND', transaction)).toBe(200);
      const { purchases } = server.features.purchases;
      expect(timeOf((await purchaseOf(transaction.transactionId))?.refundTime)).toBeGreaterThanOrEqual(before);
      const [seen] = await purchases.validateApple(player.id, stores.signedByApple(transaction));
      expect(seen).toMatchObject({ seenBefore: true });
      expect(timeOf(seen?.refundTime)).toBeGreaterThanOrEqual(before);

      const other = stores.transaction() as { transactionId: string };
      await purchases.validateApple(player.id, stores.signedByApple(other));
      heard.length = 0;
      expect(await send('REFUND', { ...other, revocationDate: refundedAt })).toBe(200);
      expect(heard).toMatchObject([
        { type: NoticeType.REFUNDED, purchase: { userId: player.id, transactionId: other.transactionId } },
      ]);
      expect(timeOf(heard[0]?.purchase?.refundTime)).toBe(refundedAt);
      expect(heard[0]?.purchase).toEqual(await purchaseOf(other.transactionId));
    });

    test('a handler that fails is no concern of Apple', async () => {
      failure = new Error('no');
      const transaction = subscribed();
      expect(await send('SUBSCRIBED', transaction)).toBe(200);
      expect(await subscriptionOf(transaction.originalTransactionId)).not.toBeNull();
      expect(await send('REFUND', stores.transaction({ appAccountToken: player.id }))).toBe(200);
      expect(heard).toHaveLength(2);
    });

    test('what is of no interest is taken, what cannot be read is not', async () => {
      for (const type of ['TEST', 'CONSUMPTION_REQUEST', 'PRICE_INCREASE', 'REFUND_DECLINED', 'SOMETHING_NEW']) {
        expect(await send(type, subscribed())).toBe(200);
      }
      const [header, payload, signature] = stores.signedByApple({ notificationType: 'TEST' }).split('.');
      const forged = Buffer.from(JSON.stringify({ notificationType: 'SUBSCRIBED', data: {} })).toString('base64url');
      const bodies = [
        '',
        'x',
        '[]',
        '{}',
        JSON.stringify({ signedPayload: 7 }),
        JSON.stringify({ signedPayload: `${header}.${forged}.${signature}` }),
        JSON.stringify({ signedPayload: `${header}.${payload}` }),
        JSON.stringify({ signedPayload: stores.signedByApple({ notificationType: 'SUBSCRIBED' }) }),
        JSON.stringify({ signedPayload: stores.signedByApple({ notificationType: 'REFUND', data: { bundleId } }) }),
      ];
      for (const body of bodies) expect([body, await receive('apple', Buffer.from(body))]).toEqual([body, 500]);
      expect(await send('SUBSCRIBED', subscribed({ originalTransactionId: '' }))).toBe(500);
      expect(await send('SUBSCRIBED', subscribed({ productId: undefined }))).toBe(500);
      expect(heard).toEqual([]);
    });

    test('of another app is refused where apps are named', async () => {
      const config = { ...stores.config, 'iap.apple.bundle_ids': ['com.other'] };
      const other = await startTestServer({ kind, config });
      expect(await notify(other, 'apple', stores.appleNotification('SUBSCRIBED', subscribed()))).toBe(500);
      await other.stop();
    });
  });

  describe('of Google', () => {
    const change = (notificationType: number, purchaseToken: string, content: object = {}) =>
      receive(
        'google',
        stores.googleNotification({
          subscriptionNotification: { version: '1.0', notificationType, purchaseToken, subscriptionId: 'season' },
          ...content,
        }),
      );
    const voided = (productType: number, purchaseToken: string) =>
      receive(
        'google',
        stores.googleNotification({
          voidedPurchaseNotification: { purchaseToken, orderId: 'GPA.1', productType, refundType: 1 },
        }),
      );
    const owned = (id = player.id) => ({ externalAccountIdentifiers: { obfuscatedExternalAccountId: id } });

    test.each([
      [4, NoticeType.SUBSCRIBED],
      [2, NoticeType.RENEWED],
      [13, NoticeType.EXPIRED],
      [3, NoticeType.CANCELLED],
    ])('type %i is told as %i', async (number, type) => {
      const { token, response } = stores.googleSubscription(owned());
      expect(await change(number, token)).toBe(200);
      const subscription = await subscriptionOf(token);
      expect(subscription).toMatchObject({ userId: player.id, productId: 'season', store: 1, active: true });
      expect(JSON.parse(subscription?.providerResponse ?? '')).toEqual(response);
      expect(JSON.parse(subscription?.providerNotification ?? '')).toMatchObject({ packageName });
      expect(heard).toMatchObject([{ store: 'google', type, payload: { subscriptionNotification: {} } }]);
      expect(heard[0]?.subscription).toEqual(subscription);
    });

    test('what is of no interest is taken without a question', async () => {
      const { token } = stores.googleSubscription(owned());
      const before = stores.web.calls(hosts.googlePlay);
      for (const number of [1, 5, 6, 7, 8, 9, 10, 11, 12, 20, 99]) expect(await change(number, token)).toBe(200);
      for (const content of [
        { testNotification: { version: '1.0' } },
        { oneTimeProductNotification: { version: '1.0', notificationType: 1, purchaseToken: token, sku: 'x' } },
        { pendingRefundReviewNotification: {} },
        { voidedPurchaseNotification: { purchaseToken: token, productType: 3 } },
        {},
      ]) {
        expect(await receive('google', stores.googleNotification(content))).toBe(200);
      }
      expect(stores.web.calls(hosts.googlePlay)).toBe(before);
      expect(await subscriptionOf(token)).toBeNull();
      expect(heard).toEqual([]);
    });

    test('whose it is: named when it was bought, known already, or of no interest', async () => {
      const profile = {
        externalAccountIdentifiers: { obfuscatedExternalAccountId: '', obfuscatedExternalProfileId: player.id },
      };
      const named = stores.googleSubscription(profile);
      expect(await change(4, named.token)).toBe(200);
      expect(await subscriptionOf(named.token)).toMatchObject({ userId: player.id });

      for (const identifiers of [
        undefined,
        { obfuscatedExternalAccountId: 'a hash' },
        { obfuscatedExternalAccountId: nilUuid },
      ]) {
        const { token, receipt } = stores.googleSubscription({ externalAccountIdentifiers: identifiers });
        expect(await change(4, token)).toBe(200);
        expect(await subscriptionOf(token)).toBeNull();
        await server.features.purchases.subscriptions.validateGoogle(player.id, JSON.stringify(receipt));
        heard.length = 0;
        expect(await change(2, token)).toBe(200);
        expect(heard).toMatchObject([{ type: NoticeType.RENEWED, subscription: { userId: player.id } }]);
      }
      const unknown = stores.googleSubscription(owned(stranger));
      expect(await change(4, unknown.token)).toBe(200);
      expect(await subscriptionOf(unknown.token)).toBeNull();
    });

    test('the money for a subscription is given back, and it is renewed', async () => {
      const { token } = stores.googleSubscription(owned());
      expect(await change(4, token)).toBe(200);
      const before = Date.now();
      expect(await voided(1, token)).toBe(200);
      const refunded = await subscriptionOf(token);
      expect(refunded).toMatchObject({ active: false });
      expect(timeOf(refunded?.refundTime)).toBeGreaterThanOrEqual(before);
      expect(heard.at(-1)).toMatchObject({ type: NoticeType.REFUNDED, subscription: { active: false } });
      // A renewal of before the refund that comes late changes nothing.
      expect(await change(2, token, { eventTimeMillis: String(before - day) })).toBe(200);
      expect(await subscriptionOf(token)).toMatchObject({ active: false });
      expect(await change(2, token, { eventTimeMillis: String(Date.now() + day) })).toBe(200);
      expect(await subscriptionOf(token)).toMatchObject({ active: true });
    });

    test('the money for a purchase is given back', async () => {
      const token = newTransactionId();
      stores.googleProductV2(token, {
        obfuscatedExternalAccountId: player.id,
        testPurchaseContext: { fopType: 'TEST' },
      });
      const before = Date.now();
      expect(await voided(2, token)).toBe(200);
      const purchase = await purchaseOf(token);
      expect(purchase).toMatchObject({ userId: player.id, productId: 'gems_100', store: 1, environment: 1 });
      expect(timeOf(purchase?.refundTime)).toBeGreaterThanOrEqual(before);
      expect(heard).toMatchObject([{ store: 'google', type: NoticeType.REFUNDED }]);
      expect(heard[0]?.purchase).toEqual(purchase);

      const nobodys = newTransactionId();
      stores.googleProductV2(nobodys);
      expect(await voided(2, nobodys)).toBe(200);
      expect(await purchaseOf(nobodys)).toBeNull();
    });

    test('a handler that fails gets a refund of a purchase again, and nothing else', async () => {
      failure = new Error('no');
      const { token } = stores.googleSubscription(owned());
      expect(await change(4, token)).toBe(200);
      expect(await voided(1, token)).toBe(200);
      const product = newTransactionId();
      stores.googleProductV2(product, { obfuscatedExternalAccountId: player.id });
      expect(await voided(2, product)).toBe(500);
      expect(timeOf((await purchaseOf(product))?.refundTime)).toBeGreaterThan(0);
      failure = undefined;
      expect(await voided(2, product)).toBe(200);
    });

    test('what cannot be read, or looked up, is to be sent again', async () => {
      const bodies = ['', 'x', '{}', '{"message":{}}', '{"message":{"data":"!"}}', '{"message":{"data":"W10="}}'];
      for (const body of bodies) expect([body, await receive('google', Buffer.from(body))]).toEqual([body, 500]);
      expect(await change(4, newTransactionId())).toBe(500);
      expect(await change(4, '')).toBe(500);
      expect(await change(4, '..')).toBe(500);
      expect(await voided(2, newTransactionId())).toBe(500);
      stores.web.fault(hosts.googlePlay, 'drop');
      const { token } = stores.googleSubscription(owned());
      expect(await change(4, token)).toBe(500);
      stores.web.heal();
      expect(await change(4, token)).toBe(200);
      const config = { ...stores.config, 'iap.google.client_email': '' };
      const unable = await startTestServer({ kind, config });
      const body = stores.googleNotification({
        subscriptionNotification: { notificationType: 4, purchaseToken: token },
      });
      expect(await notify(unable, 'google', body)).toBe(500);
      await unable.stop();
    });
  });

  test('a deleted owner is nobody to handlers', async () => {
    const transaction = stores.transaction({ expiresDate: inAMonth }) as { originalTransactionId: string };
    await server.features.purchases.subscriptions.validateApple(player.id, stores.signedByApple(transaction));
    await server.features.erasure.erasure.deleteAccount(player.id);
    expect(await receive('apple', stores.appleNotification('DID_RENEW', transaction))).toBe(200);
    expect(heard).toMatchObject([{ type: NoticeType.RENEWED, subscription: { userId: '' } }]);
  });
});
