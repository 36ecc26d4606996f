import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nilUuid } from '../../platform/ids.ts';
import { request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { waitFor } from '../../testing/wait.ts';

describe('a notification to everybody', () => {
  let node: TestNode;
  let sql: pg.Client;
  let blocker: pg.Client;
  beforeAll(async () => {
    node = await startTestNode();
    [sql, blocker] = [new pg.Client(node.databaseUrl), new pg.Client(node.databaseUrl)];
    await Promise.all([sql.connect(), blocker.connect()]);
  });
  afterAll(async () => {
    await Promise.all([sql.end(), blocker.end()]);
    expect(node.errors).toEqual([]);
    await node.stop();
  });

  const notice = (senderId: string) => ({ subject: 'To all', content: '{"n":1}', code: 1, senderId, persistent: true });
  const count = async (text: string): Promise<number> =>
    (await sql.query(`SELECT count(*)::int AS n FROM ${text}`)).rows[0].n;

  it("is nobody's once its sender is erased, even in the middle of it", async () => {
    const sender = await signIn(node);
    await sql.query(
      `INSERT INTO users (id, username) SELECT gen_random_uuid(), 'user' || n FROM generate_series(1, 1500) AS n`,
    );
    // Makes the second page wait.
    await blocker.query('BEGIN');
    await blocker.query(
      `INSERT INTO muster_notification_head (user_id, sequence, newest_time)
       SELECT id, 1, now() FROM users ORDER BY id DESC LIMIT 1`,
    );
    await node.app.features.notifications.notifications.sendAll(notice(sender.id));
    const waits = `pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
      AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'muster_job'::regclass)`;
    await waitFor('the second page', async () => (await count(waits)) === 1);
    expect(await count(`notification WHERE sender_id = '${sender.id}'`)).toBe(1001);

    const erasure = request(node, 'DELETE', '/v2/account', { authorization: sender.authorization });
    await waitFor('the erasure to wait for it', async () => (await count(waits)) === 2);
    await blocker.query('ROLLBACK');
    expect((await erasure).status).toBe(200);
    await waitFor(
      'the end of it',
      async () => (await count(`muster_job WHERE kind = 'notify_all' AND state = 1`)) === 1,
    );
    expect(await count(`notification WHERE sender_id = '${sender.id}'`)).toBe(0);
    expect(await count(`muster_job WHERE muster_job::text LIKE '%${sender.id}%'`)).toBe(0);
    // The system user and all others: the sender, had one by then or not, is gone with it.
    expect(await count(`notification WHERE subject = 'To all' AND sender_id = '${nilUuid}'`)).toBe(1501);
  });

  it('that cannot be stored is refused, and nobody gets it', async () => {
    const { notifications } = node.app.features.notifications;
    const bad = { ...notice(''), subject: 'Bad', content: '{"text":"\\u0000"}' };
    await expect(notifications.sendAll(bad)).rejects.toMatchObject({ code: 3 });
    expect(await count(`notification WHERE subject = 'Bad'`)).toBe(0);
    expect(await count(`muster_job WHERE kind = 'notify_all' AND state <> 1`)).toBe(0);
  });
});
