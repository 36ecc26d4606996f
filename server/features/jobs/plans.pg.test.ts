import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Param, Statement } from '../../store/sql.ts';
import { type JobWorld, openJobs } from '../../testing/jobs.ts';
import {
  cancelJobs,
  claimJobs,
  completeJob,
  forgetEarlier,
  insertNext,
  nextDue,
  purgeJobs,
  releaseJobs,
  renewLeases,
} from './queries.ts';

// What is asked of a table with many jobs. MUSTER_TEST_PLANS=1 prints the plans.

describe('many jobs', () => {
  let world: JobWorld;
  beforeAll(async () => {
    world = await openJobs();
    await world.sql.query(
      `INSERT INTO muster_job (kind, subject, period, state, due_time, run_time, fence, done_time)
       SELECT 'k' || n % 5, (n / 10)::text, (n % 10)::text, CASE WHEN n % 100 = 0 THEN 0 ELSE 1 END,
         now() + (n - 100000) * INTERVAL '1 second', now() + (n - 100000) * INTERVAL '1 second', 1,
         CASE WHEN n % 100 = 0 THEN NULL ELSE now() - n * INTERVAL '1 second' END
       FROM generate_series(1, 200000) AS n`,
    );
    await world.sql.query('ANALYZE');
  });
  afterAll(() => world?.close());

  const kinds = ['k0', 'k1', 'k2'];
  const runs = [
    ['k1', 'k2'],
    ['10', '20'],
    ['1', '2'],
    [1, 1],
  ];
  const statements: readonly (readonly [statement: Statement, params: readonly Param[]])[] = [
    [claimJobs, [kinds, 8, 2000, 'node']],
    [nextDue, [kinds]],
    [renewLeases, [...runs, 2000]],
    [releaseJobs, runs],
    [completeJob, ['k1', '10', '1', 1, '1']],
    [insertNext, ['k1', 60]],
    [forgetEarlier, ['k1', '60']],
    [cancelJobs, ['k1', '10']],
    [purgeJobs, [1000]],
  ];
  const literal = (param: Param): string =>
    Array.isArray(param) ? pg.escapeLiteral(`{${param.join(',')}}`) : pg.escapeLiteral(String(param));

  it.each(['custom', 'generic'])('are never read from end to end, with a %s plan', async (kind) => {
    await world.sql.query(`SET plan_cache_mode = force_${kind}_plan`);
    for (const [{ name, text }, params] of statements) {
      await world.sql.query(`PREPARE explained AS ${text}`);
      const explain = `EXPLAIN EXECUTE explained (${params.map(literal)})`;
      const { rows } = await world.sql.query<{ 'QUERY PLAN': string }>(explain);
      await world.sql.query('DEALLOCATE explained');
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      if (process.env['MUSTER_TEST_PLANS'] !== undefined) console.log(`${name}, ${kind} plan\n${plan}\n`);
      expect(plan, name).toMatch(/Index (Only )?Scan/);
      expect(plan, name).not.toContain('Seq Scan');
      // The oldest first, without a look at the others.
      if (name === claimJobs.name || name === nextDue.name) {
        expect(plan, name).toContain('Index Scan using muster_job_run_idx');
        expect(plan, name).not.toContain('Sort');
      }
    }
  });
});
