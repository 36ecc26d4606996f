import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type JobNode, type JobWorld, markDone, openJobs } from '../../testing/jobs.ts';
import { waitFor } from '../../testing/wait.ts';
import type { JobRun } from './index.ts';

describe('what recurs', () => {
  let world: JobWorld;
  beforeEach(async () => {
    world = await openJobs();
  });
  afterEach(() => world.close());

  const one = async (text: string) => (await world.sql.query(text)).rows[0];
  const rows = async () =>
    (
      await world.sql.query(
        `SELECT state, period, due_time > now() AS ahead FROM muster_job WHERE kind = 'tick' ORDER BY period`,
      )
    ).rows;
  /** Nodes that count their runs. */
  function nodes(count: number, everySec: number, run: (run: JobRun) => Promise<void>): JobNode[] {
    return Array.from({ length: count }, () => {
      const node = world.node();
      node.jobs.every({ kind: 'tick', everySec, run });
      return node;
    });
  }

  it('is run once per interval by all nodes together, at whole multiples of it', async () => {
    const runs: JobRun[] = [];
    const all = nodes(3, 1, async (run) => {
      runs.push(run);
      await run.complete('null', async (tx) => void (await tx.execute(markDone, [run.period, ''])));
    });
    await Promise.all(all.map((node) => node.start()));
    await waitFor('four runs', () => runs.length >= 4);
    await Promise.all(all.map((node) => node.stop()));
    const periods = runs.map(({ period }) => period);
    expect(new Set(periods).size).toBe(periods.length);
    for (const { period, dueMs, attempt } of runs) expect([dueMs, attempt]).toEqual([Number(period) * 1000, 1]);
    expect(await one('SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM mark')).toEqual({
      n: runs.length,
      keys: runs.length,
    });
    // The last outcome and the one to come are all that is kept.
    expect((await rows()).map(({ state }) => state)).toEqual([1, 0]);
  });

  it('is caught up with by one run after a time without nodes', async () => {
    const runs: JobRun[] = [];
    const [planner, ...others] = nodes(3, 3600, async (run) => void runs.push(run)) as [JobNode, ...JobNode[]];
    await planner.start();
    await waitFor('it to be planned', rows);
    await planner.stop();
    await world.sql.query(
      `UPDATE muster_job SET period = (period::bigint - 36000)::text, due_time = due_time - INTERVAL '10 hours',
         run_time = run_time - INTERVAL '10 hours' WHERE kind = 'tick'`,
    );
    await Promise.all(others.map((node) => node.start()));
    await waitFor('the run', async () => (await rows()).some(({ state }) => state === 1));
    expect(await rows()).toMatchObject([
      { state: 1, ahead: false },
      { state: 0, ahead: true },
    ]);
    await Promise.all(others.map((node) => node.stop()));
    expect(runs).toHaveLength(1);
  });

  it('goes on when one of it failed, or was taken away', async () => {
    let runs = 0;
    const [node, later] = nodes(2, 3600, async () => {
      runs++;
      throw new Error('no');
    }) as [JobNode, JobNode];
    await node.start();
    await waitFor('it to be planned', async () => (await rows()).length === 1);
    await world.sql.query(
      `UPDATE muster_job SET period = '7200', due_time = to_timestamp(7200), run_time = now(), tries = 9 WHERE kind = 'tick'`,
    );
    await waitFor('it to fail', async () => (await rows()).some(({ state }) => state === 2));
    expect(await rows()).toMatchObject([
      { state: 0, ahead: true },
      { state: 2, period: '7200' },
    ]);
    expect(runs).toBe(1);
    await world.sql.query(`DELETE FROM muster_job WHERE kind = 'tick' AND state = 0`);
    await later.start();
    await waitFor('the next one', async () => (await rows()).some(({ state }) => state === 0));
  });
});
