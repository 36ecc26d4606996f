import { expect, test } from 'vitest';
import { sql } from '../../store/sql.ts';
import { Random } from '../../testing/random.ts';
import type { Envelope } from '../../testing/socket.ts';
import {
  createLeaderboard,
  leaderboardsOf,
  newLeaderboardId,
  ownerId,
  ranksOf,
  Scorer,
} from './leaderboards-support.ts';
import { numbers, underLoad } from './load-support.ts';

// Many who write at once: on one node, and on two that share the database.

const strayRecords = sql<{ id: string }>(
  'test_stray_records',
  `SELECT r.leaderboard_id AS id FROM leaderboard_record r JOIN leaderboard b ON b.id = r.leaderboard_id
   WHERE r.create_time < b.create_time`,
  'read',
);
const recordsOfOwner = sql<{ id: string }>(
  'test_records_of_owner',
  'SELECT leaderboard_id AS id FROM leaderboard_record WHERE owner_id = $1',
  'read',
);

underLoad('leaderboards', (stage) => {
  const boards = () => leaderboardsOf(stage.server);

  test('50 writers of one owner: each increment counts once', async () => {
    const id = await createLeaderboard(stage.server, { operator: 'incr' });
    const player = await Scorer.enter(stage.server);
    for (let round = 1; round <= 4; round++) {
      const replies: Envelope[] = await Promise.all(numbers(50).map(() => player.write(id, 3, 1)));
      const last = 50 * round;
      expect(replies.map(({ num_score: writes }) => writes).sort((a, b) => a - b)).toEqual(
        numbers(50).map((n) => last - 49 + n),
      );
      for (const { score, subscore, num_score: writes } of replies) {
        expect([score, subscore]).toEqual([String(3 * writes), String(writes)]);
      }
      expect(await player.own(id)).toMatchObject({ score: String(3 * last), num_score: last, rank: '1' });
    }
  });

  test.each(['asc', 'desc'])('50 writers of one owner (%s): the best stays, whoever comes last', async (sortOrder) => {
    const random = new Random(7);
    const best = sortOrder === 'asc' ? Math.min : Math.max;
    for (let round = 0; round < 4; round++) {
      const id = await createLeaderboard(stage.server, { sortOrder });
      const player = await Scorer.enter(stage.server);
      const given = numbers(50).map(() => [random.below(1000), random.below(1000)] as const);
      const replies: Envelope[] = await Promise.all(
        given.map(([score, subscore]) => player.write(id, score, subscore)),
      );
      const [scores, subscores] = [given.map(([score]) => score), given.map(([, subscore]) => subscore)];
      const own = await player.own(id);
      expect([Number(own.score ?? 0), Number(own.subscore ?? 0)]).toEqual([best(...scores), best(...subscores)]);
      // As many states as there were changes, each of which somebody has been told of.
      const states = new Map(replies.map(({ num_score: writes, score, subscore }) => [writes, `${score} ${subscore}`]));
      expect([...states.keys()].sort((a, b) => a - b)).toEqual(numbers(own.num_score).map((n) => n + 1));
      for (const [n, reply] of replies.entries()) {
        const [score, subscore] = given[n] ?? [];
        expect(best(Number(reply.score ?? 0), score ?? 0)).toBe(Number(reply.score ?? 0));
        expect(best(Number(reply.subscore ?? 0), subscore ?? 0)).toBe(Number(reply.subscore ?? 0));
      }
    }
  });

  test('the same first score many times at once is one record', async () => {
    for (let round = 0; round < 10; round++) {
      const id = await createLeaderboard(stage.server, { operator: round % 2 === 0 ? 'set' : 'best' });
      const player = await Scorer.enter(stage.server);
      const replies: Envelope[] = await Promise.all(numbers(20).map(() => player.write(id, 10, 10)));
      for (const reply of replies) expect(reply).toMatchObject({ score: '10', subscore: '10', num_score: 1 });
    }
  });

  test('ranks are those of the table once all is written', async () => {
    const id = await createLeaderboard(stage.server);
    const random = new Random(11);
    const owners = numbers(60).map((n) => ownerId(n + 1));
    await Promise.all(
      numbers(600).map(async (n) => {
        const owner = owners[random.below(owners.length)] ?? '';
        if (n % 10 === 9) await boards().deleteRecord(id, owner);
        else await boards().writeRecord(id, { ownerId: owner, score: BigInt(random.below(20)), operator: 'set' });
      }),
    );
    const player = await Scorer.enter(stage.server);
    const page = await player.list(id, { limit: 100, owner_ids: owners });
    expect(page.owner_records).toEqual(page.records);
    expect(page.rank_count).toBe(String(page.records.length));
    expect(ranksOf(page.records)).toEqual(numbers(page.records.length).map((n) => n + 1));
  });

  test('a board is used on all nodes as soon as it is made, and as the one it then is', async () => {
    const players = await Promise.all(numbers(4).map(() => Scorer.enter(stage.server)));
    for (let round = 0; round < 12; round++) {
      const id = newLeaderboardId();
      for (const operator of ['incr', 'set', 'decr']) {
        await createLeaderboard(stage.server, { id, operator, sortOrder: operator === 'set' ? 'asc' : 'desc' });
        const replies: Envelope[] = await Promise.all(
          players.flatMap((player) => [player.write(id, 5), player.write(id, 5)]),
        );
        const scores = replies.map(({ score = '0' }) => Number(score)).sort((a, b) => a - b);
        const expected = { incr: [5, 5, 5, 5, 10, 10, 10, 10], set: Array(8).fill(5), decr: Array(8).fill(0) };
        expect(scores).toEqual(expected[operator as keyof typeof expected]);
        await boards().delete(id);
      }
    }
  });

  test('a board that is deleted and made again while it is written to', async () => {
    const id = newLeaderboardId();
    const players = await Promise.all(numbers(8).map(() => Scorer.enter(stage.server)));
    let isOver = false;
    const writers = players.map(async (player) => {
      const codes = new Set<number>();
      while (!isOver) codes.add((await player.tryWrite(id, { score: 5 })).code);
      return codes;
    });
    for (let round = 0; round < 25; round++) {
      await createLeaderboard(stage.server, {
        id,
        operator: round % 2 === 0 ? 'incr' : 'set',
        authoritative: round % 5 === 4,
      });
      await Promise.all(players.slice(0, 2).map((player) => player.tryWrite(id, { score: 5 })));
      expect(await stage.db.query(strayRecords, [])).toEqual([]);
      await boards().delete(id);
    }
    isOver = true;
    for (const codes of await Promise.all(writers)) {
      for (const code of codes) expect([0, 5, 7]).toContain(code);
    }
    await createLeaderboard(stage.server, { id });
    const page = await players[0]?.list(id, { limit: 10 });
    expect(page).toEqual({});
  });

  test('an account that is erased while it writes leaves nothing', async () => {
    const ids = await Promise.all(numbers(3).map(() => createLeaderboard(stage.server, { operator: 'incr' })));
    for (let round = 0; round < 5; round++) {
      const player = await Scorer.enter(stage.server);
      const writes = numbers(60).map((n) => player.tryWrite(ids[n % 3] ?? '', { score: 1 }));
      const [erased, ...outcomes] = await Promise.all([player.call('DeleteAccount'), ...writes]);
      expect(erased?.code).toBe(0);
      for (const { code } of outcomes) expect([0, 16]).toContain(code);
      expect(await stage.db.query(recordsOfOwner, [player.id])).toEqual([]);
    }
    const witness = await Scorer.enter(stage.server);
    for (const id of ids) expect(await witness.list(id)).toEqual({});
  });
});
