import type { Clock } from '../../platform/clock.ts';
import { nilUuid } from '../../platform/ids.ts';
import { compareInstants, type Instant, instantFromMillis } from '../../store/types.ts';
import type { PurchaseRow, SubscriptionRow } from './queries.ts';
import { isRefunded, type StorePurchase, type StoreSubscription } from './stores/store.ts';

/** A purchase as clients, game code and the console see it. */
export interface Purchase {
  /** '' for nobody: the account was deleted. */
  readonly userId: string;
  readonly productId: string;
  readonly transactionId: string;
  readonly store: number;
  readonly environment: number;
  readonly purchaseTime: Instant;
  /** 1970 when it is not refunded; undefined when nothing is known of that. */
  readonly refundTime: Instant | undefined;
  /** Undefined when it is not kept. */
  readonly createTime: Instant | undefined;
  readonly updateTime: Instant | undefined;
  /** JSON text, or '' where the store's answer is not shown. */
  readonly providerResponse: string;
  /** It was kept before, whoever it was that presented it. */
  readonly seenBefore: boolean;
}

/** A subscription as clients, game code and the console see it. */
export interface Subscription {
  /** '' for nobody: the account was deleted. */
  readonly userId: string;
  readonly productId: string;
  readonly originalTransactionId: string;
  readonly store: number;
  readonly environment: number;
  readonly purchaseTime: Instant;
  readonly expiryTime: Instant;
  /** 1970 when it is not refunded. */
  readonly refundTime: Instant;
  /** Undefined when it is not kept. */
  readonly createTime: Instant | undefined;
  readonly updateTime: Instant | undefined;
  /** JSON texts. */
  readonly providerResponse: string;
  readonly providerNotification: string;
  /** Neither expired nor refunded. */
  readonly active: boolean;
}

/** A purchase that is not kept. */
export function unkeptPurchase(userId: string, found: StorePurchase): Purchase {
  return {
    userId,
    productId: found.productId,
    transactionId: found.transactionId,
    store: found.store,
    environment: found.environment,
    purchaseTime: found.purchaseTime,
    refundTime: found.refundTime,
    createTime: undefined,
    updateTime: undefined,
    providerResponse: found.response,
    seenBefore: false,
  };
}

/** A purchase that was validated just now, and is kept as this row; a refund that was heard of before is not forgotten. */
export function keptPurchase(userId: string, found: StorePurchase, row: PurchaseRow): Purchase {
  return {
    ...unkeptPurchase(userId, found),
    refundTime: isRefunded(row.refund_time) ? row.refund_time : found.refundTime,
    createTime: row.create_time,
    updateTime: row.update_time,
    seenBefore: isSeenBefore(row),
  };
}

export function storedPurchase(row: PurchaseRow): Purchase {
  return {
    userId: ownerOf(row),
    productId: row.product_id,
    transactionId: row.transaction_id,
    store: row.store,
    environment: row.environment,
    purchaseTime: row.purchase_time,
    refundTime: row.refund_time,
    createTime: row.create_time,
    updateTime: row.update_time,
    providerResponse: plainJson(row.raw_response),
    seenBefore: isSeenBefore(row),
  };
}

/** A subscription that is not kept. */
export function unkeptSubscription(userId: string, found: StoreSubscription, clock: Clock): Subscription {
  return {
    userId,
    productId: found.productId,
    originalTransactionId: found.originalTransactionId,
    store: found.store,
    environment: found.environment,
    purchaseTime: found.purchaseTime,
    expiryTime: found.expireTime,
    refundTime: found.refundTime,
    createTime: undefined,
    updateTime: undefined,
    providerResponse: found.response,
    providerNotification: found.notification,
    active: isActive(found.expireTime, found.refundTime, clock),
  };
}

export function storedSubscription(row: SubscriptionRow, clock: Clock): Subscription {
  return {
    userId: ownerOf(row),
    productId: row.product_id,
    originalTransactionId: row.original_transaction_id,
    store: row.store,
    environment: row.environment,
    purchaseTime: row.purchase_time,
    expiryTime: row.expire_time,
    refundTime: row.refund_time,
    createTime: row.create_time,
    updateTime: row.update_time,
    providerResponse: plainJson(row.raw_response),
    providerNotification: plainJson(row.raw_notification),
    active: isActive(row.expire_time, row.refund_time, clock),
  };
}

const isSeenBefore = (row: PurchaseRow): boolean => compareInstants(row.update_time, row.create_time) > 0;

const ownerOf = (row: { user_id: string }): string => (row.user_id === nilUuid ? '' : row.user_id);

function isActive(expireTime: Instant, refundTime: Instant, clock: Clock): boolean {
  return compareInstants(expireTime, instantFromMillis(clock.now())) > 0 && !isRefunded(refundTime);
}

/** Nakama has kept the JSON of subscriptions inside a JSON text. */
function plainJson(stored: string): string {
  return stored.startsWith('"') ? (JSON.parse(stored) as string) : stored;
}
