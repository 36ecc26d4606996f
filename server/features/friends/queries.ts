import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';
import { type UserRow, userColumns } from '../accounts/index.ts';

// The first lock of every transaction here, of all users whose edges it may touch, in the order of their ids: so none
// of them wait for each other in a circle, and whoever holds a user sees all edges of that user as they stay. Foreign
// keys that point to the users are still checked meanwhile.
export const lockUsers = sql<{ id: string }>(
  'friends_lock_users',
  'SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE',
  'write',
);

export interface EdgeRow {
  source_id: string;
  destination_id: string;
  state: number;
}

const edgeColumns = 'source_id, destination_id, state';

// There is one edge at most: LIMIT 1 holds PostgreSQL to one look-up for each, where the plan that it would keep for any
// user reads all edges of this one.
const edgeLookup = (columns: string, source: string, destination: string): string =>
  `LATERAL (SELECT ${columns} FROM user_edge WHERE source_id = ${source} AND destination_id = ${destination} LIMIT 1)`;

// $1 user, $2 others, each once: the edges in both directions.
export const edgesBetween = sql<EdgeRow>(
  'friends_edges_between',
  `SELECT e.* FROM unnest($2::uuid[]) AS other (id), ${edgeLookup(edgeColumns, '$1', 'other.id')} AS e
   UNION ALL
   SELECT e.* FROM unnest($2::uuid[]) AS other (id), ${edgeLookup(edgeColumns, 'other.id', '$1')} AS e`,
  'read',
);

// $1 user: all edges in both directions.
export const edgesOf = sql<EdgeRow>(
  'friends_edges_of',
  `SELECT ${edgeColumns} FROM user_edge WHERE source_id = $1
   UNION ALL
   SELECT ${edgeColumns} FROM user_edge WHERE destination_id = $1`,
  'read',
);

// Changes: $1 sources, $2 destinations, then what is to be there: $3 states, $4 metadata or null.

export const removeEdges = sql<never>(
  'friends_remove_edges',
  `DELETE FROM user_edge e USING unnest($1::uuid[], $2::uuid[]) AS gone (source_id, destination_id)
   WHERE e.source_id = gone.source_id AND e.destination_id = gone.destination_id`,
  'write',
);

export const updateEdges = sql<never>(
  'friends_update_edges',
  `UPDATE user_edge e SET state = c.state, metadata = COALESCE(e.metadata || c.metadata, e.metadata), update_time = now()
   FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::jsonb[]) AS c (source_id, destination_id, state, metadata)
   WHERE e.source_id = c.source_id AND e.destination_id = c.destination_id`,
  'write',
);

// Positions are the time under lock, and a nanosecond more for each edge of the statement: no two of a user are equal.
export const insertEdges = sql<never>(
  'friends_insert_edges',
  `INSERT INTO user_edge (source_id, destination_id, state, position, metadata)
   SELECT c.source_id, c.destination_id, c.state, moment.nanos + c.place, COALESCE(c.metadata, '{}')
   FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 AS nanos) AS moment,
     unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::jsonb[])
       WITH ORDINALITY AS c (source_id, destination_id, state, metadata, place)`,
  'write',
);

// $1 users, $2 by how much. What other software has counted wrong must not keep anybody from being removed.
export const changeCounts = sql<never>(
  'friends_change_counts',
  `UPDATE users u SET edge_count = GREATEST(u.edge_count + c.change, 0)
   FROM unnest($1::uuid[], $2::int[]) AS c (id, change) WHERE u.id = c.id`,
  'write',
);

// $1 source, $2 destination, $3 metadata.
export const replaceMetadata = sql<never>(
  'friends_replace_metadata',
  'UPDATE user_edge SET metadata = $3 WHERE source_id = $1 AND destination_id = $2',
  'write',
);

// $1 who may have blocked, $2 whom.
export const findBlock = sql<{ one: number }>(
  'friends_find_block',
  'SELECT 1 AS one FROM user_edge WHERE source_id = $1 AND destination_id = $2 AND state = 3',
  'read',
);

/** An edge with the user it leads to. */
export interface FriendRow extends UserRow {
  state: number;
  position: bigint;
  edge_update_time: Instant;
  edge_metadata: string;
}

const friendColumns = `${userColumns}, e.state, e.position, e.update_time AS edge_update_time,
  e.metadata AS edge_metadata`;

// The edges of the page come first, so that no more users are read than are on it.
const friendPage = (condition: string): string =>
  `SELECT ${friendColumns}
   FROM (SELECT * FROM user_edge WHERE ${condition} ORDER BY state, position LIMIT $4) AS e
   JOIN users u ON u.id = e.destination_id
   ORDER BY e.state, e.position`;

// $1 user, $2 and $3 state and position where the page begins, $4 how many.
export const friendsFrom = sql<FriendRow>(
  'friends_from',
  friendPage('source_id = $1 AND (state, position) >= ($2::smallint, $3::bigint)'),
  'read',
);

// $1 user, $2 state, $3 position where the page begins, $4 how many.
export const friendsInStateFrom = sql<FriendRow>(
  'friends_in_state_from',
  friendPage('source_id = $1 AND state = $2::smallint AND position >= $3::bigint'),
  'read',
);

// $1 user, $2 others, each once.
export const friendsAmong = sql<FriendRow>(
  'friends_among',
  `SELECT ${friendColumns}
   FROM unnest($2::uuid[]) AS other (id)
   CROSS JOIN ${edgeLookup('*', '$1', 'other.id')} AS e
   JOIN users u ON u.id = e.destination_id`,
  'read',
);

// $1 user.
export const allFriends = sql<FriendRow>(
  'friends_all',
  `SELECT ${friendColumns} FROM user_edge e JOIN users u ON u.id = e.destination_id
   WHERE e.source_id = $1 ORDER BY e.state, e.position`,
  'read',
);

// $1 user, $2 the id to begin with, $3 how many.
export const friendIdsFrom = sql<{ id: string }>(
  'friends_ids_from',
  `SELECT destination_id AS id FROM user_edge
   WHERE source_id = $1 AND state = 0 AND destination_id >= $2 ORDER BY destination_id LIMIT $3`,
  'read',
);

/** A friend's friend. */
export interface FriendOfFriendRow extends UserRow {
  referrer: string;
}

// $1 user, $2 friends of the user, $3 and $4 friend and friend's friend to begin with, $5 how many. No friend
// contributes more than the page can take.
export const friendsOfFriendsFrom = sql<FriendOfFriendRow>(
  'friends_of_friends_from',
  `SELECT ${userColumns}, page.referrer
   FROM (
     SELECT friend.id AS referrer, theirs.destination_id
     FROM unnest($2::uuid[]) AS friend (id), LATERAL (
       SELECT e.destination_id FROM user_edge e
       WHERE e.source_id = friend.id AND e.state = 0 AND e.destination_id <> $1
         AND (friend.id > $3 OR e.destination_id >= $4)
         AND NOT EXISTS (
           SELECT 1 FROM user_edge own
           WHERE own.source_id = $1 AND own.destination_id = e.destination_id AND own.state = 0)
       ORDER BY e.destination_id LIMIT $5
     ) AS theirs
     ORDER BY friend.id, theirs.destination_id LIMIT $5
   ) AS page
   JOIN users u ON u.id = page.destination_id
   ORDER BY page.referrer, u.id`,
  'read',
);

export const usersByFacebookId = sql<{ id: string }>(
  'friends_users_by_facebook_id',
  'SELECT id FROM users WHERE facebook_id = ANY ($1::text[])',
  'read',
);

export const usersBySteamId = sql<{ id: string }>(
  'friends_users_by_steam_id',
  'SELECT id FROM users WHERE steam_id = ANY ($1::text[])',
  'read',
);

// $1 user: nobody counts an edge to the user any more, nor the user any.
export const forgetCounts = sql<never>(
  'friends_forget_counts',
  `UPDATE users SET edge_count = CASE WHEN id = $1 THEN 0 ELSE GREATEST(edge_count - 1, 0) END
   WHERE id = $1 OR id IN (SELECT source_id FROM user_edge WHERE destination_id = $1)`,
  'write',
);

export const forgetEdges = sql<never>(
  'friends_forget_edges',
  'DELETE FROM user_edge WHERE source_id = $1 OR destination_id = $1',
  'write',
);
