import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { AppleNotices } from './apple-notices.ts';
import { StoreCallbacks } from './callbacks.ts';
import { GoogleNotices } from './google-notices.ts';
import { purchaseMethods } from './methods.ts';
import { StoreNotices } from './notices.ts';
import { Purchases } from './purchases.ts';
import { createStores } from './stores.ts';
import { Subscriptions } from './subscriptions.ts';
import { purchasesUserData } from './user-data.ts';

export {
  NoticeType,
  type NotifyingStore,
  type PurchaseHandler,
  type StoreCallbacks,
  type SubscriptionHandler,
} from './callbacks.ts';
export type { ListRequest, Page } from './listing.ts';
export type { AppleOptions, GoogleOptions, Purchases, ValidateOptions } from './purchases.ts';
export { Environment, Store } from './stores/store.ts';
export type { Subscriptions } from './subscriptions.ts';
export type { Purchase, Subscription } from './validated.ts';
export { toPurchase, toSubscription } from './wire.ts';

export interface PurchasesFeature extends Feature {
  /** nk: purchaseValidate*, purchaseGetByTransactionId, purchasesList; the console reads, too. */
  readonly purchases: Purchases;
  /** nk: subscriptionValidate*, subscriptionGetByProductId, subscriptionsList; the console reads, too. */
  readonly subscriptions: Subscriptions;
  /** nk: registerPurchaseNotification*, registerSubscriptionNotification*. */
  readonly callbacks: StoreCallbacks;
}

/** Purchases and subscriptions of app stores. When their owner is deleted they stay, as the system user's. */
export function createPurchases(kit: FeatureKit): PurchasesFeature {
  const { db, clock, outbound } = kit;
  const settings = kit.config.iap;
  const log = subsystem(kit.log, 'purchases');
  const stores = createStores({ settings, outbound, clock, log });
  const purchases = new Purchases({ db, stores, settings });
  const subscriptions = new Subscriptions({ db, stores, settings, clock });
  const callbacks = new StoreCallbacks();
  const { appleSignatures: signatures, google } = stores;
  const { bundle_ids: bundleIds } = settings.apple;
  const notices = new StoreNotices({
    apple: new AppleNotices({ db, clock, signatures, bundleIds, callbacks, log }),
    google: new GoogleNotices({ db, clock, settings, google, callbacks, log }),
    endpointIds: {
      apple: settings.apple.notifications_endpoint_id,
      google: settings.google.notifications_endpoint_id,
    },
    concurrent: kit.config.limits.store_notifications_concurrent,
    queued: kit.config.limits.store_notifications_queued,
    log,
  });
  return {
    name: 'purchases',
    methods: purchaseMethods(purchases, subscriptions),
    rawRoutes: notices.routes,
    userData: purchasesUserData(db, clock),
    purchases,
    subscriptions,
    callbacks,
  };
}
