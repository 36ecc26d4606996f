import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AppError } from '../../platform/errors.ts';
import { TestClock } from '../../testing/clock.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import {
  createLeaderboard,
  leaderboardsOf,
  newLeaderboardId,
  ownerId,
  refused,
  Scorer,
  setTime,
} from './leaderboards-support.ts';

// What game code does with leaderboards (spec: leaderboards-tournaments.md, sections 6, 11 and 18).

describe.each(serverKinds)('leaderboards for game code on %s', (kind) => {
  const time = new TestClock();
  let server: TestServer;
  let player: Scorer;
  const boards = () => leaderboardsOf(server);

  beforeAll(async () => {
    server = await startTestServer({ kind, time });
  });
  afterAll(async () => {
    await server?.stop();
    expect(server.errors).toEqual([]);
  });
  beforeEach(async () => {
    setTime(time, new Date().toISOString().slice(0, 19));
    player = await Scorer.enter(server);
  });

  const failure = async (work: Promise<unknown>): Promise<[number, string]> => {
    const error = await work.then(
      () => undefined,
      (reason: AppError) => reason,
    );
    return error === undefined ? [0, ''] : [error.code, error.message];
  };

  test('a board that is there stays as it is', async () => {
    const id = await createLeaderboard(server, { metadata: '{"a":1}', sortOrder: 'ascending' });
    await player.write(id, 5);
    await boards().create({ id, sortOrder: 'desc', operator: 'incr', authoritative: true, metadata: '{}' });
    const [board] = await boards().find([id]);
    expect(board).toMatchObject({ descending: false, operator: 0, authoritative: false, enableRanks: true });
    expect(JSON.parse(board?.metadata ?? '')).toEqual({ a: 1 });
    expect(await player.write(id, 7)).toMatchObject({ score: '5' });
    await Promise.all(Array.from({ length: 10 }, () => boards().create({ id: `${id}-x`, resetSchedule: '@daily' })));
    expect(await boards().find([`${id}-x`])).toHaveLength(1);
  });

  test('defaults, and all words for orders and operators', async () => {
    const id = newLeaderboardId();
    await boards().create({ id });
    expect((await boards().find([id]))[0]).toMatchObject({
      authoritative: false,
      descending: true,
      operator: 0,
      resetSchedule: null,
      metadata: '{}',
      enableRanks: false,
      duration: 0,
      maxNumScore: 1000000,
    });
    const words = [
      ['asc', 'best', false, 0],
      ['descending', 'set', true, 1],
      ['ascending', 'increment', false, 2],
      ['desc', 'decr', true, 3],
      ['desc', 'incr', true, 2],
      ['desc', 'decrement', true, 3],
    ] as const;
    for (const [sortOrder, operator, descending, number] of words) {
      const board = await createLeaderboard(server, { sortOrder, operator });
      expect((await boards().find([board]))[0]).toMatchObject({ descending, operator: number });
    }
  });

  test('what no board can be made of', async () => {
    const id = newLeaderboardId();
    const refusals = [
      [{ id: '' }, 'expects a leaderboard ID string'],
      [{ id: 'x'.repeat(129) }, 'expects a leaderboard ID string'],
      [{ id: `${'x'.repeat(127)}ä` }, 'expects a leaderboard ID string'],
      [{ id: 'nul\0' }, 'expects a leaderboard ID string'],
      [{ sortOrder: 'up' }, "expects sort order to be 'asc' or 'desc'"],
      [{ operator: 'sum' }, "expects operator to be 'best', 'set', 'decr' or 'incr'"],
      [{ resetSchedule: '* * * *' }, 'expects reset schedule to be a valid CRON expression'],
      [{ resetSchedule: '' }, 'expects reset schedule to be a valid CRON expression'],
      [{ resetSchedule: `0 0 * * ${'1,'.repeat(40)}1` }, 'expects reset schedule to be a valid CRON expression'],
      [{ metadata: '[]' }, 'expects metadata to be an object'],
      [{ metadata: '' }, 'expects metadata to be an object'],
    ] as const;
    for (const [fields, text] of refusals) {
      expect([fields, await failure(boards().create({ id, ...fields }))]).toEqual([fields, [3, text]]);
    }
    expect(await boards().find([id])).toEqual([]);
    for (const most of ['x'.repeat(128), `${'y'.repeat(126)}ä`]) {
      await createLeaderboard(server, { id: most });
      expect(await player.write(most, 1)).toMatchObject({ leaderboard_id: most, score: '1', rank: '1' });
    }
  });

  test('deletes boards of both kinds, with their records', async () => {
    const id = await createLeaderboard(server, { resetSchedule: '@daily' });
    await player.write(id, 5);
    await boards().delete(id);
    expect(await player.tryWrite(id, { score: 1 })).toEqual(refused(5, 'Leaderboard not found.'));
    expect(await player.tryList(id)).toEqual(refused(5, 'Leaderboard not found.'));
    await boards().delete(id);
    await boards().delete('nul\0');
    await createLeaderboard(server, { id, sortOrder: 'asc' });
    expect(await player.own(id)).toBeUndefined();
    expect(await player.write(id, 9)).toMatchObject({ num_score: 1, score: '9', rank: '1' });
    const tournament = newLeaderboardId();
    await server.features.tournaments.tournaments.create({ id: tournament, duration: 3600 });
    await boards().delete(tournament);
    expect(await server.features.leaderboards.boards.find([tournament])).toEqual([]);
  });

  test('lists them by their age, and finds them', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(await createLeaderboard(server));
    const tournament = newLeaderboardId();
    await server.features.tournaments.tournaments.create({ id: tournament, duration: 3600 });
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await boards().list(3, cursor);
      seen.push(...page.leaderboards.map((board) => board.id));
      cursor = page.cursor;
      if (cursor === '') break;
    }
    expect(seen.slice(-5)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).not.toContain(tournament);
    expect((await boards().list()).leaderboards).toHaveLength(Math.min(10, seen.length));
    for (const limit of [0, 101, 1.5]) expect(await failure(boards().list(limit))).toEqual([3, 'limit must be 1-100']);
    expect(await failure(boards().list(1, 'x'))).toEqual([3, 'expects cursor to be a valid cursor']);
    const wanted = [ids[3], ids[1], tournament, ids[3], newLeaderboardId(), '', 'nul\0'] as string[];
    expect((await boards().find(wanted)).map((board) => board.id)).toEqual([ids[3], ids[1]]);
  });

  test('disables ranks of that kind only', async () => {
    const id = await createLeaderboard(server);
    expect(await player.write(id, 5)).toMatchObject({ rank: '1' });
    await boards().disableRanks(id);
    expect(await player.write(id, 6)).not.toHaveProperty('rank');
    const tournament = newLeaderboardId();
    await server.features.tournaments.tournaments.create({ id: tournament, duration: 3600, enableRanks: true });
    for (const other of [tournament, newLeaderboardId(), 'nul\0']) {
      expect(await failure(boards().disableRanks(other))).toEqual([5, 'leaderboard not found']);
    }
  });

  test('says what is wrong with records in its own words', async () => {
    const id = await createLeaderboard(server);
    const unknown = newLeaderboardId();
    const owner = ownerId(1);
    const badOwner = 'expects owner ID to be a valid identifier';
    const noId = 'expects a leaderboard ID string';
    const refusals: [() => Promise<unknown>, number, string][] = [
      [
        () => boards().writeRecord(unknown, { ownerId: owner }),
        5,
        'error writing leaderboard record: leaderboard not found',
      ],
      [() => boards().writeRecord('', { ownerId: owner }), 3, noId],
      [() => boards().writeRecord(id, { ownerId: 'x' }), 3, badOwner],
      [() => boards().writeRecord(id, { ownerId: owner, metadata: '[]' }), 3, 'expects metadata to be an object'],
      [
        () => boards().writeRecord(id, { ownerId: owner, operator: 'x' }),
        3,
        "expects operator to be 'best', 'set', 'decr' or 'incr'",
      ],
      [() => boards().deleteRecord(unknown, owner), 5, 'error deleting leaderboard record: leaderboard not found'],
      [() => boards().deleteRecord(id, 'x'), 3, badOwner],
      [() => boards().listRecords(unknown, {}), 5, 'error listing leaderboard records: leaderboard not found'],
      [() => boards().listRecords(id, { ownerIds: ['x'] }), 3, badOwner],
      [() => boards().listRecords(id, { limit: 10_001 }), 3, 'expects limit to be 0-10000'],
      [
        () => boards().listRecordsAround(unknown, owner),
        5,
        'error listing leaderboard records around owner: leaderboard not found',
      ],
      [() => boards().listRecordsAround(id, owner, { limit: 101 }), 3, 'limit must be 1-100'],
      [() => boards().cursorFromRank(unknown, 2n), 5, 'leaderboard not found'],
      [() => boards().cursorFromRank(id, 0n), 3, 'invalid rank - must be > 1'],
      [
        () => boards().cursorFromRank(id, 2n),
        5,
        `failed to get cursor from rank: rank cache for leaderboard "${id}" with expiry 0 not found`,
      ],
    ];
    for (const [call, code, text] of refusals) expect(await failure(call())).toEqual([code, text]);
  });

  test('writes for any owner, with its operators', async () => {
    const id = await createLeaderboard(server, { authoritative: true });
    const owner = ownerId(1);
    const scores = async (operator: string, score: bigint) => {
      const { row } = await boards().writeRecord(id, { ownerId: owner.toUpperCase(), score, subscore: 1n, operator });
      return [row.score, row.subscore, row.num_score];
    };
    expect(await scores('set', 10n)).toEqual([10n, 1n, 1]);
    expect(await scores('incr', 5n)).toEqual([15n, 2n, 2]);
    expect(await scores('Increment', 5n)).toEqual([20n, 3n, 3]);
    expect(await scores('decr', 5n)).toEqual([15n, 2n, 4]);
    expect(await scores('decrement', 50n)).toEqual([0n, 1n, 5]);
    expect(await scores('best', 2n ** 62n)).toEqual([2n ** 62n, 1n, 6]);
    const page = await boards().listRecords(id, { ownerIds: [owner, owner] });
    expect(page.records).toEqual([]);
    expect(page.ownerRecords.map((record) => [record.owner_id, BigInt(record.score)])).toEqual([[owner, 2n ** 62n]]);
  });

  test('begins a list at any rank', async () => {
    for (const sortOrder of ['asc', 'desc']) {
      const id = await createLeaderboard(server, { sortOrder });
      for (let n = 1; n <= 5; n++) {
        await boards().writeRecord(id, { ownerId: ownerId(n), score: BigInt(sortOrder === 'asc' ? n : 9 - n) });
      }
      expect(await boards().cursorFromRank(id, 1n)).toBe('');
      for (let rank = 2; rank <= 6; rank++) {
        const cursor = await boards().cursorFromRank(id, BigInt(rank));
        const { records, firstRank } = await boards().listRecords(id, { limit: 2, cursor });
        expect(records.map((record) => record.owner_id)).toEqual([rank, rank + 1].filter((n) => n <= 5).map(ownerId));
        expect(firstRank).toBe(rank);
      }
      expect((await failure(boards().cursorFromRank(id, 7n)))[0]).toBe(5);
    }
    setTime(time, '2026-01-07T12:00:00');
    const id = await createLeaderboard(server, { resetSchedule: '0 0 * * 1' });
    for (const n of [1, 2]) await boards().writeRecord(id, { ownerId: ownerId(n), score: 1n });
    const cursor = await boards().cursorFromRank(id, 2n, 1768176000);
    expect((await boards().listRecords(id, { limit: 5, cursor })).records).toHaveLength(1);
    setTime(time, '2026-01-12T00:00:00');
    expect((await failure(boards().cursorFromRank(id, 2n, 1768176000)))[0]).toBe(5);
  });

  test('a tournament’s records can be listed, and nothing else, as those of a leaderboard', async () => {
    const id = newLeaderboardId();
    await server.features.tournaments.tournaments.create({
      id,
      duration: 3600,
      authoritative: false,
      startTime: Math.floor(time.now() / 1000) - 60,
      enableRanks: true,
    });
    await player.ok('WriteTournamentRecord', { tournament_id: id, record: { score: '5' } });
    const tournament = await player.ok('ListTournamentRecords', { tournament_id: id, limit: 10 });
    expect(await player.list(id, { limit: 10 })).toEqual(tournament);
    expect((await player.around(id, player.id)).records).toEqual(tournament.records);
    expect(await player.tryWrite(id, { score: 9 })).toEqual(refused(5, 'Leaderboard not found.'));
    expect(await player.call('DeleteLeaderboardRecord', { leaderboard_id: id })).toEqual(
      refused(5, 'Leaderboard not found.'),
    );
  });
});
