import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../platform/clock.ts';
import { Code } from '../../platform/errors.ts';
import { sql } from '../../store/sql.ts';
import { FaultProxy } from '../../testing/fault-proxy.ts';
import { gate, type JobNode, type JobWorld, markDone, openJobs } from '../../testing/jobs.ts';
import { Random } from '../../testing/random.ts';
import { waitFor } from '../../testing/wait.ts';
import type { JobRun } from './index.ts';

const nap = sql<never>('test_nap', 'SELECT pg_sleep(0.05)', 'read');

// Several nodes on one database: who has a job, and what becomes of it when a node cannot go on. Reliability anchor T1.

describe('jobs on several nodes', () => {
  let world: JobWorld;
  let proxy: FaultProxy;
  beforeEach(async () => {
    world = await openJobs();
    proxy = new FaultProxy(world.url);
  });
  afterEach(async () => {
    proxy.onChunk = () => 'pass';
    await world.close();
    await proxy[Symbol.asyncDispose]();
  });

  const id = (subject: string) => ({ kind: 'k', subject, period: '1' });
  const one = async (text: string) => (await world.sql.query(text)).rows[0];
  const marks = async () => (await world.sql.query('SELECT node FROM mark ORDER BY node')).rows.map(({ node }) => node);
  const isDone = async (node: JobNode, subject: string) => (await node.jobs.report(id(subject)))?.state === 'done';
  const mark = (run: JobRun, node: string) =>
    run.complete('1', async (tx) => void (await tx.execute(markDone, [run.subject, node])));

  it('a thousand due jobs are done once each, by both of two nodes', async () => {
    const nodes = [world.node(), world.node()] as const;
    for (const [index, node] of nodes.entries()) {
      node.jobs.define({ kind: 'k', run: (run) => mark(run, `${index}`) });
    }
    await world.sql.query(
      `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence)
       SELECT 'k', n::text, '1', now(), now(), 1 FROM generate_series(1, 1000) AS n`,
    );
    await Promise.all(nodes.map((node) => node.start()));
    const left = `SELECT count(*)::int AS n FROM muster_job WHERE kind = 'k' AND state = 0`;
    await waitFor('all of them', async () => (await one(left)).n === 0, 30_000);
    expect(
      await one(
        `SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys, count(DISTINCT node)::int AS nodes FROM mark`,
      ),
    ).toEqual({ n: 1000, keys: 1000, nodes: 2 });
    // Nobody had to wait or to try again.
    expect(await one(`SELECT max(attempts) AS most FROM muster_job WHERE kind = 'k'`)).toEqual({ most: 1 });
  });

  it('a node that is cut off loses its job to another one, and cannot complete it when it is back', async () => {
    const away = world.node({ url: await proxy.listen(), config: { 'jobs.lease_ms': 500 } });
    const near = world.node();
    const held = gate();
    away.jobs.define({ kind: 'k', run: held.run });
    near.jobs.define({ kind: 'k', run: (run) => mark(run, 'near') });
    await away.start();
    await away.jobs.schedule(away.db, id('a'));
    await waitFor('the job to begin', () => held.runs.length === 1);
    await near.start();
    const [run] = held.runs as [JobRun];
    proxy.onChunk = () => 'cut-before';
    await waitFor('the run to know', () => run.signal.aborted);
    await waitFor('the other node', () => isDone(near, 'a'));
    proxy.onChunk = () => 'pass';
    await expect(mark(run, 'away')).rejects.toMatchObject({ code: Code.ABORTED });
    held.open();
    expect(await near.jobs.report(id('a'))).toMatchObject({ attempts: 2 });
    expect(await marks()).toEqual(['near']);
    expect(await away.metrics.text()).toMatch(/kind="k",result="lost"\} 1/);
    // And it works on.
    await near.stop();
    held.runs.length = 0;
    await away.jobs.schedule(away.db, id('b'));
    await waitFor('the next job', () => isDone(away, 'b'));
  });

  it('a run whose job has another fence cannot commit, whatever the node believes of its lease', async () => {
    const node = world.node({ config: { 'jobs.lease_ms': 60_000 } });
    const held = gate();
    node.jobs.define({ kind: 'k', concurrency: 1, run: held.run });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    await waitFor('the job to begin', () => held.runs.length === 1);
    await one(`UPDATE muster_job SET fence = fence + 1`);
    const [run] = held.runs as [JobRun];
    expect(run.signal.aborted).toBe(false);
    let steps = 0;
    await expect(mark(run, 'stale')).rejects.toMatchObject({ code: Code.ABORTED });
    const step = run.checkpoint(async () => `{"steps": ${++steps}}`);
    await expect(step).rejects.toMatchObject({ code: Code.ABORTED });
    expect([steps, await marks()]).toEqual([0, []]);
    held.open();
  });

  it('a lease is kept while the job runs, also through a transaction longer than the lease', async () => {
    const [node, other] = [world.node({ config: { 'jobs.lease_ms': 1000 } }), world.node()];
    const taken: JobRun[] = [];
    const [before, within] = [gate(), gate()];
    node.jobs.define({
      kind: 'k',
      async run(run) {
        await before.run(run);
        await run.complete('1', async (tx) => {
          await tx.execute(markDone, ['a', 'node']);
          let isOpen = false;
          void within.run(run).then(() => {
            isOpen = true;
          });
          // One that says nothing would be ended by the database.
          while (!isOpen) await tx.execute(nap);
        });
      },
    });
    other.jobs.define({ kind: 'k', run: async (run) => void taken.push(run) });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    await waitFor('the job to begin', () => before.runs.length === 1);
    await other.start();
    const { run_time: claimedUntil } = await one(`SELECT run_time FROM muster_job WHERE kind = 'k'`);
    const renewed = `SELECT 1 AS yes FROM muster_job WHERE kind = 'k' AND run_time > now() + INTERVAL '700 milliseconds'`;
    await waitFor('two leases to pass', async () => (await one('SELECT now() AS now')).now - claimedUntil > 1000);
    await waitFor('it to be renewed', () => one(renewed));
    before.open();
    await waitFor('the transaction', () => within.runs.length === 1);
    const { now } = await one('SELECT now() AS now');
    await waitFor('two leases to pass', async () => (await one('SELECT now() AS now')).now - now > 2000);
    within.open();
    await waitFor('the end', () => isDone(node, 'a'));
    expect([taken, await marks()]).toEqual([[], ['node']]);
  });

  it.each(['cut-before', 'cut-after'] as const)(
    'an outcome that got lost with the commit is one outcome (%s)',
    async (how) => {
      const node = world.node({ url: await proxy.listen(), config: { 'jobs.lease_ms': 500 } });
      node.jobs.define({ kind: 'k', run: (run) => mark(run, `attempt ${run.attempt}`) });
      let [completing, cuts] = [0, 0];
      proxy.onChunk = (chunk) => {
        if (chunk.includes('job_complete')) completing++;
        // Every other time, so that each is tried again with success.
        if (!chunk.includes('muster_commit') || completing % 2 === 0 || cuts === completing) return 'pass';
        cuts = completing;
        return how;
      };
      await node.start();
      for (let n = 0; n < 4; n++) {
        await node.jobs.schedule(node.db, id(`${n}`));
        await waitFor('the job', () => isDone(node, `${n}`), 20_000);
      }
      expect(cuts).toBeGreaterThanOrEqual(3);
      expect(await one('SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM mark')).toEqual({
        n: 4,
        keys: 4,
      });
    },
  );

  it('a node outlives the absence of the database, and goes on', async () => {
    const node = world.node({ url: await proxy.listen() });
    node.jobs.define({ kind: 'k', run: (run) => mark(run, 'node') });
    await node.start();
    await node.jobs.schedule(node.db, id('before'));
    await waitFor('the first job', () => isDone(node, 'before'));
    let refused = 0;
    proxy.onChunk = () => {
      refused++;
      return 'cut-before';
    };
    await world.sql.query(
      `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence) VALUES ('k', 'after', '1', now(), now(), 1)`,
    );
    await waitFor('some looks in vain', () => refused > 3, 20_000);
    proxy.onChunk = () => 'pass';
    await waitFor(
      'the second job',
      async () => (await one(`SELECT state FROM muster_job WHERE subject = 'after'`)).state === 1,
      20_000,
    );
    expect(await one(`SELECT count(*)::int AS n FROM mark`)).toEqual({ n: 2 });
  });

  it('jobs have one outcome each while connections of random nodes are ended (seed 20260107)', {
    timeout: 120_000,
  }, async () => {
    const random = new Random(20_260_107);
    const jobCount = 150;
    const nodes = ['node1', 'node2', 'node3'];
    let ends = 0;
    let runs = 0;
    for (const name of nodes) {
      const node = world.node({ config: { 'jobs.lease_ms': 2000 } });
      node.jobs.define({
        kind: 'k',
        maxAttempts: 1000,
        async run(run) {
          if (++runs % 7 === 0) {
            ends++;
            await world.sql.query(
              'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
              [random.pick(nodes)],
            );
          }
          // No matter how often this is tried.
          await mark(run, name);
        },
      });
      await node.start();
    }
    await world.sql.query(
      `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence)
       SELECT 'k', n::text, '1', now() + n * INTERVAL '20 milliseconds', now() + n * INTERVAL '20 milliseconds', 1
       FROM generate_series(1, ${jobCount}) AS n`,
    );
    const left = `SELECT count(*)::int AS n FROM muster_job WHERE kind = 'k' AND state <> 1`;
    await waitFor('all of them', async () => (await one(left)).n === 0, 90_000);
    expect(await one('SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM mark')).toEqual({
      n: jobCount,
      keys: jobCount,
    });
    expect(ends).toBeGreaterThan(20);
  });

  it('a node that stops lets its jobs end', async () => {
    const node = world.node({ config: { 'jobs.drain_ms': 30_000, 'jobs.workers': 1 } });
    const held = gate();
    node.jobs.define({
      kind: 'k',
      async run(run) {
        await held.run(run);
        await mark(run, 'node');
      },
    });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    await node.jobs.schedule(node.db, id('b'));
    await waitFor('a job to begin', () => held.runs.length === 1);
    const stopping = node.stop();
    held.open();
    await stopping;
    expect(held.runs[0]?.signal.aborted).toBe(false);
    expect(await marks()).toEqual(['node']);
    expect(
      await one(`SELECT count(*)::int AS n FROM muster_job WHERE kind = 'k' AND state = 0 AND attempts = 0`),
    ).toEqual({ n: 1 });
  });

  it('what does not end in time is given up to another node at once, and not held against the job', async () => {
    // With leases that would last for a minute.
    const config = { 'jobs.lease_ms': 60_000, 'jobs.drain_ms': 50 };
    const [node, other] = [world.node({ config }), world.node({ config })];
    const held = gate();
    node.jobs.define({ kind: 'k', maxAttempts: 1, run: held.run });
    other.jobs.define({ kind: 'k', maxAttempts: 1, run: (run) => mark(run, 'other') });
    await node.start();
    await node.jobs.schedule(node.db, id('a'));
    await waitFor('the job to begin', () => held.runs.length === 1);
    await other.start();
    const [run] = held.runs as [JobRun];
    const aborted = new Promise<void>((resolve) => run.signal.addEventListener('abort', () => resolve()));
    const stopping = node.stop();
    await aborted;
    const late = mark(run, 'node');
    await expect(late).rejects.toMatchObject({ code: Code.ABORTED });
    held.open();
    await stopping;
    await waitFor('the other node', () => isDone(other, 'a'));
    expect(await other.jobs.report(id('a'))).toMatchObject({ attempts: 2 });
    expect(await marks()).toEqual(['other']);
  });

  it('goes on from its checkpoint on another node, and gets its attempts back with each', async () => {
    const [node, other] = [world.node({ config: { 'jobs.drain_ms': 0 } }), world.node()];
    const steps: [node: string, from: number][] = [];
    const held = gate();
    const work = (name: string) => async (run: JobRun) => {
      let from = JSON.parse(run.payload).next ?? 0;
      while (from < 5) {
        if (name === 'node' && from === 3) await held.run(run);
        await run.checkpoint(async (tx, payload) => {
          from = JSON.parse(payload).next ?? 0;
          await tx.execute(markDone, [`${from}`, name]);
          return JSON.stringify({ next: from + 1 });
        });
        steps.push([name, from++]);
      }
    };
    node.jobs.define({ kind: 'k', run: work('node') });
    other.jobs.define({ kind: 'k', run: work('other') });
    await node.jobs.schedule(node.db, id('a'));
    await one(`UPDATE muster_job SET tries = 7, attempts = 7`);
    await node.start();
    await waitFor('three steps', () => held.runs.length === 1);
    expect(await one(`SELECT tries, payload FROM muster_job WHERE kind = 'k'`)).toEqual({
      tries: 0,
      payload: { next: 3 },
    });
    const stopping = node.stop();
    await other.start();
    await waitFor('the end', () => isDone(other, 'a'));
    held.open();
    await stopping;
    const expected = [
      ['node', 0],
      ['node', 1],
      ['node', 2],
      ['other', 3],
      ['other', 4],
    ];
    expect(steps).toEqual(expected);
    const stored = await world.sql.query('SELECT node, key::int AS step FROM mark ORDER BY key');
    expect(stored.rows.map(({ node: name, step }) => [name, step])).toEqual(expected);
  });

  it('a payload is amended where it contains a text, also under a run', async () => {
    const node = world.node();
    const seen: string[] = [];
    const held = gate();
    node.jobs.define({
      kind: 'k',
      async run(run) {
        await held.run(run);
        await run.checkpoint(async (_tx, payload) => {
          seen.push(payload);
          return payload;
        });
      },
    });
    await node.start();
    await node.jobs.schedule(node.db, { ...id('a'), payload: '{"of": "alice", "n": 1}' });
    await node.jobs.schedule(node.db, { ...id('b'), payload: '{"of": "bob"}' });
    await waitFor('both to begin', () => held.runs.length === 2);
    await node.db.transaction((tx) => node.jobs.amend(tx, 'k', 'alice', (text) => text.replace('alice', 'nobody')));
    held.open();
    await waitFor('both to end', async () => (await isDone(node, 'a')) && (await isDone(node, 'b')));
    expect(seen.sort()).toEqual(['{"n": 1, "of": "nobody"}', '{"of": "bob"}']);
  });

  it('nodes whose clocks are five minutes off are neither early nor late (F14)', async () => {
    const off = (ms: number) => ({ now: () => Date.now() + ms, monotonic: () => systemClock.monotonic() + ms });
    const nodes = [world.node({ clock: off(300_000) }), world.node({ clock: off(-300_000) })];
    for (const node of nodes) node.jobs.define({ kind: 'k', run: (run) => mark(run, '') });
    await Promise.all(nodes.map((node) => node.start()));
    const { ms } = await one('SELECT (extract(epoch FROM now()) * 1000)::float8 AS ms');
    for (let n = 0; n < 20; n++) {
      const node = nodes[n % 2] as JobNode;
      await node.jobs.schedule(node.db, { ...id(`${n}`), dueMs: Math.floor(ms) + 100 + 20 * n });
    }
    await waitFor('all of them', async () => (await marks()).length === 20);
    const early = await one(`SELECT count(*)::int AS n FROM muster_job WHERE kind = 'k' AND done_time < due_time`);
    expect(early).toEqual({ n: 0 });
    const late = await one(
      `SELECT max(extract(epoch FROM done_time - due_time))::float8 AS sec FROM muster_job WHERE kind = 'k'`,
    );
    expect(late.sec).toBeLessThan(60);
  });
});
