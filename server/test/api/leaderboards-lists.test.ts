import { beforeEach, expect, test } from 'vitest';
import { encodeCursor } from '../../platform/cursor.ts';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import type { Envelope } from '../../testing/socket.ts';
import {
  createLeaderboard,
  leaderboardsOf,
  newLeaderboardId,
  ownerId,
  ranksOf,
  refused,
  Scorer,
  setTime,
} from './leaderboards-support.ts';

// Lists of records through every door (spec: leaderboards-tournaments.md, sections 10 to 12, 19.5 and 19.6).

const time = new TestClock();

const badCursor = refused(3, 'Cursor is invalid or expired.');
const notFound = refused(5, 'Leaderboard not found.');
const badOwners = refused(3, 'One or more owner IDs are invalid.');
const badLimit = (max: number) => refused(3, `Invalid limit - limit must be between 1 and ${max}.`);
const highOwner = 'ffffffff-ffff-4fff-bfff-ffffffffff02';

describeDoors('lists of records', { time }, (doorway) => {
  let player: Scorer;
  const create = (fields = {}) => createLeaderboard(doorway.server, fields);
  const write = (id: string, owner: string, score: number | bigint, subscore = 0, fields = {}) =>
    leaderboardsOf(doorway.server).writeRecord(id, {
      ownerId: owner,
      score: BigInt(score),
      subscore: BigInt(subscore),
      ...fields,
    });
  const owners = (records: Envelope[] = []): string[] => records.map(({ owner_id }) => owner_id);

  /** A board with n records, of which the owner with number n has the n-th rank. */
  async function boardOf(n: number, fields = {}): Promise<string> {
    const id = await create({ sortOrder: 'asc', ...fields });
    await Promise.all(Array.from({ length: n }, (_, index) => write(id, ownerId(index + 1), 10 * (index + 1))));
    return id;
  }

  /** Ranks on a page, and whether something follows or goes before. */
  const pageOf = ({ records, prev_cursor, next_cursor }: Envelope) => [
    ranksOf(records),
    prev_cursor !== undefined,
    next_cursor !== undefined,
  ];

  beforeEach(async () => {
    player = await Scorer.enter(doorway.server, doorway);
  });

  test('P1, P2, P3: equal scores go by the owner, whoever came first', async () => {
    const [low, high] = [ownerId(1), highOwner];
    for (const [sortOrder, order] of [
      ['desc', [high, low]],
      ['asc', [low, high]],
    ] as const) {
      for (const first of [low, high]) {
        const id = await create({ sortOrder });
        await write(id, first, 5, 5);
        await write(id, first === low ? high : low, 5, 5);
        const { records } = await player.list(id, { limit: 10 });
        expect(owners(records)).toEqual(order);
        expect(ranksOf(records)).toEqual([1, 2]);
      }
    }
  });

  test('goes by score, subscore and owner, exactly, beyond 53 bits', async () => {
    const max = 2n ** 63n - 1n;
    const records: [bigint, bigint, number][] = [
      [max, 0n, 1],
      [max - 1n, max, 2],
      [max - 1n, max - 1n, 3],
      [2n ** 53n + 1n, 1n, 4],
      [2n ** 53n, 2n ** 53n + 1n, 5],
      [2n ** 53n, 2n ** 53n, 6],
      [0n, 1n, 7],
      [0n, 0n, 9],
      [0n, 0n, 8],
    ];
    for (const sortOrder of ['desc', 'asc']) {
      const id = await create({ sortOrder });
      for (const [score, subscore, n] of [...records].reverse()) {
        await leaderboardsOf(doorway.server).writeRecord(id, { ownerId: ownerId(n), score, subscore });
      }
      const expected = records.map(([, , n]) => ownerId(n));
      if (sortOrder === 'asc') expected.reverse();
      expect(owners((await player.list(id, { limit: 100 })).records)).toEqual(expected);
      const { rank_count: count, owner_records: own } = await player.list(id, { owner_ids: expected.toReversed() });
      expect(owners(own)).toEqual(expected);
      expect(ranksOf(own)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(count).toBe('9');
      const seen: string[] = [];
      for (let cursor = ''; ; ) {
        const page = await player.list(id, { limit: 2, ...(cursor && { cursor }) });
        seen.push(...owners(page.records));
        if (page.next_cursor === undefined) break;
        cursor = page.next_cursor;
      }
      expect(seen).toEqual(expected);
    }
  });

  test('P4, P5: the number of records when none is asked for', async () => {
    const id = await boardOf(3);
    expect(pageOf(await player.list(id))).toEqual([[1], false, true]);
    const ofOwner = await player.list(id, { owner_ids: [ownerId(2)] });
    expect(ofOwner).not.toHaveProperty('records');
    expect(ofOwner).not.toHaveProperty('next_cursor');
    expect(ranksOf(ofOwner.owner_records)).toEqual([2]);
    expect(ofOwner.rank_count).toBe('3');
    const { next_cursor: cursor } = await player.list(id);
    const both = await player.list(id, { owner_ids: [ownerId(1)], cursor });
    expect(ranksOf(both.records)).toEqual([2]);
    expect(ranksOf(both.owner_records)).toEqual([1]);
  });

  test('P7 to P11: pages forth and back', async () => {
    for (const sortOrder of ['asc', 'desc']) {
      const id = await create({ sortOrder });
      await Promise.all([1, 2, 3, 4, 5].map((n) => write(id, ownerId(n), sortOrder === 'asc' ? n : 9 - n)));
      const page = (cursor?: string) => player.list(id, { limit: 2, ...(cursor && { cursor }) });
      const first = await page();
      expect(pageOf(first)).toEqual([[1, 2], false, true]);
      const second = await page(first.next_cursor);
      expect(pageOf(second)).toEqual([[3, 4], true, true]);
      const third = await page(second.next_cursor);
      expect(pageOf(third)).toEqual([[5], true, false]);
      const back = await page(third.prev_cursor);
      expect(pageOf(back)).toEqual([[3, 4], true, true]);
      expect(back.records).toEqual(second.records);
      const top = await page(back.prev_cursor);
      expect(pageOf(top)).toEqual([[1, 2], false, true]);
      expect(top.records).toEqual(first.records);
      expect(owners([...first.records, ...second.records, ...third.records])).toEqual([1, 2, 3, 4, 5].map(ownerId));
    }
  });

  test('pages go on where they were, whatever becomes of the record there', async () => {
    const id = await boardOf(6);
    const { next_cursor: cursor } = await player.list(id, { limit: 3 });
    await leaderboardsOf(doorway.server).deleteRecord(id, ownerId(3));
    await write(id, ownerId(1), 5, 0, { operator: 'set' });
    expect(owners((await player.list(id, { limit: 3, cursor })).records)).toEqual([4, 5, 6].map(ownerId));
    for (const n of [4, 5, 6]) await leaderboardsOf(doorway.server).deleteRecord(id, ownerId(n));
    expect(pageOf(await player.list(id, { limit: 3, cursor }))).toEqual([[], false, false]);
  });

  test('P12: cursors of other boards and periods, and what is none', async () => {
    const id = await boardOf(3, { resetSchedule: '0 0 * * 1' });
    setTime(time, '2026-01-07T12:00:00');
    for (const n of [1, 2, 3]) await write(id, ownerId(n), n);
    const { next_cursor: cursor } = await player.list(id);
    expect(cursor).toEqual(expect.any(String));
    expect(pageOf(await player.list(id, { cursor }))).toEqual([[2], true, true]);
    const other = await boardOf(3, { resetSchedule: '0 0 * * 1' });
    expect(await player.tryList(other, { cursor })).toEqual(badCursor);
    setTime(time, '2026-01-12T00:00:00');
    expect(await player.tryList(id, { cursor })).toEqual(badCursor);
    expect(pageOf(await player.list(id, { cursor, expiry: 1768176000 }))).toEqual([[2], true, true]);
    const like = (...values: (string | number)[]): string => encodeCursor('record', values);
    const max = '9223372036854775808';
    const owner = ownerId(1);
    for (const broken of [
      'x',
      '%',
      cursor.slice(1),
      `${cursor}AA`,
      'a'.repeat(3000),
      encodeCursor('storage', [id]),
      like('next', id, 1768780800, '1', '0', owner),
      like('next', id, 1768780800, '-1', '0', owner, 1),
      like('next', id, 1768780800, max, '0', owner, 1),
      like('next', id, 1768780800, '1', '0', 'x', 1),
      like('next', id, 1768780800, '1', '0', owner, -1),
      like('next', id, 1768780800, '1', '0', owner, 1.5),
      like('next', id, 1768780800, '1', '0', owner, 2 ** 53),
      like('here', id, 1768780800, '1', '0', owner, 1),
      like('next', id, 1768780800, 1, 0, owner, 1),
    ]) {
      expect(await player.tryList(id, { cursor: broken })).toEqual(badCursor);
      expect(await player.tryAround(id, owner, { cursor: broken })).toEqual(badCursor);
    }
    expect((await player.tryList(id, { cursor: like('next', id, 1768780800, '1', '0', owner, 1) })).code).toBe(0);
    setTime(time, new Date().toISOString().slice(0, 19));
  });

  test('P13: limits', async () => {
    const id = await create();
    for (const limit of [0, -1, 1001, 2147483647]) {
      expect(await player.tryList(id, { limit })).toEqual(badLimit(1000));
    }
    for (const limit of [0, 101, 4294967295]) {
      expect(await player.tryAround(id, player.id, { limit })).toEqual(badLimit(100));
    }
    expect((await player.tryList(id, { limit: 1000 })).code).toBe(0);
    expect((await player.tryAround(id, player.id, { limit: 100 })).code).toBe(0);
  });

  test('P14: records of owners, in the order of the board', async () => {
    const id = await boardOf(5);
    const { owner_records: records } = await player.list(id, {
      owner_ids: [ownerId(5), ownerId(1).toUpperCase(), ownerId(5), ownerId(77)],
      limit: 1,
    });
    expect(owners(records)).toEqual([ownerId(1), ownerId(5)]);
    expect(ranksOf(records)).toEqual([1, 5]);
    for (const bad of ['', 'x', `${ownerId(1)}0`]) {
      expect(await player.tryList(id, { owner_ids: [ownerId(1), bad] })).toEqual(badOwners);
    }
  });

  test('P15, R4: periods that are over have positions, and no ranks', async () => {
    setTime(time, '2026-01-07T12:00:00');
    const id = await boardOf(3, { resetSchedule: '0 0 * * 1' });
    const ask = (request = {}) => player.list(id, { limit: 2, owner_ids: [ownerId(2), ownerId(3)], ...request });
    const present = await ask();
    expect([ranksOf(present.records), ranksOf(present.owner_records)]).toEqual([
      [1, 2],
      [2, 3],
    ]);
    expect(present.rank_count).toBe('3');
    expect(await ask({ expiry: 1768176000 })).toEqual(present);
    setTime(time, '2026-01-12T00:00:00');
    expect(await ask()).toEqual({});
    const past = await ask({ expiry: 1768176000 });
    expect(past.records).toEqual(present.records);
    expect([ranksOf(past.owner_records), past.rank_count]).toEqual([[null, null], undefined]);
    expect(past.next_cursor).toBe(present.next_cursor);
    const around = await player.around(id, ownerId(2), { limit: 3, expiry: 1768176000 });
    expect([pageOf(around), around.rank_count]).toEqual([[[1, 2, 3], false, false], undefined]);
    for (const expiry of [
      1768176001,
      1,
      -1,
      '-62135596801',
      '253402300800',
      '9223372036854775807',
      '-9223372036854775808',
    ]) {
      expect(await ask({ expiry })).toEqual({});
      expect(await player.around(id, ownerId(2), { expiry })).toEqual({});
    }
    setTime(time, new Date().toISOString().slice(0, 19));
  });

  test('P16: without ranks there are positions', async () => {
    const id = await boardOf(4, { enableRanks: false });
    const page = await player.list(id, { limit: 2, owner_ids: [ownerId(1)] });
    expect([ranksOf(page.records), ranksOf(page.owner_records), page.rank_count]).toEqual([[1, 2], [null], undefined]);
    expect(await player.write(id, 1)).not.toHaveProperty('rank');
    expect(await player.write(id, 1)).not.toHaveProperty('rank');
    // What comes before is known as far as the page looks; where it is not, no page that follows makes it up.
    const around = await player.around(id, ownerId(4), { limit: 2 });
    expect([ranksOf(around.records), around.rank_count]).toEqual([[null, null], undefined]);
    const before = await player.list(id, { limit: 2, cursor: around.prev_cursor });
    expect(owners(before.records)).toEqual([ownerId(1), ownerId(2)]);
    expect(ranksOf(before.records)).toEqual([null, null]);
    expect(pageOf(await player.list(id, { limit: 3, cursor: around.prev_cursor }))).toEqual([[1, 2, 3], false, true]);
    expect(ranksOf((await player.around(id, ownerId(1), { limit: 2 })).records)).toEqual([2, 3]);
  });

  test.each([
    ['O1', 5, 3, 3, [2, 3, 4], true, true],
    ['O2', 5, 5, 3, [3, 4, 5], true, false],
    ['O3', 5, 1, 3, [1, 2, 3], false, true],
    ['O4', 4, 1, 3, [1, 2, 3], false, true],
    ['O5', 10, 5, 1, [5], true, true],
    ['O6', 10, 5, 2, [5, 6], true, true],
    ['O7', 10, 5, 4, [4, 5, 6, 7], true, true],
    ['O8', 10, 5, 5, [3, 4, 5, 6, 7], true, true],
    ['O9', 10, 2, 5, [1, 2, 3, 4, 5], false, true],
    ['O10', 6, 2, 5, [1, 2, 3, 4, 5], false, true],
    ['O11', 10, 9, 5, [6, 7, 8, 9, 10], true, false],
    ['O12', 20, 10, 10, [6, 7, 8, 9, 10, 11, 12, 13, 14, 15], true, true],
    ['O13', 3, 2, 10, [1, 2, 3], false, false],
    ['O14', 10, 4, 6, [2, 3, 4, 5, 6, 7], true, true],
  ])('%s: of %i records around rank %i, %i', async (_, count, rank, limit, ranks, prev, next) => {
    for (const sortOrder of ['asc', 'desc']) {
      const id = await create({ sortOrder });
      await Promise.all(
        Array.from({ length: count }, (_unused, n) => write(id, ownerId(n + 1), sortOrder === 'asc' ? n : count - n)),
      );
      const page = await player.around(id, ownerId(rank), { limit });
      expect(pageOf(page)).toEqual([ranks, prev, next]);
      expect(owners(page.records)).toEqual(ranks.map(ownerId));
      expect(page.rank_count).toBe(String(count));
      expect(page).not.toHaveProperty('owner_records');
      if (next) {
        const [following] = (await player.around(id, ownerId(rank), { limit, cursor: page.next_cursor })).records;
        expect([following.owner_id, following.rank]).toEqual([
          ownerId(Number(ranks.at(-1)) + 1),
          `${Number(ranks.at(-1)) + 1}`,
        ]);
      }
      if (prev) {
        const before = (await player.list(id, { limit: 100, cursor: page.prev_cursor })).records;
        expect(ranksOf(before)).toEqual(Array.from({ length: Number(ranks[0]) - 1 }, (_unused, n) => n + 1));
      }
    }
  });

  test('O15: an owner without a record', async () => {
    const id = await boardOf(3);
    const page = await player.around(id, ownerId(9), { limit: 3 });
    expect(page).toEqual({ rank_count: '3' });
    expect(pageOf(await player.around(id, ownerId(2)))).toEqual([[2], true, true]);
    expect(await player.tryAround(id, 'x')).toEqual(refused(3, 'Invalid owner ID provided.'));
    expect(await player.tryAround(newLeaderboardId(), ownerId(1))).toEqual(notFound);
    expect(await player.tryList(newLeaderboardId())).toEqual(notFound);
  });
});
