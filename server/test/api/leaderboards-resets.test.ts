import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LeaderboardReset } from '../../features/leaderboards/index.ts';
import { unavailable } from '../../platform/errors.ts';
import { Database } from '../../store/database.ts';
import { sql } from '../../store/sql.ts';
import { TestClock } from '../../testing/clock.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { quiet } from '../../testing/store.ts';
import { waitFor } from '../../testing/wait.ts';
import { createLeaderboard, leaderboardsOf, newLeaderboardId, setTime } from './leaderboards-support.ts';

// Game code at the reset of leaderboards (spec: leaderboards-tournaments.md, sections 16 and 19.7). Jobs go by the clock of
// the database: to it all resets of boards in these tests are long due, and the given time says which of them were missed.

interface JobRow {
  period: string;
  state: number;
  outcome: string | null;
}

const jobsOf = sql<JobRow>(
  'test_reset_jobs',
  `SELECT period, state, outcome FROM muster_job WHERE kind = 'leaderboard_reset' AND subject = $1
   ORDER BY period::bigint`,
  'read',
);
const insertBoards = sql<never>(
  'test_insert_boards',
  `INSERT INTO leaderboard (id, reset_schedule, create_time)
   SELECT $1 || n, $2, '2026-01-01 UTC' FROM generate_series(1, $3::int) AS n`,
  'write',
);
const forgetJobs = sql<never>(
  'test_forget_reset_jobs',
  `DELETE FROM muster_job WHERE kind = 'leaderboard_reset' AND subject = $1`,
  'write',
);

const weekSec = 7 * 86_400;

describe.each(serverKinds)('resets of leaderboards on %s', (kind) => {
  const time = new TestClock();
  let server: TestServer;
  let db: Database;
  let resets: (LeaderboardReset & { readonly node: number })[] = [];
  let onReset: (reset: LeaderboardReset) => void;

  const start = async (catchUp = true): Promise<void> => {
    server = await startTestServer({ kind, time, config: { 'leaderboard.catch_up': catchUp, 'jobs.poll_ms': 50 } });
    db = new Database({ url: server.databaseUrl, sharedClients: 1, poolSize: 1 }, quiet);
    for (const [node, { app }] of server.nodes.entries()) {
      app.features.leaderboards.leaderboards.onReset((reset) => {
        resets.push({ ...reset, node });
        onReset(reset);
      });
    }
  };
  const stop = async (): Promise<void> => {
    await db?.close();
    await server?.stop();
  };
  const of = (id: string) => resets.filter(({ leaderboard }) => leaderboard.id === id);
  const seconds = (id: string) => of(id).map(({ reset }) => reset);
  const jobs = (id: string) => db.query(jobsOf, [id]);

  beforeAll(() => start());
  afterAll(stop);
  beforeEach(() => {
    resets = [];
    onReset = () => undefined;
    // Nothing that happens at a later second is missed.
    setTime(time, '2026-01-07T12:00:00');
  });
  afterEach(() => {
    resets = [];
  });

  test('H2s, H6s: tell which period has ended, one after the other, each once', async () => {
    // Made in January, too.
    const prefix = newLeaderboardId();
    await db.execute(insertBoards, [prefix, '0 0 * * 1', 1]);
    const id = `${prefix}1`;
    await server.features.leaderboards.planner.planMissing();
    await waitFor('five resets', () => of(id).length >= 5);
    const ended = of(id);
    expect(ended[0]).toMatchObject({ reset: 1768176000, nextReset: 1768176000, prevReset: 1767571200 });
    expect(ended[0]?.leaderboard).toMatchObject({ id, resetSchedule: '0 0 * * 1' });
    for (const [index, { reset, nextReset, prevReset }] of ended.entries()) {
      expect(reset).toBe(1768176000 + index * weekSec);
      expect([nextReset, prevReset]).toEqual([reset, reset - weekSec]);
    }
    expect(new Set(ended.map(({ key }) => key)).size).toBe(ended.length);
    await leaderboardsOf(server).delete(id);
    await waitFor('its jobs to end', async () => (await jobs(id)).every(({ state }) => state > 0));
  });

  test('H5s, H8s: one that throws stops neither its own board nor the others', async () => {
    onReset = ({ leaderboard }) => {
      if (leaderboard.id.endsWith('bad')) throw new Error('planted');
    };
    const ids = ['good', 'bad', 'fine'].map((name) => `${newLeaderboardId()}-${name}`);
    for (const id of ids) await createLeaderboard(server, { id, resetSchedule: '0 0 * * 1' });
    for (const id of ids) await waitFor('three resets', () => of(id).length >= 3);
    for (const id of ids) {
      expect(seconds(id).slice(0, 3)).toEqual([0, 1, 2].map((n) => 1768176000 + n * weekSec));
      const [first] = await jobs(id);
      const outcome = JSON.parse(first?.outcome ?? '{}');
      expect(outcome).toEqual(id.endsWith('bad') ? { handled: true, failed: true } : { handled: true });
      await leaderboardsOf(server).delete(id);
    }
  });

  test('one that fails because something is unavailable is called again, with the same key', async () => {
    const id = newLeaderboardId();
    onReset = ({ leaderboard }) => {
      if (leaderboard.id === id && of(id).length === 1) throw unavailable('planted');
    };
    await createLeaderboard(server, { id, resetSchedule: '0 0 * * 1' });
    await waitFor('two resets', () => of(id).length >= 3);
    expect(seconds(id).slice(0, 3)).toEqual([1768176000, 1768176000, 1768176000 + weekSec]);
    expect(of(id)[0]?.key).toBe(of(id)[1]?.key);
    const [first] = await jobs(id);
    expect(JSON.parse(first?.outcome ?? '{}')).toEqual({ handled: true });
    await leaderboardsOf(server).delete(id);
  });

  test('H7s: after a while without nodes only the latest is made up for', async () => {
    const id = newLeaderboardId();
    setTime(time, '2026-05-20T12:00:00');
    await db.execute(insertBoards, [id, '0 0 * * 1', 1]);
    const [board] = await leaderboardsOf(server).find([`${id}1`]);
    const payload = JSON.stringify({ created: board?.createdAt });
    const first = { kind: 'leaderboard_reset', subject: `${id}1`, period: '1768176000' };
    await server.features.jobs.jobs.schedule(db, { ...first, dueMs: 1768176000_000, payload });
    const monday = Date.parse('2026-05-18T00:00:00Z') / 1000;
    await waitFor('a reset', () => of(`${id}1`).length >= 1);
    expect(seconds(`${id}1`)[0]).toBe(monday);
    const [missed, latest] = await jobs(`${id}1`);
    expect([missed?.period, missed?.state, JSON.parse(missed?.outcome ?? '')]).toEqual([
      '1768176000',
      1,
      { missed: true },
    ]);
    expect(latest?.period).toBe(String(monday));
    await leaderboardsOf(server).delete(`${id}1`);
  });

  test('boards without resets, and with none left, have no jobs', async () => {
    for (const resetSchedule of [null, '0 0 1 1 * 2020']) {
      const id = await createLeaderboard(server, { resetSchedule });
      expect(await jobs(id)).toEqual([]);
      for (const { app } of server.nodes) await app.features.leaderboards.planner.planMissing();
      expect(await jobs(id)).toEqual([]);
      await leaderboardsOf(server).delete(id);
    }
  });

  test('boards that another server has made get their jobs, once', async () => {
    const prefix = newLeaderboardId();
    setTime(time, new Date().toISOString().slice(0, 19));
    await db.execute(insertBoards, [prefix, '0 0 1 1 *', 20]);
    await Promise.all(server.nodes.map(({ app }) => app.features.leaderboards.planner.planMissing()));
    const year = new Date().getUTCFullYear() + 1;
    for (let n = 1; n <= 20; n++) {
      const planned = [{ period: String(Date.UTC(year) / 1000), state: 0, outcome: null }];
      expect(await jobs(`${prefix}${n}`)).toEqual(planned);
    }
    // What is lost, is planned again.
    await db.execute(forgetJobs, [`${prefix}7`]);
    await server.features.leaderboards.planner.planMissing();
    expect(await jobs(`${prefix}7`)).toHaveLength(1);
    for (let n = 1; n <= 20; n++) await leaderboardsOf(server).delete(`${prefix}${n}`);
    for (let n = 1; n <= 20; n++) expect(await jobs(`${prefix}${n}`)).toEqual([]);
  });

  test('a board that is made again goes by its own schedule only', async () => {
    setTime(time, new Date().toISOString().slice(0, 19));
    const id = await createLeaderboard(server, { resetSchedule: '0 0 1 1 *' });
    const [before] = await jobs(id);
    await leaderboardsOf(server).delete(id);
    expect(await jobs(id)).toEqual([]);
    await createLeaderboard(server, { id, resetSchedule: '0 0 2 1 *' });
    const [after] = await jobs(id);
    expect(Number(after?.period) - Number(before?.period)).toBe(86_400);
    // A job of the earlier one that is still about.
    const payload = JSON.stringify({ created: '2020-01-01 00:00:00.000000+00' });
    const job = { kind: 'leaderboard_reset', subject: id, period: '1', payload };
    await server.features.jobs.jobs.schedule(db, { ...job, dueMs: 0 });
    await waitFor('it to end', async () => (await jobs(id)).some(({ period, state }) => period === '1' && state === 1));
    expect(of(id)).toEqual([]);
    expect(await jobs(id)).toHaveLength(2);
    await leaderboardsOf(server).delete(id);
  });

  test('without catching up, what was missed stays missed', async () => {
    await stop();
    await start(false);
    setTime(time, new Date().toISOString().slice(0, 19));
    const id = newLeaderboardId();
    await db.execute(insertBoards, [id, '0 0 1 1 *', 1]);
    const [board] = await leaderboardsOf(server).find([`${id}1`]);
    const payload = JSON.stringify({ created: board?.createdAt });
    const job = { kind: 'leaderboard_reset', subject: `${id}1`, period: '1735689600', payload };
    await server.features.jobs.jobs.schedule(db, { ...job, dueMs: 1735689600_000 });
    const [missed, next] = await waitFor('the next to be planned', async () => {
      const rows = await jobs(`${id}1`);
      return rows.length === 2 && rows;
    });
    expect([missed?.period, JSON.parse(missed?.outcome ?? '')]).toEqual(['1735689600', { missed: true }]);
    expect([next?.period, next?.state]).toEqual([String(Date.UTC(new Date().getUTCFullYear() + 1) / 1000), 0]);
    expect(of(`${id}1`)).toEqual([]);
  });
});
