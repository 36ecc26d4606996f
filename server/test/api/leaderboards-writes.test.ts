import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../platform/ids.ts';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { request, signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';
import {
  createLeaderboard,
  leaderboardsOf,
  newLeaderboardId,
  refused,
  Scorer,
  setTime,
} from './leaderboards-support.ts';

// Scores through every door (spec: leaderboards-tournaments.md, sections 3.3, 7, 14 and 19.3).

const time = new TestClock();

const badMetadata = refused(3, 'Metadata value must be JSON, if provided.');
const notFound = refused(5, 'Leaderboard not found.');
const negative = refused(3, 'Score and subscore must not be negative.');
const badOperator = refused(3, 'Invalid operator.');
const maxScore = '9223372036854775807';

/** Score, subscore and how often it was written; numbers where they are small. */
const scoresOf = ({ score = '0', subscore = '0', num_score }: Envelope) => [score, subscore, num_score].map(Number);

describeDoors('scores of leaderboards', { time }, (doorway) => {
  let player: Scorer;
  const create = (fields = {}) => createLeaderboard(doorway.server, fields);

  beforeEach(async () => {
    player = await Scorer.enter(doorway.server, doorway);
  });

  test('W1 to W5: the best, each of score and subscore by itself', async () => {
    const id = await create();
    const first = await player.write(id, 100, 5);
    expect(scoresOf(first)).toEqual([100, 5, 1]);
    expect(first).toMatchObject({
      leaderboard_id: id,
      owner_id: player.id,
      username: player.player.username,
      score: '100',
      subscore: '5',
      num_score: 1,
      metadata: '{}',
      max_num_score: 1000000,
      rank: '1',
    });
    expect(first.create_time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(first.update_time).toBe(first.create_time);
    expect(first).not.toHaveProperty('expiry_time');
    const second = await player.write(id, 90, 10, { metadata: '{"level":3}' });
    expect(scoresOf(second)).toEqual([100, 10, 2]);
    expect(await player.write(id, 100, 10)).toEqual(second);
    expect(await player.write(id, 99, 9, { metadata: '{"x":1}' })).toEqual(second);
    const fifth = await player.write(id, 150, 1);
    expect(scoresOf(fifth)).toEqual([150, 10, 3]);
    expect(JSON.parse(fifth.metadata)).toEqual({ level: 3 });
    expect(await player.own(id)).toEqual(fifth);
  });

  test('W6, W7: the best where less is better', async () => {
    const id = await create({ sortOrder: 'asc' });
    await player.write(id, 50, 50);
    const better = await player.write(id, 60, 40);
    expect(scoresOf(better)).toEqual([50, 40, 2]);
    expect(await player.write(id, 50, 40)).toEqual(better);
    expect(scoresOf(await player.write(id, 0, 41))).toEqual([0, 40, 3]);
  });

  test('W8, W9: set', async () => {
    const id = await create({ operator: 'set' });
    await player.write(id, 10, 1);
    const set = await player.write(id, 5, 0);
    expect(scoresOf(set)).toEqual([5, 0, 2]);
    expect(await player.write(id, 5, 0, { metadata: '{"x":1}' })).toEqual(set);
  });

  test('W10, W11: increment', async () => {
    const id = await create({ operator: 'incr' });
    expect(scoresOf(await player.write(id, 10, 2))).toEqual([10, 2, 1]);
    const sum = await player.write(id, 5, 0);
    expect(scoresOf(sum)).toEqual([15, 2, 2]);
    expect(await player.write(id, 0, 0)).toEqual(sum);
    expect(await player.write(id, 0, 0, { metadata: '{"x":1}' })).toEqual(sum);
    expect(scoresOf(await player.write(id, 0, 7))).toEqual([15, 9, 3]);
  });

  test('W12, W13: decrement, not below zero', async () => {
    const id = await create({ operator: 'decr' });
    expect(scoresOf(await player.write(id, 30, 3))).toEqual([0, 0, 1]);
    await player.write(id, 100, 10, { operator: 'SET' });
    expect(scoresOf(await player.write(id, 30, 3))).toEqual([70, 7, 3]);
    const least = await player.write(id, 200, 0);
    expect(scoresOf(least)).toEqual([0, 7, 4]);
    expect(await player.write(id, 0, 0)).toEqual(least);
  });

  test('W14, W15: the operator of the call takes the place of the board’s', async () => {
    const id = await create();
    await player.write(id, 100);
    expect(scoresOf(await player.write(id, 50, 0, { operator: 2 }))).toEqual([50, 0, 2]);
    expect(scoresOf(await player.write(id, 10, 0, { operator: 3 }))).toEqual([60, 0, 3]);
    expect(scoresOf(await player.write(id, 20, 0, { operator: 4 }))).toEqual([40, 0, 4]);
    expect(scoresOf(await player.write(id, 30, 0, { operator: 'BEST' }))).toEqual([40, 0, 4]);
  });

  test('W16, W17: what no operator and no score is', async () => {
    const id = await create();
    const record = await player.write(id, 3, 3);
    for (const operator of ['best', 'set', 'incr', 'decr']) {
      const board = await create({ operator });
      expect(await player.tryWrite(board, { score: -1 })).toEqual(negative);
      expect(await player.tryWrite(board, { score: 1, subscore: '-9223372036854775808' })).toEqual(negative);
      expect(await player.own(board)).toBeUndefined();
    }
    for (const operator of [5, 9, -1, 2147483647]) {
      expect(await player.tryWrite(id, { score: 9, operator })).toEqual(badOperator);
    }
    expect(await player.own(id)).toEqual(record);
  });

  test('W18, W19: authoritative boards are written by the server alone', async () => {
    const id = await create({ authoritative: true });
    expect(await player.tryWrite(id, { score: 1 })).toEqual(
      refused(7, 'Leaderboard only allows authoritative score submissions.'),
    );
    expect(await player.own(id)).toBeUndefined();
    const { row, rank } = await leaderboardsOf(doorway.server).writeRecord(id, { ownerId: player.id, score: 1n });
    expect(row).toMatchObject({ score: 1n, username: null, num_score: 1 });
    expect(rank).toBe(1n);
    expect(scoresOf(await player.own(id))).toEqual([1, 0, 1]);
    expect(await player.call('DeleteLeaderboardRecord', { leaderboard_id: id })).toEqual(
      refused(7, 'Leaderboard only allows authoritative score deletions.'),
    );
  });

  test('W20: a tick belongs to the new period', async () => {
    const id = await create({ resetSchedule: '0 0 * * 1' });
    setTime(time, '2026-01-04T23:59:59');
    const before = await player.write(id, 10);
    expect(before).toMatchObject({ score: '10', num_score: 1, expiry_time: '2026-01-05T00:00:00Z' });
    setTime(time, '2026-01-05T00:00:00');
    const after = await player.write(id, 20);
    expect(after).toMatchObject({ score: '20', num_score: 1, expiry_time: '2026-01-12T00:00:00Z' });
    expect(await player.own(id)).toEqual(after);
    expect(scoresOf(await player.own(id, { expiry: 1767571200 }))).toEqual([10, 0, 1]);
    expect((await player.own(id, { expiry: 1768176000 })).expiry_time).toBe('2026-01-12T00:00:00Z');
    await player.delete(id);
    expect(await player.own(id)).toBeUndefined();
    expect(await player.own(id, { expiry: 1767571200 })).toBeDefined();
    setTime(time, new Date().toISOString().slice(0, 19));
  });

  test('W21: boards that do not exist', async () => {
    for (const id of [newLeaderboardId(), 'x'.repeat(128), 'y'.repeat(129), '€'.repeat(200), "'; --", 'nul\0', '%']) {
      expect(await player.tryWrite(id, { score: 1 })).toEqual(notFound);
      expect(await player.call('DeleteLeaderboardRecord', { leaderboard_id: id })).toEqual(notFound);
    }
  });

  test('W22: metadata is a JSON object or nothing', async () => {
    const id = await create();
    for (const metadata of [
      '[1]',
      'x',
      '"x"',
      'null',
      '{',
      '{"a":1}}',
      '\u00a0{}',
      '{"a":"\\u0000"}',
      '{"a":"\\ud800"}',
    ]) {
      expect(await player.tryWrite(id, { score: 1, metadata })).toEqual(badMetadata);
    }
    expect(await player.own(id)).toBeUndefined();
    expect(JSON.parse((await player.write(id, 1, 0, { metadata: ' {"a":1}' })).metadata)).toEqual({ a: 1 });
    const large = JSON.stringify({ text: 'ä'.repeat(1000) });
    const written = await player.write(id, 2, 0, { metadata: large });
    expect(JSON.parse(written.metadata)).toEqual(JSON.parse(large));
    const number = '{"n": 9007199254740993}';
    expect((await player.write(id, 3, 0, { metadata: number })).metadata).toBe(number);
  });

  test('W24: what would exceed 64 bits changes nothing', async () => {
    const id = await create({ operator: 'incr' });
    const record = await player.write(id, maxScore, 1);
    expect(record.score).toBe(maxScore);
    const failed = refused(13, 'Error writing score to leaderboard.');
    expect(await player.tryWrite(id, { score: 1 })).toEqual(failed);
    expect(await player.tryWrite(id, { subscore: maxScore, score: 0 })).toEqual(failed);
    expect(await player.own(id)).toEqual(record);
  });

  test('W25: 64-bit scores are exact', async () => {
    const id = await create();
    expect((await player.write(id, '9007199254740993', maxScore)).score).toBe('9007199254740993');
    const next = await player.write(id, '9007199254740994');
    expect(next).toMatchObject({ score: '9007199254740994', subscore: maxScore, num_score: 2 });
    expect(await player.own(id)).toEqual(next);
  });

  test('a record of someone else stays as it is', async () => {
    const id = await create();
    const other = await Scorer.enter(doorway.server, doorway);
    const theirs = await other.write(id, 5);
    await player.write(id, 7);
    await player.delete(id);
    expect(await player.own(id)).toBeUndefined();
    expect(await other.own(id)).toEqual(theirs);
    expect(await player.delete(id)).toEqual({});
  });

  test('a new name is seen from the next change on', async () => {
    const id = await create();
    const { username } = await player.write(id, 5);
    const renamed = `renamed-${newId()}`;
    await leaderboardsOf(doorway.server).writeRecord(id, { ownerId: player.id, username: renamed, score: 5n });
    expect((await player.own(id)).username).toBe(username);
    await leaderboardsOf(doorway.server).writeRecord(id, { ownerId: player.id, username: renamed, score: 6n });
    expect((await player.own(id)).username).toBe(renamed);
  });

  test('needs a session', async () => {
    const id = await create();
    for (const method of [
      'WriteLeaderboardRecord',
      'ListLeaderboardRecords',
      'ListLeaderboardRecordsAroundOwner',
      'DeleteLeaderboardRecord',
    ]) {
      const request = { leaderboard_id: id, owner_id: player.id };
      expect(await doorway.call(method, 'Bearer x', request)).toEqual(refused(16, 'Auth token invalid'));
    }
  });
});

describe.each(serverKinds)('bodies of scores on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(() => server?.stop());

  test('W23: no body is an empty one', async () => {
    const id = await createLeaderboard(server);
    const { authorization } = await signIn(server);
    const post = (body?: string) =>
      request(server, 'POST', `/v2/leaderboard/${id}`, { authorization, ...(body === undefined ? {} : { body }) });
    for (const body of [undefined, '{}']) {
      const reply = await post(body);
      expect(reply.status).toBe(200);
      expect(reply.body).not.toHaveProperty('score');
      expect(reply.body).toMatchObject({ leaderboard_id: id, num_score: 1, rank: '1' });
    }
    for (const body of ['null', '[]', '1', '"x"', '{', '{"score":']) {
      const reply = await post(body);
      expect([reply.status, reply.body.code]).toEqual([400, 3]);
    }
    expect((await post('{"score":"7","unknown":1,"operator":"NO_SUCH"}')).body.score).toBe('7');
  });

  test('queries that are no numbers, and names that are not UTF-8', async () => {
    const id = await createLeaderboard(server);
    const { authorization, id: userId } = await signIn(server);
    const get = (path: string) => request(server, 'GET', `/v2/leaderboard/${path}`, { authorization });
    for (const path of [
      `${id}?limit=x`,
      `${id}?limit=99999999999`,
      `${id}?expiry=1.5`,
      `${id}?expiry=9223372036854775808`,
      `${id}/owner/${userId}?limit=-1`,
      `${id}/owner/%FF`,
      `%FF`,
      `${id}?cursor=%FF`,
      `${id}?owner_ids=%FF`,
    ]) {
      expect([path, (await get(path)).status]).toEqual([path, 400]);
    }
    expect((await get(`${id}?ownerIds=${userId}&limit=5`)).status).toBe(200);
    expect((await get('%00')).body).toEqual({ code: 5, message: 'Leaderboard not found.' });
  });

  test('metadata as large as a body may be', async () => {
    const id = await createLeaderboard(server);
    const { authorization } = await signIn(server);
    const metadata = JSON.stringify({ text: 'ä'.repeat(100_000) });
    const post = (body: object) => request(server, 'POST', `/v2/leaderboard/${id}`, { authorization, body });
    const reply = await post({ score: 1, metadata });
    expect([reply.status, JSON.parse(reply.body.metadata)]).toEqual([200, JSON.parse(metadata)]);
    const deep = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
    expect((await post({ score: 2, metadata: deep })).body.code).toBe(3);
  });
});
