import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface WalletRow {
  id: string;
  wallet: string;
}

// One user at a time where they are few: their plan is made once, while that over a list is made anew each time, which
// is half of its cost (two users: 0.18 ms of the database's time, 0.27 ms as a list).

// Foreign keys that point to a user are still checked meanwhile, which FOR UPDATE would hold up.
export const lockWallet = sql<WalletRow>(
  'wallet_lock_one',
  'SELECT id, wallet FROM users WHERE id = $1 FOR NO KEY UPDATE',
  'write',
);

export const lockWallets = sql<WalletRow>(
  'wallet_lock',
  'SELECT id, wallet FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE',
  'write',
);

export const readWallet = sql<WalletRow>('wallet_read', 'SELECT id, wallet FROM users WHERE id = $1', 'read');

// Writes: users and their changed accounts, as JSON text. Accounts that are not among them are not touched.

export const writeWallet = sql<never>(
  'wallet_write_one',
  'UPDATE users SET wallet = wallet || $2::jsonb, update_time = now() WHERE id = $1',
  'write',
);

export const writeWallets = sql<never>(
  'wallet_write',
  `UPDATE users u SET wallet = u.wallet || changed.accounts::jsonb, update_time = now()
   FROM unnest($1::uuid[], $2::text[]) AS changed (id, accounts) WHERE u.id = changed.id`,
  'write',
);

// $3 the wallet as it was read: nothing is written when it is another by now, or when somebody has it locked. It waits
// for nobody, as others wait behind it on its connection.
const swap = `WITH unchanged AS (
     SELECT id FROM users WHERE id = $1 AND wallet = $3::jsonb FOR NO KEY UPDATE SKIP LOCKED
   )
   UPDATE users u SET wallet = u.wallet || $2::jsonb, update_time = now() FROM unchanged WHERE u.id = unchanged.id`;

export const swapWallet = sql<never>('wallet_swap', swap, 'write');

// Ledger rows carry the time of the lock, not that of the transaction's beginning: so a user's ledger is listed in the
// order in which it came about.

export const swapWalletAndRecord = sql<never>(
  'wallet_swap_and_record',
  `WITH written AS (${swap} RETURNING u.id)
   INSERT INTO wallet_ledger (user_id, id, changeset, metadata, create_time, update_time)
   SELECT written.id, $4, $5::jsonb, $6::jsonb, at, at FROM written, (SELECT clock_timestamp() AS at) AS moment`,
  'write',
);

// Rows of one statement are a microsecond apart, in the order given.
export const recordChanges = sql<never>(
  'wallet_record',
  `INSERT INTO wallet_ledger (user_id, id, changeset, metadata, create_time, update_time)
   SELECT user_id, id, changeset::jsonb, metadata::jsonb, at, at
   FROM (SELECT clock_timestamp() AS began) AS moment,
     unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
       WITH ORDINALITY AS l (user_id, id, changeset, metadata, place),
     LATERAL (SELECT began + place * INTERVAL '1 microsecond' AS at) AS times`,
  'write',
);

export interface LedgerRow {
  id: string;
  user_id: string;
  changeset: string;
  metadata: string;
  create_time: Instant;
  update_time: Instant;
}

const ledgerColumns = 'id, user_id, changeset, metadata, create_time, update_time';

// $1 user; $2 and $3 the bounds, both exclusive; $4 and $5 the position where the page begins; $6 the number of rows.
// Where there is no bound there is an infinite one: `$2 IS NULL OR ...` would keep the index from being used.

export const ledgerBefore = sql<LedgerRow>(
  'wallet_ledger_before',
  `SELECT ${ledgerColumns} FROM wallet_ledger
   WHERE user_id = $1 AND create_time > $2 AND create_time < $3 AND (create_time, id) < ($4::timestamptz, $5::uuid)
   ORDER BY create_time DESC, id DESC LIMIT $6`,
  'read',
);

export const ledgerAfter = sql<LedgerRow>(
  'wallet_ledger_after',
  `SELECT ${ledgerColumns} FROM wallet_ledger
   WHERE user_id = $1 AND create_time > $2 AND create_time < $3 AND (create_time, id) > ($4::timestamptz, $5::uuid)
   ORDER BY create_time, id LIMIT $6`,
  'read',
);

export const mergeLedgerMetadata = sql<LedgerRow>(
  'wallet_ledger_merge_metadata',
  `UPDATE wallet_ledger SET metadata = metadata || $2::jsonb, update_time = now() WHERE id = $1
   RETURNING ${ledgerColumns}`,
  'write',
);

export const deleteLedgerItem = sql<never>(
  'wallet_ledger_delete',
  'DELETE FROM wallet_ledger WHERE id = $1 AND user_id = $2',
  'write',
);

// All of a user's, for the export.
export const ledgerOfUser = sql<LedgerRow>(
  'wallet_ledger_of_user',
  `SELECT ${ledgerColumns} FROM wallet_ledger WHERE user_id = $1 ORDER BY create_time, id`,
  'read',
);
