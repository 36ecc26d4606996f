import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Operator } from '../../features/leaderboards/index.ts';
import type { NewTournament, Tournaments } from '../../features/tournaments/index.ts';
import { request } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { Competitor, createTournament, newTournamentId, refused, tournamentsOf } from './tournaments-support.ts';

// Tournaments as game code works with them (spec: leaderboards-tournaments.md, sections 6, 9, 13, 15 and 18).

describe.each(serverKinds)('tournaments for game code on %s', (kind) => {
  let server: TestServer;
  let tournaments: Tournaments;
  let a: Competitor;

  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(async () => {
    await server?.stop();
    expect(server.errors).toEqual([]);
  });
  beforeEach(async () => {
    tournaments = tournamentsOf(server);
    a = await Competitor.enter(server);
  });

  const create = (fields: Partial<NewTournament> = {}) => createTournament(server, fields);
  const invalid = (message: string) => refused(3, message);
  const submission = (tournamentId: string, ownerId: string, score: bigint) => ({
    ...{ tournamentId, ownerId, username: null, score, subscore: 0n, metadata: null, operator: null },
  });

  test('creates with defaults', async () => {
    const id = newTournamentId();
    await tournaments.create({ id, duration: 60 });
    const [tournament] = await tournaments.get([id]);
    expect(tournament?.board).toMatchObject({
      ...{ id, duration: 60, authoritative: true, descending: true, operator: Operator.BEST, resetSchedule: null },
      ...{ metadata: '{}', title: '', description: '', category: 0, endTime: 0, joinRequired: false },
      ...{ maxSize: 2_147_483_647, maxNumScore: 1_000_000, enableRanks: false, closedTime: null },
    });
    expect(tournament?.board.startTime).toBe(tournament?.board.createTime.seconds);
    expect(tournament).toMatchObject({ canEnter: true, size: 0, prevReset: 0 });
  });

  test('refuses what is no tournament', async () => {
    const bad: [Partial<NewTournament>, string][] = [
      [{ id: '' }, 'expects a tournament ID string'],
      [{ id: 'x'.repeat(129) }, 'expects a tournament ID string'],
      [{ sortOrder: 'up' }, "expects sort order to be 'asc' or 'desc'"],
      [{ operator: 'sum' }, "expects operator to be 'best', 'set', 'decr' or 'incr'"],
      [{ duration: 0 }, 'duration must be > 0'],
      [{ duration: 1.5 }, 'duration must be > 0'],
      [{ resetSchedule: '* * * *' }, 'expects reset schedule to be a valid CRON expression'],
      [{ resetSchedule: '' }, 'expects reset schedule to be a valid CRON expression'],
      [{ metadata: '[]' }, 'expects metadata to be an object'],
      [{ title: 'x'.repeat(256) }, 'title must have at most 255 characters'],
      [{ description: 'x'.repeat(256) }, 'description must have at most 255 characters'],
      [{ category: 128 }, 'category must be 0-127'],
      [{ category: -1 }, 'category must be 0-127'],
      [{ startTime: -1 }, 'startTime must be >= 0.'],
      [
        { startTime: 100, endTime: 100 },
        'endTime must be > startTime. Use 0 to indicate a tournament that never ends.',
      ],
      [{ endTime: -1 }, 'endTime must be > startTime. Use 0 to indicate a tournament that never ends.'],
      [
        { startTime: 1_767_225_600, endTime: 1_767_312_000, resetSchedule: '0 0 * * *' },
        'endTime must be > the first reset after startTime.',
      ],
      [{ maxSize: -1 }, 'maxSize must be >= 0'],
      [{ maxNumScore: -1 }, 'maxNumScore must be >= 0'],
    ];
    for (const [fields, text] of bad) await expect(create(fields), text).rejects.toEqual(invalid(text));
    const emoji = '😀'.repeat(255);
    const id = await create({ title: emoji, description: emoji, maxSize: 2_147_483_647 });
    expect((await tournaments.get([id]))[0]?.board).toMatchObject({ title: emoji, description: emoji });
  });

  test('creates once, and leaves what is there as it is', async () => {
    const id = await create({ title: 'first' });
    await Promise.all([1, 2, 3].map(() => tournamentsOf(server).create({ id, duration: 1, title: 'second' })));
    expect((await tournaments.get([id]))[0]?.board).toMatchObject({ title: 'first', duration: 3600 });
    const racers = newTournamentId();
    const all = Array.from({ length: 8 }, () => tournamentsOf(server).create({ id: racers, duration: 60 }));
    await Promise.all(all);
    expect(await tournaments.get([racers, racers])).toHaveLength(1);
  });

  test('does not take the id of a plain leaderboard, nor delete one', async () => {
    const id = newTournamentId();
    const { boards } = server.features.leaderboards;
    await boards.create({
      ...{ id, authoritative: false, descending: true, operator: Operator.BEST, resetSchedule: null, metadata: '{}' },
      ...{ enableRanks: true, category: 0, title: '', description: '', startTime: null, endTime: 0, duration: 0 },
      ...{ maxSize: 100, maxNumScore: 100, joinRequired: false },
    });
    await expect(tournaments.create({ id, duration: 60 })).rejects.toMatchObject({
      refusal: 'inUse',
      message: 'error creating tournament: cannot create tournament as leaderboard is already in use',
    });
    await tournaments.delete(id);
    expect(await boards.find([id])).toHaveLength(1);
    expect(await tournaments.get([id])).toEqual([]);
    await expect(tournaments.disableRanks(id)).rejects.toEqual(refused(5, 'tournament not found'));
    await tournaments.delete('no such tournament');
  });

  test('deletes with all records, which is known everywhere', async () => {
    const id = await create();
    await a.write(id, 5);
    await tournaments.delete(id);
    for (let n = 0; n < 2 * server.nodes.length; n++) {
      expect(await a.tryWrite(id, 6)).toEqual(refused(5, 'Tournament not found.'));
    }
    // With other rules under the old name.
    await tournaments.create({ id, duration: 3600, authoritative: false, sortOrder: 'asc' });
    for (let n = 0; n < 2 * server.nodes.length; n++) await a.write(id, 10 - n);
    expect(await a.own(id)).toMatchObject({ score: String(11 - 2 * server.nodes.length) });
  });

  test('gets several, those with a maximum size last', async () => {
    const limited = await create({ maxSize: 5 });
    const free = await create();
    const found = await tournaments.get([limited, free, 'no such tournament', limited]);
    expect(found.map(({ board }) => board.id)).toEqual([free, limited]);
  });

  test('R1, P16: disabling ranks keeps it a tournament', async () => {
    const id = await create({ enableRanks: true, joinRequired: true });
    await a.join(id);
    expect(await a.write(id, 5)).toMatchObject({ rank: '1' });
    await tournaments.disableRanks(id);
    for (let n = 0; n < server.nodes.length; n++) {
      const written = await a.write(id, 6 + n);
      expect(written.rank).toBeUndefined();
      const page = await a.records(id, { owner_ids: [a.id] });
      expect([page.records[0].rank, page.owner_records[0].rank, page.rank_count]).toEqual(['1', undefined, undefined]);
    }
    expect((await tournaments.get([id]))[0]?.board).toMatchObject({ duration: 3600, enableRanks: false });
    await expect(tournaments.disableRanks('no such tournament')).rejects.toEqual(refused(5, 'tournament not found'));
  });

  test('writes for whatever has an id, without regard to who may write', async () => {
    const id = await create({ authoritative: true });
    const group = randomUUID();
    const { row, expiry, rank } = await tournaments.write(submission(id, group, 2n ** 63n - 1n), 'server');
    expect(row).toMatchObject({ owner_id: group, username: null, score: 2n ** 63n - 1n, num_score: 1 });
    expect([expiry, rank]).toEqual([0, 0n]);
    await expect(tournaments.write(submission(id, group, -1n), 'server')).rejects.toMatchObject({ code: 3 });
    const gone = submission('no such tournament', group, 1n);
    await expect(tournaments.write(gone, 'server')).rejects.toEqual(
      refused(5, 'error writing tournament record: tournament not found'),
    );
    await expect(tournaments.write({ ...submission(id, group, 1n), metadata: '[]' }, 'server')).rejects.toMatchObject({
      code: 3,
    });
  });

  test('says what went wrong as game code knows it', async () => {
    const id = 'no such tournament';
    const list = { ownerIds: [], limit: 1, cursor: '' };
    const which = { tournamentId: id, expiry: 0 };
    const failures: [Promise<unknown>, string][] = [
      [tournaments.join({ tournamentId: id, ownerId: a.id, username: 'a' }, 'server'), 'error joining tournament'],
      [tournaments.deleteRecord(id, a.id, 'server'), 'error deleting tournament record'],
      [tournaments.listRecords(which, list, 'server'), 'error listing tournament records'],
    ];
    for (const [failing, text] of failures) {
      await expect(failing, text).rejects.toEqual(refused(5, `${text}: tournament not found`));
    }
    const around = { ownerId: a.id, limit: 1, cursor: '' };
    await expect(tournaments.listRecordsAround(which, around, 'server')).rejects.toEqual(
      refused(5, 'error listing tournament records haystack: leaderboard not found'),
    );
  });

  test('adds attempts only where there is something to attempt', async () => {
    const id = await create();
    await expect(tournaments.addAttempts(id, a.id, 0)).rejects.toEqual(invalid('expects an attempt count number != 0'));
    await expect(tournaments.addAttempts('no such tournament', a.id, 1)).rejects.toEqual(
      refused(5, 'error adding tournament attempts: tournament not found'),
    );
    const now = Math.floor(Date.now() / 1000);
    const over = await create({ startTime: now - 100, duration: 10 });
    await expect(tournaments.addAttempts(over, a.id, 1)).rejects.toMatchObject({ refusal: 'outsideDuration' });
  });

  test('lists with filters, in words for game code', async () => {
    const all = { categoryStart: 0, categoryEnd: 127, startTime: null, endTime: null, limit: 10, cursor: '' };
    await create({ category: 111 });
    const { tournaments: listed } = await tournaments.list({ ...all, categoryStart: 111 });
    expect(listed).toHaveLength(1);
    await expect(tournaments.list({ ...all, limit: 0 })).rejects.toEqual(invalid('limit must be 1-100'));
    await expect(tournaments.list({ ...all, categoryStart: 2, categoryEnd: 1 })).rejects.toEqual(
      invalid('category end must be >= category start'),
    );
    await expect(tournaments.list({ ...all, startTime: 9, endTime: 8 })).rejects.toEqual(
      invalid('end time must be >= start time'),
    );
  });

  test('an account takes its records along', async () => {
    const id = await create({ enableRanks: true });
    const b = await Competitor.enter(server);
    await a.write(id, 9);
    expect(await b.write(id, 5)).toMatchObject({ rank: '2' });
    const { status } = await request(server, 'DELETE', '/v2/account', { authorization: a.player.authorization });
    expect(status).toBe(200);
    expect((await b.records(id)).records).toMatchObject([{ owner_id: b.id, rank: '1' }]);
    expect((await b.own(id)).rank).toBe('1');
  });
});
