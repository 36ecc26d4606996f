import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

// $1 to $3 name the job where there is one; $4 is then the fence of the run that speaks. All times are the database's.
const held = 'kind = $1 AND subject = $2 AND period = $3 AND fence = $4 AND state = 0';

// Larger than any fence of a job of this name that was taken back before.
const firstFence = '(extract(epoch FROM clock_timestamp()) * 1000000)::bigint';

// $4 when it is due, null for now, $5 payload.
export const insertJob = sql<never>(
  'job_insert',
  `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence, payload)
   VALUES ($1, $2, $3, COALESCE($4::timestamptz, now()), COALESCE($4::timestamptz, now()), ${firstFence}, $5::jsonb)
   ON CONFLICT (kind, subject, period) DO NOTHING`,
  'write',
);

// $1 kind, $2 its interval in seconds. The next one comes at a whole multiple of the interval, unless one is open.
export const insertNext = sql<never>(
  'job_insert_next',
  `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence)
   SELECT $1::text, '', due::text, to_timestamp(due), to_timestamp(due), ${firstFence}
   FROM (SELECT (floor(extract(epoch FROM clock_timestamp()) / $2::int) + 1)::bigint * $2::int AS due) AS next
   WHERE NOT EXISTS (SELECT 1 FROM muster_job WHERE kind = $1::text AND subject = '' AND state = 0)
   ON CONFLICT (kind, subject, period) DO NOTHING`,
  'write',
);

// $1 kind, $2 the period to keep: of what recurs only the last outcome is of interest.
export const forgetEarlier = sql<never>(
  'job_forget_earlier',
  `DELETE FROM muster_job WHERE kind = $1 AND subject = '' AND period <> $2 AND state > 0`,
  'write',
);

export interface ClaimedRow {
  kind: string;
  subject: string;
  period: string;
  fence: bigint;
  attempts: number;
  tries: number;
  due_time: Instant;
  payload: string;
  late_sec: number;
}

// $1 kinds, $2 how many at most, $3 lease in milliseconds, $4 node. What another node is about to take is passed over.
export const claimJobs = sql<ClaimedRow>(
  'job_claim',
  `WITH due AS (
     SELECT kind, subject, period FROM muster_job
     WHERE state = 0 AND run_time <= now() AND kind = ANY ($1::text[])
     ORDER BY run_time LIMIT $2 FOR UPDATE SKIP LOCKED
   )
   UPDATE muster_job AS j SET run_time = now() + $3::int * INTERVAL '1 millisecond', fence = j.fence + 1,
     attempts = j.attempts + 1, tries = j.tries + 1, node = $4
   FROM due WHERE j.kind = due.kind AND j.subject = due.subject AND j.period = due.period
   RETURNING j.kind, j.subject, j.period, j.fence, j.attempts, j.tries, j.due_time, j.payload,
     extract(epoch FROM now() - j.due_time)::float8 AS late_sec`,
  'write',
);

// $1 kinds. Seconds until the next one may be claimed.
export const nextDue = sql<{ in_sec: number }>(
  'job_next_due',
  `SELECT extract(epoch FROM run_time - now())::float8 AS in_sec FROM muster_job
   WHERE state = 0 AND kind = ANY ($1::text[]) ORDER BY run_time LIMIT 1`,
  'read',
);

// $1 to $4: kinds, subjects, periods and fences of several runs. A row that its run's own transaction has locked is
// passed over: nobody can claim it meanwhile, and the others must not wait.
const heldByMany = `SELECT j.kind, j.subject, j.period FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
       AS mine (kind, subject, period, fence)
     JOIN muster_job AS j ON j.kind = mine.kind AND j.subject = mine.subject AND j.period = mine.period
       AND j.fence = mine.fence
     WHERE j.state = 0 FOR UPDATE OF j SKIP LOCKED`;

// $5 lease in milliseconds.
export const renewLeases = sql<{ kind: string; subject: string; period: string; fence: bigint }>(
  'job_renew',
  `WITH held AS (${heldByMany})
   UPDATE muster_job AS j SET run_time = now() + $5::int * INTERVAL '1 millisecond'
   FROM held WHERE j.kind = held.kind AND j.subject = held.subject AND j.period = held.period
   RETURNING j.kind, j.subject, j.period, j.fence`,
  'write',
);

// For others to claim at once. It is not the fault of the job.
export const releaseJobs = sql<never>(
  'job_release',
  `WITH held AS (${heldByMany})
   UPDATE muster_job AS j SET run_time = now(), fence = j.fence + 1, tries = GREATEST(j.tries - 1, 0)
   FROM held WHERE j.kind = held.kind AND j.subject = held.subject AND j.period = held.period`,
  'write',
);

export const lockJob = sql<{ payload: string }>(
  'job_lock',
  `SELECT payload FROM muster_job WHERE ${held} FOR UPDATE`,
  'write',
);

// $5 payload, $6 lease in milliseconds.
export const storeProgress = sql<never>(
  'job_progress',
  `UPDATE muster_job SET payload = $5::jsonb, tries = 0,
     run_time = clock_timestamp() + $6::int * INTERVAL '1 millisecond'
   WHERE ${held}`,
  'write',
);

// $5 outcome.
export const completeJob = sql<never>(
  'job_complete',
  `UPDATE muster_job SET state = 1, outcome = $5::jsonb, payload = '{}', done_time = clock_timestamp() WHERE ${held}`,
  'write',
);

// $5 pause in milliseconds, $6 error.
export const retryJob = sql<never>(
  'job_retry',
  `UPDATE muster_job SET run_time = now() + $5::int * INTERVAL '1 millisecond', fence = fence + 1, error = $6
   WHERE ${held}`,
  'write',
);

// $5 error.
export const failJob = sql<never>(
  'job_fail',
  `UPDATE muster_job SET state = 2, error = $5, done_time = clock_timestamp() WHERE ${held}`,
  'write',
);

// $1 kind, $2 subject.
export const cancelJobs = sql<never>(
  'job_cancel',
  'DELETE FROM muster_job WHERE kind = $1 AND subject = $2 AND state = 0',
  'write',
);

// $1 kind, $2 text. In one order, so that two who amend never wait for each other in a circle.
export const jobsContaining = sql<{ subject: string; period: string; payload: string }>(
  'job_containing',
  `SELECT subject, period, payload FROM muster_job
   WHERE kind = $1 AND state <> 1 AND position($2::text IN payload::text) > 0
   ORDER BY subject, period FOR UPDATE`,
  'write',
);

// $1 to $3 name the job, $4 payload.
export const amendJob = sql<never>(
  'job_amend',
  'UPDATE muster_job SET payload = $4::jsonb WHERE kind = $1 AND subject = $2 AND period = $3',
  'write',
);

export interface ReportRow {
  state: number;
  due_time: Instant;
  attempts: number;
  outcome: string | null;
  error: string | null;
}

export const jobReport = sql<ReportRow>(
  'job_report',
  `SELECT state, due_time, attempts, outcome, error FROM muster_job
   WHERE kind = $1 AND subject = $2 AND period = $3`,
  'read',
);

/** Rows that one `purgeJobs` forgets. Not a parameter: the planner would expect a tenth of the table. */
export const purgeBatch = 200;

// $1 retention in seconds.
export const purgeJobs = sql<never>(
  'job_purge',
  `WITH old AS (
     SELECT kind, subject, period FROM muster_job
     WHERE state > 0 AND done_time < now() - $1::int * INTERVAL '1 second'
     ORDER BY done_time LIMIT ${purgeBatch} FOR UPDATE SKIP LOCKED
   )
   DELETE FROM muster_job AS j USING old
   WHERE j.kind = old.kind AND j.subject = old.subject AND j.period = old.period`,
  'write',
);
