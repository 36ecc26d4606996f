import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RankEntry, RankIndex } from '../../cluster/rank-index.ts';
import { type RankNode, RankStage } from '../../testing/ranks.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { quiet } from '../../testing/store.ts';
import { waitFor } from '../../testing/wait.ts';
import { Changes } from './changes.ts';
import { RankChecks } from './checks.ts';
import { Doubts } from './doubts.ts';
import { rankMetrics } from './metrics.ts';
import type { RankPeriod } from './period.ts';

describe.skipIf(!redisAvailable)('checks of rank indexes', () => {
  let redis: TestRedis;
  let stage: RankStage;
  let node: RankNode;
  let index: RankIndex;
  let period: RankPeriod;
  let checks: RankChecks;
  let now: number;

  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    stage = await RankStage.open();
    node = await stage.addNode({ name: 'a', epoch: 1 }, redis.url);
    index = node.index as RankIndex;
    period = await stage.addBoard();
    await stage.fill(period, 50);
    await waitFor('the index', async () => {
      await node.ranks.count(period);
      return (await index.count(period)) !== null;
    });
    const { db } = stage;
    const changes = new Changes(db, index);
    const doubts = new Doubts({ db, index, log: quiet });
    const time = { now: () => now };
    now = Date.now();
    const options = { db, index, changes, doubts, time, metrics: rankMetrics(node.metrics), log: quiet };
    checks = new RankChecks(options, { settleMs: 30 });
  });
  afterEach(() => stage.close());

  const entries = async (): Promise<RankEntry[]> => (await index.slice(period, 0, 100)) ?? [];
  const put = async (entry: RankEntry): Promise<void> => {
    const { incarnation } = await index.announce(period);
    await index.apply(period, incarnation, [{ kind: 'confirm', ...entry }], true);
  };
  const take = async ({ owner, version }: RankEntry): Promise<void> => {
    const { incarnation } = await index.announce(period);
    await index.apply(period, incarnation, [{ kind: 'remove', owner, version }], true);
  };

  it('find nothing where nothing is wrong', async () => {
    expect(await checks.run()).toEqual({ periods: 1, entries: 50, drift: 0 });
    expect(await node.metrics.text()).not.toContain('rank_drift_total');
  });

  it('find entries that are not as their record, and put them right', async () => {
    const [one, two, three] = (await entries()) as [RankEntry, RankEntry, RankEntry];
    await put({ ...one, score: 5_000n, version: { ...one.version, writes: 7 } });
    // As many as there should be, but not the right ones.
    await take(two);
    await put({ ...three, owner: randomUUID() });
    expect(await checks.run()).toEqual({ periods: 1, entries: 50, drift: 3 });
    expect(await stage.drift(node, period)).toEqual([]);
    expect(await checks.run()).toEqual({ periods: 1, entries: 50, drift: 0 });
    expect(await node.metrics.text()).toMatch(/rank_drift_total\{.*\} 3/);
  });

  it('drop an index that has not as many entries as there are records', async () => {
    const [one, two] = (await entries()) as [RankEntry, RankEntry];
    await take(one);
    await take(two);
    expect((await checks.run()).drift).toBe(2);
    expect(await index.count(period)).toBeNull();
  });

  it('leave alone what is on its way', async () => {
    const { owner } = (await entries())[0] as RankEntry;
    await node.ranks.announce(period);
    const late = await stage.write(period, owner, 7000n);
    const checking = checks.check(period);
    await node.ranks.changed(period, late);
    expect(await checking).toEqual({ entries: 50, drift: 0 });
  });

  it('leave alone what is over', async () => {
    const last = await stage.addBoard(true, 4_000_000_000);
    await stage.fill(last, 5);
    await waitFor('the index', async () => {
      await node.ranks.count(last);
      return (await index.count(last)) !== null;
    });
    await stage.fill(last, 1);
    now = 4_000_000_000_000;
    expect(await checks.check(last)).toBeNull();
    now = 3_999_999_999_999;
    expect(await checks.check(last)).toEqual({ entries: 0, drift: 1 });
  });

  it('leave alone what is in doubt', async () => {
    await stage.client.query(
      `INSERT INTO muster_rank_doubt (holder, leaderboard_id, expiry_time, until)
       VALUES ($1, $2, '1970-01-01 00:00:00 UTC', now() + INTERVAL '1 hour')`,
      [randomUUID(), period.board],
    );
    expect(await checks.check(period)).toBeNull();
  });
});
