import { randomUUID } from 'node:crypto';
import { Client, type Session } from '@heroiclabs/nakama-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Front, openFront } from '../../testing/front.ts';
import { serverKey } from '../../testing/node.ts';
import { StandInStores } from './purchases-support.ts';
import { onEachServer } from './socket-support.ts';

const stores = await StandInStores.start();
afterAll(() => stores.stop());

onEachServer({ config: stores.config }, (realm) => {
  let front: Front;
  let client: Client;
  let session: Session;
  beforeAll(async () => {
    front = await openFront(realm.server);
    client = new Client(serverKey, '127.0.0.1', String(front.port), false);
    session = await client.authenticateDevice(`sdk-${randomUUID()}`);
  });
  afterAll(() => front?.close());

  test('purchases: the SDK validates at every store that it knows', async () => {
    const apple = stores.signedByApple(stores.transaction());
    const google = JSON.stringify(stores.googleProduct().receipt);
    const { purchase, signature } = stores.huaweiOrder();
    const replies = [
      await client.validatePurchaseApple(session, apple),
      await client.validatePurchaseGoogle(session, google),
      await client.validatePurchaseHuawei(session, purchase, signature),
      await client.validatePurchaseFacebookInstant(session, stores.signedByFacebook()),
    ];
    const bought = replies.map(({ validated_purchases: [first] = [] }) => first);
    expect(bought.map((each) => each?.store ?? 0)).toEqual([0, 1, 2, 3]);
    for (const each of bought) expect(each).toMatchObject({ user_id: session.user_id, product_id: 'gems_100' });
    const again = await client.validatePurchaseGoogle(session, google, false);
    expect(again.validated_purchases?.[0]?.create_time).toBeUndefined();
  });

  test('purchases: the SDK validates and lists subscriptions', async () => {
    const expiresDate = Date.now() + 86_400_000;
    const apple = stores.signedByApple(stores.transaction({ productId: 'pass', expiresDate }));
    await client.validateSubscriptionApple(session, apple);
    await client.validateSubscriptionGoogle(session, JSON.stringify(stores.googleSubscription().receipt));
    const first = await client.listSubscriptions(session, undefined, 1);
    expect(first.validated_subscriptions).toMatchObject([{ product_id: 'season', active: true }]);
    const second = await client.listSubscriptions(session, first.cursor, 1);
    expect(second.validated_subscriptions).toMatchObject([{ product_id: 'pass', active: true }]);
    expect(second.cursor).toBeUndefined();
    expect(await client.getSubscription(session, 'pass')).toMatchObject({ product_id: 'pass', active: true });
  });
});
