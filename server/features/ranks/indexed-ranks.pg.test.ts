import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RedisLink } from '../../cluster/redis-link.ts';
import { type RankNode, RankStage } from '../../testing/ranks.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { waitFor } from '../../testing/wait.ts';
import type { RankPeriod } from './period.ts';

describe.skipIf(!redisAvailable)('ranks of two nodes', () => {
  let redis: TestRedis;
  let proxy: RedisProxy;
  let stage: RankStage;
  let a: RankNode;
  let b: RankNode;
  let period: RankPeriod;

  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    proxy = await new RedisProxy(redis.port).listen();
    stage = await RankStage.open();
    a = await stage.addNode({ name: 'a', epoch: 1 }, proxy.url);
    b = await stage.addNode({ name: 'b', epoch: 1 }, redis.url);
    period = await stage.addBoard();
  });
  afterEach(async () => {
    proxy.heal();
    await stage.close();
    await proxy.close();
  });

  const indexed = (of = period) =>
    waitFor('the index', async () => {
      await b.ranks.count(of);
      return (await b.index?.count(of)) !== null;
    });
  const write = async (node: RankNode, owner: string, score: bigint, subscore = 0n): Promise<bigint> => {
    await node.ranks.announce(period);
    return node.ranks.changed(period, await stage.write(period, owner, score, subscore));
  };
  const remove = async (node: RankNode, owner: string): Promise<void> => {
    await node.ranks.announce(period);
    await node.ranks.removed(period, await stage.remove(period, owner));
  };
  const agree = async (): Promise<void> => {
    for (const node of [a, b]) expect(await stage.differences(node, period)).toEqual([]);
  };

  it('come from the table first, and from the index once it is built', async () => {
    await stage.fill(period, 3000);
    const owner = randomUUID();
    expect(await write(a, owner, 2000n)).toBe(1n);
    await agree();
    await indexed();
    await agree();
    expect(await b.metrics.text()).toContain('rank_answers_total{node_name="b",source="index"}');
    expect(await write(a, randomUUID(), 3000n)).toBe(1n);
    expect(await b.ranks.of(period, [owner, randomUUID()])).toEqual(new Map([[owner, 2n]]));
    expect(await b.ranks.at(period, 2n)).toBe(owner);
    expect(await b.ranks.at(period, 3003n)).toBeNull();
    await remove(b, owner);
    expect(await a.ranks.of(period, [owner])).toEqual(new Map());
    expect(await write(b, owner, 2500n)).toBe(2n);
    await agree();
    expect(await stage.drift(a, period)).toEqual([]);
  });

  it('questions of one turn go to Redis together, and everybody gets what he asked for', async () => {
    const owners = Array.from({ length: 300 }, () => randomUUID());
    for (const [i, owner] of owners.entries()) await stage.write(period, owner, BigInt(1000 - i));
    await indexed();
    const link = b.link as RedisLink;
    const asked = async (): Promise<number> => {
      const stats = await link.run((commands) => commands.info('commandstats'));
      return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(stats)?.[1]);
    };
    const before = await asked();
    const standings = await Promise.all(owners.slice(0, 150).map((owner) => b.ranks.standings(period, [owner])));
    const ranks = await Promise.all(owners.slice(150, 200).map((owner) => b.ranks.of(period, [owner, randomUUID()])));
    const counts = await Promise.all([b.ranks.count(period), b.ranks.standings(period, [])]);
    expect((await asked()) - before).toBe(3);
    for (const [i, { count, ranks: own }] of standings.entries()) {
      expect([count, own]).toEqual([300n, new Map([[owners[i], BigInt(i + 1)]])]);
    }
    for (const [i, own] of ranks.entries()) expect(own).toEqual(new Map([[owners[150 + i], BigInt(151 + i)]]));
    expect(counts).toEqual([300n, { count: 300n, ranks: new Map() }]);
    // More owners than one step of Redis takes, and somebody who asks for one meanwhile.
    const [all, few] = await Promise.all([
      b.ranks.standings(period, [...owners].reverse()),
      b.ranks.standings(period, owners.slice(7, 8)),
    ]);
    expect(few).toEqual({ count: 300n, ranks: new Map([[owners[7], 8n]]) });
    expect((await asked()) - before).toBe(3 + 2 + 1);
    expect([...all.ranks].reverse()).toEqual(owners.map((owner, i) => [owner, BigInt(i + 1)]));
  });

  it('R4: end with their period', async () => {
    const over = { ...period, expiry: Math.floor(Date.now() / 1000) - 1 };
    const record = await stage.write(over, randomUUID(), 5n);
    await a.ranks.announce(over);
    expect(await a.ranks.changed(over, record)).toBe(0n);
    expect(await a.ranks.of(over, [record.owner])).toEqual(new Map());
    expect(await a.ranks.count(over)).toBe(0n);
    expect(await a.ranks.at(over, 1n)).toBeNull();
  });

  it('go with their board', async () => {
    await stage.fill(period, 10);
    await indexed();
    await a.ranks.drop(period.board);
    expect(await b.index?.count(period)).toBeNull();
    await agree();
  });

  it('go with their board, if not now then later', async () => {
    await stage.fill(period, 10);
    await indexed();
    proxy.cut();
    await waitFor('the node to notice', () => a.index?.isUp === false);
    await a.ranks.drop(period.board);
    expect(await b.index?.count(period)).toBe(10n);
    proxy.heal();
    await waitFor('the index to go', async () => (await b.index?.count(period)) === null);
  });

  it('are true at once, though the node that writes is cut off from Redis', async () => {
    await stage.fill(period, 100);
    await indexed();
    let score = 5000n;
    const lead = async (): Promise<void> => {
      const owner = randomUUID();
      expect(await write(a, owner, score++)).toBe(1n);
      expect(await b.ranks.of(period, [owner])).toEqual(new Map([[owner, 1n]]));
    };
    await lead();
    proxy.cut();
    for (let i = 0; i < 20; i++) await lead();
    expect(await b.index?.count(period)).toBe(101n);
    proxy.heal();
    for (let i = 0; i < 20; i++) await lead();
    await waitFor('the index to be put right', async () => (await stage.drift(b, period))?.length === 0);
    await waitFor('the doubts to be gone', async () => {
      const { rows } = await stage.client.query('SELECT count(*)::int AS count FROM muster_rank_doubt');
      return rows[0].count === 0;
    });
    await lead();
    await agree();
  });

  it('are true at once, though nothing gets through to Redis and back', async () => {
    await stage.fill(period, 100);
    await indexed();
    await write(a, randomUUID(), 4000n);
    proxy.stall();
    const owner = randomUUID();
    expect(await write(a, owner, 5000n)).toBe(1n);
    expect(await b.ranks.of(period, [owner])).toEqual(new Map([[owner, 1n]]));
    await remove(a, owner);
    expect(await b.ranks.of(period, [owner])).toEqual(new Map());
    proxy.heal();
    await waitFor('the index to be put right', async () => (await stage.drift(b, period))?.length === 0);
    await agree();
  });

  it('are dropped by whoever sees the doubts of a node that has died', async () => {
    await stage.fill(period, 10);
    await indexed();
    await stage.client.query(
      `INSERT INTO muster_rank_doubt (holder, leaderboard_id, expiry_time, until)
       VALUES ($1, $2, '1970-01-01 00:00:00 UTC', now() - INTERVAL '1 second')`,
      [randomUUID(), period.board],
    );
    await stage.fill(period, 10);
    await waitFor('the doubt to be cleared up', async () => {
      await b.ranks.count(period);
      return (await stage.client.query('SELECT FROM muster_rank_doubt')).rowCount === 0;
    });
    await indexed();
    await agree();
  });

  it('survive the death of a node between commit and change', async () => {
    await stage.fill(period, 100);
    await indexed();
    await a.ranks.announce(period);
    await stage.write(period, randomUUID(), 9000n);
    expect(await b.index?.sweep({ name: 'a', epoch: 1 })).toBe(1);
    await agree();
    await indexed();
    await agree();
  });

  it('take a change that comes after the index was built anew, as the table has it by then', async () => {
    await stage.fill(period, 100);
    await indexed();
    const owner = randomUUID();
    await a.ranks.announce(period);
    const late = await stage.write(period, owner, 9000n);
    const kept = await stage.write(period, randomUUID(), 9001n);
    // Meanwhile the node was halted, and taken for dead.
    await b.index?.sweep({ name: 'a', epoch: 1 });
    await remove(b, owner);
    await indexed();
    expect(await a.ranks.changed(period, late)).toBe(0n);
    expect(await a.ranks.changed(period, kept)).toBe(1n);
    await agree();
    expect(await stage.drift(b, period)).toEqual([]);
  });

  it('do not mind in which order the changes of an owner come', async () => {
    await stage.fill(period, 20);
    await indexed();
    const owner = randomUUID();
    const [first, second] = [await stage.write(period, owner, 10n), await stage.write(period, owner, 7000n)];
    const gone = await stage.remove(period, owner);
    const third = await stage.write(period, owner, 8000n);
    await b.ranks.changed(period, third);
    await a.ranks.removed(period, gone);
    await b.ranks.noted(period, second);
    await a.ranks.noted(period, first);
    expect(await b.ranks.of(period, [owner])).toEqual(new Map([[owner, 1n]]));
    await agree();
    expect(await stage.drift(b, period)).toEqual([]);
  });

  it('keep a record that is younger than the one it followed, but looks older', async () => {
    await stage.fill(period, 20);
    await indexed();
    const owner = randomUUID();
    await write(a, owner, 10n);
    const gone = await stage.remove(period, owner);
    const next = await stage.write(period, owner, 7000n);
    // Its insert had read the clock before it waited.
    await stage.client.query(
      `UPDATE leaderboard_record SET create_time = create_time - INTERVAL '1 hour' WHERE owner_id = $1`,
      [owner],
    );
    const early = { ...next, version: { ...next.version, created: next.version.created - 3_600_000_000n } };
    await a.ranks.removed(period, gone);
    expect(await b.ranks.changed(period, early)).toBe(1n);
    expect(await write(a, owner, 8000n)).toBe(1n);
    await agree();
    expect(await stage.drift(b, period)).toEqual([]);
  });

  it('are built anew after Redis has lost everything, whatever is written meanwhile', async () => {
    await stage.fill(period, 2000);
    await indexed();
    let isOver = false;
    const writer = async (node: RankNode): Promise<void> => {
      for (let i = 0; !isOver; i++) await write(node, randomUUID(), BigInt(i));
    };
    const writers = [writer(a), writer(b)];
    await redis.restart();
    await waitFor('the index', async () => {
      await b.ranks.count(period).catch(() => 0n);
      return (await b.index?.count(period).catch(() => null)) !== null;
    });
    isOver = true;
    await Promise.all(writers);
    await agree();
    await waitFor('the index to be right', async () => (await stage.drift(b, period))?.length === 0);
  });
});
