import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export const revokeTokens = sql<never>(
  'sessions_revoke_tokens',
  `INSERT INTO session_revocation (token_id, kind, user_id, expire_time)
   SELECT token_id, kind, $1::uuid, to_timestamp(expire_sec)
   FROM unnest($2::uuid[], $3::smallint[], $4::float8[]) AS revoked (token_id, kind, expire_sec)
   ON CONFLICT (token_id, kind) DO NOTHING`,
  'write',
);

export const invalidateUser = sql<never>(
  'sessions_invalidate_user',
  `INSERT INTO session_invalidation (user_id, not_before, expire_time)
   VALUES ($1, to_timestamp($2::float8), to_timestamp($3::float8))
   ON CONFLICT (user_id) DO UPDATE SET
     not_before = GREATEST(session_invalidation.not_before, excluded.not_before),
     expire_time = GREATEST(session_invalidation.expire_time, excluded.expire_time),
     update_time = now()`,
  'write',
);

export const purgeRevocations = sql<never>(
  'sessions_purge_revocations',
  'DELETE FROM session_revocation WHERE expire_time < now()',
  'write',
);

export const purgeInvalidations = sql<never>(
  'sessions_purge_invalidations',
  'DELETE FROM session_invalidation WHERE expire_time < now()',
  'write',
);

export interface RevocationRow {
  token_id: string;
  kind: number;
  expire_time: Instant;
}

export const allRevocations = sql<RevocationRow>(
  'sessions_all_revocations',
  'SELECT token_id, kind, expire_time FROM session_revocation WHERE expire_time >= now()',
  'read',
);

export interface InvalidationRow {
  user_id: string;
  not_before: Instant;
  expire_time: Instant;
}

export const allInvalidations = sql<InvalidationRow>(
  'sessions_all_invalidations',
  'SELECT user_id, not_before, expire_time FROM session_invalidation WHERE expire_time >= now()',
  'read',
);

export interface RecentRow {
  /** Of a token, or of a user when `not_before` is there. */
  id: string;
  kind: number;
  not_before: Instant | null;
  expire_time: Instant;
}

/** $1: seconds to look back. */
export const recentRevocations = sql<RecentRow>(
  'sessions_recent_revocations',
  `SELECT token_id AS id, kind, NULL::timestamptz AS not_before, expire_time FROM session_revocation
   WHERE create_time > now() - $1::float8 * INTERVAL '1 second'
   UNION ALL
   SELECT user_id, 0::smallint, not_before, expire_time FROM session_invalidation
   WHERE update_time > now() - $1::float8 * INTERVAL '1 second'`,
  'read',
);
