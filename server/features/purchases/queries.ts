import { nilUuid } from '../../platform/ids.ts';
import { type Statement, sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface PurchaseRow {
  transaction_id: string;
  user_id: string;
  product_id: string;
  store: number;
  environment: number;
  purchase_time: Instant;
  raw_response: string;
  refund_time: Instant;
  create_time: Instant;
  update_time: Instant;
}

export interface SubscriptionRow {
  original_transaction_id: string;
  user_id: string;
  product_id: string;
  store: number;
  environment: number;
  purchase_time: Instant;
  expire_time: Instant;
  refund_time: Instant;
  raw_response: string;
  raw_notification: string;
  create_time: Instant;
  update_time: Instant;
}

const purchaseColumns =
  'transaction_id, user_id, product_id, store, environment, purchase_time, raw_response, refund_time, create_time, update_time';

const subscriptionColumns =
  'original_transaction_id, user_id, product_id, store, environment, purchase_time, expire_time, refund_time, raw_response, raw_notification, create_time, update_time';

// Once a row is there its update_time moves on with every statement, even if the clock does not, or if the transaction
// that had to wait for the row began before it: so exactly one of any number of upserts sees the two times equal.
const touched = (table: string): string =>
  `update_time = GREATEST(now(), ${table}.update_time + INTERVAL '1 microsecond')`;

/** The owner of what an erased user has left. */
const nobody = `'${nilUuid}'::uuid`;

const neverRefunded = `TIMESTAMPTZ '1970-01-01 00:00:00 UTC'`;

// $1 the owner of those that are new, $2 store, $3 environment, then one item each for every purchase. A refund stays,
// whatever an older receipt says. Rows are locked in the order of their ids.
export const upsertPurchases = sql<PurchaseRow>(
  'purchases_upsert',
  `INSERT INTO purchase AS p
     (transaction_id, user_id, product_id, store, environment, purchase_time, refund_time, raw_response)
   SELECT i.transaction_id, $1::uuid, i.product_id, $2::smallint, $3::smallint, i.purchase_time, i.refund_time,
     i.raw_response::jsonb
   FROM unnest($4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[])
     AS i (transaction_id, product_id, purchase_time, refund_time, raw_response)
   ORDER BY i.transaction_id
   ON CONFLICT (transaction_id) DO UPDATE SET
     refund_time = GREATEST(p.refund_time, excluded.refund_time), ${touched('p')}
   RETURNING ${purchaseColumns}`,
  'write',
);

// When Apple has signed the notification that is kept, in unix milliseconds; null for what says no such time.
const signedAt = (row: string): string =>
  `CASE WHEN jsonb_typeof(${row}.raw_notification -> 'signedDate') = 'number'
     THEN (${row}.raw_notification ->> 'signedDate')::numeric END`;

/** The new value, unless a notification that was signed later is kept already: they do not come in their order. */
const unlessLate = (column: string): string =>
  `${column} = CASE WHEN ${signedAt('s')} > ${signedAt('excluded')} THEN s.${column} ELSE excluded.${column} END`;

// $1 to $10 the columns from original_transaction_id to raw_notification, '{}' for what is to stay as it is; $11 when the
// period began. A refund stays, whatever an older receipt says, until a period begins after it. Where the owner was
// erased the store's own words are not kept: they may name the user.
export const upsertSubscription = sql<SubscriptionRow>(
  'subscriptions_upsert',
  `INSERT INTO subscription AS s
     (original_transaction_id, user_id, product_id, store, environment, purchase_time, expire_time, refund_time,
      raw_response, raw_notification)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
   ON CONFLICT (original_transaction_id) DO UPDATE SET
     ${unlessLate('product_id')},
     ${unlessLate('expire_time')},
     refund_time = CASE
       WHEN excluded.refund_time > ${neverRefunded} THEN GREATEST(s.refund_time, excluded.refund_time)
       WHEN $11::timestamptz > s.refund_time THEN ${neverRefunded}
       ELSE s.refund_time
     END,
     raw_response = CASE
       WHEN excluded.raw_response = '{}' OR s.user_id = ${nobody} THEN s.raw_response ELSE excluded.raw_response
     END,
     raw_notification = CASE
       WHEN excluded.raw_notification = '{}' OR s.user_id = ${nobody} OR ${signedAt('s')} > ${signedAt('excluded')}
         THEN s.raw_notification
       ELSE excluded.raw_notification
     END,
     ${touched('s')}
   RETURNING ${subscriptionColumns}`,
  'write',
);

export const findPurchase = sql<PurchaseRow>(
  'purchases_find',
  `SELECT ${purchaseColumns} FROM purchase WHERE transaction_id = $1`,
  'read',
);

export const findSubscription = sql<SubscriptionRow>(
  'subscriptions_find',
  `SELECT ${subscriptionColumns} FROM subscription WHERE original_transaction_id = $1`,
  'read',
);

// $1 user, $2 product: the one that lasts longest.
export const findSubscriptionTo = sql<SubscriptionRow>(
  'subscriptions_find_to',
  `SELECT ${subscriptionColumns} FROM subscription WHERE user_id = $1 AND product_id = $2
   ORDER BY expire_time DESC, original_transaction_id DESC LIMIT 1`,
  'read',
);

/** The statements of a list: from a position on to what is older, or back to what is newer. */
export interface ListStatements<Row> {
  readonly older: Statement<Row>;
  readonly newer: Statement<Row>;
  /** Of the user of the position alone. */
  readonly olderOfUser: Statement<Row>;
  readonly newerOfUser: Statement<Row>;
}

// Lists: $1 and $2 the bounds, both inclusive; $3 to $5 the position, of which $4 is the user; $6 how many rows.
function lists<Row>(table: string, columns: string, id: string): ListStatements<Row> {
  const list = (name: string, condition: string, direction: string): Statement<Row> =>
    sql<Row>(
      `${table}s_${name}`,
      `SELECT ${columns} FROM ${table}
       WHERE purchase_time >= $1 AND purchase_time <= $2 AND ${condition}
       ORDER BY purchase_time ${direction}, user_id ${direction}, ${id} ${direction} LIMIT $6`,
      'read',
    );
  const any = (comparison: string): string =>
    `(purchase_time, user_id, ${id}) ${comparison} ($3::timestamptz, $4::uuid, $5::text)`;
  const ofUser = (comparison: string): string =>
    `user_id = $4 AND (purchase_time, ${id}) ${comparison} ($3::timestamptz, $5::text)`;
  return {
    older: list('older', any('<'), 'DESC'),
    newer: list('newer', any('>'), 'ASC'),
    olderOfUser: list('older_of_user', ofUser('<'), 'DESC'),
    newerOfUser: list('newer_of_user', ofUser('>'), 'ASC'),
  };
}

export const purchaseLists = lists<PurchaseRow>('purchase', purchaseColumns, 'transaction_id');
export const subscriptionLists = lists<SubscriptionRow>('subscription', subscriptionColumns, 'original_transaction_id');

// All of a user's, for the export.

export const purchasesOfUser = sql<PurchaseRow>(
  'purchases_of_user',
  `SELECT ${purchaseColumns} FROM purchase WHERE user_id = $1 ORDER BY purchase_time, transaction_id`,
  'read',
);

export const subscriptionsOfUser = sql<SubscriptionRow>(
  'subscriptions_of_user',
  `SELECT ${subscriptionColumns} FROM subscription WHERE user_id = $1 ORDER BY purchase_time, original_transaction_id`,
  'read',
);

// What stores have said of a user's purchases: it names the user where the game has told the store, plainly or inside of
// what is signed.

export const forgetPurchaseRecords = sql<never>(
  'purchases_forget_records',
  `UPDATE purchase SET raw_response = '{}' WHERE user_id = $1`,
  'write',
);

export const forgetSubscriptionRecords = sql<never>(
  'subscriptions_forget_records',
  `UPDATE subscription SET raw_response = '{}', raw_notification = '{}' WHERE user_id = $1`,
  'write',
);
