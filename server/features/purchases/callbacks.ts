import type { Purchase, Subscription } from './validated.ts';

/** Stores that tell of refunds, renewals and ends by themselves. */
export type NotifyingStore = 'apple' | 'google';

/** What has become of a purchase or subscription; numbers as in Nakama's runtime. */
export const NoticeType = { SUBSCRIBED: 1, RENEWED: 2, EXPIRED: 3, CANCELLED: 4, REFUNDED: 5 } as const;
export type NoticeType = (typeof NoticeType)[keyof typeof NoticeType];

/** @param payload the store's notification, as JSON text. */
export type PurchaseHandler = (purchase: Purchase, payload: string, type: NoticeType) => Promise<void> | void;
/** @param payload the store's notification, as JSON text. */
export type SubscriptionHandler = (
  subscription: Subscription,
  payload: string,
  type: NoticeType,
) => Promise<void> | void;

/** Game code that wants to know what stores tell. The node that the store has called calls it. */
export class StoreCallbacks {
  readonly #purchases = new Map<NotifyingStore, PurchaseHandler[]>();
  readonly #subscriptions = new Map<NotifyingStore, SubscriptionHandler[]>();

  onPurchaseNotification(store: NotifyingStore, handler: PurchaseHandler): void {
    this.#purchases.set(store, [...(this.#purchases.get(store) ?? []), handler]);
  }

  onSubscriptionNotification(store: NotifyingStore, handler: SubscriptionHandler): void {
    this.#subscriptions.set(store, [...(this.#subscriptions.get(store) ?? []), handler]);
  }

  /** Calls the handlers one after the other; fails with what the first of them fails with. */
  async purchase(store: NotifyingStore, ...told: Parameters<PurchaseHandler>): Promise<void> {
    for (const handler of this.#purchases.get(store) ?? []) await handler(...told);
  }

  /** As `purchase`. */
  async subscription(store: NotifyingStore, ...told: Parameters<SubscriptionHandler>): Promise<void> {
    for (const handler of this.#subscriptions.get(store) ?? []) await handler(...told);
  }
}
