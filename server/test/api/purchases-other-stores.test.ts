import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import { hosts, packageName, StandInStores } from './purchases-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

describeDoors('purchases of Huawei', { config: stores.config }, (doorway) => {
  const call = (player: Player, { purchase, signature }: { purchase: string; signature: string }, persist = true) =>
    doorway.call('ValidatePurchaseHuawei', player.authorization, { purchase, signature, persist });

  test('an order, kept and not kept', async () => {
    const player = await signIn(doorway.server);
    const order = stores.huaweiOrder();
    const expected = {
      product_id: 'gems_100',
      transaction_id: order.orderId,
      store: 2,
      purchase_time: '2023-11-14T22:13:20.123Z',
      provider_response: expect.stringContaining('"responseCode":"0"'),
      environment: 2,
    };
    expect((await call(player, order, false)).response.validated_purchases).toEqual([expected]);
    const [bought] = (await call(player, order)).response.validated_purchases as Envelope[];
    expect(bought).toEqual({
      ...expected,
      user_id: player.id,
      create_time: bought.create_time,
      update_time: bought.create_time,
    });
    expect((await call(player, order)).response.validated_purchases).toMatchObject([{ seen_before: true }]);
  });

  test('an order of the sandbox, and one of AppTouch', async () => {
    const player = await signIn(doorway.server);
    const sandbox = stores.huaweiOrder({ purchaseType: 0 });
    expect((await call(player, sandbox)).response.validated_purchases).toMatchObject([{ environment: 1 }]);
    const before = stores.web.calls(hosts.huaweiAppTouch);
    expect((await call(player, stores.huaweiOrder({}, { accountFlag: 1 }))).code).toBe(0);
    expect((await call(player, stores.huaweiOrder({}, { accountFlag: 0 }))).code).toBe(0);
    expect(stores.web.calls(hosts.huaweiAppTouch)).toBe(before + 1);
  });

  test('an order that Huawei did not sign', async () => {
    const player = await signIn(doorway.server);
    const { purchase, signature } = stores.huaweiOrder();
    const other = stores.huaweiOrder();
    const refused = { code: 2, message: 'inAppPurchaseData invalid signature' };
    const before = stores.web.calls(hosts.huawei);
    for (const forged of [
      { purchase: `${purchase} `, signature },
      { purchase: other.purchase, signature },
      { purchase, signature: 'AAAA' },
      { purchase, signature: '!' },
    ]) {
      expect(await call(player, forged)).toMatchObject(refused);
    }
    expect(stores.web.calls(hosts.huawei)).toBe(before);
  });

  test('an order that Huawei does not confirm', async () => {
    const player = await signIn(doorway.server);
    const unknown = stores.huaweiOrder({}, { purchaseToken: 'unknown' });
    expect(await call(player, unknown)).toMatchObject({ code: 9, message: 'Invalid Receipt. Code: 5' });
    for (const purchaseState of [1, 2, -1]) {
      const order = stores.huaweiOrder({ purchaseState });
      const message = `Invalid Receipt. State: ${purchaseState}`;
      expect(await call(player, order)).toMatchObject({ code: 9, message });
    }
    const nameless = stores.huaweiOrder({ orderId: undefined });
    expect(await call(player, nameless)).toMatchObject({ code: 2, message: 'receipt is malformed' });
    const untimed = stores.huaweiOrder({}, { purchaseTime: undefined });
    expect(await call(player, untimed)).toMatchObject({ code: 2, message: 'receipt has no valid time' });
    const order = stores.huaweiOrder();
    stores.huaweiOrders.set(JSON.parse(order.purchase).purchaseToken, { responseCode: '0' });
    const empty = { code: 2, message: 'response from Huawei service has no purchaseTokenData' };
    expect(await call(player, order)).toMatchObject(empty);
  });
});

describe.each(serverKinds)('access to Huawei on %s', (kind) => {
  test('is asked for once, and again when it no longer works', async () => {
    const server = await startTestServer({ kind, config: stores.config });
    const { id } = await signIn(server);
    const purchases = server.nodes[0]?.app.features.purchases.purchases;
    const buy = () => {
      const { purchase, signature } = stores.huaweiOrder();
      return purchases?.validateHuawei(id, purchase, signature);
    };
    const before = stores.web.calls(hosts.huaweiLogin);
    await Promise.all(Array.from({ length: 10 }, buy));
    expect(stores.web.calls(hosts.huaweiLogin)).toBe(before + 1);
    stores.huaweiToken = { ...stores.huaweiToken, access_token: unique('token') };
    expect(await buy()).toHaveLength(1);
    expect(await buy()).toHaveLength(1);
    expect(stores.web.calls(hosts.huaweiLogin)).toBe(before + 2);
    await server.stop();
  });

  test('needs the right client and a key', async () => {
    const order = stores.huaweiOrder();
    for (const [config, message] of [
      [{ 'iap.huawei.client_secret': 'x' }, /^non-200 response from Huawei service, status=403, payload=.*1101/],
      [{ 'iap.huawei.public_key': 'x' }, /^huawei iap public key invalid$/],
    ] as const) {
      const server = await startTestServer({ kind, config: { ...stores.config, ...config } });
      const { id } = await signIn(server);
      const { purchases } = server.features.purchases;
      const refused = purchases.validateHuawei(id, order.purchase, order.signature);
      await expect(refused).rejects.toMatchObject({ code: 2, message: expect.stringMatching(message) });
      await server.stop();
    }
  });
});

describeDoors('purchases of Samsung', { config: stores.config }, (doorway) => {
  const call = (player: Player, purchaseId: string, persist = true) =>
    doorway.call('ValidatePurchaseSamsung', player.authorization, { purchase_id: purchaseId, persist });

  test('a receipt, kept and not kept', async () => {
    const player = await signIn(doorway.server);
    const id = stores.samsungPurchase();
    const expected = {
      product_id: 'gems_100',
      transaction_id: id,
      store: 4,
      purchase_time: '2023-11-14T22:13:20Z',
      provider_response: expect.stringContaining('"status":"success"'),
      environment: 2,
    };
    expect((await call(player, id, false)).response.validated_purchases).toEqual([expected]);
    const [bought] = (await call(player, id)).response.validated_purchases as Envelope[];
    expect(bought).toEqual({
      ...expected,
      user_id: player.id,
      create_time: bought.create_time,
      update_time: bought.create_time,
    });
    expect((await call(player, id)).response.validated_purchases).toMatchObject([{ seen_before: true }]);
    const tested = stores.samsungPurchase({ mode: 'TEST' });
    expect((await call(player, tested)).response.validated_purchases).toMatchObject([{ environment: 1 }]);
  });

  test.each<[what: string, id: () => string, message: string]>([
    ['that is unknown', () => 'unknown', 'fail not exist order'],
    ['that was cancelled', () => stores.samsungPurchase({ status: 'cancel' }), 'cancel'],
    ['without an item', () => stores.samsungPurchase({ itemId: '' }), 'response names no item'],
    ['with another question in it', () => `${stores.samsungPurchase()}&x=1`, 'invalid purchase id'],
    ['with a space at the end', () => `${stores.samsungPurchase()} `, 'invalid purchase id'],
  ])('a receipt %s', async (_what, id, message) => {
    const player = await signIn(doorway.server);
    expect(await call(player, id())).toMatchObject({ code: 2, message: `Samsung IAP: ${message}` });
  });

  test('a receipt without a time', async () => {
    const player = await signIn(doorway.server);
    const id = stores.samsungPurchase({ purchaseDate: 'soon' });
    expect(await call(player, id)).toMatchObject({ code: 2, message: 'receipt has no valid time' });
  });
});

describe.each(serverKinds)('purchases of one app at Samsung on %s', (kind) => {
  test('are those of that app, as far as it is told', async () => {
    const config = { ...stores.config, 'iap.samsung.package_name': packageName };
    const server = await startTestServer({ kind, config });
    const { id } = await signIn(server);
    const { purchases } = server.features.purchases;
    expect(await purchases.validateSamsung(id, stores.samsungPurchase())).toHaveLength(1);
    expect(await purchases.validateSamsung(id, stores.samsungPurchase({ packageName: undefined }))).toHaveLength(1);
    const foreign = purchases.validateSamsung(id, stores.samsungPurchase({ packageName: 'com.other' }));
    await expect(foreign).rejects.toMatchObject({ code: 2, message: 'Samsung IAP: purchase belongs to another app' });
    await server.stop();
  });
});
