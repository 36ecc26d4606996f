import { expect, test } from 'vitest';
import type { NewTournament } from '../../features/tournaments/index.ts';
import { sql } from '../../store/sql.ts';
import { Random } from '../../testing/random.ts';
import { createUsers } from '../../testing/users.ts';
import { numbers, underLoad } from './load-support.ts';
import { Competitor, createTournament, tournamentsOf } from './tournaments-support.ts';

// Attempts and sizes are exact, whoever comes at the same time: on one node, and on two that share the database.

const countRecords = sql<{ count: number }>(
  'test_count_records',
  'SELECT count(*)::int AS count FROM leaderboard_record WHERE leaderboard_id = $1',
  'read',
);
const storedSize = sql<{ size: number }>(
  'test_stored_size',
  'SELECT size FROM muster_tournament_size WHERE leaderboard_id = $1',
  'read',
);

underLoad('tournaments', (stage) => {
  const create = (fields: Partial<NewTournament> = {}) => createTournament(stage.server, fields);
  const newOwners = (count: number) => createUsers(stage.db, count);
  const submission = (tournamentId: string, ownerId: string, score: bigint) => ({
    ...{ tournamentId, ownerId, username: null, score, subscore: 0n, metadata: null, operator: null },
  });
  /** Answers 'ok' or why it was refused. */
  const attempt = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'ok',
      (error) => error.refusal ?? String(error),
    );
  const write = (id: string, owner: string, score = 1n) =>
    attempt(tournamentsOf(stage.server).write(submission(id, owner, score), 'client'));
  const join = (id: string, owner: string) =>
    attempt(tournamentsOf(stage.server).join({ tournamentId: id, ownerId: owner, username: owner }, 'client'));
  const leave = (id: string, owner: string) => attempt(tournamentsOf(stage.server).deleteRecord(id, owner, 'client'));
  const count = (outcomes: readonly string[], outcome: string) => outcomes.filter((each) => each === outcome).length;
  /** Records and size agree; answers them. */
  const check = async (id: string): Promise<number> => {
    const [[records], [size], [shown]] = await Promise.all([
      stage.db.query(countRecords, [id]),
      stage.db.query(storedSize, [id]),
      tournamentsOf(stage.server).get([id]),
    ]);
    expect([size?.size, shown?.size]).toEqual([records?.count, records?.count]);
    return records?.count ?? -1;
  };

  test('of 50 scores of one owner at once as many count as there are attempts', async () => {
    const player = await Competitor.enter(stage.server);
    for (const maxSize of [0, 10]) {
      const id = await create({ maxNumScore: 3, maxSize, operator: 'incr' });
      const replies = await Promise.all(numbers(50).map(() => player.tryWrite(id, 1)));
      expect(replies.filter(({ code }) => code === 0)).toHaveLength(3);
      const others = replies.filter(({ code }) => code !== 0).map(({ message }) => message);
      expect(new Set(others)).toEqual(new Set(['Reached allowed max number of score attempts.']));
      expect(await player.own(id)).toMatchObject({ score: '3', num_score: 3 });
      if (maxSize > 0) expect(await check(id)).toBe(1);
    }
  });

  test('of 50 scores of one who joined all are answered, and as many count', async () => {
    const player = await Competitor.enter(stage.server);
    const id = await create({ maxNumScore: 3, joinRequired: true, operator: 'incr' });
    await player.join(id);
    const replies = await Promise.all(numbers(50).map(() => player.tryWrite(id, 1)));
    expect(new Set(replies.map(({ code }) => code))).toEqual(new Set([0]));
    expect(await player.own(id)).toMatchObject({ score: '3', num_score: 3 });
    expect(Math.max(...replies.map(({ response }) => Number(response.score)))).toBe(3);
  });

  test('of 200 who join at once for 50 places exactly 50 are in, and the size says so', async () => {
    const id = await create({ maxSize: 50, joinRequired: true });
    const outcomes = await Promise.all((await newOwners(200)).map((owner) => join(id, owner)));
    expect([count(outcomes, 'ok'), count(outcomes, 'full')]).toEqual([50, 150]);
    expect(await check(id)).toBe(50);
  });

  test('of 200 who come twice each with their first score exactly 50 are in', async () => {
    const id = await create({ maxSize: 50 });
    const owners = await newOwners(200);
    const outcomes = await Promise.all([...owners, ...owners].map((owner) => write(id, owner)));
    // Whoever is in has written twice.
    expect([count(outcomes, 'ok'), count(outcomes, 'full')]).toEqual([100, 300]);
    expect(await check(id)).toBe(50);
  });

  test('joins, scores and deletions of a few over and over leave the size right', async () => {
    const random = new Random(7);
    const owners = await newOwners(6);
    for (const joinRequired of [true, false]) {
      const id = await create({ maxSize: 4, joinRequired });
      for (let round = 0; round < 15; round++) {
        const outcomes = await Promise.all(
          numbers(24).map(() => {
            const owner = random.pick(owners);
            return random.chance(0.4) ? leave(id, owner) : random.chance(0.5) ? join(id, owner) : write(id, owner);
          }),
        );
        const known = new Set(['ok', 'full', 'notJoined']);
        expect(outcomes.filter((outcome) => !known.has(outcome))).toEqual([]);
        if ((await stage.db.query(storedSize, [id])).length > 0) expect(await check(id)).toBeLessThanOrEqual(4);
      }
      expect(await check(id)).toBeGreaterThan(0);
    }
  });

  test('the first who are counted at once are counted with those that were there before', async () => {
    const id = await create({ maxSize: 40 });
    const old = sql<never>(
      'test_old_records',
      `INSERT INTO leaderboard_record (leaderboard_id, owner_id) SELECT $1, gen_random_uuid() FROM generate_series(1, 20)`,
      'write',
    );
    await stage.db.execute(old, [id]);
    const [leaver, ...owners] = await newOwners(41);
    await stage.db.execute(
      sql<never>(
        'test_old_record_of',
        'INSERT INTO leaderboard_record (leaderboard_id, owner_id) VALUES ($1, $2)',
        'write',
      ),
      [id, leaver ?? ''],
    );
    const outcomes = await Promise.all([leave(id, leaver ?? ''), ...owners.map((owner) => write(id, owner))]);
    expect(count(outcomes, 'ok')).toBeGreaterThanOrEqual(20);
    const size = await check(id);
    expect(size).toBeGreaterThanOrEqual(39);
    expect(size).toBeLessThanOrEqual(40);
  });

  test('what the best of many scores is does not depend on their order', async () => {
    for (const descending of [true, false]) {
      const id = await create({ sortOrder: descending ? 'desc' : 'asc' });
      const [owner = ''] = await newOwners(1);
      await Promise.all(numbers(40).map((n) => write(id, owner, BigInt(100 + ((n * 17) % 40)))));
      const page = await tournamentsOf(stage.server).listRecords(
        { tournamentId: id, expiry: 0 },
        { ownerIds: [], limit: 10, cursor: '' },
        'server',
      );
      expect(page.records).toMatchObject([{ score: descending ? 139n : 100n, num_score: 40 }]);
    }
  });

  test('a tournament that is deleted and created anew takes no score by its old rules', async () => {
    const [owner = ''] = await newOwners(1);
    const id = await create({ maxNumScore: 1000 });
    const writing = numbers(60).map(() => write(id, owner));
    await tournamentsOf(stage.server).delete(id);
    await tournamentsOf(stage.server).create({ id, duration: 3600, authoritative: true, maxNumScore: 5 });
    writing.push(...numbers(20).map(() => write(id, owner)));
    const outcomes = await Promise.all(writing);
    expect(outcomes.slice(60)).toEqual(numbers(20).map(() => 'authoritative'));
    expect((await stage.db.query(countRecords, [id]))[0]?.count).toBe(0);
    expect(outcomes.filter((each) => !['ok', 'notFound', 'authoritative'].includes(each))).toEqual([]);
  });
});
