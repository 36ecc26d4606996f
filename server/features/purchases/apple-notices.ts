import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { compareInstants, type Instant, instantFromMillis } from '../../store/types.ts';
import { NoticeType, type StoreCallbacks } from './callbacks.ts';
import { findPurchase, findSubscription } from './queries.ts';
import { isUnknownUser, keepPurchases, keepSubscription } from './records.ts';
import { type AppleSignatures, openEnclosed } from './stores/apple-signatures.ts';
import { checkApp, isSubscription, toPurchase, toSubscription } from './stores/apple-transaction.ts';
import { type Fields, instantOf, numberOf, objectOf, parseFields, textOf } from './stores/json.ts';
import { isRefunded, type StoreSubscription } from './stores/store.ts';
import { storedPurchase, storedSubscription } from './validated.ts';

interface Dependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly signatures: AppleSignatures;
  readonly bundleIds: readonly string[];
  readonly callbacks: StoreCallbacks;
  readonly log: Logger;
}

/** What a notification says, taken apart. */
interface Notice {
  readonly type: string;
  readonly subtype: string;
  readonly transaction: Fields;
  /** The transaction as it was signed. */
  readonly jws: string;
  /** Empty when there is none. */
  readonly renewal: Fields;
  /** All of it, as JSON text. */
  readonly payload: string;
}

/** What to do about a kind of notification. */
interface Action {
  /** What game code is told; null for nothing. */
  readonly tells: NoticeType | null;
  /** Worth being sent again while nobody knows whose subscription it is. */
  readonly needsOwner?: boolean;
  /** The end is what the renewal says, not what the transaction says. */
  readonly endsByRenewal?: boolean;
}

const begins: Action = { tells: NoticeType.SUBSCRIBED, needsOwner: true };
const ends: Action = { tells: NoticeType.EXPIRED, endsByRenewal: true };

const actions: ReadonlyMap<string, Action> = new Map([
  ['SUBSCRIBED', begins],
  ['DID_CHANGE_RENEWAL_PREF', begins],
  ['OFFER_REDEEMED', begins],
  ['DID_RENEW', { tells: NoticeType.RENEWED }],
  ['EXPIRED', ends],
  ['GRACE_PERIOD_EXPIRED', ends],
  ['REVOKED', ends],
  // What Apple's documentation calls it.
  ['REVOKE', ends],
  ['DID_CHANGE_RENEWAL_STATUS', { tells: null }],
]);

/** App Store Server Notifications, version 2. */
export class AppleNotices {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Throws when it is to be sent again. */
  async handle(body: string): Promise<void> {
    const notice = this.#open(body);
    if (notice === null) return;
    try {
      if (notice.type !== 'REFUND') await this.#change(notice);
      else if (isSubscription(notice.transaction)) await this.#refundSubscription(notice);
      else await this.#refundPurchase(notice);
    } catch (error) {
      if (!isUnknownUser(error)) throw error;
      this.#deps.log.info({ type: notice.type }, 'notification of Apple about a user who does not exist');
    }
  }

  /** Null for what is not of interest. */
  #open(body: string): Notice | null {
    const fields = this.#deps.signatures.open(textOf(parseFields(body) ?? {}, 'signedPayload'));
    const type = textOf(fields, 'notificationType');
    if (type !== 'REFUND' && !actions.has(type)) return null;
    const data = objectOf(fields, 'data') ?? {};
    checkApp(this.#deps.bundleIds, textOf(data, 'bundleId'));
    const jws = textOf(data, 'signedTransactionInfo');
    const renewal = textOf(data, 'signedRenewalInfo');
    return {
      type,
      subtype: textOf(fields, 'subtype'),
      transaction: openEnclosed(jws),
      jws,
      renewal: renewal === '' ? {} : openEnclosed(renewal),
      payload: JSON.stringify(fields),
    };
  }

  async #change(notice: Notice): Promise<void> {
    const { type, subtype, transaction, renewal, payload } = notice;
    const action = actions.get(type) as Action;
    const found = toSubscription(transaction);
    const owner = parseOwner(transaction) ?? (await this.#ownerOfSubscription(found.originalTransactionId));
    if (owner === null) {
      if (action.needsOwner) throw new Error(`nobody is known to own subscription ${found.originalTransactionId}`);
      return;
    }
    const isOtherPlan = subtype === 'UPGRADE' || subtype === 'DOWNGRADE';
    const subscription: StoreSubscription = {
      ...found,
      productId: (isOtherPlan && textOf(renewal, 'autoRenewProductId')) || found.productId,
      expireTime: (action.endsByRenewal && endOf(renewal)) || found.expireTime,
      response: '',
      notification: payload,
    };
    const isCancelled = type === 'DID_CHANGE_RENEWAL_STATUS' && subtype === 'AUTO_RENEW_DISABLED';
    await this.#keepAndTell(owner, subscription, isCancelled ? NoticeType.CANCELLED : action.tells);
  }

  async #refundSubscription({ transaction, payload }: Notice): Promise<void> {
    const found = toSubscription(transaction);
    const [stored] = await this.#deps.db.query(findSubscription, [found.originalTransactionId]);
    const owner = parseOwner(transaction) ?? stored?.user_id ?? null;
    if (owner === null) return;
    if (stored !== undefined && compareInstants(stored.expire_time, found.expireTime) > 0) {
      // The money of a former period was given back: the present one is still paid for.
      await this.#tell(async (callbacks) => {
        const subscription = storedSubscription(stored, this.#deps.clock);
        await callbacks.subscription('apple', subscription, payload, NoticeType.REFUNDED);
      });
      return;
    }
    const refundTime = this.#orNow(found.refundTime);
    const refunded = { ...found, refundTime, response: '', notification: payload };
    await this.#keepAndTell(owner, refunded, NoticeType.REFUNDED);
  }

  async #refundPurchase({ transaction, jws, payload }: Notice): Promise<void> {
    const { db } = this.#deps;
    const found = toPurchase(transaction, jws);
    const [stored] = await db.query(findPurchase, [found.transactionId]);
    const owner = parseOwner(transaction) ?? stored?.user_id ?? null;
    if (owner === null) return;
    const rows = await keepPurchases(db, owner, [{ ...found, refundTime: this.#orNow(found.refundTime as Instant) }]);
    for (const row of rows.values()) {
      await this.#tell((callbacks) => callbacks.purchase('apple', storedPurchase(row), payload, NoticeType.REFUNDED));
    }
  }

  async #keepAndTell(owner: string, subscription: StoreSubscription, type: NoticeType | null): Promise<void> {
    const { db, clock } = this.#deps;
    const row = await keepSubscription(db, owner, subscription);
    if (type === null) return;
    await this.#tell((callbacks) =>
      callbacks.subscription('apple', storedSubscription(row, clock), subscription.notification, type),
    );
  }

  /** What game code makes of it is no reason for Apple to send it again. */
  async #tell(call: (callbacks: StoreCallbacks) => Promise<void>): Promise<void> {
    try {
      await call(this.#deps.callbacks);
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'handler of a notification of Apple failed');
    }
  }

  async #ownerOfSubscription(originalTransactionId: string): Promise<string | null> {
    const [row] = await this.#deps.db.query(findSubscription, [originalTransactionId]);
    return row?.user_id ?? null;
  }

  #orNow(refundTime: Instant): Instant {
    return isRefunded(refundTime) ? refundTime : instantFromMillis(this.#deps.clock.now());
  }
}

/** Whom the game named when it was bought; null when it named nobody. */
function parseOwner(transaction: Fields): string | null {
  const id = parseUuid(textOf(transaction, 'appAccountToken'));
  return id === nilUuid ? null : id;
}

function endOf(renewal: Fields): Instant | null {
  const end = Math.max(numberOf(renewal, 'renewalDate') ?? 0, numberOf(renewal, 'gracePeriodExpiresDate') ?? 0);
  return end === 0 ? null : instantOf(end);
}
