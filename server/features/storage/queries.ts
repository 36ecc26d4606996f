import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface ObjectRow {
  collection: string;
  key: string;
  user_id: string;
  value: string;
  version: string;
  read: number;
  write: number;
  create_time: Instant;
  update_time: Instant;
}

/** What a write answers: the stored version and times. */
export interface AckRow {
  version: string;
  create_time: Instant;
  update_time: Instant;
}

/** Those of an ObjectRow. */
export const objectColumns = 'collection, key, user_id, value, version, read, write, create_time, update_time';
const ackColumns = 'version, create_time, update_time';

// $1 to $3 the object's identity; $4 the caller, null for server code. One row per object, however often it is asked.
export const readObjects = sql<ObjectRow>(
  'storage_read',
  `SELECT DISTINCT ON (s.collection, s.key, s.user_id) s.collection, s.key, s.user_id, s.value, s.version, s.read,
     s.write, s.create_time, s.update_time
   FROM unnest($1::text[], $2::text[], $3::uuid[]) AS wanted (collection, key, user_id)
   JOIN storage s
     ON s.collection = wanted.collection AND s.key = wanted.key AND s.user_id = wanted.user_id
   WHERE $4::uuid IS NULL OR s.read = 2 OR (s.read = 1 AND s.user_id = $4::uuid)`,
  'read',
);

export const readObject = sql<ObjectRow>(
  'storage_read_one',
  `SELECT ${objectColumns} FROM storage
   WHERE collection = $1 AND key = $2 AND user_id = $3
     AND ($4::uuid IS NULL OR read = 2 OR (read = 1 AND user_id = $4::uuid))`,
  'read',
);

/** What a write did: `written`, or the object as it stood when nothing was written; no row when there was none. */
export interface WriteRow extends AckRow {
  written: boolean;
  read: number;
  write: number;
}

const orStored = (write: string): string =>
  `WITH written AS (${write} RETURNING ${ackColumns}, read, write)
   SELECT true AS written, ${ackColumns}, read, write FROM written
   UNION ALL
   SELECT false, ${ackColumns}, read, write FROM storage
   WHERE collection = $1 AND key = $2 AND user_id = $3 AND NOT EXISTS (SELECT 1 FROM written)`;

// Writes: $1 to $3 identity, $4 value, $5 version, $6 and $7 permissions, $8 whether the caller is server code.

// Without a version: insert, or overwrite what may be overwritten. An identical object is left as it is.
export const upsertObject = sql<WriteRow>(
  'storage_upsert',
  orStored(`INSERT INTO storage AS s (collection, key, user_id, value, version, read, write)
   VALUES ($1, $2, $3, $4, $5, $6, $7)
   ON CONFLICT (collection, key, user_id) DO UPDATE SET
     value = excluded.value, version = excluded.version, read = excluded.read, write = excluded.write,
     update_time = now()
   WHERE ($8::bool OR s.write = 1)
     AND NOT (s.version = excluded.version AND s.read = excluded.read AND s.write = excluded.write)`),
  'write',
);

// With version "*": only when there is none yet.
export const insertObject = sql<WriteRow>(
  'storage_insert',
  orStored(`INSERT INTO storage (collection, key, user_id, value, version, read, write)
   VALUES ($1, $2, $3, $4, $5, $6, $7)
   ON CONFLICT (collection, key, user_id) DO NOTHING`),
  'write',
);

// With a version ($9): only over exactly that version.
export const replaceObject = sql<WriteRow>(
  'storage_replace',
  orStored(`UPDATE storage SET value = $4, version = $5, read = $6, write = $7, update_time = now()
   WHERE collection = $1 AND key = $2 AND user_id = $3 AND version = $9 AND ($8::bool OR write = 1)`),
  'write',
);

// $4 the version, '' for any; $5 whether the caller is server code.
export const deleteObject = sql<{ key: string }>(
  'storage_delete',
  `DELETE FROM storage
   WHERE collection = $1 AND key = $2 AND user_id = $3 AND ($4 = '' OR version = $4) AND ($5::bool OR write > 0)
   RETURNING key`,
  'write',
);

// Listings: $1 collection, then the filter, then the position after which the page begins, last the number of rows.
// A null position begins at the start.

export const listPublic = sql<ObjectRow>(
  'storage_list_public',
  `SELECT ${objectColumns} FROM storage
   WHERE collection = $1 AND read >= 2 AND ($2::text IS NULL OR (read, key, user_id) > ($4::int, $2::text, $3::uuid))
   ORDER BY read, key, user_id LIMIT $5`,
  'read',
);

export const listOwn = sql<ObjectRow>(
  'storage_list_own',
  `SELECT ${objectColumns} FROM storage
   WHERE collection = $1 AND user_id = $2 AND read >= $3::int
     AND ($4::text IS NULL OR (read, key) > ($5::int, $4::text))
   ORDER BY read, key LIMIT $6`,
  'read',
);

export const listOther = sql<ObjectRow>(
  'storage_list_other',
  `SELECT ${objectColumns} FROM storage
   WHERE collection = $1 AND user_id = $2 AND read = 2 AND ($3::text IS NULL OR key > $3::text)
   ORDER BY key LIMIT $4`,
  'read',
);

export const listAll = sql<ObjectRow>(
  'storage_list_all',
  `SELECT ${objectColumns} FROM storage
   WHERE collection = $1 AND ($2::text IS NULL OR (read, key, user_id) > ($4::int, $2::text, $3::uuid))
   ORDER BY read, key, user_id LIMIT $5`,
  'read',
);

// All of a user's, for the export.
export const objectsOfUser = sql<ObjectRow>(
  'storage_of_user',
  `SELECT ${objectColumns} FROM storage WHERE user_id = $1 ORDER BY collection, key`,
  'read',
);
