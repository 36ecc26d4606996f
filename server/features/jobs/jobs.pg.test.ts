import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Code } from '../../platform/errors.ts';
import { gate, type JobNode, type JobWorld, markDone, openJobs } from '../../testing/jobs.ts';
import { waitFor } from '../../testing/wait.ts';
import type { JobRun, JobState } from './index.ts';

describe('jobs', () => {
  let world: JobWorld;
  beforeEach(async () => {
    world = await openJobs();
  });
  afterEach(() => world.close());

  const id = (subject: string) => ({ kind: 'k', subject, period: '1' });
  const ended = (node: JobNode, subject: string, state: JobState = 'done') =>
    waitFor(`${subject} to be ${state}`, async () => {
      const report = await node.jobs.report(id(subject));
      return report?.state === state ? report : undefined;
    });
  const one = async (text: string, params: unknown[] = []) => (await world.sql.query(text, params)).rows[0];

  it('are run when they are due, by the clock of the database, and tell what became of them', async () => {
    const node = world.node();
    const runs: JobRun[] = [];
    node.jobs.define({
      kind: 'k',
      async run(run) {
        runs.push(run);
        await run.complete('{"score": 9223372036854775807}', async (tx) => {
          await tx.execute(markDone, [run.key, 'node']);
        });
      },
    });
    await node.start();
    const { ms } = await one('SELECT (extract(epoch FROM now()) * 1000)::float8 AS ms');
    const dueMs = Math.floor(ms) + 150;
    const later = { ...id('later'), dueMs, payload: '{"big": 9007199254740993}' };
    expect(await node.jobs.schedule(node.db, later)).toBe(true);
    expect(await node.jobs.schedule(node.db, id('now'))).toBe(true);
    expect(await node.jobs.schedule(node.db, id('now'))).toBe(false);
    expect((await ended(node, 'now')).dueMs).toBeLessThan(dueMs);
    expect(await ended(node, 'later')).toEqual({
      ...id('later'),
      state: 'done',
      dueMs,
      attempts: 1,
      outcome: '{"score": 9223372036854775807}',
      error: null,
    });
    expect(runs.map(({ subject }) => subject)).toEqual(['now', 'later']);
    expect(runs[1]).toMatchObject({ ...later, attempt: 1 });
    const stored = await one(`SELECT done_time > due_time AS late, payload FROM muster_job WHERE subject = 'later'`);
    expect(stored).toEqual({ late: true, payload: {} });
    // Done is done.
    expect(await node.jobs.schedule(node.db, id('later'))).toBe(false);
    expect(await one('SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM mark')).toEqual({
      n: 2,
      keys: 2,
    });
    expect(await node.jobs.report(id('unknown'))).toBeNull();
    const metrics = await node.metrics.text();
    expect(metrics).toMatch(/jobs_total\{.*kind="k",result="done"\} 2/);
    expect(metrics).toMatch(/job_lateness_seconds_count\{.*kind="k"\} 2/);
  });

  it('that return without an outcome are done', async () => {
    const node = world.node();
    node.jobs.define({ kind: 'k', run: async () => undefined });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    expect(await ended(node, 'a')).toMatchObject({ outcome: 'null', attempts: 1 });
  });

  it('are scheduled with the transaction that wants them, or not at all', async () => {
    const node = world.node();
    node.jobs.define({ kind: 'k', run: async () => undefined });
    await node.start();
    const failed = node.db.transaction(async (tx) => {
      await node.jobs.schedule(tx, id('never'));
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    await node.db.transaction(async (tx) => {
      await node.jobs.schedule(tx, id('once'));
    });
    await ended(node, 'once');
    expect(await node.jobs.report(id('never'))).toBeNull();
  });

  it('of kinds that a node does not know wait for one that does', async () => {
    const [stranger, node] = [world.node(), world.node()];
    stranger.jobs.define({ kind: 'other', run: async () => undefined });
    node.jobs.define({ kind: 'k', run: async () => undefined });
    await stranger.start();
    await stranger.jobs.schedule(stranger.db, id('a'));
    const other = { ...id('a'), kind: 'other' };
    await stranger.jobs.schedule(stranger.db, other);
    await waitFor('the other kind', async () => (await stranger.jobs.report(other))?.state === 'done');
    expect(await stranger.jobs.report(id('a'))).toMatchObject({ state: 'open', attempts: 0 });
    await node.start();
    await ended(node, 'a');
  });

  it('that throw are tried again after growing pauses, and fail in the end', async () => {
    const node = world.node();
    const keys = new Set<string>();
    const attempts: number[] = [];
    node.jobs.define({
      kind: 'k',
      maxAttempts: 8,
      async run(run) {
        keys.add(run.key);
        attempts.push(run.attempt);
        throw new Error(`no\0 ${run.attempt} ${'x'.repeat(2000)}`);
      },
    });
    // Notes each pause, and lets it be over.
    await world.sql.query(
      `CREATE TABLE pause (sec FLOAT8 NOT NULL);
       CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO pause VALUES (extract(epoch FROM NEW.run_time - now()));
         NEW.run_time := now();
         RETURN NEW;
       END $$;
       CREATE TRIGGER pause BEFORE UPDATE OF error ON muster_job FOR EACH ROW WHEN (NEW.state = 0) EXECUTE FUNCTION pause()`,
    );
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    const report = await ended(node, 'a', 'failed');
    expect(report).toMatchObject({ attempts: 8, outcome: null });
    const pauses = (await world.sql.query('SELECT sec FROM pause ORDER BY sec')).rows.map(({ sec }) => sec);
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60]);
    expect(report.error).toMatch(/^no 8 x+$/);
    expect(report.error).toHaveLength(1024);
    expect([attempts, keys.size]).toEqual([[1, 2, 3, 4, 5, 6, 7, 8], 1]);
    expect(await node.jobs.schedule(node.db, id('a'))).toBe(false);
    expect(await node.metrics.text()).toMatch(/result="retried"\} 7\n.*result="failed"\} 1\n/);
  });

  it('whose nodes die with them in hand fail in the end, too', async () => {
    const node = world.node();
    let runs = 0;
    node.jobs.define({ kind: 'k', maxAttempts: 3, run: async () => void runs++ });
    await node.jobs.schedule(node.db, id('a'));
    // As three claims leave it that nothing came of.
    await one(`UPDATE muster_job SET attempts = 3, tries = 3, fence = fence + 3 WHERE subject = 'a'`);
    await node.start();
    expect((await ended(node, 'a', 'failed')).error).toBe('No attempt came to an end.');
    expect(runs).toBe(0);
  });

  it('are run as many at a time as there are workers, and of a kind as many as that wants', async () => {
    const node = world.node({ config: { 'jobs.workers': 5 } });
    const held = gate();
    const running = { k: 0, few: 0 };
    const most = { all: 0, few: 0 };
    const run = async (job: JobRun): Promise<void> => {
      const kind = job.kind as 'k' | 'few';
      running[kind]++;
      most.all = Math.max(most.all, running.k + running.few);
      most.few = Math.max(most.few, running.few);
      await held.run(job);
      running[kind]--;
    };
    node.jobs.define({ kind: 'k', run });
    node.jobs.define({ kind: 'few', concurrency: 2, run });
    for (let n = 0; n < 30; n++) {
      await node.jobs.schedule(node.db, id(`${n}`));
      await node.jobs.schedule(node.db, { ...id(`${n}`), kind: 'few' });
    }
    await node.start();
    await waitFor('all workers to be busy', () => running.k === 3 && running.few === 2);
    expect(await node.metrics.text()).toMatch(/jobs_running\{.*\} 5\n/);
    held.open();
    const done = `SELECT count(*)::int AS n FROM muster_job WHERE kind IN ('k', 'few') AND state = 1`;
    await waitFor('all of them', async () => (await one(done)).n === 60);
    expect(most).toEqual({ all: 5, few: 2 });
  });

  it('that take too long make room, and count as having thrown', async () => {
    const node = world.node({ config: { 'jobs.workers': 1 } });
    const stuck = gate();
    node.jobs.define({ kind: 'k', maxRunSec: 1, maxAttempts: 1, run: stuck.run });
    node.jobs.define({ kind: 'next', run: async () => undefined });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    await waitFor('the job to begin', () => stuck.runs.length === 1);
    await node.jobs.schedule(node.db, { ...id('a'), kind: 'next' });
    expect((await ended(node, 'a', 'failed')).error).toBe('The job took too long.');
    await waitFor('the next', async () => (await node.jobs.report({ ...id('a'), kind: 'next' }))?.state === 'done');
    const [run] = stuck.runs as [JobRun];
    expect(run.signal.aborted).toBe(true);
    await expect(run.complete('1')).rejects.toMatchObject({ code: Code.ABORTED });
    stuck.open();
  });

  it('that were taken back do not run, and a run under way cannot complete, not even as another of the name', async () => {
    const [first, second] = [world.node(), world.node()];
    const [old, young] = [gate(), gate()];
    first.jobs.define({ kind: 'k', run: old.run });
    second.jobs.define({ kind: 'k', run: young.run });
    await first.start();
    const dueMs = Date.now() + 3_600_000;
    for (const period of ['2', '3']) await first.jobs.schedule(first.db, { ...id('a'), period, dueMs });
    await first.jobs.schedule(first.db, id('a'));
    await first.jobs.schedule(first.db, { ...id('other'), dueMs });
    await waitFor('the job to begin', () => old.runs.length === 1);
    const taken = await first.db.transaction((tx) => first.jobs.cancel(tx, 'k', 'a'));
    expect(taken).toBe(3);
    expect(await first.jobs.report(id('a'))).toBeNull();
    expect(await first.jobs.report(id('other'))).toMatchObject({ state: 'open' });
    await second.start();
    await second.jobs.schedule(second.db, id('a'));
    await waitFor('the new one to begin', () => old.runs.length + young.runs.length === 2);
    const mark = (run: JobRun, node: string) =>
      run.complete('1', async (tx) => void (await tx.execute(markDone, [run.key, node])));
    await expect(mark(old.runs[0] as JobRun, 'old')).rejects.toMatchObject({ code: Code.ABORTED });
    await mark((young.runs[0] ?? old.runs[1]) as JobRun, 'young');
    expect((await world.sql.query('SELECT node FROM mark')).rows).toEqual([{ node: 'young' }]);
    old.open();
    young.open();
  });

  it('have names, intervals and kinds that are checked', async () => {
    const node = world.node();
    const run = async () => undefined;
    for (const bad of [{ kind: 'k'.repeat(65) }, { subject: 's'.repeat(161) }, { period: 'p'.repeat(65) }]) {
      await expect(node.jobs.schedule(node.db, { ...id('a'), ...bad })).rejects.toMatchObject({ code: 3 });
    }
    expect(await node.jobs.schedule(node.db, { kind: 'k', subject: '😀'.repeat(160), period: '' })).toBe(true);
    node.jobs.define({ kind: 'k', run });
    expect(() => node.jobs.define({ kind: 'k', run })).toThrow('already');
    for (const everySec of [0, -1, 1.5])
      expect(() => node.jobs.every({ kind: 'e', everySec, run })).toThrow('interval');
    await node.start();
    expect(() => node.jobs.define({ kind: 'l', run })).toThrow('too late');
  });

  it('are forgotten when their outcome is old, open ones never', async () => {
    const node = world.node({ config: { 'jobs.retention_sec': 3600 } });
    await world.sql.query(
      `INSERT INTO muster_job (kind, subject, period, state, due_time, run_time, fence, done_time)
       SELECT 'old', n::text, '', 1 + n % 2, now(), now(), 1, now() - INTERVAL '2 hours' FROM generate_series(1, 1234) AS n
       UNION ALL SELECT 'young', n::text, '', 1, now(), now(), 1, now() FROM generate_series(1, 5) AS n
       UNION ALL SELECT 'open', n::text, '', 0, now(), now() - INTERVAL '2 hours', 1, NULL FROM generate_series(1, 5) AS n`,
    );
    await node.start();
    await waitFor('the purge to be planned', () => one(`SELECT 1 FROM muster_job WHERE kind = 'jobs_purge'`));
    await one(`UPDATE muster_job SET run_time = now() WHERE kind = 'jobs_purge'`);
    const purge = await waitFor('the purge', () =>
      one(`SELECT outcome FROM muster_job WHERE kind = 'jobs_purge' AND state = 1`),
    );
    expect(purge.outcome).toEqual({ count: 1234 });
    const { rows } = await world.sql.query(
      `SELECT kind, count(*)::int AS n FROM muster_job WHERE kind <> 'jobs_purge' GROUP BY kind ORDER BY kind`,
    );
    expect(rows).toEqual([
      { kind: 'open', n: 5 },
      { kind: 'young', n: 5 },
    ]);
  });
});
