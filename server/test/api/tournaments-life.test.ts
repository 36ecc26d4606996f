import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { boardJobs } from '../../features/leaderboards/index.ts';
import type { NewTournament, TournamentNotice } from '../../features/tournaments/index.ts';
import { unavailable } from '../../platform/errors.ts';
import { TestClock } from '../../testing/clock.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { waitFor } from '../../testing/wait.ts';
import { Competitor, createTournament, newTournamentId, refused, tournamentsOf } from './tournaments-support.ts';

// The life of tournaments and what game code is told of it (spec: leaderboards-tournaments.md, sections 16 and 19.7).

const at = (text: string): number => Date.parse(`${text}Z`) / 1000;

interface Told {
  readonly what: string;
  readonly id: string;
  readonly notice: TournamentNotice;
  /** Of all scores, when a tournament titled `sum` ended. */
  readonly sum: bigint;
}

/**
 * Has all nodes tell what happens. A tournament titled `throws` makes its handlers throw, one titled `once unavailable` the
 * first time of each event, and one titled `never starts` whenever it starts, for a reason that passes.
 */
function listen(server: TestServer): Told[] {
  const told: Told[] = [];
  const all = { ownerIds: [], limit: 100, cursor: '' };
  const hear = (what: string) => async (notice: TournamentNotice) => {
    const { id, title } = notice.tournament.board;
    const which = { tournamentId: id, expiry: notice.reset };
    const page = title === 'sum' ? await tournamentsOf(server).listRecords(which, all, 'server') : null;
    told.push({ what, id, notice, sum: (page?.records ?? []).reduce((sum, { score }) => sum + score, 0n) });
    if (title === 'throws') throw new Error('by request\0');
    const times = told.filter((each) => each.id === id && each.what === what).length;
    const isBroken = title === 'once unavailable' ? times === 1 : title === 'never starts' && what === 'start';
    if (isBroken) throw unavailable('by request');
  };
  for (const { app } of server.nodes) {
    const { tournaments } = app.features.tournaments;
    tournaments.onStart(hear('start'));
    tournaments.onEnd(hear('end'));
    tournaments.onReset(hear('reset'));
  }
  return told;
}

describe.each(serverKinds)('the life of tournaments on %s', (kind) => {
  let server: TestServer;
  let told: Told[];
  let sql: pg.Client;

  beforeAll(async () => {
    server = await startTestServer({ kind, config: { 'jobs.poll_ms': 50 } });
    told = listen(server);
    sql = new pg.Client(server.databaseUrl);
    await sql.connect();
  });
  afterAll(async () => {
    await sql?.end();
    await server?.stop();
    expect(server.errors).toEqual([]);
  });

  const now = () => Math.floor(Date.now() / 1000);
  const toldOf = (id: string) => told.filter((each) => each.id === id);
  const story = (id: string) => toldOf(id).map(({ what }) => what);
  const create = (fields: Partial<NewTournament> = {}) => createTournament(server, fields);
  const hear = (id: string, count: number) =>
    waitFor(`${count} events of ${id}`, () => toldOf(id).length >= count && toldOf(id), 15_000);
  const ended = (id: string) => waitFor('all of it', async () => (await openJobs(id)).length === 0, 20_000);
  const openJobs = async (id: string) =>
    (await sql.query(`SELECT period FROM muster_job WHERE subject = $1 AND state = 0`, [id])).rows;

  test('H8s: of each that opens, ends and is reset in the same second game code is told once, in that order', async () => {
    const start = now() + 2;
    const fields = { startTime: start, duration: 10, endTime: start + 1, enableRanks: true, maxSize: 9 };
    const ids = await Promise.all([create(fields), create(fields), create(fields)]);
    for (const id of ids) {
      const events = await hear(id, 3);
      expect(story(id)).toEqual(['start', 'end', 'reset']);
      for (const { notice } of events) expect(notice).toMatchObject({ end: start + 1, reset: start + 1 });
      expect(new Set(events.map(({ notice }) => notice.key)).size).toBe(3);
    }
    const keys = told.filter(({ id }) => ids.includes(id)).map(({ notice }) => notice.key);
    expect(new Set(keys).size).toBe(9);
    for (const id of ids) await ended(id);
  });

  test('H5s: what throws is logged and not called again, and holds up neither itself nor others', async () => {
    const start = now() + 1;
    const fields = { startTime: start, duration: 1, endTime: start + 2 };
    const [bad, good] = await Promise.all([create({ ...fields, title: 'throws' }), create(fields)]);
    await Promise.all([hear(bad, 3), hear(good, 3)]);
    expect([story(bad), story(good)]).toEqual([
      ['start', 'end', 'reset'],
      ['start', 'end', 'reset'],
    ]);
    const id = { kind: boardJobs.tournament, subject: bad, period: `${start + 1}:end` };
    const report = await server.features.jobs.jobs.report(id);
    expect(report).toMatchObject({ state: 'done', attempts: 1 });
    expect(JSON.parse(report?.outcome ?? '')).toEqual({ hook: 'failed', error: 'by request' });
  });

  test('what fails because something is unavailable is called again, with the same key', async () => {
    const start = now() + 1;
    const id = await create({ startTime: start, duration: 1, endTime: start + 2, title: 'once unavailable' });
    const events = await hear(id, 6);
    expect(story(id)).toEqual(['start', 'start', 'end', 'end', 'reset', 'reset']);
    const keys = events.map(({ notice }) => notice.key);
    expect([keys[0], keys[2], keys[4]]).toEqual([keys[1], keys[3], keys[5]]);
    await ended(id);
    const report = await server.features.jobs.jobs.report({
      ...{ kind: boardJobs.tournament, subject: id, period: `${start + 1}:end` },
    });
    expect(report).toMatchObject({ state: 'done', attempts: 2, outcome: expect.stringContaining('"done"') });
  });

  test('what stays unavailable is given up at last, and what follows happens all the same', async () => {
    const start = now() + 2;
    const id = await create({ startTime: start, duration: 1, endTime: start + 2, title: 'never starts' });
    // As many attempts as are made, but for one.
    await sql.query('UPDATE muster_job SET tries = 19 WHERE subject = $1', [id]);
    await hear(id, 3);
    expect(story(id)).toEqual(['start', 'end', 'reset']);
    const first = { kind: boardJobs.tournament, subject: id, period: `${start}:start` };
    const report = await server.features.jobs.jobs.report(first);
    expect(JSON.parse(report?.outcome ?? '')).toEqual({ hook: 'failed', error: 'by request' });
  });

  test('H6s: again and again, on whichever node, each once', async () => {
    const id = await create({ resetSchedule: '*/2 * * * * * *', duration: 1, endTime: now() + 9 });
    await ended(id);
    const events = toldOf(id);
    const names = events.map(({ what, notice }) => `${what} ${what === 'end' ? notice.end : notice.reset}`);
    expect(new Set(names).size).toBe(names.length);
    expect(story(id).filter((what) => what === 'end').length).toBeGreaterThanOrEqual(4);
    // One after the other: a start, its end, its reset.
    const order = ['start', 'end', 'reset'];
    for (const [index, { what }] of events.entries()) {
      const before = events[index - 1]?.what;
      if (before !== undefined) expect(what).toBe(order[(order.indexOf(before) + 1) % 3]);
    }
  });

  test('the size in the notice is that of the window which is over', async () => {
    const a = await Competitor.enter(server);
    const b = await Competitor.enter(server);
    const start = now();
    const id = await create({ startTime: start, duration: 2, endTime: start + 3, maxSize: 5 });
    await a.write(id, 1);
    await b.write(id, 2);
    await hear(id, 2);
    const events = toldOf(id).filter(({ what }) => what !== 'start');
    await waitFor('the reset', () => story(id).includes('reset'));
    for (const { notice } of events) expect(notice.tournament).toMatchObject({ size: 2 });
    expect((await tournamentsOf(server).get([id]))[0]).toMatchObject({ size: 0, canEnter: false });
    await waitFor('its size to be forgotten', async () => {
      const { rows } = await sql.query('SELECT 1 FROM muster_tournament_size WHERE leaderboard_id = $1', [id]);
      return rows.length === 0;
    });
    const page = await a.records(id, { expiry: String(start + 3) });
    expect(page.records).toMatchObject([{ score: '2' }, { score: '1' }]);
  });

  test('a score that was acknowledged is there when the end is announced, and none comes after it', async () => {
    const players = await Promise.all(Array.from({ length: 8 }, () => Competitor.enter(server)));
    const start = now();
    const id = await create({ startTime: start, duration: 2, operator: 'incr', maxSize: 20, title: 'sum' });
    let acknowledged = 0;
    await Promise.all(
      players.map(async (player) => {
        for (;;) {
          const { code, message } = await player.tryWrite(id, 1);
          if (code !== 0) {
            expect([code, message]).toEqual([9, 'Tournament is not active and cannot accept new scores.']);
            return;
          }
          acknowledged++;
        }
      }),
    );
    await waitFor('the end', () => story(id).includes('end'));
    expect(acknowledged).toBeGreaterThan(8);
    expect(toldOf(id).find(({ what }) => what === 'end')?.sum).toBe(BigInt(acknowledged));
    const { rows } = await sql.query('SELECT sum(score)::int FROM leaderboard_record WHERE leaderboard_id = $1', [id]);
    expect(rows[0].sum).toBe(acknowledged);
  });

  test('a tournament that is deleted leaves nothing to come, and one of the same name begins anew', async () => {
    const start = now() + 1;
    const fields = { startTime: start, duration: 1, endTime: start + 2 };
    const id = await create(fields);
    await tournamentsOf(server).delete(id);
    expect(await openJobs(id)).toEqual([]);
    expect(story(id)).toEqual([]);
    await tournamentsOf(server).create({ id, duration: 1, startTime: start + 1, endTime: start + 2 });
    expect(await openJobs(id)).toHaveLength(1);
    await hear(id, 3);
    expect(story(id)).toEqual(['start', 'end', 'reset']);
    for (const { notice } of toldOf(id)) expect(notice).toMatchObject({ end: start + 2, reset: start + 2 });
  });

  test('a window that is ended by hand is closed at once and announced once; the next one comes as planned', async () => {
    const [a, b] = [await Competitor.enter(server), await Competitor.enter(server)];
    const start = now();
    // The first window lasts until this second of the minute.
    const tick = start + 8;
    const fields = { startTime: start, duration: 600, resetSchedule: `${tick % 60} * * * * * *`, endTime: tick + 6 };
    const id = await create({ ...fields, joinRequired: true });
    await a.join(id);
    await a.write(id, 1);
    const page = await a.records(id);
    const expiry = Date.parse(page.records[0].expiry_time) / 1000;
    await tournamentsOf(server).endNow(id);
    const endedAt = now();
    expect(await a.tryWrite(id, 2)).toEqual(refused(9, 'Tournament is not active and cannot accept new scores.'));
    expect(await b.call('JoinTournament', { tournament_id: id })).toEqual(
      refused(3, 'Tournament is not active and cannot accept new joins.'),
    );
    const [tournament] = await tournamentsOf(server).get([id]);
    expect(tournament).toMatchObject({ canEnter: false, period: { expiry, endedEarly: true } });
    await expect(tournamentsOf(server).endNow(id)).rejects.toMatchObject({ refusal: 'outsideDuration' });
    await waitFor('the end', () => story(id).includes('end'));
    const [end] = toldOf(id).filter(({ what }) => what === 'end');
    expect(end?.notice.end).toBeLessThanOrEqual(Math.max(endedAt, start + 1));
    expect(end?.notice.end).toBeGreaterThanOrEqual(start + 1);
    expect(end?.notice.reset).toBe(expiry);
    await waitFor(
      'the next window',
      async () => (await b.call('JoinTournament', { tournament_id: id })).code === 0,
      20_000,
    );
    expect(await b.write(id, 3)).toMatchObject({ num_score: 1 });
    await ended(id);
    const windows = story(id).filter((what) => what !== 'start');
    expect(windows).toEqual(Array.from({ length: windows.length / 2 }, () => ['end', 'reset']).flat());
    expect(new Set(toldOf(id).map(({ what, notice }) => `${what} ${notice.reset}`)).size).toBe(toldOf(id).length);
  });

  test('what is not open cannot be ended', async () => {
    await expect(tournamentsOf(server).endNow('no such tournament')).rejects.toMatchObject({ code: 5 });
    const id = await create({ startTime: now() + 600 });
    await expect(tournamentsOf(server).endNow(id)).rejects.toMatchObject({ refusal: 'outsideDuration' });
    await tournamentsOf(server).delete(id);
  });
});

describe.each(serverKinds)('tournaments of another server on %s', (kind) => {
  const time = new TestClock();
  let server: TestServer;
  let told: Told[];
  let sql: pg.Client;

  beforeAll(async () => {
    server = await startTestServer({ kind, time, config: { 'jobs.poll_ms': 50 } });
    told = listen(server);
    sql = new pg.Client(server.databaseUrl);
    await sql.connect();
  });
  afterAll(async () => {
    await sql?.end();
    await server?.stop();
    expect(server.errors).toEqual([]);
  });

  /** As if another server had created it long ago. */
  const insert = async (cron: string | null, start: string, end: string | null, duration: number, extra = '') => {
    const id = newTournamentId();
    await sql.query(
      `INSERT INTO leaderboard (id, reset_schedule, start_time, end_time, duration, create_time, max_size)
       VALUES ($1, $2, to_timestamp($3), to_timestamp($4), $5, to_timestamp($3), 2147483647)`,
      [id, cron, at(start), end === null ? 0 : at(end), duration],
    );
    if (extra !== '') await sql.query(`UPDATE leaderboard SET ${extra} WHERE id = $1`, [id]);
    return id;
  };
  /** What game code is told when the time is that one and nothing was planned so far. */
  const tell = async (id: string, now: string) => {
    time.advance(at(now) * 1000 - time.now());
    await tournamentsOf(server).planMissing();
    await waitFor('all of it', async () => {
      const { rows } = await sql.query(`SELECT 1 FROM muster_job WHERE subject = $1 AND state = 0`, [id]);
      return rows.length === 0;
    });
    return told
      .filter((each) => each.id === id)
      .map(({ what, notice: { end, reset, tournament } }) => [what, end, reset, tournament.prevReset]);
  };

  test('H1s, A: ends and is reset in each week', async () => {
    const id = await insert('0 0 * * 1', '2026-01-01T00:00', '2026-01-12T00:00', 172_800);
    expect(await tell(id, '2026-01-06T12:00')).toEqual([
      ['end', 1_767_744_000, 1_768_176_000, 1_767_571_200],
      ['reset', 1_767_744_000, 1_768_176_000, 1_767_571_200],
    ]);
  });

  test('H3s, E: ends and is reset in the second of its end time, in that order', async () => {
    const id = await insert('0 0 * * *', '2026-01-01T00:00', '2026-01-10T06:00', 86_400);
    const midnight = at('2026-01-10T00:00');
    expect(await tell(id, '2026-01-09T10:00')).toEqual([
      ['end', midnight, midnight, at('2026-01-09T00:00')],
      ['reset', midnight, midnight, at('2026-01-09T00:00')],
      ['start', 1_768_024_800, 1_768_024_800, at('2026-01-09T00:00')],
      ['end', 1_768_024_800, 1_768_024_800, midnight],
      ['reset', 1_768_024_800, 1_768_024_800, midnight],
    ]);
  });

  test('H4s, F: ends, and is never reset', async () => {
    const id = await insert(null, '2026-01-01T00:00', null, 3600);
    expect(await tell(id, '2026-01-01T00:30')).toEqual([['end', 1_767_229_200, 0, 0]]);
  });

  test('an odd schedule hides no other tournament', async () => {
    const exhausted = await insert('0 0 1 1 * 2020', '2019-12-31T00:00', null, 3600);
    const unreadable = await insert('22-2 * * * *', '2026-01-01T00:00', '2026-01-03T00:00', 3600);
    const good = await insert('0 0 * * *', '2026-01-01T00:00', '2026-01-02T00:00', 3600);
    const [end, reset] = [at('2026-01-01T01:00'), at('2026-01-02T00:00')];
    expect(await tell(good, '2026-01-01T00:30')).toEqual([
      ['end', end, reset, at('2026-01-01T00:00')],
      ['reset', end, reset, at('2026-01-01T00:00')],
    ]);
    expect(await tell(exhausted, '2026-01-01T00:30')).toEqual([]);
    // A window by itself, as if there was no schedule.
    expect(await tell(unreadable, '2026-01-01T00:30')).toEqual([
      ['end', end, at('2026-01-03T00:00'), 0],
      ['reset', end, at('2026-01-03T00:00'), 0],
    ]);
    expect((await tournamentsOf(server).get([exhausted]))[0]?.period).toMatchObject({ expiry: 0 });
  });

  test('H7s: after a pause it goes on with the last window that has closed', async () => {
    const id = await insert('0 0 * * *', '2026-01-01T00:00', '2026-02-20T00:00', 3600);
    // Planned on the first of January, and not looked after until the middle of February.
    await sql.query(
      `INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence, payload)
       SELECT 'tournament', $1, $2::text || ':end', to_timestamp($2::int), now() + INTERVAL '1 day', 1,
         json_build_object('created', '2026-01-01 00:00:00.000000+00')::jsonb`,
      [id, at('2026-01-01T01:00')],
    );
    time.advance(at('2026-02-18T00:30') * 1000 - time.now());
    await sql.query(`UPDATE muster_job SET run_time = now() WHERE subject = $1`, [id]);
    const events = await tell(id, '2026-02-18T00:30');
    expect(events.map(([what, end]) => [what, end])).toEqual([
      ['start', at('2026-02-17T01:00')],
      ['end', at('2026-02-17T01:00')],
      ['reset', at('2026-02-17T01:00')],
      ['start', at('2026-02-18T01:00')],
      ['end', at('2026-02-18T01:00')],
      ['reset', at('2026-02-18T01:00')],
      ['start', at('2026-02-19T01:00')],
      ['end', at('2026-02-19T01:00')],
      ['reset', at('2026-02-19T01:00')],
    ]);
  });

  test('sizes that nobody counted yet are those of the records', async () => {
    time.advance(Date.now() - time.now());
    const id = await insert(null, '2026-01-01T00:00', null, 2_000_000_000, 'max_size = 4');
    await sql.query(
      `INSERT INTO leaderboard_record (leaderboard_id, owner_id) VALUES ($1, gen_random_uuid()), ($1, gen_random_uuid())`,
      [id],
    );
    const size = async () => (await tournamentsOf(server).get([id]))[0]?.size;
    expect(await size()).toBe(2);
    const [a, b, c] = [await Competitor.enter(server), await Competitor.enter(server), await Competitor.enter(server)];
    await a.delete(id);
    expect(await size()).toBe(2);
    await a.write(id, 1);
    expect(await size()).toBe(3);
    await b.write(id, 1);
    expect(await c.tryWrite(id, 1)).toEqual(refused(9, 'Tournament has reached max size.'));
    await a.delete(id);
    expect(await size()).toBe(3);
    await c.write(id, 1);
    expect(await size()).toBe(4);
  });
});
