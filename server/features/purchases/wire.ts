import type { Init, nakama } from '../../wire/generated/messages.js';
import type { Purchase, Subscription } from './validated.ts';

export function toPurchase(purchase: Purchase): Init<nakama.api.ValidatedPurchase> {
  return {
    user_id: purchase.userId,
    product_id: purchase.productId,
    transaction_id: purchase.transactionId,
    store: purchase.store,
    purchase_time: purchase.purchaseTime,
    create_time: purchase.createTime ?? null,
    update_time: purchase.updateTime ?? null,
    refund_time: purchase.refundTime ?? null,
    provider_response: purchase.providerResponse,
    environment: purchase.environment,
    seen_before: purchase.seenBefore,
  };
}

export function toSubscription(subscription: Subscription): Init<nakama.api.ValidatedSubscription> {
  return {
    user_id: subscription.userId,
    product_id: subscription.productId,
    original_transaction_id: subscription.originalTransactionId,
    store: subscription.store,
    purchase_time: subscription.purchaseTime,
    create_time: subscription.createTime ?? null,
    update_time: subscription.updateTime ?? null,
    environment: subscription.environment,
    expiry_time: subscription.expiryTime,
    refund_time: subscription.refundTime,
    provider_response: subscription.providerResponse,
    provider_notification: subscription.providerNotification,
    active: subscription.active,
  };
}
