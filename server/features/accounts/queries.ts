import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface UserRow {
  id: string;
  username: string;
  display_name: string | null;
  avatar_url: string | null;
  lang_tag: string;
  location: string | null;
  timezone: string | null;
  metadata: string;
  apple_id: string | null;
  facebook_id: string | null;
  facebook_instant_game_id: string | null;
  google_id: string | null;
  gamecenter_id: string | null;
  steam_id: string | null;
  edge_count: number;
  create_time: Instant;
  update_time: Instant;
}

export interface AccountRow extends UserRow {
  wallet: string;
  email: string | null;
  custom_id: string | null;
  verify_time: Instant;
  disable_time: Instant;
  devices: string[];
  /** OpenID providers and what they call the user, separated by a space. */
  identities: string[];
}

/** Of the table as `u`; what a UserRow is read from. */
export const userColumns = `u.id, u.username, u.display_name, u.avatar_url, u.lang_tag, u.location, u.timezone, u.metadata,
  u.apple_id, u.facebook_id, u.facebook_instant_game_id, u.google_id, u.gamecenter_id, u.steam_id, u.edge_count,
  u.create_time, u.update_time`;

export const accountById = sql<AccountRow>(
  'accounts_by_id',
  `SELECT ${userColumns}, u.wallet, u.email, u.custom_id, u.verify_time, u.disable_time,
     ARRAY(SELECT d.id FROM user_device d WHERE d.user_id = u.id) AS devices,
     ARRAY(SELECT i.provider || ' ' || i.subject FROM muster_user_identity i WHERE i.user_id = u.id ORDER BY i.provider)
       AS identities
   FROM users u WHERE u.id = $1`,
  'read',
);

export const usersByAny = sql<UserRow>(
  'accounts_users_by_any',
  `SELECT ${userColumns} FROM users u
   WHERE u.id = ANY ($1::uuid[]) OR u.username = ANY ($2::text[]) OR u.facebook_id = ANY ($3::text[])`,
  'read',
);

/** Identity of an account as sign-in needs it. */
export interface SignInRow {
  id: string;
  username: string;
  disabled: boolean;
  password: Buffer | null;
}

/** Of the table as `u`; what a SignInRow is read from. */
export const signInColumns = `u.id, u.username, u.password, u.disable_time > TIMESTAMPTZ '1970-01-01 00:00:00+00' AS disabled`;

export const signInByDevice = sql<SignInRow>(
  'accounts_sign_in_by_device',
  `SELECT ${signInColumns} FROM user_device d JOIN users u ON u.id = d.user_id WHERE d.id = $1`,
  'read',
);

export const signInByCustomId = sql<SignInRow>(
  'accounts_sign_in_by_custom_id',
  `SELECT ${signInColumns} FROM users u WHERE u.custom_id = $1`,
  'read',
);

export const signInByEmail = sql<SignInRow>(
  'accounts_sign_in_by_email',
  `SELECT ${signInColumns} FROM users u WHERE u.email = $1`,
  'read',
);

export const signInByUsername = sql<SignInRow>(
  'accounts_sign_in_by_username',
  `SELECT ${signInColumns} FROM users u WHERE u.username = $1`,
  'read',
);

export const signInById = sql<SignInRow>(
  'accounts_sign_in_by_id',
  `SELECT ${signInColumns} FROM users u WHERE u.id = $1`,
  'read',
);

// User and device appear together or not at all: one statement is one transaction.
export const insertWithDevice = sql<never>(
  'accounts_insert_with_device',
  `WITH created AS (INSERT INTO users (id, username) VALUES ($1, $2) RETURNING id)
   INSERT INTO user_device (id, user_id) SELECT $3, id FROM created`,
  'write',
);

export const insertWithCustomId = sql<never>(
  'accounts_insert_with_custom_id',
  'INSERT INTO users (id, username, custom_id) VALUES ($1, $2, $3)',
  'write',
);

export const insertWithEmail = sql<never>(
  'accounts_insert_with_email',
  'INSERT INTO users (id, username, email, password) VALUES ($1, $2, $3, $4)',
  'write',
);

// A null parameter leaves its column alone; '' clears it. Writing the same values again is no update at all.
export const updateAccount = sql<never>(
  'accounts_update',
  `UPDATE users SET
     username = COALESCE($2::text, username),
     display_name = CASE WHEN $3::text IS NULL THEN display_name ELSE NULLIF($3::text, '') END,
     avatar_url = CASE WHEN $4::text IS NULL THEN avatar_url ELSE NULLIF($4::text, '') END,
     lang_tag = CASE WHEN $5::text IS NULL THEN lang_tag ELSE NULLIF($5::text, '') END,
     location = CASE WHEN $6::text IS NULL THEN location ELSE NULLIF($6::text, '') END,
     timezone = CASE WHEN $7::text IS NULL THEN timezone ELSE NULLIF($7::text, '') END,
     metadata = COALESCE($8::jsonb, metadata),
     update_time = now()
   WHERE id = $1 AND (
     ($2::text IS NOT NULL AND username IS DISTINCT FROM $2::text)
     OR ($3::text IS NOT NULL AND display_name IS DISTINCT FROM NULLIF($3::text, ''))
     OR ($4::text IS NOT NULL AND avatar_url IS DISTINCT FROM NULLIF($4::text, ''))
     OR ($5::text IS NOT NULL AND lang_tag IS DISTINCT FROM NULLIF($5::text, ''))
     OR ($6::text IS NOT NULL AND location IS DISTINCT FROM NULLIF($6::text, ''))
     OR ($7::text IS NOT NULL AND timezone IS DISTINCT FROM NULLIF($7::text, ''))
     OR ($8::jsonb IS NOT NULL AND metadata IS DISTINCT FROM $8::jsonb))`,
  'write',
);

export const setDisabled = sql<{ id: string }>(
  'accounts_set_disabled',
  `UPDATE users SET
     disable_time = CASE WHEN $2::bool THEN now() ELSE TIMESTAMPTZ '1970-01-01 00:00:00+00' END,
     update_time = now()
   WHERE id = ANY ($1::uuid[]) RETURNING id`,
  'write',
);
