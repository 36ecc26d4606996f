import { beforeEach, describe, expect, test } from 'vitest';
import { Operator } from '../../features/leaderboards/index.ts';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import { Competitor, createTournament, refused, tournamentsOf } from './tournaments-support.ts';

// Scores, joins and deletions through every door (spec: leaderboards-tournaments.md, sections 8, 9, 14 and 19.4).

const time = new TestClock();
const seconds = () => Math.floor(time.now() / 1000);

const noAttempts = refused(9, 'Reached allowed max number of score attempts.');
const notJoined = refused(9, 'Must join tournament before attempting to write value.');
const sizeReached = refused(9, 'Tournament has reached max size.');
const notActive = refused(9, 'Tournament is not active and cannot accept new scores.');
const notFound = refused(5, 'Tournament not found.');

describeDoors('scores of tournaments', { time }, (doorway) => {
  let a: Competitor;
  const create = (fields = {}) => createTournament(doorway.server, { startTime: seconds(), ...fields });
  const enter = () => Competitor.enter(doorway.server, doorway);

  beforeEach(async () => {
    a = await enter();
  });

  test('T1, T2: count as attempts whether or not they are better, as many as there are', async () => {
    const id = await create({ maxNumScore: 3 });
    expect(await a.write(id, 10)).toMatchObject({ score: '10', num_score: 1, max_num_score: 3 });
    expect(await a.write(id, 5)).toMatchObject({ score: '10', num_score: 2 });
    const last = await a.write(id, 7);
    expect(last).toMatchObject({ score: '10', num_score: 3 });
    expect(await a.tryWrite(id, 100)).toEqual(noAttempts);
    expect(await a.own(id)).toEqual(last);
  });

  test('T3: once joined, what is beyond the attempts is answered with the record as it is', async () => {
    const id = await create({ joinRequired: true, maxNumScore: 2 });
    await a.join(id);
    expect((await a.own(id)).num_score).toBeUndefined();
    expect(await a.write(id, 10)).toMatchObject({ score: '10', num_score: 1 });
    const last = await a.write(id, 20);
    expect(last).toMatchObject({ score: '20', num_score: 2 });
    expect(await a.write(id, 30, { metadata: '{"x":1}' })).toEqual(last);
    expect(await a.own(id)).toEqual(last);
  });

  test('T4: need a join where one is required', async () => {
    const id = await create({ joinRequired: true });
    expect(await a.tryWrite(id, 1)).toEqual(notJoined);
    await a.join(id);
    await a.delete(id);
    expect(await a.tryWrite(id, 1)).toEqual(notJoined);
  });

  test('T5: no more owners than there is room for', async () => {
    const id = await create({ maxSize: 2 });
    const [b, c] = await Promise.all([enter(), enter()]);
    await a.write(id, 1);
    expect(await a.seen(id)).toMatchObject({ size: 1, max_size: 2, can_enter: true });
    await b.write(id, 2);
    expect(await c.tryWrite(id, 3)).toEqual(sizeReached);
    await a.write(id, 4);
    const shown = await a.seen(id);
    expect(shown).toMatchObject({ size: 2 });
    expect(shown.can_enter).toBeUndefined();
    expect(await c.own(id)).toBeUndefined();
  });

  test('T6: joining twice is joining once; who comes last does not find room', async () => {
    const id = await create({ maxSize: 1, joinRequired: true });
    const b = await enter();
    await a.join(id);
    await a.join(id);
    expect(await b.call('JoinTournament', { tournament_id: id })).toEqual(
      refused(3, 'Tournament cannot be joined as it has reached its max size.'),
    );
    expect(await a.seen(id)).toMatchObject({ size: 1, join_required: true });
  });

  test('T7: where joining is not required it does nothing', async () => {
    const id = await create({ maxSize: 1 });
    await a.join(id);
    expect(await a.own(id)).toBeUndefined();
    expect((await a.seen(id)).size).toBeUndefined();
  });

  test('T8, T9: attempts are added to a record, if there is one', async () => {
    const id = await create({ maxNumScore: 3 });
    const b = await enter();
    for (let n = 1; n <= 3; n++) await a.write(id, n);
    await tournamentsOf(doorway.server).addAttempts(id, a.id, 2);
    await tournamentsOf(doorway.server).addAttempts(id, b.id, 2);
    expect(await a.own(id)).toMatchObject({ num_score: 3, max_num_score: 5 });
    await a.write(id, 4);
    await a.write(id, 5);
    expect(await a.tryWrite(id, 6)).toEqual(noAttempts);
    expect(await b.write(id, 1)).toMatchObject({ num_score: 1, max_num_score: 3 });
    // Not so that none would be left at all.
    await tournamentsOf(doorway.server).addAttempts(id, a.id, -5);
    await tournamentsOf(doorway.server).addAttempts(id, a.id, 2_147_483_647);
    expect(await a.own(id)).toMatchObject({ max_num_score: 5 });
    await tournamentsOf(doorway.server).addAttempts(id, a.id, -1);
    expect(await a.own(id)).toMatchObject({ max_num_score: 4 });
  });

  test('T10: a period that was reset is empty; its records are found under their expiry', async () => {
    const start = seconds() - 10;
    const id = await create({ maxSize: 5, startTime: start, duration: 100, endTime: start + 200 });
    for (const one of [a, await enter(), await enter()]) await one.write(id, 1);
    expect((await tournamentsOf(doorway.server).get([id]))[0]).toMatchObject({ size: 3 });
    time.advance(200_000);
    expect((await tournamentsOf(doorway.server).get([id]))[0]).toMatchObject({ size: 0, canEnter: false });
    expect((await a.records(id, { expiry: String(start + 200) })).records).toHaveLength(3);
  });

  test('T11: a deletion makes room, once', async () => {
    const id = await create({ maxSize: 5 });
    for (const one of [a, await enter(), await enter()]) await one.write(id, 1);
    await a.delete(id);
    expect(await a.seen(id)).toMatchObject({ size: 2 });
    await a.delete(id);
    expect(await a.seen(id)).toMatchObject({ size: 2 });
    expect(await a.write(id, 3)).toMatchObject({ num_score: 1 });
    expect(await a.seen(id)).toMatchObject({ size: 3 });
  });

  test('T12: the first score after a join counts where less is better', async () => {
    const id = await create({ joinRequired: true, sortOrder: 'asc' });
    await a.join(id);
    expect(await a.write(id, 30, { subscore: '9' })).toMatchObject({ score: '30', subscore: '9', num_score: 1 });
    expect(await a.write(id, 40, { subscore: '8' })).toMatchObject({ score: '30', subscore: '8', num_score: 2 });
  });

  test('T13: a plain leaderboard is no tournament', async () => {
    const id = `plain-${a.id}`;
    const { boards } = doorway.server.features.leaderboards;
    const fields = { title: '', description: '', metadata: '{}', resetSchedule: null, category: 0, startTime: null };
    await boards.create({
      ...{ ...fields, id, authoritative: false, descending: true, operator: Operator.BEST, enableRanks: true },
      ...{ endTime: 0, duration: 0, maxSize: 100, maxNumScore: 100, joinRequired: false },
    });
    for (const tournament_id of [id, 'no such tournament']) {
      expect(await a.tryWrite(tournament_id, 1)).toEqual(notFound);
      for (const method of ['JoinTournament', 'DeleteTournamentRecord', 'ListTournamentRecords']) {
        expect(await a.call(method, { tournament_id })).toEqual(notFound);
      }
      const around = { tournament_id, owner_id: a.id };
      expect(await a.call('ListTournamentRecordsAroundOwner', around)).toEqual(notFound);
    }
  });

  test('T14: an authoritative one takes scores and deletions from the server only, and joins from clients', async () => {
    const id = await create({ authoritative: true, joinRequired: true });
    await a.join(id);
    const scores = refused(7, 'Tournament only allows authoritative score submissions.');
    expect(await a.tryWrite(id, 1)).toEqual(scores);
    expect(await a.call('DeleteTournamentRecord', { tournament_id: id })).toEqual(
      refused(7, 'Tournament only allows authoritative score deletions.'),
    );
    const submission = { tournamentId: id, ownerId: a.id, username: null, score: 5n, subscore: 0n };
    await tournamentsOf(doorway.server).write({ ...submission, metadata: null, operator: null }, 'server');
    expect(await a.own(id)).toMatchObject({ score: '5', num_score: 1, username: a.player.username });
    await tournamentsOf(doorway.server).deleteRecord(id, a.id, 'server');
    expect(await a.own(id)).toBeUndefined();
  });

  test('T15, A2, A3: are taken from the start until just before the end', async () => {
    const start = seconds() + 100;
    const id = await create({ startTime: start, duration: 50, joinRequired: true });
    const b = await enter();
    await a.join(id);
    expect(await a.tryWrite(id, 1)).toEqual(notActive);
    time.advance((start + 49) * 1000 - time.now());
    expect(await a.write(id, 1)).toMatchObject({ num_score: 1 });
    time.advance(1000);
    expect(await a.tryWrite(id, 2)).toEqual(notActive);
    expect(await b.call('JoinTournament', { tournament_id: id })).toEqual(
      refused(3, 'Tournament is not active and cannot accept new joins.'),
    );
  });

  test('T16: metadata is that of the last one that has some, also of one that is not better', async () => {
    const id = await create();
    await a.write(id, 10);
    expect(await a.write(id, 5, { metadata: '{"a":1}' })).toMatchObject({
      ...{ score: '10', num_score: 2, metadata: '{"a": 1}' },
    });
    expect(await a.write(id, 11)).toMatchObject({ score: '11', num_score: 3, metadata: '{"a": 1}' });
  });

  test('T17: no maximum shows as such', async () => {
    const id = await create();
    const shown = await a.seen(id);
    expect(shown).toMatchObject({ max_size: 2_147_483_647, max_num_score: 1_000_000, can_enter: true });
    await a.write(id, 1);
    expect((await a.seen(id)).size).toBeUndefined();
  });

  test('E3: after the end time a client is told so', async () => {
    const end = seconds() + 100;
    const id = await create({ duration: 200, startTime: end - 150, endTime: end });
    await a.write(id, 1);
    time.advance(end * 1000 - time.now());
    expect(await a.tryWrite(id, 2)).toEqual(refused(5, 'Tournament not found or has ended.'));
    expect(await a.call('ListTournamentRecords', { tournament_id: id })).toEqual(refused(5, 'Tournament has ended.'));
    const { records } = await a.records(id, { expiry: String(end) });
    expect(records).toMatchObject([{ owner_id: a.id, score: '1', rank: '1' }]);
    // Whatever the window, and whatever the time.
    await a.delete(id);
    expect((await a.records(id, { expiry: String(end) })).records).toBeUndefined();
  });

  test('operators, and clients that choose another one', async () => {
    const scores = async (operator: string, given: number[], override = {}) => {
      const one = await enter();
      const id = await create({ operator });
      const results: string[] = [];
      for (const score of given) {
        results.push((await one.write(id, score, { subscore: String(score), ...override })).score ?? '0');
      }
      return results;
    };
    expect(await scores('best', [5, 3, 8])).toEqual(['5', '5', '8']);
    expect(await scores('set', [5, 3, 8])).toEqual(['5', '3', '8']);
    expect(await scores('incr', [5, 0, 8])).toEqual(['5', '5', '13']);
    expect(await scores('decr', [5, 3], { operator: 4 })).toEqual(['0', '0']);
    expect(await scores('best', [5, 3], { operator: 2 })).toEqual(['5', '3']);
    expect(await scores('best', [5, 3, 4], { operator: 'INCREMENT' })).toEqual(['5', '8', '12']);
    const id = await create();
    await a.write(id, 10);
    expect(await a.write(id, 3, { operator: 4 })).toMatchObject({ score: '7', num_score: 2 });
    expect((await a.write(id, 9, { operator: 4 })).score).toBeUndefined();
  });

  test('are exact beyond what numbers are, and refused beyond 64 bits', async () => {
    const id = await create({ operator: 'increment' });
    expect(await a.write(id, '9007199254740993')).toMatchObject({ score: '9007199254740993' });
    expect(await a.write(id, '9214364837600034814')).toMatchObject({ score: '9223372036854775807', num_score: 2 });
    expect(await a.tryWrite(id, 1)).toEqual(refused(13, 'Error writing score to tournament.'));
    expect(await a.own(id)).toMatchObject({ score: '9223372036854775807', num_score: 2 });
  });

  test('what is no score is refused before anything else', async () => {
    const id = await create();
    const metadata = refused(3, 'Metadata value must be JSON, if provided.');
    expect(await a.tryWrite(id, 1, { metadata: '[1]' })).toEqual(metadata);
    expect(await a.tryWrite('no such tournament', 1, { metadata: 'x' })).toEqual(metadata);
    // Which the column cannot keep, at the first score and at a later one.
    const unkeepable = { metadata: '{"a":"\\u0000"}' };
    expect(await a.tryWrite(id, 1, unkeepable)).toEqual(metadata);
    expect(await a.tryWrite(id, -1)).toMatchObject({ code: 3 });
    expect(await a.tryWrite(id, 1, { subscore: '-1' })).toMatchObject({ code: 3 });
    expect(await a.tryWrite(id, 1, { operator: 9 })).toMatchObject({ code: 3 });
    expect(await a.own(id)).toBeUndefined();
    expect(await a.write(id, 1, { metadata: ' {"a":1}' })).toMatchObject({ metadata: '{"a": 1}' });
    expect(await a.tryWrite(id, 2, unkeepable)).toEqual(metadata);
  });

  test('a name is refreshed with each one', async () => {
    const id = await create();
    expect(await a.write(id, 1)).toMatchObject({ username: a.player.username, owner_id: a.id, leaderboard_id: id });
    const username = `renamed-${a.id.slice(0, 8)}`;
    await doorway.ok('UpdateAccount', a.player.authorization, { username });
    expect(await a.own(id)).toMatchObject({ username: a.player.username });
    const again = await signIn(doorway.server, { deviceId: a.player.deviceId });
    expect(await new Competitor(doorway, again).write(id, 1)).toMatchObject({ username });
  });

  describe('of a period', () => {
    test('are apart from those of the next', async () => {
      const id = await create({ resetSchedule: '@hourly', duration: 3600 });
      const first = await a.write(id, 10);
      time.advance(3_600_000);
      const second = await a.write(id, 5);
      expect(second).toMatchObject({ score: '5', num_score: 1 });
      expect(Date.parse(second.expiry_time) - Date.parse(first.expiry_time)).toBe(3_600_000);
      const expiry = String(Date.parse(first.expiry_time) / 1000);
      expect((await a.records(id, { expiry })).records).toMatchObject([{ score: '10', rank: '1' }]);
      expect((await a.records(id)).records).toMatchObject([{ score: '5', rank: '1' }]);
    });

    test('I3: who joins before the start is in when it starts', async () => {
      // Half an hour into the hour, and the schedule's next tick after that.
      const hour = Math.ceil(seconds() / 3600) * 3600;
      const start = hour + 1800;
      const id = await create({ resetSchedule: '@hourly', duration: 3600, startTime: start, joinRequired: true });
      await a.join(id);
      expect(await a.seen(id)).toMatchObject({ start_active: start, end_active: hour + 3600, next_reset: hour + 3600 });
      time.advance(start * 1000 - time.now());
      expect(await a.write(id, 1)).toMatchObject({ num_score: 1 });
    });
  });
});
