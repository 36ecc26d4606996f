import type { Clock } from '../../platform/clock.ts';
import type { Config } from '../../platform/config.ts';
import { invalidArgument, notFound } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { Listing, type ListRequest, type Page } from './listing.ts';
import {
  type AppleOptions,
  checkedList,
  failedToRead,
  type GoogleOptions,
  googleAccount,
  requireUser,
} from './purchases.ts';
import { findSubscription, findSubscriptionTo, type SubscriptionRow, subscriptionLists } from './queries.ts';
import { keepSubscription } from './records.ts';
import { failedPrecondition, refusal } from './refusals.ts';
import { isId, type StoreSubscription } from './stores/store.ts';
import type { Stores } from './stores.ts';
import { type Subscription, storedSubscription, unkeptSubscription } from './validated.ts';

interface Dependencies {
  readonly db: Database;
  readonly stores: Stores;
  readonly settings: Config['iap'];
  readonly clock: Clock;
}

/** Subscriptions of Apple and Google (spec: storage-wallet-purchases.md, sections 5 and 6). Throws as `Purchases`. */
export class Subscriptions {
  readonly #deps: Dependencies;
  readonly #listing: Listing<SubscriptionRow>;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#listing = new Listing(deps.db, subscriptionLists, 'subscription', ({ original_transaction_id: id }) => id);
  }

  /**
   * Keeps all subscriptions of the receipt, and answers the one that lasts longest.
   * @param receipt a transaction as StoreKit 2 signs it, or the base64 of a receipt of before.
   */
  async validateApple(userId: string, receipt: string, options: AppleOptions = {}): Promise<Subscription> {
    const owner = requireUser(userId);
    const { stores, settings } = this.#deps;
    const password = options.password || settings.apple.shared_password;
    if (password === '') throw failedPrecondition('Apple IAP is not configured.');
    if (receipt === '') throw invalidArgument('Receipt cannot be empty.');
    return this.#answer(owner, await stores.apple.subscriptions(receipt, password), options.persist);
  }

  /** @param receipt the purchase's JSON, plain or as a text in the field `json`. */
  async validateGoogle(userId: string, receipt: string, options: GoogleOptions = {}): Promise<Subscription> {
    const owner = requireUser(userId);
    const account = googleAccount(this.#deps.settings, options);
    if (receipt === '') throw invalidArgument('Receipt cannot be empty.');
    const found = await this.#deps.stores.google.readSubscriptionReceipt(receipt, account);
    return this.#answer(owner, [found], options.persist);
  }

  /** The user's subscription to a product; of several, the one that lasts longest. Throws NOT_FOUND. */
  async getByProductId(userId: string, productId: string): Promise<Subscription> {
    const owner = requireUser(userId);
    const [row] = isId(productId)
      ? await this.#deps.db.query(findSubscriptionTo, [owner, productId]).catch(failedToRead)
      : [];
    if (row === undefined) throw notFound('subscription not found');
    return storedSubscription(row, this.#deps.clock);
  }

  /** Null when there is none. */
  async get(originalTransactionId: string): Promise<Subscription | null> {
    if (!isId(originalTransactionId)) return null;
    const [row] = await this.#deps.db.query(findSubscription, [originalTransactionId]).catch(failedToRead);
    return row === undefined ? null : storedSubscription(row, this.#deps.clock);
  }

  /** A page of what is kept, the latest first purchases first. */
  async list(request: ListRequest): Promise<Page<Subscription>> {
    const page = await this.#listing.page(checkedList(request)).catch(failedToRead);
    if (page === null) throw refusal('subscriptions list cursor invalid');
    return { ...page, items: page.items.map((row) => storedSubscription(row, this.#deps.clock)) };
  }

  async #answer(
    userId: string,
    [longest, ...others]: readonly [StoreSubscription, ...StoreSubscription[]],
    persist = true,
  ): Promise<Subscription> {
    const { db, clock } = this.#deps;
    if (!persist) return unkeptSubscription(userId, longest, clock);
    for (const other of others) await keepSubscription(db, userId, other);
    return storedSubscription(await keepSubscription(db, userId, longest), clock);
  }
}
