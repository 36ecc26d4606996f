import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RankIndex } from '../../cluster/rank-index.ts';
import { RedisRankIndex } from '../../cluster/rank-index-redis.ts';
import { unavailable } from '../../platform/errors.ts';
import { Random } from '../../testing/random.ts';
import { type RankNode, RankStage } from '../../testing/ranks.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { waitFor } from '../../testing/wait.ts';
import type { RankPeriod } from './period.ts';

// Whatever happens, ranks are those of the table as soon as every write is acknowledged.

const scores = [0n, 1n, 2n, 3n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n];
const atOnce = 8;
/** Rounds of so many steps, with a complete index at the end, that a trial has to have. */
const indexedRounds = 40;
const maxRounds = 300;

describe.skipIf(!redisAvailable)('ranks under random operations and faults', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());

  const tryOut = async (seed: number, wrap: (index: RankIndex, random: Random) => RankIndex): Promise<void> => {
    const stage = await RankStage.open();
    try {
      await new Trial(stage, new Random(seed), redis, wrap).run();
    } finally {
      await stage.close();
    }
  };
  const seeds = process.env['MUSTER_TEST_SEEDS']?.split(',').map(Number) ?? [11, 12];

  it.each(seeds)('G3, R1: equal a window function (seed %i)', (seed) => tryOut(seed, faulty));

  it('notice an index that forgets a change (canary)', async () => {
    const forgetful = (index: RankIndex): RankIndex =>
      replace(index, {
        apply: async (set, incarnation, changes, descending) => {
          const reply = await index.apply(set, incarnation, changes.slice(1), descending);
          return reply.state !== 'applied' ? reply : { ...reply, results: [{ done: true, rank: 1 }, ...reply.results] };
        },
      });
    await expect(tryOut(1, forgetful)).rejects.toThrow(/^after round \d+: \d+ ranks, of/);
  });
});

class Trial {
  readonly #stage: RankStage;
  readonly #random: Random;
  readonly #redis: TestRedis;
  readonly #wrap: (index: RankIndex, random: Random) => RankIndex;
  readonly #nodes: RankNode[] = [];
  readonly #periods: RankPeriod[] = [];
  readonly #owners = Array.from({ length: 25 }, () => randomUUID());
  #lives = 0;

  constructor(
    stage: RankStage,
    random: Random,
    redis: TestRedis,
    wrap: (index: RankIndex, random: Random) => RankIndex,
  ) {
    this.#wrap = wrap;
    this.#stage = stage;
    this.#random = random;
    this.#redis = redis;
  }

  async run(): Promise<void> {
    const wrap = (index: RankIndex): RankIndex => this.#wrap(index, this.#random);
    for (const name of ['a', 'b']) {
      this.#nodes.push(await this.#stage.addNode({ name, epoch: 1 }, this.#redis.url, wrap));
    }
    for (const descending of [true, false]) {
      const period = await this.#stage.addBoard(descending, descending ? 0 : 4_000_000_000);
      this.#periods.push(period);
      await this.#stage.fill(period, 300);
    }
    let indexed = 0;
    for (let round = 0; indexed < indexedRounds && round < maxRounds; round++) {
      await Promise.all(Array.from({ length: atOnce }, () => this.#step()));
      for (const period of this.#periods) {
        for (const node of this.#nodes) {
          const different = await this.#stage.differences(node, period);
          if (different.length > 0)
            throw new Error(`after round ${round}: ${different.length} ranks, of ${different.slice(0, 3)}`);
        }
        // What is complete is right, unless a node still has to tell it something: then nobody reads it.
        if ((await this.#stage.drift(this.#nodes[0] as RankNode, period)) !== null) indexed++;
      }
    }
    expect(indexed).toBeGreaterThanOrEqual(indexedRounds);
    for (const period of this.#periods) {
      const drift = await waitFor('an index', async () => {
        await this.#node().ranks.count(period);
        return this.#stage.drift(this.#node(), period);
      });
      expect(drift).toEqual([]);
    }
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const period = random.pick(this.#periods);
    const owner = random.pick(this.#owners);
    const chance = random.next();
    if (chance < 0.6) await this.#write(period, owner);
    else if (chance < 0.8) await this.#remove(period, owner);
    else if (chance < 0.96) await this.#node().ranks.of(period, random.chance(0.5) ? [owner] : this.#owners);
    else if (chance < 0.98) await this.#die(period, owner);
    else if (chance < 0.995) await this.#node().index?.drop(period);
    else await this.#node().link?.commands.flushall();
  }

  async #write(period: RankPeriod, owner: string): Promise<void> {
    const { ranks } = this.#node();
    await ranks.announce(period);
    const [score, subscore] = [this.#random.pick(scores), this.#random.pick(scores)];
    const record = await this.#stage.write(period, owner, score, subscore);
    await this.#pause();
    if (this.#random.chance(0.8)) await ranks.changed(period, record);
    else await ranks.noted(period, record);
  }

  async #remove(period: RankPeriod, owner: string): Promise<void> {
    const { ranks } = this.#node();
    await ranks.announce(period);
    const records = await this.#stage.remove(period, owner);
    await this.#pause();
    await ranks.removed(period, records);
  }

  /** A node that lives for one write, and nobody hears of it. */
  async #die(period: RankPeriod, owner: string): Promise<void> {
    const node = { name: 'short', epoch: ++this.#lives };
    const { link, index } = this.#node();
    if (link === undefined || index === undefined) return;
    const shortLived = new RedisRankIndex(link, { self: node });
    await shortLived.announce(period);
    await this.#stage.write(period, owner, this.#random.pick(scores));
    await index.sweep(node);
    await shortLived.close();
  }

  async #pause(): Promise<void> {
    if (this.#random.chance(0.3)) await sleep(this.#random.below(30));
  }

  #node(): RankNode {
    return this.#random.pick(this.#nodes);
  }
}

/** Loses what is asked, or its answer, and takes its time. */
function faulty(index: RankIndex, random: Random): RankIndex {
  const lossy = async <T>(work: () => Promise<T>, probability: number): Promise<T> => {
    if (random.chance(0.3)) await sleep(random.below(20));
    if (random.chance(probability)) throw unavailable('lost before');
    const result = await work();
    if (random.chance(probability)) throw unavailable('lost after');
    return result;
  };
  return replace(index, {
    announce: (set) => lossy(() => index.announce(set), 0.01),
    apply: (...args) => lossy(() => index.apply(...args), 0.03),
    load: (...args) => lossy(() => index.load(...args), 0.02),
  });
}

/** The index with some of its methods replaced. */
function replace(index: RankIndex, methods: Partial<RankIndex>): RankIndex {
  return new Proxy(index, {
    get(target, name) {
      const own = methods[name as keyof RankIndex];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
