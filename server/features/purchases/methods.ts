import { invalidArgument } from '../../platform/errors.ts';
import { api, type Method } from '../../wire/method.ts';
import type { Purchases } from './purchases.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Purchase, Subscription } from './validated.ts';
import { toPurchase, toSubscription } from './wire.ts';

const maxList = 100;

export function purchaseMethods(purchases: Purchases, subscriptions: Subscriptions): Method[] {
  return [
    api('ValidatePurchaseApple', { auth: 'session' }, async ({ user }, { receipt, persist }) =>
      purchasesReply(await purchases.validateApple(user.id, receipt, { persist: persist?.value })),
    ),

    api('ValidatePurchaseGoogle', { auth: 'session' }, async ({ user }, { purchase, persist }) =>
      purchasesReply(await purchases.validateGoogle(user.id, purchase, { persist: persist?.value })),
    ),

    api('ValidatePurchaseHuawei', { auth: 'session' }, async ({ user }, { purchase, signature, persist }) =>
      purchasesReply(await purchases.validateHuawei(user.id, purchase, signature, { persist: persist?.value })),
    ),

    api('ValidatePurchaseFacebookInstant', { auth: 'session' }, async ({ user }, { signed_request, persist }) =>
      purchasesReply(await purchases.validateFacebookInstant(user.id, signed_request, { persist: persist?.value })),
    ),

    api('ValidatePurchaseSamsung', { auth: 'session' }, async ({ user }, { purchase_id, persist }) =>
      purchasesReply(await purchases.validateSamsung(user.id, purchase_id, { persist: persist?.value })),
    ),

    api('ValidateSubscriptionApple', { auth: 'session' }, async ({ user }, { receipt, persist }) =>
      subscriptionReply(await subscriptions.validateApple(user.id, receipt, { persist: persist?.value })),
    ),

    api('ValidateSubscriptionGoogle', { auth: 'session' }, async ({ user }, { receipt, persist }) =>
      subscriptionReply(await subscriptions.validateGoogle(user.id, receipt, { persist: persist?.value })),
    ),

    api('ListSubscriptions', { auth: 'session' }, async ({ user }, request) => {
      const limit = request.limit?.value ?? maxList;
      // The text is the contract's, the bound is, too.
      if (limit < 1 || limit > maxList) throw invalidArgument('Invalid limit - limit must be between 1 and 1000.');
      const page = await subscriptions.list({ userId: user.id, limit, cursor: request.cursor });
      const { items, cursor, prevCursor } = page;
      return { validated_subscriptions: items.map(toSubscription), cursor, prev_cursor: prevCursor };
    }),

    api('GetSubscription', { auth: 'session' }, async ({ user }, { product_id }) =>
      toSubscription(await subscriptions.getByProductId(user.id, product_id)),
    ),
  ];
}

const purchasesReply = (purchases: readonly Purchase[]) => ({ validated_purchases: purchases.map(toPurchase) });

const subscriptionReply = (subscription: Subscription) => ({ validated_subscription: toSubscription(subscription) });
