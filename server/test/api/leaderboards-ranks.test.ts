import { beforeEach, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { createLeaderboard, leaderboardsOf, ownerId, ranksOf, Scorer } from './leaderboards-support.ts';

// Ranks as clients see them (spec: leaderboards-tournaments.md, sections 13 and 19.7).

const config = { 'leaderboard.blacklist_rank_cache': ['unranked'] };

describeDoors('ranks of records', { config }, (doorway) => {
  let player: Scorer;
  let id: string;
  const boards = () => leaderboardsOf(doorway.server);
  const owners = [1, 2, 3, 4, 5].map(ownerId);

  beforeEach(async () => {
    player = await Scorer.enter(doorway.server, doorway);
    id = await createLeaderboard(doorway.server);
    for (const [index, owner] of owners.entries()) {
      await boards().writeRecord(id, { ownerId: owner, score: BigInt(10 * (5 - index)) });
    }
  });

  test('R1: a better score takes its place at once', async () => {
    expect(await player.write(id, 22)).toMatchObject({ rank: '4' });
    expect(await player.write(id, 55, 56)).toMatchObject({ rank: '1' });
    await boards().writeRecord(id, { ownerId: ownerId(1), score: 55n, subscore: 57n });
    expect(await player.write(id, 54)).toMatchObject({ rank: '2', num_score: 2 });
    const { owner_records: records, rank_count: count } = await player.list(id, { owner_ids: [player.id, ...owners] });
    expect([ranksOf(records), count]).toEqual([[1, 2, 3, 4, 5, 6], '6']);
    expect(records[1].owner_id).toBe(player.id);
  });

  test('R3: when a record goes, those below move up', async () => {
    await boards().deleteRecord(id, ownerId(2));
    const { owner_records: records, rank_count: count } = await player.list(id, { owner_ids: owners });
    expect([records.map((record: { owner_id: string }) => record.owner_id), ranksOf(records), count]).toEqual([
      [1, 3, 4, 5].map(ownerId),
      [1, 2, 3, 4],
      '4',
    ]);
    await player.write(id, 45);
    await player.delete(id);
    expect((await player.list(id)).rank_count).toBe('4');
    // It counts from its beginning again, and has its rank all the same.
    expect(await player.write(id, 5)).toMatchObject({ rank: '5', num_score: 1 });
  });

  test('an erased account leaves no records and no ranks', async () => {
    const others = await createLeaderboard(doorway.server, { resetSchedule: '@hourly', operator: 'incr' });
    for (const board of [id, others]) await player.write(board, 1000);
    const witness = await Scorer.enter(doorway.server, doorway);
    await witness.write(id, 1);
    expect(await player.call('DeleteAccount')).toMatchObject({ code: 0 });
    for (const board of [id, others]) {
      expect((await witness.list(board, { owner_ids: [player.id] })).owner_records).toBeUndefined();
    }
    expect(await witness.list(others)).toEqual({});
    expect((await witness.list(id)).rank_count).toBe('6');
    expect(await witness.write(id, 2)).toMatchObject({ rank: '6' });
  });

  test('boards that the configuration leaves out have none', async () => {
    await createLeaderboard(doorway.server, { id: 'unranked' });
    expect(await player.write('unranked', 10)).not.toHaveProperty('rank');
    const page = await player.list('unranked', { limit: 1, owner_ids: [player.id] });
    expect(ranksOf(page.records)).toEqual([1]);
    expect([ranksOf(page.owner_records), page.rank_count]).toEqual([[null], undefined]);
  });

  test('end when they are disabled', async () => {
    await boards().disableRanks(id);
    expect(await player.write(id, 100)).not.toHaveProperty('rank');
    const page = await player.list(id, { limit: 2, owner_ids: owners });
    expect(ranksOf(page.records)).toEqual([1, 2]);
    expect([ranksOf(page.owner_records), page.rank_count]).toEqual([[null, null, null, null, null], undefined]);
  });
});
