import { sql } from '../../store/sql.ts';

export const deleteUser = sql<never>('erasure_delete_user', 'DELETE FROM users WHERE id = $1', 'write');

export const recordDeletion = sql<never>(
  'erasure_record',
  'INSERT INTO user_tombstone (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING',
  'write',
);
