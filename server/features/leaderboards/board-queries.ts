import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

export interface BoardRow {
  id: string;
  authoritative: boolean;
  sort_order: number;
  operator: number;
  reset_schedule: string | null;
  metadata: string;
  create_time: Instant;
  category: number;
  description: string;
  duration: number;
  end_time: Instant;
  join_required: boolean;
  max_size: number;
  max_num_score: number;
  title: string;
  start_time: Instant;
  enable_ranks: boolean | null;
  closed_time: Instant | null;
}

const boardColumns = `id, authoritative, sort_order, operator, reset_schedule, metadata, create_time, category, description,
  duration, end_time, join_required, max_size, max_num_score, title, start_time, enable_ranks,
  muster_closed_time AS closed_time`;

export const boardById = sql<BoardRow>('boards_by_id', `SELECT ${boardColumns} FROM leaderboard WHERE id = $1`, 'read');

export const boardsById = sql<BoardRow>(
  'boards_by_ids',
  `SELECT ${boardColumns} FROM leaderboard WHERE id = ANY ($1::text[])`,
  'read',
);

// No row when there is a board of that id. $12 and $16: unix seconds; no start means now.
export const insertBoard = sql<BoardRow>(
  'boards_insert',
  `INSERT INTO leaderboard (id, authoritative, sort_order, operator, reset_schedule, metadata, enable_ranks, category,
     title, description, duration, end_time, max_size, max_num_score, join_required, create_time, start_time)
   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, to_timestamp($12), $13, $14, $15, at,
     COALESCE(to_timestamp($16), date_trunc('second', at))
   FROM (SELECT clock_timestamp() AS at) AS moment
   ON CONFLICT (id) DO NOTHING
   RETURNING ${boardColumns}`,
  'write',
);

export const disableRanks = sql<{ id: string }>(
  'boards_disable_ranks',
  'UPDATE leaderboard SET enable_ranks = FALSE WHERE id = $1 AND (duration > 0) = $2 RETURNING id',
  'write',
);

// $2 and $3 the position after which the page begins.
export const plainBoardsAfter = sql<BoardRow>(
  'boards_plain_after',
  `SELECT ${boardColumns} FROM leaderboard
   WHERE duration = 0 AND (create_time, id) > ($1::timestamptz, $2::text)
   ORDER BY create_time, id LIMIT $3`,
  'read',
);

// Counted no further than $2.
export const countRecords = sql<{ count: bigint }>(
  'boards_count_records',
  'SELECT count(*) AS count FROM (SELECT 1 FROM leaderboard_record WHERE leaderboard_id = $1 LIMIT $2) AS r',
  'read',
);

export const deleteSomeRecords = sql<never>(
  'boards_delete_some_records',
  `DELETE FROM leaderboard_record WHERE (leaderboard_id, expiry_time, score, subscore, owner_id) IN (
     SELECT leaderboard_id, expiry_time, score, subscore, owner_id FROM leaderboard_record WHERE leaderboard_id = $1
     LIMIT $2)`,
  'write',
);

export const deleteBoard = sql<{ duration: number }>(
  'boards_delete',
  'DELETE FROM leaderboard WHERE id = $1 RETURNING duration',
  'write',
);

// $1 the kind of their jobs; after $2, in the order of their ids.
export const boardsWithoutReset = sql<{ id: string }>(
  'boards_without_reset',
  `SELECT id FROM leaderboard b
   WHERE duration = 0 AND reset_schedule IS NOT NULL AND id > $2
     AND NOT EXISTS (SELECT 1 FROM muster_job j WHERE j.kind = $1 AND j.subject = b.id AND j.state = 0)
   ORDER BY id LIMIT $3`,
  'read',
);

export const openJob = sql<{ period: string }>(
  'boards_open_job',
  'SELECT period FROM muster_job WHERE kind = $1 AND subject = $2 AND period = $3 AND state = 0',
  'read',
);
