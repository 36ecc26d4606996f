import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { unique } from '../testing/names.ts';
import { Random } from '../testing/random.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../testing/redis.ts';
import { quiet } from '../testing/store.ts';
import { waitFor } from '../testing/wait.ts';
import type { EntryVersion, RankChange, RankEntry, RankSet } from './rank-index.ts';
import { type RankIndexLimits, RedisRankIndex } from './rank-index-redis.ts';
import { RedisLink } from './redis-link.ts';

describe.skipIf(!redisAvailable)('rank index in Redis', () => {
  let redis: TestRedis;
  let prefix: string;
  let closers: (() => Promise<void>)[];
  let index: RedisRankIndex;
  let link: RedisLink;
  let set: RankSet;

  const open = async (epoch: number, limits: Partial<RankIndexLimits> = {}) => {
    const opened = new RedisLink({ server: redis.url, prefix, log: quiet, limits: { probeMs: 100 } });
    const made = new RedisRankIndex(opened, { self: { name: 'node', epoch } }, limits);
    closers.push(
      () => made.close(),
      () => opened.close(),
    );
    await opened.ready(5000);
    return { link: opened, index: made };
  };

  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    prefix = `${unique('ranks')}:`;
    closers = [];
    ({ index, link } = await open(1));
    set = { board: unique('board'), expiry: 0 };
  });
  afterEach(async () => {
    for (const close of closers) await close();
  });

  const entry = (score: bigint, more: Partial<RankEntry> = {}): RankEntry => ({
    ...{ owner: randomUUID(), score, subscore: 0n, version: { created: 1000, writes: 1 } },
    ...more,
  });
  const build = async (entries: readonly RankEntry[] = [], of = set): Promise<string> => {
    const incarnation = await index.begin(of, 10_000);
    if (incarnation === null) throw new Error('not begun');
    expect(await index.load(of, incarnation, entries, 10_000)).toBe(true);
    expect(await index.finish(of, incarnation)).toBe(true);
    return incarnation;
  };
  const applied = async (incarnation: string, ...changes: RankChange[]) => {
    const reply = await index.apply(set, incarnation, changes, true);
    if (reply.state !== 'applied') throw new Error(`it was ${reply.state}`);
    return reply.results;
  };
  const put = (of: RankEntry, version: EntryVersion, score = of.score): RankChange => ({
    ...{ kind: 'put', ...of, version, score },
  });
  const order = async (descending: boolean, of = set): Promise<(string | undefined | null)[]> => {
    const count = Number(await index.count(of));
    return Promise.all(Array.from({ length: count }, (_, i) => index.at(of, BigInt(i + 1), descending)));
  };

  it.each([true, false])('P1, P2: ranks by 64-bit scores and then by owner (descending: %s)', async (descending) => {
    const random = new Random(7);
    const scores = [0n, 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 2n, 2n ** 63n - 1n];
    const entries = Array.from({ length: 200 }, () => entry(random.pick(scores), { subscore: random.pick(scores) }));
    const incarnation = await build(entries.slice(0, 100));
    for (const one of entries.slice(100)) await applied(incarnation, put(one, one.version));
    const key = ({ score, subscore, owner }: RankEntry): string =>
      `${String(score).padStart(20, '0')}${String(subscore).padStart(20, '0')}${owner}`;
    const sorted = [...entries].sort((a, b) => (key(a) < key(b) ? -1 : 1)).map(({ owner }) => owner);
    if (descending) sorted.reverse();
    expect(await order(descending)).toEqual(sorted);
    const expected = new Map(sorted.map((owner, i) => [owner, BigInt(i + 1)]));
    expect(await index.standings(set, [...sorted, randomUUID()], descending)).toEqual({
      count: BigInt(sorted.length),
      ranks: expected,
    });
    expect(await index.at(set, 201n, descending)).toBeUndefined();
    expect(await index.at(set, 0n, descending)).toBeUndefined();
  });

  it('answers nothing without an index, and nothing out of one that is being built', async () => {
    const asked = () =>
      Promise.all([index.standings(set, [randomUUID()], true), index.count(set), index.at(set, 1n, true)]);
    expect(await asked()).toEqual([null, null, null]);
    expect(await index.apply(set, '', [put(entry(1n), { created: 1, writes: 1 })], true)).toEqual({ state: 'absent' });
    expect(await asked()).toEqual([null, null, null]);
    const incarnation = (await index.begin(set, 10_000)) as string;
    const reply = await index.apply(set, incarnation, [put(entry(1n), { created: 1, writes: 1 })], true);
    expect(reply).toEqual({ state: 'applied', isReady: false, results: [{ done: true, rank: 0 }] });
    expect(await asked()).toEqual([null, null, null]);
    await index.finish(set, incarnation);
    expect(await index.count(set)).toBe(1n);
  });

  describe('changes', () => {
    let incarnation: string;
    let one: RankEntry;
    beforeEach(async () => {
      one = entry(50n);
      incarnation = await build([one, entry(40n), entry(60n)]);
    });
    const scoreOfOne = async () => (await index.seen(set, [one.owner]))?.get(one.owner)?.score?.score;
    const remove = (version: EntryVersion): RankChange => ({ kind: 'remove', owner: one.owner, version });

    it('R1, R2: take the newer state, whatever the order', async () => {
      expect(await applied(incarnation, put(one, { created: 1000, writes: 5 }, 70n))).toEqual([
        { done: true, rank: 1 },
      ]);
      expect(await applied(incarnation, put(one, { created: 1000, writes: 4 }, 10n))).toEqual([
        { done: true, rank: 1 },
      ]);
      expect(await scoreOfOne()).toBe(70n);
      // Numbers of writes compare as numbers.
      await applied(incarnation, put(one, { created: 1000, writes: 256 }, 5n));
      await applied(incarnation, put(one, { created: 1000, writes: 255 }, 6n));
      expect(await scoreOfOne()).toBe(5n);
      expect(await index.count(set)).toBe(3n);
    });

    it('R3: remove, and let nothing older come back', async () => {
      const removed = { created: 1000, writes: 3 };
      expect(await applied(incarnation, remove(removed))).toEqual([{ done: true, rank: 0 }]);
      expect(await index.count(set)).toBe(2n);
      const [late] = await applied(incarnation, put(one, { created: 1000, writes: 3 }));
      expect(late).toMatchObject({ done: false, seen: { version: removed } });
      expect(await index.count(set)).toBe(2n);
      expect(await applied(incarnation, put(one, { created: 2000, writes: 1 }, 70n))).toEqual([
        { done: true, rank: 1 },
      ]);
      expect(await applied(incarnation, remove(removed))).toEqual([{ done: true, rank: 1 }]);
      expect(await index.count(set)).toBe(3n);
    });

    it('remember a removal that came before the write', async () => {
      const two = entry(1n);
      await applied(incarnation, { kind: 'remove', owner: two.owner, version: { created: 500, writes: 2 } });
      const [late] = await applied(incarnation, put(two, { created: 500, writes: 1 }));
      expect(late?.done).toBe(false);
      expect(await index.count(set)).toBe(3n);
    });

    it('leave it to the table which of two lives is the later one', async () => {
      const [older] = await applied(incarnation, put(one, { created: 900, writes: 9 }));
      expect(older).toMatchObject({ done: false, seen: { version: one.version, score: { score: 50n, subscore: 0n } } });
      const [newer] = await applied(incarnation, put(one, { created: 1100, writes: 1 }));
      expect(newer?.done).toBe(false);
      const [removed] = await applied(incarnation, remove({ created: 1100, writes: 1 }));
      expect(removed?.done).toBe(false);
      expect(await scoreOfOne()).toBe(50n);
      // A removal of an earlier one is of no interest.
      expect(await applied(incarnation, remove({ created: 900, writes: 9 }))).toEqual([{ done: true, rank: 2 }]);
    });

    it('take what the table has', async () => {
      const confirm = (version: EntryVersion, score: bigint): RankChange => ({
        kind: 'confirm',
        ...one,
        version,
        score,
      });
      expect(await applied(incarnation, confirm({ created: 1100, writes: 1 }, 70n))).toEqual([{ done: true, rank: 1 }]);
      expect(await applied(incarnation, confirm({ created: 1100, writes: 1 }, 70n))).toEqual([{ done: true, rank: 1 }]);
      expect((await applied(incarnation, confirm({ created: 900, writes: 9 }, 1n)))[0]?.done).toBe(false);
      const seen = (await index.seen(set, [one.owner]))?.get(one.owner);
      if (seen === undefined) throw new Error('not seen');
      const clear: RankChange = { kind: 'clear', owner: one.owner, version: seen.version, seen };
      await applied(incarnation, put(one, { created: 1100, writes: 2 }, 80n));
      await applied(incarnation, clear);
      expect(await scoreOfOne()).toBe(80n);
      const now = (await index.seen(set, [one.owner]))?.get(one.owner) ?? seen;
      await applied(incarnation, { ...clear, seen: now });
      expect(await scoreOfOne()).toBeUndefined();
      expect((await applied(incarnation, put(one, { created: 1100, writes: 2 })))[0]?.done).toBe(false);
    });

    it('are refused by another incarnation', async () => {
      await index.drop(set);
      const next = await build([one]);
      const reply = await index.apply(set, incarnation, [put(one, { created: 1000, writes: 2 }, 7n)], true);
      expect(reply).toEqual({ state: 'moved' });
      expect(await scoreOfOne()).toBe(50n);
      await applied(next, put(one, { created: 1000, writes: 2 }, 7n));
      expect(await scoreOfOne()).toBe(7n);
    });

    it('forget removals in time, and give the index up when there are too many', async () => {
      const { index: forgetful } = await open(2, { tombstoneMs: 0, tombstones: 5 });
      const removal = (owner: string): RankChange => ({ kind: 'remove', owner, version: { created: 1, writes: 1 } });
      for (let i = 0; i < 20; i++) await forgetful.apply(set, incarnation, [removal(randomUUID())], true);
      const raw = `${prefix}ranks:*`;
      const keys = await link.commands.keys(raw);
      const removed = keys.find((key) => key.endsWith(':d')) ?? '';
      expect(await link.commands.zcard(removed)).toBeLessThan(6);
      expect(await index.count(set)).toBe(3n);
      const { index: small } = await open(3, { tombstones: 5 });
      const states = [];
      for (let i = 0; i < 8; i++)
        states.push((await small.apply(set, incarnation, [removal(randomUUID())], true)).state);
      expect(states.at(0)).toBe('applied');
      expect(states.at(-1)).toBe('absent');
      expect(await index.count(set)).toBeNull();
    });
  });

  describe('builds', () => {
    it('are made by one node at a time, until its lease is over', async () => {
      const first = (await index.begin(set, 10_000)) as string;
      const { index: other } = await open(2);
      expect(await other.begin(set, 10_000)).toBeNull();
      await index.load(set, first, [entry(1n)], 1);
      const second = await waitFor('the lease to end', () => other.begin(set, 10_000));
      expect(await index.load(set, first, [entry(2n)], 10_000)).toBe(false);
      expect(await index.finish(set, first)).toBe(false);
      await other.load(set, second, [entry(3n)], 10_000);
      await other.finish(set, second);
      expect(await index.count(set)).toBe(1n);
      expect(await index.begin(set, 10_000)).toBeNull();
    });

    it('may be given up', async () => {
      const first = (await index.begin(set, 10_000)) as string;
      await index.abandon(set, 'another');
      expect(await index.begin(set, 10_000)).toBeNull();
      await index.abandon(set, first);
      const second = (await index.begin(set, 10_000)) as string;
      await index.finish(set, second);
      await index.abandon(set, second);
      expect(await index.count(set)).toBe(0n);
    });

    it('do not undo what was applied meanwhile', async () => {
      const incarnation = (await index.begin(set, 10_000)) as string;
      const [changed, removed, recreated] = [entry(10n), entry(20n), entry(30n)];
      const newer = { created: 1000, writes: 2 };
      await applied(incarnation, put(changed, newer, 99n));
      await applied(incarnation, { kind: 'remove', owner: removed.owner, version: removed.version });
      await applied(incarnation, { kind: 'remove', owner: recreated.owner, version: { created: 900, writes: 1 } });
      await index.load(set, incarnation, [changed, removed, recreated], 10_000);
      await index.finish(set, incarnation);
      expect(await order(true)).toEqual([changed.owner, recreated.owner]);
    });

    it('end when Redis loses everything in the middle of one', async () => {
      const incarnation = (await index.begin(set, 10_000)) as string;
      await index.load(set, incarnation, [entry(1n)], 10_000);
      await link.commands.flushall();
      expect(await index.load(set, incarnation, [entry(2n)], 10_000)).toBe(false);
      expect(await index.finish(set, incarnation)).toBe(false);
      expect(await index.count(set)).toBeNull();
    });
  });

  describe('an index', () => {
    const keyOf = async (part: string): Promise<string> =>
      (await link.commands.keys(`${prefix}ranks:*:${part}`))[0] ?? '';

    it.each(['z', 'h', 'm'])('counts as gone when a part of it is gone: %s', async (part) => {
      const incarnation = await build([entry(1n), entry(2n)]);
      await link.commands.del(await keyOf(part));
      expect(await index.count(set)).toBeNull();
      expect((await index.apply(set, incarnation, [put(entry(1n), { created: 1, writes: 1 })], true)).state).toBe(
        'absent',
      );
      await build([entry(3n)]);
      expect(await index.count(set)).toBe(1n);
    });

    it('counts as gone when this is not the Redis that it was made in', async () => {
      await build([entry(1n)]);
      let lost = 0;
      index.onLost(() => lost++);
      await link.commands.del(`${prefix}marker`);
      await waitFor('the loss to be noticed', () => lost > 0);
      expect(await index.count(set)).toBeNull();
      await build([entry(2n), entry(3n)]);
      expect(await index.count(set)).toBe(2n);
    });

    it.each(['{x}', 'two words', 'Größe 🏆', 'x'.repeat(128), '*'])('may be of any board: %s', async (board) => {
      const sets = [0, 4_000_000_000].map((expiry) => ({ board, expiry }));
      const other = { board: `${board.slice(0, 100)}?`, expiry: 0 };
      for (const each of [...sets, other]) await build([entry(1n), entry(2n)], each);
      expect((await index.sample(50)).map(({ board: name }) => name)).toContain(board);
      await index.dropBoard(board);
      for (const each of sets) expect(await index.count(each)).toBeNull();
      expect(await index.count(other)).toBe(2n);
      await index.dropBoard(other.board);
      await index.close();
      const left = (await link.commands.keys(`${prefix}*`)).filter((key) => key !== `${prefix}marker`);
      expect(left).toEqual([]);
    });

    it('R4: goes after the end of its period', async () => {
      const [over, open] = [4_000_000_000, 4_000_000_100].map((expiry) => ({ ...set, expiry })) as [RankSet, RankSet];
      for (const each of [set, over, open]) await build([entry(1n)], each);
      expect(await index.dropEnded(over.expiry)).toBe(1);
      expect(await Promise.all([set, over, open].map((each) => index.count(each)))).toEqual([1n, null, 1n]);
    });

    it('can be looked at', async () => {
      const entries = Array.from({ length: 9 }, (_, i) => entry(BigInt(i)));
      await build(entries);
      expect(await index.slice(set, 2, 3)).toEqual(entries.slice(2, 5));
      expect(await index.slice(set, 9, 3)).toEqual([]);
      expect(await index.slice({ ...set, expiry: 7 }, 0, 3)).toBeNull();
    });
  });

  describe('announcements', () => {
    it('tell what to drop when the node is gone, once', async () => {
      const { index: other } = await open(2);
      const sets = ['a', 'b', 'c'].map((board) => ({ board, expiry: 0 })) as [RankSet, RankSet, RankSet];
      for (const each of sets) await build([entry(1n)], each);
      await index.announce(sets[0]);
      await index.announce(sets[1]);
      await other.announce(sets[1]);
      expect(await other.sweep({ name: 'node', epoch: 1 })).toBe(2);
      expect(await Promise.all(sets.map((each) => index.count(each)))).toEqual([null, null, 1n]);
      await build([entry(1n)], sets[0]);
      expect(await other.sweep({ name: 'node', epoch: 1 })).toBe(0);
      expect(await index.count(sets[0])).toBe(1n);
    });

    it('are made again by a node that finds another index than it knew', async () => {
      await build([entry(1n)]);
      const { incarnation } = await index.announce(set);
      const { index: other } = await open(2);
      await other.sweep({ name: 'node', epoch: 1 });
      await build([entry(1n)]);
      await index.apply(set, incarnation, [], true);
      expect((await index.announce(set)).incarnation).not.toBe(incarnation);
      expect(await other.sweep({ name: 'node', epoch: 1 })).toBe(1);
    });

    it('are made again after a loss', async () => {
      await index.announce(set);
      await link.commands.flushall();
      let lost = false;
      index.onLost(() => {
        lost = true;
      });
      await waitFor('the loss to be noticed', () => lost);
      await build([entry(1n)]);
      await index.announce(set);
      expect(await index.sweep({ name: 'node', epoch: 1 })).toBe(1);
    });

    it('are withdrawn when they are not needed any more, and when the node stops', async () => {
      const { index: short } = await open(5, { announcedMs: 30 });
      await short.announce(set);
      const writers = `${prefix}ranks:writers:5:node`;
      await waitFor('it to be withdrawn', async () => (await link.commands.scard(writers)) === 0);
      await short.announce(set);
      expect(await link.commands.scard(writers)).toBe(1);
      await short.close();
      expect(await link.commands.exists(writers)).toBe(0);
    });
  });
});
