import type { Database } from '../store/database.ts';
import { sql } from '../store/sql.ts';

const insertUsers = sql<{ id: string }>(
  'test_insert_users',
  `INSERT INTO users (id, username)
   SELECT id, id::text FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS n RETURNING id`,
  'write',
);

/** Ids of that many new users, who have no way to sign in. */
export async function createUsers(db: Database, count: number): Promise<string[]> {
  return (await db.query(insertUsers, [count])).map(({ id }) => id);
}
