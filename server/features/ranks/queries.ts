import { sql } from '../../store/sql.ts';
import { type Instant, instantParam } from '../../store/types.ts';

// In every statement $1 is the board and $2 the end of the period. The primary key (leaderboard_id, expiry_time, score,
// subscore, owner_id) is the order of the ranks and holds all that counting needs: PostgreSQL reads nothing else of pages
// that have been vacuumed since they changed.

export interface OwnerRank {
  owner_id: string;
  rank: bigint;
}

export interface RecordState {
  owner_id: string;
  score: bigint;
  subscore: bigint;
  create_time: Instant;
  num_score: number;
}

const inPeriod = 'leaderboard_id = $1 AND expiry_time = $2::timestamptz';
const place = 'score, subscore, owner_id';
const placeDown = 'score DESC, subscore DESC, owner_id DESC';

/**
 * Ranks of some owners, $3, by one pass over the records down to the last of them: what lies between each two is counted
 * once, and the counts are added up.
 */
const ranksOf = (descending: boolean): string => {
  const order = descending ? placeDown : place;
  const [first, last] = descending
    ? ['9223372036854775807', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
    : ['0', '00000000-0000-0000-0000-000000000000'];
  const [beyond, upTo] = descending ? ['>', '<='] : ['<', '>='];
  return `WITH picked AS (
     SELECT owner_id, score, subscore,
       lag(score, 1, ${first}::bigint) OVER ahead AS ahead_score,
       lag(subscore, 1, ${first}::bigint) OVER ahead AS ahead_subscore,
       lag(owner_id, 1, '${last}'::uuid) OVER ahead AS ahead_owner
     FROM leaderboard_record
     WHERE owner_id = ANY($3::uuid[]) AND ${inPeriod}
     WINDOW ahead AS (ORDER BY ${order})
   ), counted AS (
     SELECT p.owner_id, p.score, p.subscore, (
         SELECT count(*) FROM leaderboard_record r
         WHERE r.leaderboard_id = $1 AND r.expiry_time = $2::timestamptz
           AND (r.score, r.subscore, r.owner_id) ${beyond} (p.score, p.subscore, p.owner_id)
           AND (r.score, r.subscore, r.owner_id) ${upTo} (p.ahead_score, p.ahead_subscore, p.ahead_owner)
       ) AS gap
     FROM picked p
   )
   SELECT owner_id, CAST(1 + sum(gap) OVER (ORDER BY ${order}) AS bigint) AS rank FROM counted`;
};

export const ranksAscending = sql<OwnerRank>('ranks_of_ascending', ranksOf(false), 'read');
export const ranksDescending = sql<OwnerRank>('ranks_of_descending', ranksOf(true), 'read');

export const countRecords = sql<{ count: bigint }>(
  'ranks_count',
  `SELECT count(*) AS count FROM leaderboard_record WHERE ${inPeriod}`,
  'read',
);

// $3 how many come before.
export const ownerAtAscending = sql<{ owner_id: string }>(
  'ranks_at_ascending',
  `SELECT owner_id FROM leaderboard_record WHERE ${inPeriod} ORDER BY ${place} LIMIT 1 OFFSET $3`,
  'read',
);
export const ownerAtDescending = sql<{ owner_id: string }>(
  'ranks_at_descending',
  `SELECT owner_id FROM leaderboard_record WHERE ${inPeriod} ORDER BY ${placeDown} LIMIT 1 OFFSET $3`,
  'read',
);

/** The end of a period as a parameter. */
export const expiryParam = (expiry: number): string => instantParam({ seconds: expiry, nanos: 0 });

/** Rows of a period, for an index that is filled; all from one snapshot. */
export const readRecords = sql<RecordState>(
  'ranks_read_all',
  `SELECT owner_id, score, subscore, create_time, num_score FROM leaderboard_record WHERE ${inPeriod}`,
  'read',
);

// $3 to $5 and $6 to $8 the ends of the stretch, $9 how many at most.
export const readBetween = sql<RecordState>(
  'ranks_read_between',
  `SELECT owner_id, score, subscore, create_time, num_score FROM leaderboard_record
   WHERE ${inPeriod} AND (${place}) >= ($3::bigint, $4::bigint, $5::uuid) AND (${place}) <= ($6::bigint, $7::bigint, $8::uuid)
   ORDER BY ${place} LIMIT $9`,
  'read',
);

// $3 owners.
export const readOwners = sql<RecordState>(
  'ranks_read_owners',
  `SELECT owner_id, score, subscore, create_time, num_score FROM leaderboard_record
   WHERE owner_id = ANY($3::uuid[]) AND ${inPeriod}`,
  'read',
);

/**
 * Makes the record of an owner, $3, newer than any that was there before, of which $4 is the latest creation (an insert
 * reads the clock before it waits for the record that it follows, and may so be older than that one).
 */
export const renewRecord = sql<RecordState>(
  'ranks_renew_record',
  `UPDATE leaderboard_record
   SET create_time = greatest(clock_timestamp(), $4::timestamptz + INTERVAL '1 microsecond')
   WHERE owner_id = $3::uuid AND ${inPeriod} AND create_time <= $4::timestamptz
   RETURNING owner_id, score, subscore, create_time, num_score`,
  'write',
);

export interface DoubtRow {
  holder: string;
  leaderboard_id: string;
  expiry_time: Instant;
  is_stale: boolean;
}

// $1 the holder, $4 seconds from now.
export const raiseDoubt = sql(
  'ranks_doubt_raise',
  `INSERT INTO muster_rank_doubt (holder, leaderboard_id, expiry_time, until)
   VALUES ($1, $2, $3::timestamptz, clock_timestamp() + CAST($4 AS float8) * INTERVAL '1 second')
   ON CONFLICT (holder, leaderboard_id, expiry_time) DO UPDATE SET until = excluded.until`,
  'write',
);

// $1 the holder, $2 seconds from now. Answers what is still there.
export const renewDoubts = sql<{ leaderboard_id: string; expiry_time: Instant }>(
  'ranks_doubt_renew',
  `UPDATE muster_rank_doubt SET until = clock_timestamp() + CAST($2 AS float8) * INTERVAL '1 second' WHERE holder = $1
   RETURNING leaderboard_id, expiry_time`,
  'write',
);

export const lowerDoubt = sql(
  'ranks_doubt_lower',
  'DELETE FROM muster_rank_doubt WHERE holder = $1 AND leaderboard_id = $2 AND expiry_time = $3::timestamptz',
  'write',
);

export const lowerStaleDoubt = sql(
  'ranks_doubt_lower_stale',
  `DELETE FROM muster_rank_doubt
   WHERE holder = $1 AND leaderboard_id = $2 AND expiry_time = $3::timestamptz AND until < clock_timestamp()`,
  'write',
);

// $1 how many at most.
export const readDoubts = sql<DoubtRow>(
  'ranks_doubt_read',
  `SELECT holder, leaderboard_id, expiry_time, until < clock_timestamp() AS is_stale FROM muster_rank_doubt LIMIT $1`,
  'read',
);
