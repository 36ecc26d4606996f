import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import type { Config } from '../../platform/config.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { instantFromMillis } from '../../store/types.ts';
import { NoticeType, type StoreCallbacks } from './callbacks.ts';
import { googleAccount } from './purchases.ts';
import { findPurchase, findSubscription, type SubscriptionRow } from './queries.ts';
import { isUnknownUser, keepPurchases, keepSubscription } from './records.ts';
import type { GooglePurchase, GooglePurchases } from './stores/google.ts';
import { type Fields, instantOf, numberOf, objectOf, parseFields, textOf } from './stores/json.ts';
import type { StoreSubscription } from './stores/store.ts';
import { storedPurchase, storedSubscription } from './validated.ts';

interface Dependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly settings: Config['iap'];
  readonly google: GooglePurchases;
  readonly callbacks: StoreCallbacks;
  readonly log: Logger;
}

/** Google's numbers of what happened to a subscription. */
const purchased = 4;
const renewed = 2;
const subscriptionTypes: ReadonlyMap<number, NoticeType> = new Map([
  [purchased, NoticeType.SUBSCRIBED],
  [renewed, NoticeType.RENEWED],
  [13, NoticeType.EXPIRED],
  [3, NoticeType.CANCELLED],
]);

/** Google's numbers of what was given back. */
const voidedSubscription = 1;
const voidedPurchase = 2;

/** Real-time developer notifications of Google Play, as Pub/Sub pushes them. Google is asked what there is to it. */
export class GoogleNotices {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Throws when it is to be sent again. */
  async handle(body: string): Promise<void> {
    const message = objectOf(parseFields(body) ?? {}, 'message') ?? {};
    const payload = Buffer.from(textOf(message, 'data'), 'base64').toString('utf8');
    const fields = parseFields(payload);
    if (fields === null) throw new Error('notification of Google is malformed');
    try {
      await this.#handle(fields, payload);
    } catch (error) {
      if (!isUnknownUser(error)) throw error;
      this.#deps.log.info('notification of Google about a user who does not exist');
    }
  }

  async #handle(fields: Fields, payload: string): Promise<void> {
    const change = objectOf(fields, 'subscriptionNotification');
    const voided = objectOf(fields, 'voidedPurchaseNotification');
    const tokenOf = (of: Fields): GooglePurchase => ({
      packageName: textOf(fields, 'packageName'),
      token: textOf(of, 'purchaseToken'),
    });
    if (change !== null) {
      const number = numberOf(change, 'notificationType') ?? 0;
      const type = subscriptionTypes.get(number);
      if (type === undefined) return;
      const eventMs = numberOf(fields, 'eventTimeMillis');
      // Of a renewal Google does not tell when its period began: it is what has just happened.
      const periodStart = number === renewed && eventMs !== undefined ? { periodStart: instantOf(eventMs) } : {};
      await this.#subscription(tokenOf(change), payload, type, periodStart);
    } else if (voided !== null) {
      const product = numberOf(voided, 'productType');
      const refundTime = instantFromMillis(this.#deps.clock.now());
      if (product === voidedSubscription) {
        await this.#subscription(tokenOf(voided), payload, NoticeType.REFUNDED, { refundTime });
      } else if (product === voidedPurchase) {
        await this.#refundPurchase(tokenOf(voided), payload);
      }
    }
  }

  async #subscription(
    purchase: GooglePurchase,
    payload: string,
    type: NoticeType,
    changes: Partial<StoreSubscription>,
  ): Promise<void> {
    const { db, clock, settings, google, callbacks, log } = this.#deps;
    const { subscription, fields } = await google.subscription(purchase, googleAccount(settings));
    const [stored] = await db.query(findSubscription, [subscription.originalTransactionId]);
    const owner = ownerIn(objectOf(fields, 'externalAccountIdentifiers') ?? {}) ?? stored?.user_id;
    if (owner === undefined) return;
    const row: SubscriptionRow = await keepSubscription(db, owner, {
      ...subscription,
      ...changes,
      notification: payload,
    });
    try {
      await callbacks.subscription('google', storedSubscription(row, clock), payload, type);
    } catch (error) {
      log.warn({ err: error }, 'handler of a notification of Google failed');
    }
  }

  /** A handler that fails gets the notification again. */
  async #refundPurchase(purchase: GooglePurchase, payload: string): Promise<void> {
    const { db, clock, settings, google, callbacks } = this.#deps;
    const { purchase: found, fields } = await google.purchase(purchase, googleAccount(settings));
    const [stored] = await db.query(findPurchase, [found.transactionId]);
    const owner = ownerIn(fields) ?? stored?.user_id;
    if (owner === undefined) return;
    const refundTime = instantFromMillis(clock.now());
    const rows = await keepPurchases(db, owner, [{ ...found, refundTime }]);
    for (const row of rows.values()) {
      await callbacks.purchase('google', storedPurchase(row), payload, NoticeType.REFUNDED);
    }
  }
}

/** Whom the game named when it was bought; undefined when that is no user's id. */
function ownerIn(fields: Fields): string | undefined {
  for (const key of ['obfuscatedExternalAccountId', 'obfuscatedExternalProfileId']) {
    const id = parseUuid(textOf(fields, key));
    if (id !== null && id !== nilUuid) return id;
  }
  return undefined;
}
