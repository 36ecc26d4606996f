import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';
import { type UserRow, userColumns } from '../accounts/index.ts';

// Locks come in one order everywhere: users, then groups, then edges, then the group's chat channel.

/** A group as clients see it. */
export interface GroupRow {
  id: string;
  creator_id: string;
  name: string;
  description: string | null;
  avatar_url: string | null;
  lang_tag: string;
  /** JSON text. */
  metadata: string;
  /** 0 open, 1 closed. */
  state: number;
  /** Superadmins, admins and members. */
  edge_count: number;
  max_count: number;
  create_time: Instant;
  update_time: Instant;
}

const groupColumns = `g.id, g.creator_id, g.name, g.description, g.avatar_url, g.lang_tag, g.metadata, g.state,
  g.edge_count, g.max_count, g.create_time, g.update_time`;

/** Not disabled: no API ever disables a group, but its table can say so. */
const enabled = `g.disable_time = TIMESTAMPTZ '1970-01-01 00:00:00+00'`;

// Users stay while the transaction runs, and edges to them are not left behind by a deletion. It does not hold up
// changes of the users themselves.
export const shareUsers = sql<{ id: string; username: string }>(
  'groups_share_users',
  'SELECT id, username FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR KEY SHARE',
  'write',
);

export interface LockedGroup {
  id: string;
  name: string;
  state: number;
  edge_count: number;
  max_count: number;
  enabled: boolean;
}

// Whoever holds it sees the group's edges and their count as they stay.
export const lockGroup = sql<LockedGroup>(
  'groups_lock',
  `SELECT g.id, g.name, g.state, g.edge_count, g.max_count, ${enabled} AS enabled FROM groups g
   WHERE g.id = $1 FOR UPDATE`,
  'write',
);

export interface StateRow {
  user_id: string;
  state: number;
}

// $1 group, $2 users, each looked up by itself: the database takes groups for small, and would read all of a large one.
export const statesOf = sql<StateRow>(
  'groups_states_of',
  `SELECT u.id AS user_id, e.state FROM unnest($2::uuid[]) AS u (id), LATERAL (
     SELECT state FROM group_edge WHERE source_id = $1 AND destination_id = u.id LIMIT 1
   ) AS e`,
  'read',
);

export const countSuperadmins = sql<{ count: number }>(
  'groups_count_superadmins',
  'SELECT count(*)::int AS count FROM group_edge WHERE source_id = $1 AND state = 0',
  'read',
);

// The first two of a group: with nobody else in the first state, the second one has another, or is not there.
export const firstMembers = sql<StateRow>(
  'groups_first_members',
  `SELECT destination_id AS user_id, state FROM group_edge WHERE source_id = $1 AND state <= 2
   ORDER BY state, position LIMIT 2`,
  'read',
);

// $1 group, $2 how many.
export const adminsOf = sql<{ id: string }>(
  'groups_admins_of',
  `SELECT destination_id AS id FROM group_edge WHERE source_id = $1 AND state <= 1
   ORDER BY state, position LIMIT $2`,
  'read',
);

const now = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 AS nanos';

// $1 group, $2 first superadmin, $3 creator, $4 name, $5 description, $6 avatar, $7 language, $8 metadata, $9 state,
// $10 most members, $11 what is added to the time for the position. No row when there is no such user.
export const insertGroup = sql<GroupRow>(
  'groups_insert',
  `WITH owner AS (
     SELECT id FROM users WHERE id = $2 FOR KEY SHARE
   ), moment AS MATERIALIZED (
     ${now}
   ), created AS (
     INSERT INTO groups AS g (id, creator_id, name, description, avatar_url, lang_tag, metadata, state, edge_count,
       max_count)
     SELECT $1::uuid, $3::uuid, $4::text, NULLIF($5::text, ''), NULLIF($6::text, ''), $7::text, $8::jsonb, $9::smallint,
       1, $10::int
     FROM owner
     RETURNING ${groupColumns}
   ), edges AS (
     INSERT INTO group_edge (source_id, destination_id, state, position)
     SELECT $1::uuid, owner.id, 0, moment.nanos + $11::bigint FROM owner, moment
     UNION ALL
     SELECT owner.id, $1::uuid, 0, moment.nanos + $11::bigint FROM owner, moment
   )
   SELECT * FROM created`,
  'write',
);

// Null leaves a column alone; '' clears description and avatar.
export const updateGroup = sql<never>(
  'groups_update',
  `UPDATE groups SET
     name = COALESCE($2::text, name),
     description = CASE WHEN $3::text IS NULL THEN description ELSE NULLIF($3::text, '') END,
     avatar_url = CASE WHEN $4::text IS NULL THEN avatar_url ELSE NULLIF($4::text, '') END,
     lang_tag = COALESCE($5::text, lang_tag),
     metadata = COALESCE($6::jsonb, metadata),
     state = COALESCE($7::smallint, state),
     max_count = COALESCE($8::int, max_count),
     creator_id = COALESCE($9::uuid, creator_id),
     update_time = now()
   WHERE id = $1`,
  'write',
);

// Takes the edges that lead back to these groups, or to this user, which are found through those that lead there: the
// table has no index of destinations. To be followed by `deleteEdgesOf`.
export const deleteEdgesBackTo = sql<never>(
  'groups_delete_edges_back_to',
  `DELETE FROM group_edge e USING group_edge own
   WHERE own.source_id = ANY ($1::uuid[]) AND e.source_id = own.destination_id AND e.destination_id = own.source_id`,
  'write',
);

export const deleteEdgesOf = sql<never>(
  'groups_delete_edges_of',
  'DELETE FROM group_edge WHERE source_id = ANY ($1::uuid[])',
  'write',
);

export const deleteGroups = sql<never>('groups_delete', 'DELETE FROM groups WHERE id = ANY ($1::uuid[])', 'write');

// Edges by both of their ends: $1 sources, $2 destinations, in pairs.

export const deleteEdges = sql<never>(
  'groups_delete_edges',
  `DELETE FROM group_edge e USING unnest($1::uuid[], $2::uuid[]) AS gone (source_id, destination_id)
   WHERE e.source_id = gone.source_id AND e.destination_id = gone.destination_id`,
  'write',
);

// $3 states. The position stays.
export const updateEdges = sql<never>(
  'groups_update_edges',
  `UPDATE group_edge e SET state = c.state
   FROM unnest($1::uuid[], $2::uuid[], $3::smallint[]) AS c (source_id, destination_id, state)
   WHERE e.source_id = c.source_id AND e.destination_id = c.destination_id`,
  'write',
);

// $3 states, $4 what is added to the time for the position.
export const insertEdges = sql<never>(
  'groups_insert_edges',
  `WITH moment AS MATERIALIZED (
     ${now}
   )
   INSERT INTO group_edge (source_id, destination_id, state, position)
   SELECT c.source_id, c.destination_id, c.state, moment.nanos + c.place
   FROM moment, unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[])
     AS c (source_id, destination_id, state, place)`,
  'write',
);

// $1 group, $2 by how many. What other software has counted wrong must not keep anybody from being removed.
export const changeCount = sql<never>(
  'groups_change_count',
  'UPDATE groups SET edge_count = GREATEST(edge_count + $2::int, 1), update_time = now() WHERE id = $1',
  'write',
);

// Is the user a member? $1 group, $2 user.
export const findMember = sql<{ one: number }>(
  'groups_find_member',
  'SELECT 1 AS one FROM group_edge WHERE source_id = $1 AND destination_id = $2 AND state <= 2',
  'read',
);

export const groupsById = sql<GroupRow>(
  'groups_by_id',
  `SELECT ${groupColumns} FROM groups g WHERE g.id = ANY ($1::uuid[])`,
  'read',
);

// $1 an id to begin with, $2 how many: those after it, and from the lowest on when there are not enough.
export const groupsAround = sql<GroupRow>(
  'groups_around',
  `SELECT * FROM (
     (SELECT ${groupColumns}, 1 AS turn FROM groups g WHERE g.id >= $1 AND ${enabled} ORDER BY g.id LIMIT $2)
     UNION ALL
     (SELECT ${groupColumns}, 2 AS turn FROM groups g WHERE g.id < $1 AND ${enabled} ORDER BY g.id LIMIT $2)
   ) AS g ORDER BY g.turn, g.id LIMIT $2`,
  'read',
);

// Lists of groups begin after a position: on the first page that is one before, or beyond, all there are.

export const groupsByName = sql<GroupRow>(
  'groups_by_name',
  `SELECT ${groupColumns} FROM groups g WHERE g.name ILIKE $1 AND g.name > $2 ORDER BY g.name LIMIT $3`,
  'read',
);

// $1 states, $2 to $4 update time, count and id to begin after, $5 how many.
export const groupsByUpdate = sql<GroupRow>(
  'groups_by_update',
  `SELECT ${groupColumns} FROM groups g
   WHERE ${enabled} AND g.state = ANY ($1::smallint[])
     AND (g.update_time, g.edge_count, g.id) > ($2::timestamptz, $3::int, $4::uuid)
   ORDER BY g.update_time, g.edge_count, g.id LIMIT $5`,
  'read',
);

// $1 language, $2 and $3 count and id to begin after, $4 how many.
export const groupsInLanguage = sql<GroupRow>(
  'groups_in_language',
  `SELECT ${groupColumns} FROM groups g
   WHERE ${enabled} AND g.lang_tag = $1 AND (g.edge_count, g.id) > ($2::int, $3::uuid)
   ORDER BY g.edge_count, g.id LIMIT $4`,
  'read',
);

// $1 states, $2 language, $3 most members, $4 and $5 count and id to begin after, $6 how many.
export const groupsInLanguageBySize = sql<GroupRow>(
  'groups_in_language_by_size',
  `SELECT ${groupColumns} FROM groups g
   WHERE ${enabled} AND g.state = ANY ($1::smallint[]) AND g.lang_tag = $2 AND g.edge_count <= $3
     AND (g.edge_count, g.id) < ($4::int, $5::uuid)
   ORDER BY g.edge_count DESC, g.id DESC LIMIT $6`,
  'read',
);

// $1 most members, $2 to $4 count, update time and id to begin after, $5 how many.
export const groupsBySize = sql<GroupRow>(
  'groups_by_size',
  `SELECT ${groupColumns} FROM groups g
   WHERE ${enabled} AND g.edge_count <= $1
     AND (g.edge_count, g.update_time, g.id) < ($2::int, $3::timestamptz, $4::uuid)
   ORDER BY g.edge_count DESC, g.update_time DESC, g.id DESC LIMIT $5`,
  'read',
);

// $1 states, $2 most members, $3 to $5 count, language and id to begin after, $6 how many.
export const groupsInStateBySize = sql<GroupRow>(
  'groups_in_state_by_size',
  `SELECT ${groupColumns} FROM groups g
   WHERE ${enabled} AND g.state = ANY ($1::smallint[]) AND g.edge_count <= $2
     AND (g.edge_count, g.lang_tag, g.id) < ($3::int, $4::text, $5::uuid)
   ORDER BY g.edge_count DESC, g.lang_tag DESC, g.id DESC LIMIT $6`,
  'read',
);

/** Where an edge stands among those of its source. */
export interface EdgePlace {
  edge_state: number;
  edge_position: bigint;
}

// The edges of a page come first, so that no more users or groups are read than are on it; $1 source, $2 and $3 state
// and position where it begins, $4 the last state, $5 how many. Other software may leave edges that lead nowhere.
const edgePage = `SELECT e.destination_id, e.state, e.position FROM group_edge e
     WHERE e.source_id = $1 AND (e.state, e.position) >= ($2::smallint, $3::bigint) AND e.state <= $4::smallint
     ORDER BY e.state, e.position LIMIT $5`;

export type MemberRow = EdgePlace & (UserRow | { id: null });

export const membersFrom = sql<MemberRow>(
  'groups_members_from',
  `SELECT ${userColumns}, e.state AS edge_state, e.position AS edge_position
   FROM (${edgePage}) AS e LEFT JOIN users u ON u.id = e.destination_id
   ORDER BY e.state, e.position`,
  'read',
);

export type MembershipRow = EdgePlace & (GroupRow | { id: null });

export const membershipsFrom = sql<MembershipRow>(
  'groups_memberships_from',
  `SELECT ${groupColumns}, e.state AS edge_state, e.position AS edge_position
   FROM (${edgePage}) AS e LEFT JOIN groups g ON g.id = e.destination_id
   ORDER BY e.state, e.position`,
  'read',
);

// Erasure of a user: $1.

// Nobody makes an edge to the user any more.
export const lockUser = sql<never>('groups_lock_user', 'SELECT id FROM users WHERE id = $1 FOR UPDATE', 'write');

export const lockGroupsOf = sql<never>(
  'groups_lock_groups_of',
  `SELECT g.id FROM groups g WHERE g.id IN (SELECT e.destination_id FROM group_edge e WHERE e.source_id = $1)
   ORDER BY g.id FOR UPDATE`,
  'write',
);

const nobodyElse = (states: string): string =>
  `NOT EXISTS (SELECT 1 FROM group_edge other
     WHERE other.source_id = e.destination_id AND other.${states} AND other.destination_id <> e.source_id)`;

// Groups that end with the user: there is no other superadmin, or no other member at all.
export const groupsEndingWith = sql<{ id: string }>(
  'groups_ending_with',
  `SELECT e.destination_id AS id FROM group_edge e
   WHERE e.source_id = $1 AND (e.state = 0 AND ${nobodyElse('state = 0')} OR e.state <= 2 AND ${nobodyElse('state <= 2')})`,
  'read',
);

export const uncountMember = sql<never>(
  'groups_uncount_member',
  `UPDATE groups SET edge_count = GREATEST(edge_count - 1, 1), update_time = now()
   WHERE id IN (SELECT e.destination_id FROM group_edge e WHERE e.source_id = $1 AND e.state <= 2)`,
  'write',
);

export const deleteBans = sql<never>(
  'groups_delete_bans',
  'DELETE FROM group_edge WHERE destination_id = $1 AND state = 4',
  'write',
);

export const allGroupsOf = sql<GroupRow>(
  'groups_all_of',
  `SELECT ${groupColumns} FROM group_edge e JOIN groups g ON g.id = e.destination_id
   WHERE e.source_id = $1 ORDER BY e.state, e.position`,
  'read',
);

// Groups outlive who made them.
export const forgetCreator = sql<never>(
  'groups_forget_creator',
  `UPDATE groups SET creator_id = '00000000-0000-0000-0000-000000000000' WHERE creator_id = $1`,
  'write',
);
