import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { NewTournament } from '../../features/tournaments/index.ts';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import type { Envelope } from '../../testing/socket.ts';
import { Competitor, createTournament, refused, tournamentsOf } from './tournaments-support.ts';

// Lists of tournaments and of their records (spec: leaderboards-tournaments.md, sections 10 to 12, 15, 19.5 and 19.7).

const time = new TestClock();
const seconds = () => Math.floor(time.now() / 1000);
const day = 86_400;

describeDoors('lists of tournaments', { time }, (doorway) => {
  let a: Competitor;
  const created: string[] = [];
  const create = async (fields: Partial<NewTournament> = {}) => {
    const id = await createTournament(doorway.server, fields);
    created.push(id);
    return id;
  };
  /** Ids on the pages of such a list, as far as they are of this test. */
  const list = async (request: object = {}): Promise<string[]> => {
    const { tournaments = [] } = await a.ok('ListTournaments', request);
    return tournaments.map(({ id }: Envelope) => id).filter((id: string) => created.includes(id));
  };
  const call = (request: object) => a.call('ListTournaments', request);

  beforeEach(async () => {
    a = await Competitor.enter(doorway.server, doorway);
  });
  afterEach(async () => {
    for (const id of created.splice(0)) await tournamentsOf(doorway.server).delete(id);
  });

  test('S1: by start, then by end with those that never end last, then by category and id', async () => {
    const base = seconds() - 1000;
    const ten = await create({ startTime: base + 10 });
    const tenEnding = await create({ startTime: base + 10, endTime: base + 10 + day });
    const five = await create({ startTime: base + 5 });
    const later = await create({ startTime: base + 10, endTime: base + 20 + day });
    const category = await create({ startTime: base + 10, category: 3 });
    const twin = await create({ startTime: base + 10, category: 3 });
    expect(await list()).toEqual([five, later, tenEnding, ten, ...[category, twin].sort()]);
  });

  test('S2, S3, S4: by their end', async () => {
    const now = seconds();
    const never = await create({ startTime: now - 3 * day });
    const past = await create({ startTime: now - 3 * day + 1, endTime: now - day });
    const soon = await create({ startTime: now - 3 * day + 2, endTime: now + 100 });
    const far = await create({ startTime: now - 3 * day + 3, endTime: now + 10 * day });
    expect(await list({ end_time: 0 })).toEqual([never]);
    expect(await list()).toEqual([never, soon, far]);
    expect(await list({ end_time: now + day })).toEqual([past, soon]);
    expect(await list({ end_time: now + day, start_time: now - 3 * day + 2 })).toEqual([soon]);
    expect(await list({ start_time: now - 3 * day + 2 })).toEqual([soon, far]);
    const text = 'Tournament end time must be greater than start time.';
    expect(await call({ start_time: now, end_time: now - 1 })).toEqual(refused(3, text));
  });

  test('S5: by category', async () => {
    const [one, two, last] = [
      await create({ category: 1 }),
      await create({ category: 2 }),
      await create({ category: 127 }),
    ];
    const found = async (request: object) => (await list(request)).sort();
    expect(await found({ category_start: 2 })).toEqual([two, last].sort());
    expect(await found({ category_end: 1 })).toEqual([one]);
    expect(await found({ category_start: 1, category_end: 2 })).toEqual([one, two].sort());
    expect(await call({ category_end: 128 })).toEqual(refused(3, 'Tournament category end must be >=0 and <128.'));
    expect(await call({ category_start: 2, category_end: 1 })).toEqual(
      refused(3, 'Tournament category end must be greater than category start.'),
    );
    expect(await found({ category_start: 200 })).toEqual([]);
  });

  test('S6: page by page, each once, also when one is deleted meanwhile', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push(await create({ startTime: seconds() + n, category: 77 }));
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = await a.ok('ListTournaments', { category_start: 77, limit: 1, ...(cursor && { cursor }) });
      expect(page.tournaments).toHaveLength(1);
      seen.push(page.tournaments[0].id);
      cursor = page.cursor ?? '';
    } while (cursor !== '');
    expect(seen).toEqual(ids);
    const first = await a.ok('ListTournaments', { category_start: 77, limit: 1 });
    await tournamentsOf(doorway.server).delete(ids[0] ?? '');
    const second = await a.ok('ListTournaments', { category_start: 77, limit: 1, cursor: first.cursor });
    expect(second.tournaments[0].id).toBe(ids[1]);
    const forged = Buffer.from(JSON.stringify(['tournament', '2026-02-31 00:00:00.000000+00', '', 0, ''])).toString(
      'base64url',
    );
    for (const cursor of ['x', forged]) {
      expect(await call({ cursor })).toMatchObject({ code: 3, message: 'Cursor is invalid or expired.' });
    }
  });

  test('limits', async () => {
    for (const limit of [0, 101, -1]) {
      expect(await call({ limit })).toEqual(refused(3, 'Limit must be between 1 and 100.'));
    }
    await create();
    expect(await list({ limit: 100 })).toHaveLength(1);
  });

  test('show the window as it is now; nothing of it is that of the reference before the start (K1)', async () => {
    const now = seconds();
    const hour = Math.floor(now / 3600) * 3600;
    const [startTime, endTime] = [hour - 7200, hour + day];
    const fields = { title: 'Cup', description: 'Hourly', category: 9, metadata: '{"n": 9007199254740993}' };
    const id = await create({
      ...{ ...fields, startTime, endTime, duration: 3600, resetSchedule: '@hourly', maxSize: 3, maxNumScore: 5 },
      ...{ sortOrder: 'ascending', operator: 'increment', authoritative: true, joinRequired: true },
    });
    const [shown] = (await a.ok('ListTournaments', { category_start: 9, category_end: 9 })).tournaments;
    expect(shown).toEqual({
      ...{ ...fields, id, max_size: 3, max_num_score: 5, can_enter: true, duration: 3600, operator: 3 },
      ...{ start_active: hour, end_active: hour + 3600, next_reset: hour + 3600 },
      prev_reset: now === hour ? hour - 3600 : hour,
      ...{ authoritative: true, join_required: true, create_time: expect.stringMatching(/T\d\d:\d\d:\d\dZ$/) },
      start_time: new Date(startTime * 1000).toISOString().replace('.000', ''),
      end_time: new Date(endTime * 1000).toISOString().replace('.000', ''),
    });
    const start = hour + 2 * 3600;
    const next = await create({ startTime: start, resetSchedule: '@hourly', category: 10 });
    const [upcoming] = (await a.ok('ListTournaments', { category_start: 10, category_end: 10 })).tournaments;
    expect(upcoming).toMatchObject({ id: next, start_active: start, next_reset: start + 3600 });
    expect([upcoming.can_enter, upcoming.prev_reset, upcoming.end_time]).toEqual([undefined, undefined, undefined]);
  });

  describe('of records', () => {
    let id: string;
    let players: Competitor[];

    beforeEach(async () => {
      id = await create({ enableRanks: true, startTime: seconds() });
      players = await Promise.all(Array.from({ length: 12 }, () => Competitor.enter(doorway.server)));
      for (const [index, player] of players.entries()) await player.write(id, 100 - index);
    });
    const scores = (list: Envelope) => (list.records ?? []).map(({ score }: Envelope) => Number(score));

    test('P6: ten unless told otherwise, along with those of owners; with owners and a cursor none', async () => {
      const [second, last] = [players[1] as Competitor, players[11] as Competitor];
      const page = await a.records(id, { owner_ids: [last.id, second.id, randomUUID()] });
      expect(page.records).toHaveLength(10);
      expect(page.owner_records.map(({ owner_id, rank }: Envelope) => [owner_id, rank])).toEqual([
        [second.id, '2'],
        [last.id, '12'],
      ]);
      expect(page.rank_count).toBe('12');
      expect(page.prev_cursor).toBeUndefined();
      const owners = await a.records(id, { owner_ids: [last.id], cursor: page.next_cursor });
      expect(owners.records).toBeUndefined();
      expect(owners.owner_records).toHaveLength(1);
    });

    test('P7 to P11: forth and back', async () => {
      const first = await a.records(id, { limit: 5 });
      const second = await a.records(id, { limit: 5, cursor: first.next_cursor });
      const third = await a.records(id, { limit: 5, cursor: second.next_cursor });
      expect([first, second, third].map(scores)).toEqual([
        [100, 99, 98, 97, 96],
        [95, 94, 93, 92, 91],
        [90, 89],
      ]);
      expect(third.records.map(({ rank }: Envelope) => rank)).toEqual(['11', '12']);
      expect(third.next_cursor).toBeUndefined();
      const back = await a.records(id, { limit: 5, cursor: third.prev_cursor });
      expect([scores(back), back.records[0].rank]).toEqual([[95, 94, 93, 92, 91], '6']);
      const top = await a.records(id, { limit: 5, cursor: back.prev_cursor });
      expect([scores(top), top.prev_cursor]).toEqual([[100, 99, 98, 97, 96], undefined]);
    });

    test('around an owner, with both cursors', async () => {
      const owner_id = (players[5] as Competitor).id;
      const around = await a.ok('ListTournamentRecordsAroundOwner', { tournament_id: id, owner_id, limit: 3 });
      expect([scores(around), around.rank_count]).toEqual([[96, 95, 94], '12']);
      expect(around.records.map(({ rank }: Envelope) => rank)).toEqual(['5', '6', '7']);
      const up = { tournament_id: id, owner_id, limit: 3, cursor: around.prev_cursor };
      expect(scores(await a.ok('ListTournamentRecordsAroundOwner', up))).toEqual([99, 98, 97]);
      const down = { tournament_id: id, owner_id, limit: 3, cursor: around.next_cursor };
      expect(scores(await a.ok('ListTournamentRecordsAroundOwner', down))).toEqual([93, 92, 91]);
      const all = await a.ok('ListTournamentRecordsAroundOwner', { tournament_id: id, owner_id });
      expect(all.records).toHaveLength(12);
      const nobody = { tournament_id: id, owner_id: randomUUID() };
      expect((await a.ok('ListTournamentRecordsAroundOwner', nobody)).records).toBeUndefined();
    });

    test('P12, P13: are refused what they cannot have', async () => {
      const other = await create();
      const { next_cursor: cursor } = await a.records(id, { limit: 5 });
      const bad = refused(3, 'Cursor is invalid or expired.');
      const records = (request: object) => a.call('ListTournamentRecords', { tournament_id: id, ...request });
      expect(await records({ tournament_id: other, cursor })).toEqual(bad);
      expect(await records({ cursor: 'garbage' })).toEqual(bad);
      expect(await records({ cursor, expiry: '1768176000' })).toEqual(bad);
      const limits = refused(3, 'Invalid limit - limit must be between 1 and 100.');
      for (const limit of [0, 101]) expect(await records({ limit })).toEqual(limits);
      expect(await records({ owner_ids: ['x'] })).toEqual(refused(3, 'One or more owner IDs are invalid.'));
      const around = (request: object) =>
        a.call('ListTournamentRecordsAroundOwner', { tournament_id: id, owner_id: a.id, ...request });
      for (const limit of [0, 101]) expect(await around({ limit })).toEqual(limits);
      expect(await around({ owner_id: 'x' })).toEqual(refused(3, 'Invalid owner ID provided.'));
      expect(await around({ cursor: 'garbage' })).toEqual(bad);
    });
  });
});

describe('what only calls over a socket can leave out', () => {
  describeDoors('ids of tournaments', {}, (doorway) => {
    let a: Competitor;
    beforeAll(async () => {
      a = await Competitor.enter(doorway.server, doorway);
    });
    afterAll(() => expect(doorway.server.errors).toEqual([]));

    test('are asked for', async ({ task }) => {
      if (task.suite?.name.includes('REST')) return;
      const texts = {
        WriteTournamentRecord: 'Tournament ID must be provided.',
        JoinTournament: 'Tournament ID must be provided.',
        DeleteTournamentRecord: 'Invalid tournament ID.',
        ListTournamentRecords: 'Tournament ID must be provided',
        ListTournamentRecordsAroundOwner: 'Invalid tournament ID.',
      };
      for (const [method, text] of Object.entries(texts)) {
        expect(await a.call(method), method).toEqual(refused(3, text));
      }
      expect(await a.call('WriteTournamentRecord', { tournament_id: 'x' })).toEqual(
        refused(3, 'Invalid input, record score value is required.'),
      );
      expect(await a.call('ListTournamentRecordsAroundOwner', { tournament_id: 'x' })).toEqual(
        refused(3, 'Owner ID must be provided for a haystack query.'),
      );
    });
  });
});
