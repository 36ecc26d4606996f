import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

/** A record of a board and period that whoever asked knows. */
export interface RecordRow {
  owner_id: string;
  username: string | null;
  score: bigint;
  subscore: bigint;
  num_score: number;
  max_num_score: number;
  metadata: string;
  create_time: Instant;
  update_time: Instant;
}

const columns = [
  'owner_id',
  'username',
  'score',
  'subscore',
  'num_score',
  'max_num_score',
  'metadata',
  'create_time',
  'update_time',
];

/** What a RecordRow is read from. */
export const recordColumns = columns.join(', ');
const ofR = columns.map((column) => `r.${column}`).join(', ');

// All statements: $1 the board, $2 the expiry in unix seconds.
const inPeriod = 'r.leaderboard_id = $1 AND r.expiry_time = to_timestamp($2)';

/**
 * A record as lists have it. Its numbers come as one text, since what a list costs is mostly the number of fields: 0.7
 * instead of 1.4 us per row until they are here.
 */
export interface ListedRow {
  owner_id: string;
  username: string | null;
  metadata: string;
  /** Score, subscore, num_score, max_num_score, and unix seconds of creation and update, separated by spaces. */
  numbers: string;
}

const listed = `r.owner_id, r.username, r.metadata, r.score::TEXT || ' ' || r.subscore::TEXT || ' ' || r.num_score::TEXT ||
   ' ' || r.max_num_score::TEXT || ' ' || floor(date_part('epoch', r.create_time))::BIGINT::TEXT || ' ' ||
   floor(date_part('epoch', r.update_time))::BIGINT::TEXT AS numbers`;

type Direction = 'up' | 'down';
const sorted = (direction: Direction): string =>
  direction === 'up' ? 'r.score, r.subscore, r.owner_id' : 'r.score DESC, r.subscore DESC, r.owner_id DESC';
const beyond = (direction: Direction): string => (direction === 'up' ? '>' : '<');

// Pages go along the primary key, `up` or `down`: $3 the number of rows, $4 to $6 the position after which they begin.

const firstPage = (direction: Direction) =>
  sql<ListedRow>(
    `records_first_${direction}`,
    `SELECT ${listed} FROM leaderboard_record r WHERE ${inPeriod} ORDER BY ${sorted(direction)} LIMIT $3`,
    'read',
  );

const pageAfter = (direction: Direction) =>
  sql<ListedRow>(
    `records_after_${direction}`,
    `SELECT ${listed} FROM leaderboard_record r
     WHERE ${inPeriod} AND (r.score, r.subscore, r.owner_id) ${beyond(direction)} ($4::bigint, $5::bigint, $6::uuid)
     ORDER BY ${sorted(direction)} LIMIT $3`,
    'read',
  );

export const firstRecords = { up: firstPage('up'), down: firstPage('down') };
export const recordsAfter = { up: pageAfter('up'), down: pageAfter('down') };

/** A record near an owner's: above it (1), the owner's own (0), below (-1), by the order of the scores. */
export interface NeighbourRow extends ListedRow {
  side: number;
}

/** Most records on a page around an owner. */
export const maxAround = 100;

// The inner limit is there for the planner: a parameter could be any number to it, so it would plan each execution anew
// to know better. That took 240 of 340 us.
const neighbours = (direction: Direction): string =>
  `SELECT ${direction === 'up' ? 1 : -1} AS side, near.* FROM own, LATERAL (
     SELECT ${listed} FROM (
       SELECT * FROM leaderboard_record r
       WHERE ${inPeriod}
         AND (r.score, r.subscore, r.owner_id) ${beyond(direction)} (own.score, own.subscore, own.owner_id)
       ORDER BY ${sorted(direction)} LIMIT ${maxAround}
     ) r ORDER BY ${sorted(direction)} LIMIT $4
   ) near`;

// The record of an owner ($3) with up to $4 records on each side, the nearest first on each; none when there is none.
export const recordsAround = sql<NeighbourRow>(
  'records_around',
  `WITH own AS (SELECT ${ofR} FROM leaderboard_record r WHERE r.owner_id = $3 AND ${inPeriod})
   SELECT 0 AS side, ${listed} FROM own r
   UNION ALL (${neighbours('down')})
   UNION ALL (${neighbours('up')})`,
  'read',
);

// Those of some owners.
export const recordsOf = sql<ListedRow>(
  'records_of',
  `SELECT ${listed} FROM leaderboard_record r WHERE r.owner_id = ANY ($3::uuid[]) AND ${inPeriod}
   ORDER BY r.score, r.subscore, r.owner_id`,
  'read',
);

export const recordOf = sql<RecordRow>(
  'records_of_one',
  `SELECT ${ofR} FROM leaderboard_record r WHERE r.owner_id = $3 AND ${inPeriod}`,
  'read',
);

/** What tells the state of a record that is gone. */
export interface DeletedRow {
  create_time: Instant;
  num_score: number;
}

// One row of nulls when there was no record; no row when the board is another one by now ($4 its creation time).
export const deleteRecord = sql<DeletedRow | { create_time: null; num_score: null }>(
  'records_delete',
  `WITH board AS (SELECT id FROM leaderboard WHERE id = $1 AND create_time = $4::timestamptz),
   gone AS (
     DELETE FROM leaderboard_record r USING board
     WHERE r.leaderboard_id = board.id AND r.expiry_time = to_timestamp($2) AND r.owner_id = $3
     RETURNING r.create_time, r.num_score
   )
   SELECT gone.create_time, gone.num_score FROM board LEFT JOIN gone ON TRUE`,
  'write',
);

/** A record that was erased and had a rank. */
export interface ErasedRow extends DeletedRow {
  leaderboard_id: string;
  expiry_time: Instant;
  sort_order: number;
}

// All that a user ($1) has in any board.
export const eraseRecordsOf = sql<ErasedRow>(
  'records_erase',
  `WITH gone AS (
     DELETE FROM leaderboard_record WHERE owner_id = $1
     RETURNING leaderboard_id, expiry_time, create_time, num_score
   )
   SELECT gone.leaderboard_id, gone.expiry_time, gone.create_time, gone.num_score, b.sort_order
   FROM gone JOIN leaderboard b ON b.id = gone.leaderboard_id
   WHERE b.enable_ranks IS NOT FALSE
     AND (gone.expiry_time = to_timestamp(0) OR gone.expiry_time > clock_timestamp())`,
  'write',
);

/** A record with what says where it belongs. */
export interface PlacedRow extends RecordRow {
  leaderboard_id: string;
  expiry_time: Instant;
}

// All that a user ($1) has in any board, for the export.
export const recordsOfUser = sql<PlacedRow>(
  'records_of_user',
  `SELECT r.leaderboard_id, r.expiry_time, ${ofR} FROM leaderboard_record r WHERE r.owner_id = $1
   ORDER BY r.expiry_time, r.leaderboard_id`,
  'read',
);
