import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sql } from '../../store/sql.ts';
import { type JobNode, type JobWorld, openJobs } from '../../testing/jobs.ts';
import { waitFor } from '../../testing/wait.ts';
import type { JobRun, JobState } from './index.ts';

const mark = sql<never>('test_mark', 'INSERT INTO mark (key, node) VALUES ($1, $2)', 'write');

describe('jobs', () => {
  let world: JobWorld;
  beforeEach(async () => {
    world = await openJobs();
    await world.sql.query('CREATE TABLE mark (key TEXT NOT NULL, node TEXT NOT NULL)');
  });
  afterEach(() => world.close());

  const id = (subject: string) => ({ kind: 'k', subject, period: '1' });
  const ended = (node: JobNode, subject: string, state: JobState = 'done') =>
    waitFor(`${subject} to be ${state}`, async () => {
      const report = await node.jobs.report(id(subject));
      return report?.state === state ? report : undefined;
    });
  it('are run when they are due, by the clock of the database, and tell what became of them', async () => {
    const node = world.node();
    const runs: JobRun[] = [];
    node.jobs.define({
      kind: 'k',
      async run(run) {
        runs.push(run);
        await run.complete('{"score": 9223372036854775807}', async (tx) => {
          await tx.execute(mark, [run.key, 'node']);
        });
      },
    });
    await node.start();
    const { rows } = await world.sql.query('SELECT (extract(epoch FROM now()) * 1000)::float8 AS ms');
    const dueMs = Math.floor(rows[0].ms) + 150;
    expect(await node.jobs.schedule(node.db, { ...id('later'), dueMs, payload: '{"big": 9007199254740993}' })).toBe(
      true,
    );
    expect(await node.jobs.schedule(node.db, id('now'))).toBe(true);
    expect(await node.jobs.schedule(node.db, id('now'))).toBe(false);
    expect((await ended(node, 'now')).dueMs).toBeLessThan(dueMs);
    const report = await ended(node, 'later');
    expect(report).toEqual({
      ...id('later'),
      state: 'done',
      dueMs,
      attempts: 1,
      outcome: '{"score": 9223372036854775807}',
      error: null,
    });
    expect(runs.map(({ subject }) => subject)).toEqual(['now', 'later']);
    expect(runs[1]).toMatchObject({ ...id('later'), dueMs, attempt: 1, payload: '{"big": 9007199254740993}' });
    const times = await world.sql.query(
      `SELECT done_time > due_time AS late, payload FROM muster_job WHERE subject = 'later'`,
    );
    expect(times.rows).toEqual([{ late: true, payload: {} }]);
    // Done is done.
    expect(await node.jobs.schedule(node.db, id('later'))).toBe(false);
    expect(
      (await world.sql.query('SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM mark')).rows,
    ).toEqual([{ n: 2, keys: 2 }]);
    expect(await node.jobs.report(id('unknown'))).toBeNull();
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
    const [one, two] = [world.node(), world.node()];
    one.jobs.define({ kind: 'other', run: async () => undefined });
    two.jobs.define({ kind: 'k', run: async () => undefined });
    await one.start();
    await one.jobs.schedule(one.db, id('a'));
    await one.jobs.schedule(one.db, { ...id('a'), kind: 'other' });
    await waitFor(
      'the other kind',
      async () => (await one.jobs.report({ ...id('a'), kind: 'other' }))?.state === 'done',
    );
    expect(await one.jobs.report(id('a'))).toMatchObject({ state: 'open', attempts: 0 });
    await two.start();
    await ended(one, 'a');
  });
});
