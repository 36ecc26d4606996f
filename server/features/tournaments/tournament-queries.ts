import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface SizeRow {
  id: string;
  size: number;
}

// How many take part in each of some periods: $1 tournaments, $2 expiries. Where nobody counted yet, as in a database of
// another server, the records tell.
export const sizesOf = sql<SizeRow>(
  'tournaments_sizes_of',
  `SELECT p.id, COALESCE(s.size, (
     SELECT count(*)::int FROM leaderboard_record r WHERE r.leaderboard_id = p.id AND r.expiry_time = p.expiry
   )) AS size
   FROM (
     SELECT id, to_timestamp(expiry) AS expiry FROM unnest($1::text[], $2::float8[]) AS wanted (id, expiry)
   ) AS p
   LEFT JOIN muster_tournament_size s ON s.leaderboard_id = p.id AND s.expiry_time = p.expiry`,
  'read',
);

// Those of periods that are over ($2 seconds and earlier) count for nothing any more.
export const forgetSizes = sql<never>(
  'tournaments_forget_sizes',
  `DELETE FROM muster_tournament_size
   WHERE leaderboard_id = $1 AND expiry_time > to_timestamp(0) AND expiry_time <= to_timestamp($2)`,
  'write',
);

/** A place in the list: what the order goes by. */
export interface PlaceRow {
  start_time: Instant;
  end_time: Instant;
  category: number;
  id: string;
}

// A page of the list (spec: section 15): $1 and $2 categories, $3 the earliest start, $4 whether those that never end are
// wanted, $5 and $6 between what ends the others have; all times in unix seconds. $7 the number of rows, $8 to $11 the
// place after which it begins.
export const tournamentsAfter = sql<PlaceRow>(
  'tournaments_after',
  `SELECT start_time, end_time, category, id FROM leaderboard
   WHERE duration > 0 AND category BETWEEN $1::int AND $2::int AND start_time >= to_timestamp($3)
     AND (end_time = to_timestamp(0) AND $4::boolean
       OR end_time <> to_timestamp(0) AND end_time BETWEEN to_timestamp($5) AND to_timestamp($6))
     AND start_time >= $8::timestamptz AND (start_time > $8::timestamptz OR end_time < $9::timestamptz
       OR end_time = $9::timestamptz AND (category, id) > ($10::int, $11::text))
   ORDER BY start_time, end_time DESC, category, id
   LIMIT $7`,
  'read',
);

/** What may have changed of a tournament since it was created. */
export interface HeldRow {
  closed_time: Instant | null;
}

// Holds a tournament: what is planned next goes by its latest state, and those who write records are through. No row when
// it is another one by now. $1 tournament, $2 when it was created.
export const holdTournament = sql<HeldRow>(
  'tournaments_hold',
  `SELECT muster_closed_time AS closed_time FROM leaderboard
   WHERE id = $1 AND create_time = $2::timestamptz FOR NO KEY UPDATE`,
  'write',
);

// Waits for those who write records, and lets nobody after them (record-queries.ts): what opened before that second ($3)
// is closed.
export const closeWindows = sql<never>(
  'tournaments_close_windows',
  `UPDATE leaderboard SET muster_closed_time = GREATEST(muster_closed_time, to_timestamp($3))
   WHERE id = $1 AND create_time = $2::timestamptz`,
  'write',
);

// What is to come for a tournament, if anything is. Whoever completes one of them locks it before the tournament.
export const lockSteps = sql<{ period: string }>(
  'tournaments_lock_steps',
  'SELECT period FROM muster_job WHERE kind = $1 AND subject = $2 AND state = 0 FOR UPDATE',
  'write',
);

/** A tournament for which nothing is planned, and the last step of its life that is known. */
export interface UnplannedRow {
  id: string;
  last_period: string | null;
}

// Tournaments that may have something to come ($2 now, in unix seconds) and no job of the kind $1, from the id $3 on.
export const unplanned = sql<UnplannedRow>(
  'tournaments_unplanned',
  `SELECT b.id, (
     SELECT j.period FROM muster_job j
     WHERE j.kind = $1 AND j.subject = b.id AND j.state > 0 AND j.due_time >= b.create_time - INTERVAL '1 second'
     ORDER BY j.due_time DESC, j.done_time DESC LIMIT 1
   ) AS last_period
   FROM leaderboard b
   WHERE b.duration > 0 AND b.id > $3
     AND (b.end_time = to_timestamp(0) OR b.end_time >= to_timestamp($2))
     AND (b.reset_schedule IS NOT NULL OR b.end_time >= to_timestamp($2)
       OR b.start_time >= to_timestamp($2) - b.duration * INTERVAL '1 second')
     AND NOT EXISTS (SELECT 1 FROM muster_job j WHERE j.kind = $1 AND j.subject = b.id AND j.state = 0)
   ORDER BY b.id LIMIT $4`,
  'read',
);
