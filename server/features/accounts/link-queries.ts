import { sql } from '../../store/sql.ts';
import type { ProviderColumn } from './identity-queries.ts';

// Each answers one row when the identifier now belongs to the user, none when another user has it.

export const linkCustomId = sql<{ id: string }>(
  'accounts_link_custom_id',
  `UPDATE users SET custom_id = $2, update_time = now()
   WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE custom_id = $2 AND id <> $1) RETURNING id`,
  'write',
);

export const linkEmail = sql<{ id: string }>(
  'accounts_link_email',
  `UPDATE users SET email = $2, password = $3, update_time = now()
   WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE email = $2 AND id <> $1) RETURNING id`,
  'write',
);

// Whichever of its two unique indexes a concurrent link of the same device meets first.
export const insertDevice = sql<{ user_id: string }>(
  'accounts_insert_device',
  'INSERT INTO user_device (id, user_id) VALUES ($2, $1) ON CONFLICT DO NOTHING RETURNING user_id',
  'write',
);

export const deviceOwner = sql<{ user_id: string }>(
  'accounts_device_owner',
  'SELECT user_id FROM user_device WHERE id = $1',
  'read',
);

export const touchUser = sql<never>('accounts_touch', 'UPDATE users SET update_time = now() WHERE id = $1', 'write');

// Two removals must not each count on the other's identifier.
export const lockUser = sql<{ id: string }>(
  'accounts_lock_user',
  'SELECT id FROM users WHERE id = $1 FOR UPDATE',
  'write',
);

/** All that a user can sign in with. */
export interface IdentifiersRow extends Record<ProviderColumn, string | null> {
  custom_id: string | null;
  email: string | null;
  devices: string[];
  /** OpenID providers and what they call the user, separated by a space. */
  identities: string[];
}

export const identifiers = sql<IdentifiersRow>(
  'accounts_identifiers',
  `SELECT u.custom_id, u.email, u.apple_id, u.facebook_id, u.facebook_instant_game_id, u.google_id, u.gamecenter_id,
     u.steam_id,
     ARRAY(SELECT d.id FROM user_device d WHERE d.user_id = u.id) AS devices,
     ARRAY(SELECT i.provider || ' ' || i.subject FROM muster_user_identity i WHERE i.user_id = u.id) AS identities
   FROM users u WHERE u.id = $1`,
  'read',
);

export const clearCustomId = sql<never>(
  'accounts_clear_custom_id',
  'UPDATE users SET custom_id = NULL, update_time = now() WHERE id = $1',
  'write',
);

export const clearEmail = sql<never>(
  'accounts_clear_email',
  'UPDATE users SET email = NULL, password = NULL, update_time = now() WHERE id = $1',
  'write',
);

export const deleteDevice = sql<never>(
  'accounts_delete_device',
  'DELETE FROM user_device WHERE id = $2 AND user_id = $1',
  'write',
);
