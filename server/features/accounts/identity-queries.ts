import { type Statement, sql } from '../../store/sql.ts';
import { type SignInRow, signInColumns } from './queries.ts';

/** Where an identity is kept, and how it is found; the same parameters in the same places for all providers. */
export interface IdentityStatements {
  /** $1.. the identity. */
  readonly find: Statement<SignInRow>;
  /** $1 user, $2 username, $3 display name, $4 avatar, $5.. the identity. */
  readonly insert: Statement<never>;
  /**
   * $1 user, $2 display name, $3 avatar, $4.. the identity. The profile is filled in where it is blank. One row when the
   * identity now belongs to the user, none when another user has it.
   */
  readonly link: Statement<{ id: string }>;
  /** $1 user, $2.. the provider. */
  readonly clear: Statement<never>;
}

export type ProviderColumn =
  | 'apple_id'
  | 'facebook_id'
  | 'facebook_instant_game_id'
  | 'google_id'
  | 'gamecenter_id'
  | 'steam_id';

const fillBlanks = `display_name = COALESCE(NULLIF(users.display_name, ''), $2::text),
     avatar_url = COALESCE(NULLIF(users.avatar_url, ''), $3::text), update_time = now()`;

const ofColumn = (column: ProviderColumn): IdentityStatements => ({
  find: sql<SignInRow>(
    `accounts_sign_in_by_${column}`,
    `SELECT ${signInColumns} FROM users u WHERE u.${column} = $1`,
    'read',
  ),
  insert: sql<never>(
    `accounts_insert_with_${column}`,
    `INSERT INTO users (id, username, display_name, avatar_url, ${column}) VALUES ($1, $2, $3, $4, $5)`,
    'write',
  ),
  link: sql<{ id: string }>(
    `accounts_link_${column}`,
    `UPDATE users SET ${column} = $4, ${fillBlanks}
     WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE ${column} = $4 AND id <> $1) RETURNING id`,
    'write',
  ),
  clear: sql<never>(
    `accounts_clear_${column}`,
    `UPDATE users SET ${column} = NULL, update_time = now() WHERE id = $1`,
    'write',
  ),
});

export const builtInIdentity: Readonly<Record<ProviderColumn, IdentityStatements>> = {
  apple_id: ofColumn('apple_id'),
  facebook_id: ofColumn('facebook_id'),
  facebook_instant_game_id: ofColumn('facebook_instant_game_id'),
  google_id: ofColumn('google_id'),
  gamecenter_id: ofColumn('gamecenter_id'),
  steam_id: ofColumn('steam_id'),
};

export const openIdIdentity: IdentityStatements = {
  find: sql<SignInRow>(
    'accounts_sign_in_by_open_id',
    `SELECT ${signInColumns} FROM muster_user_identity i JOIN users u ON u.id = i.user_id
     WHERE i.provider = $1 AND i.subject = $2`,
    'read',
  ),
  insert: sql<never>(
    'accounts_insert_with_open_id',
    `WITH created AS (
       INSERT INTO users (id, username, display_name, avatar_url) VALUES ($1, $2, $3, $4) RETURNING id)
     INSERT INTO muster_user_identity (provider, subject, user_id) SELECT $5, $6, id FROM created`,
    'write',
  ),
  link: sql<{ id: string }>(
    'accounts_link_open_id',
    `WITH linked AS (
       INSERT INTO muster_user_identity (provider, subject, user_id)
       SELECT $4::text, $5::text, id FROM users
       WHERE id = $1 AND NOT EXISTS (
         SELECT 1 FROM muster_user_identity WHERE provider = $4::text AND subject = $5::text AND user_id <> $1)
       ON CONFLICT (user_id, provider) DO UPDATE SET subject = excluded.subject, create_time = now()
       RETURNING user_id)
     UPDATE users SET ${fillBlanks} FROM linked WHERE users.id = linked.user_id RETURNING users.id`,
    'write',
  ),
  clear: sql<never>(
    'accounts_clear_open_id',
    `WITH cleared AS (DELETE FROM muster_user_identity WHERE user_id = $1 AND provider = $2)
     UPDATE users SET update_time = now() WHERE id = $1`,
    'write',
  ),
};

/** $1 former id, $2 the one that has taken its place. */
export const remapGoogleId = sql<never>(
  'accounts_remap_google_id',
  'UPDATE users SET google_id = $2, update_time = now() WHERE google_id = $1',
  'write',
);

/** $1 user, $2 display name, $3 avatar; only where there is none. */
export const fillProfile = sql<never>(
  'accounts_fill_profile',
  `UPDATE users SET ${fillBlanks}
   WHERE id = $1 AND ((COALESCE(display_name, '') = '' AND $2::text IS NOT NULL)
     OR (COALESCE(avatar_url, '') = '' AND $3::text IS NOT NULL))`,
  'write',
);

/** $1 user, $2 address; does nothing when another user has it. */
export const importEmail = sql<never>(
  'accounts_import_email',
  `UPDATE users SET email = $2, update_time = now()
   WHERE id = $1 AND email IS DISTINCT FROM $2
     AND NOT EXISTS (SELECT 1 FROM users WHERE email = $2 AND id <> $1)`,
  'write',
);
