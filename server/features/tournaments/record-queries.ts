import { type Statement, sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';
import { noMaxSize, Operator, type RecordRow, recordColumns } from '../leaderboards/index.ts';

const ofR = recordColumns.replace(/\w+/g, 'r.$&');

/** A user has to exist, and does until the statement ends, so that no erasure misses the record; or it is any id. */
export type OwnerKind = 'user' | 'any';

// All statements that write: $1 tournament, $2 when it was created, $3 the expiry and $4 the start of the window, both in
// unix seconds, $5 owner, $6 username. They hold the board, so that it is not closed while they run: what they write is
// there when the end is announced, and afterwards there is no board for them to hold.
const open = (owner: OwnerKind): string => `board AS (
     SELECT b.id, b.sort_order, b.max_num_score, clock_timestamp() AS at
     FROM leaderboard b${owner === 'user' ? ', users u' : ''}
     WHERE b.id = $1 AND b.create_time = $2::timestamptz
       AND (b.muster_closed_time IS NULL OR b.muster_closed_time <= to_timestamp($4))
       ${owner === 'user' ? 'AND u.id = $5::uuid FOR SHARE OF b FOR KEY SHARE OF u' : 'FOR SHARE OF b'}
   )`;

/** A record without a score so far, of a join, takes any score for its best. */
const best = (column: string, given: string): string => `CASE WHEN r.num_score = 0 THEN ${given}
      WHEN board.sort_order = 1 THEN GREATEST(${column}, ${given}) ELSE LEAST(${column}, ${given}) END`;

const scored = (column: string, given: string): string => `CASE $10::smallint
      WHEN ${Operator.BEST} THEN ${best(column, given)}
      WHEN ${Operator.SET} THEN ${given}
      WHEN ${Operator.INCREMENT} THEN ${column} + ${given}
      ELSE GREATEST(${column} - ${given}, 0) END`;

// A further attempt of an owner: $7 and $8 scores, $9 metadata or null, $10 operator. No row when there is nothing to
// update, no attempt left, or no board. Locks the record before it looks, so concurrent attempts count one by one.
const attempt = (owner: OwnerKind): Statement<RecordRow> =>
  sql(
    `tournaments_attempt_${owner}`,
    `WITH ${open(owner)}
   UPDATE leaderboard_record r SET
     score = ${scored('r.score', '$7::bigint')},
     subscore = ${scored('r.subscore', '$8::bigint')},
     num_score = r.num_score + 1, update_time = board.at,
     metadata = COALESCE($9::jsonb, r.metadata), username = COALESCE($6, r.username)
   FROM board
   WHERE r.owner_id = $5::uuid AND r.leaderboard_id = board.id AND r.expiry_time = to_timestamp($3)
     AND r.num_score < r.max_num_score
   RETURNING ${ofR}`,
    'write',
  );

export const attempts = { user: attempt('user'), any: attempt('any') };

/** Violated by whoever would be one too many: see `counted`. */
export const sizeConstraint = 'muster_tournament_size_size_check';

const inPeriod = 'c.leaderboard_id = $1 AND c.expiry_time = to_timestamp($3)';

/**
 * Puts those of `changed` into the size of the period, if it is limited. Before the first change the records are
 * counted, as they were when the statement began: whoever changed them since has left a row, which is then a conflict.
 * So every change has to come through here, deletions too. What does not fit violates the constraint, which undoes all
 * of the statement.
 */
const counted = (changed: string, max: string, first: string, change: string): string => `counted AS (
     INSERT INTO muster_tournament_size AS s (leaderboard_id, expiry_time, size)
     SELECT $1, to_timestamp($3), CASE
       WHEN EXISTS (SELECT 1 FROM muster_tournament_size c WHERE ${inPeriod}) THEN 0
       ELSE (SELECT ${first} FROM leaderboard_record c WHERE ${inPeriod}) END
     FROM ${changed} WHERE ${max} < ${noMaxSize}
     ON CONFLICT (leaderboard_id, expiry_time) DO UPDATE SET size = ${change}
     RETURNING size
   )`;

// The first record of an owner: $7 and $8 scores, $9 metadata, $10 its attempts so far, $11 the tournament's maximum size.
// No row when there is one already, or no board.
const enter = (owner: OwnerKind): Statement<RecordRow> =>
  sql(
    `tournaments_enter_${owner}`,
    `WITH ${open(owner)}, entered AS (
     INSERT INTO leaderboard_record (leaderboard_id, expiry_time, owner_id, username, score, subscore, metadata, num_score,
       max_num_score, create_time, update_time)
     SELECT id, to_timestamp($3), $5::uuid, $6, $7::bigint, $8::bigint, COALESCE($9::jsonb, '{}'), $10::int,
       max_num_score, at, at FROM board
     ON CONFLICT DO NOTHING
     RETURNING ${recordColumns}
   ), ${counted(
     'entered',
     '$11::int',
     'CASE WHEN count(*) < $11::int THEN count(*) + 1 ELSE -1 END',
     'CASE WHEN s.size < $11::int THEN s.size + 1 ELSE -1 END',
   )}
   SELECT ${recordColumns} FROM entered`,
    'write',
  );

export const entrances = { user: enter('user'), any: enter('any') };

/** Why nothing was written. */
export interface Standing {
  /** The window is closed for good. */
  closed: boolean;
  /** The owner is a user. */
  is_user: boolean;
}

// No row when the tournament is another one by now. $1 tournament, $2 when it was created, $3 the start of the window, $4
// owner.
export const standing = sql<Standing>(
  'tournaments_standing',
  `SELECT COALESCE(b.muster_closed_time > to_timestamp($3), FALSE) AS closed,
     EXISTS (SELECT 1 FROM users WHERE id = $4::uuid) AS is_user
   FROM leaderboard b WHERE b.id = $1 AND b.create_time = $2::timestamptz`,
  'read',
);

/** What tells the state of a record that is gone. */
export interface DeletedRow {
  create_time: Instant;
  num_score: number;
}

// $1 tournament, $2 when it was created, $3 the expiry, $4 owner, $5 the tournament's maximum size. One row of nulls when
// there was no record, none when the tournament is another one by now.
export const leave = sql<DeletedRow | { create_time: null; num_score: null }>(
  'tournaments_leave',
  `WITH board AS (SELECT id FROM leaderboard WHERE id = $1 AND create_time = $2::timestamptz),
   gone AS (
     DELETE FROM leaderboard_record r USING board
     WHERE r.leaderboard_id = board.id AND r.expiry_time = to_timestamp($3) AND r.owner_id = $4::uuid
     RETURNING r.create_time, r.num_score
   ), ${counted('gone', '$5::int', 'GREATEST(count(*) - 1, 0)', 'GREATEST(s.size - 1, 0)')}
   SELECT gone.create_time, gone.num_score FROM board LEFT JOIN gone ON TRUE`,
  'write',
);

// $1 to $4 as before, $5 attempts more or less. One row, of null when there was no record; none when the tournament is
// another one by now.
export const addAttempts = sql<{ max_num_score: number | null }>(
  'tournaments_add_attempts',
  `WITH board AS (SELECT id FROM leaderboard WHERE id = $1 AND create_time = $2::timestamptz),
   changed AS (
     UPDATE leaderboard_record r SET max_num_score = r.max_num_score + $5::int FROM board
     WHERE r.owner_id = $4::uuid AND r.leaderboard_id = board.id AND r.expiry_time = to_timestamp($3)
     RETURNING r.max_num_score
   )
   SELECT changed.max_num_score FROM board LEFT JOIN changed ON TRUE`,
  'write',
);
