import { sql } from '../../store/sql.ts';
import { type ObjectRow, objectColumns } from '../storage/index.ts';

// The objects of a collection ($1), those first that were written last: what an index has no room for is the oldest,
// after a restart as before it.
export const loadCollection = sql<ObjectRow>(
  'storage_index_load',
  `SELECT ${objectColumns} FROM storage WHERE collection = $1 ORDER BY update_time DESC, key, user_id`,
  'read',
);

// $2: only objects with this key.
export const loadKey = sql<ObjectRow>(
  'storage_index_load_key',
  `SELECT ${objectColumns} FROM storage WHERE collection = $1 AND key = $2 ORDER BY update_time DESC, user_id`,
  'read',
);
