import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateUp } from '../../store/migrate.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type ProcessNode, startProcessNode } from '../../testing/process-node.ts';
import { waitFor } from '../../testing/wait.ts';

// Nodes are killed and stand still with jobs in hand (reliability anchors F1, F2; T1).

const program = fileURLToPath(new URL('jobs-node.ts', import.meta.url));
const leaseMs = 3000;
const jobCount = 8;

describe('jobs of nodes that are killed or stand still', () => {
  let schema: TestSchema;
  let sql: pg.Client;
  const nodes: ProcessNode[] = [];
  beforeAll(async () => {
    schema = await createTestSchema();
    await migrateUp(schema.url);
    sql = new pg.Client(schema.url);
    await sql.connect();
    await sql.query(
      `CREATE TABLE job_begin (subject TEXT, node TEXT); CREATE TABLE job_gate (open INT);
       CREATE TABLE job_mark (subject TEXT, node TEXT)`,
    );
  });
  afterAll(async () => {
    for (const node of nodes) if (!node.hasExited) expect([await node.stop(), node.errors]).toEqual([0, []]);
    await sql.end();
    await schema.drop();
  });

  async function start(name: string, workers: number): Promise<ProcessNode> {
    const flags = { name, 'database.url': schema.url, 'jobs.workers': `${workers}`, 'jobs.lease_ms': `${leaseMs}` };
    const node = await startProcessNode(flags, { program });
    nodes.push(node);
    return node;
  }
  const count = async (text: string, params: unknown[] = []): Promise<number> =>
    (await sql.query(`SELECT count(*)::int AS n FROM ${text}`, params)).rows[0].n;
  const schedule = (kind: string, subject: string) =>
    sql.query(
      `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence) VALUES ($1, $2, '', now(), now(), 1)`,
      [kind, subject],
    );
  const begun = (node: string) => count('job_begin WHERE node = $1', [node]);
  const done = (kind: string) => count('muster_job WHERE kind = $1 AND state = 1', [kind]);

  it('are done by others, once each, and not again by a node that wakes up with them', {
    timeout: 120_000,
  }, async () => {
    const [still, killed] = await Promise.all([start('still', jobCount / 2), start('killed', jobCount / 2)]);
    for (let n = 0; n < jobCount; n++) await schedule('work', `${n}`);
    await waitFor(
      'both to be at work',
      async () => (await begun('still')) + (await begun('killed')) === jobCount,
      30_000,
    );
    const inHand = await begun('still');
    expect([inHand, await begun('killed')]).toEqual([jobCount / 2, jobCount / 2]);

    process.kill(still.pid, 'SIGSTOP');
    process.kill(killed.pid, 'SIGKILL');
    await start('heir', jobCount);
    await waitFor('the heir to have all of them', async () => (await begun('heir')) === jobCount, 30_000);
    await sql.query('INSERT INTO job_gate VALUES (1)');
    await waitFor('all of them', async () => (await done('work')) === jobCount, 30_000);

    process.kill(still.pid, 'SIGCONT');
    const lost = () => still.metric('nakama_jobs_total', 'kind="work",result="lost"');
    await waitFor('the node to notice', async () => (await lost()) === inHand, 30_000);
    const marks = await sql.query('SELECT subject, node FROM job_mark ORDER BY subject');
    expect(marks.rows).toEqual(Array.from({ length: jobCount }, (_, n) => ({ subject: `${n}`, node: 'heir' })));
    expect(await count(`muster_job WHERE kind = 'work' AND attempts = 2`)).toBe(jobCount);
    // It works on; nobody else is left to.
    expect(await nodes[2]?.stop()).toBe(0);
    await schedule('work', 'more');
    await waitFor('one more', async () => (await count(`job_mark WHERE subject = 'more' AND node = 'still'`)) === 1);
    expect(await still.stop()).toBe(0);
  });

  it('a notification to everybody is finished by another node, and each user has it once', {
    timeout: 120_000,
  }, async () => {
    const users = 3500;
    await sql.query(
      `INSERT INTO users (id, username)
       SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n FROM generate_series(1, $1::int) AS n`,
      [users],
    );
    // Makes the third page wait for as long as it takes.
    const blocker = new pg.Client(schema.url);
    await blocker.connect();
    await blocker.query('BEGIN');
    await blocker.query(
      `INSERT INTO muster_notification_head (user_id, sequence, newest_time)
       VALUES ('00000000-0000-4000-8000-000000002500', 1, now())`,
    );
    const mortal = await start('mortal', 4);
    await schedule('shout', 'To all');
    const notices = () => count(`notification WHERE subject = 'To all'`);
    await waitFor('two pages and the system user', async () => (await notices()) === 2001, 30_000);
    const waits = `pg_stat_activity WHERE application_name = 'muster mortal' AND wait_event_type = 'Lock'`;
    await waitFor('the third page', async () => (await count(waits)) > 0);
    process.kill(mortal.pid, 'SIGKILL');
    await start('heir2', 4);
    await blocker.query('ROLLBACK');
    await blocker.end();
    await waitFor('the end of it', async () => (await done('notify_all')) === 1, 30_000);
    const { rows } = await sql.query(
      `SELECT count(*)::int AS n, count(DISTINCT user_id)::int AS users FROM notification WHERE subject = 'To all'`,
    );
    expect(rows).toEqual([{ n: users + 1, users: users + 1 }]);
    const { rows: jobs } = await sql.query(`SELECT attempts, payload FROM muster_job WHERE kind = 'notify_all'`);
    expect(jobs).toEqual([{ attempts: expect.any(Number), payload: {} }]);
    expect(jobs[0].attempts).toBeGreaterThan(1);
  });
});
