import { sql } from '../../store/sql.ts';

// Waits while another transaction is at work under the same key; answers no row when that one committed.
export const claimKey = sql<{ claimed: boolean }>(
  'idempotency_claim',
  `INSERT INTO muster_idempotency (key, request, result) VALUES ($1, $2, '')
   ON CONFLICT (key) DO NOTHING RETURNING true AS claimed`,
  'write',
);

export const outcomeOfKey = sql<{ request: Buffer; result: string }>(
  'idempotency_outcome',
  'SELECT request, result FROM muster_idempotency WHERE key = $1',
  'read',
);

export const storeOutcome = sql<never>(
  'idempotency_store',
  'UPDATE muster_idempotency SET result = $2 WHERE key = $1',
  'write',
);

// Nodes that purge at the same time take different rows.
export const purgeKeys = sql<never>(
  'idempotency_purge',
  `DELETE FROM muster_idempotency WHERE key IN (
     SELECT key FROM muster_idempotency WHERE create_time < now() - $1::int * INTERVAL '1 second'
     ORDER BY create_time LIMIT $2 FOR UPDATE SKIP LOCKED)`,
  'write',
);
