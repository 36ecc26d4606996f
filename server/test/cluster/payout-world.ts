import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { launchNode } from '../../testing/node.ts';
import { type ProcessNode, startProcessNode } from '../../testing/process-node.ts';
import type { Random } from '../../testing/random.ts';
import { redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { sleep, waitFor } from '../../testing/wait.ts';
import type { RunTournament } from './payout-checks.ts';
import { payPrizes } from './payout-feature.ts';

const program = fileURLToPath(new URL('payout-node.ts', import.meta.url));
const fiveMinutesMs = 300_000;
/** The clocks of the nodes, against that of the machine. */
const skewsMs = [0, fiveMinutesMs, -fiveMinutesMs];
const timeZone = 'Pacific/Chatham';
/** From the end of a tournament to its reset. */
const resetAfterSec = 2;

type Place = { node: ProcessNode | null; isUp: boolean };

/** Node processes that pay prizes, of which some are always being killed or paused, and the tournaments they pay for. */
export class PayoutWorld {
  readonly sql: pg.Client;
  /** What the nodes logged as errors. */
  readonly errors: (readonly string[])[] = [];
  readonly counts = { kills: 0, pauses: 0 };
  readonly #schema: TestSchema;
  readonly #redis: TestRedis | null;
  readonly #places: Place[] = skewsMs.map(() => ({ node: null, isUp: false }));
  readonly #users: string[] = [];
  readonly #random: Random;
  readonly #faults = new Set<Promise<void>>();

  private constructor(schema: TestSchema, redis: TestRedis | null, random: Random) {
    this.#schema = schema;
    this.#redis = redis;
    this.#random = random;
    this.sql = new pg.Client(schema.url);
  }

  static async open(random: Random): Promise<PayoutWorld> {
    const [schema, redis] = await Promise.all([createTestSchema(), redisAvailable ? startTestRedis() : null]);
    return new PayoutWorld(schema, redis, random);
  }

  /** Resolves when all of them are up; answers when the first was, in unix seconds. */
  async start(): Promise<number> {
    const starts = [...this.#places.keys()].map(async (place) => {
      await this.#startAt(place);
      return Date.now() / 1000;
    });
    return Math.min(...(await Promise.all(starts)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#faults);
    for (const { node } of this.#places) {
      if (node !== null && !node.hasExited) process.kill(node.pid, 'SIGCONT');
    }
    await Promise.all(this.#places.map(({ node }) => node?.stop()));
    await this.sql.end();
    await Promise.all([this.#schema.drop(), this.#redis?.stop()]);
  }

  async addUsers(count: number): Promise<void> {
    await this.sql.connect();
    const { rows } = await this.sql.query<{ id: string }>(
      `INSERT INTO users (id, username)
       SELECT id, id::text FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS n RETURNING id`,
      [count],
    );
    this.#users.push(...rows.map(({ id }) => id));
  }

  /** Creates tournaments that end one after the other, with as many records each. @param firstEnd unix seconds */
  async createTournaments(
    count: number,
    { firstEnd, spreadSec, records }: { firstEnd: number; spreadSec: number; records: number },
  ): Promise<RunTournament[]> {
    const creator = await launchNode({ config: this.#settings('creator') }, this.#schema.url);
    // It is a node like any other while it lives.
    payPrizes(creator.app.features);
    const { tournaments } = creator.app.features.tournaments;
    const created: RunTournament[] = [];
    for (let n = 0; n < count; n++) {
      const id = `cup-${firstEnd}-${n}`;
      const end = firstEnd + Math.floor((n * spreadSec) / count);
      const reset = end + resetAfterSec;
      const startTime = end - 3600;
      await tournaments.create({ id, startTime, duration: 3600, endTime: reset });
      const standings = await this.#addRecords(id, reset, records);
      created.push({ id, end, reset, standings });
    }
    await creator.stop();
    if (firstEnd <= Date.now() / 1000 + 1)
      throw new Error('The machine is too slow: tournaments end before they all are there.');
    return created;
  }

  async #addRecords(id: string, expiry: number, count: number): Promise<string[]> {
    const first = this.#random.below(this.#users.length);
    const owners = Array.from({ length: count }, (_, n) => this.#users[(first + n) % this.#users.length] as string);
    await this.sql.query(
      `INSERT INTO leaderboard_record (leaderboard_id, expiry_time, owner_id, score)
       SELECT $1, to_timestamp($2), owner, 100000 - place FROM unnest($3::uuid[]) WITH ORDINALITY AS o (owner, place)`,
      [id, expiry, owners],
    );
    return owners;
  }

  /** Kills and pauses nodes at random until told to stop; one of them is always left alone. */
  async harm(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const up = [...this.#places.keys()].filter((place) => this.#places[place]?.isUp);
      if (up.length > 1) {
        const place = this.#random.pick(up);
        const fault = (this.#random.chance(0.5) ? this.#kill(place) : this.#pause(place)).finally(() =>
          this.#faults.delete(fault),
        );
        this.#faults.add(fault);
      }
      await sleep(200 + this.#random.below(800));
    }
    await Promise.all(this.#faults);
  }

  /** As if the power went. */
  async killAll(): Promise<void> {
    await Promise.all(this.#faults);
    for (const place of this.#places) {
      place.isUp = false;
      if (place.node !== null) process.kill(place.node.pid, 'SIGKILL');
    }
    await Promise.all(this.#places.map(({ node }) => node?.stop()));
  }

  /** Waits until nothing is left to come. */
  async settled(tournaments: readonly RunTournament[], deadlineMs: number): Promise<void> {
    const ids = tournaments.map(({ id }) => id);
    const open = `SELECT count(*)::int AS open FROM muster_job WHERE kind = 'tournament' AND subject = ANY ($1) AND state = 0`;
    await waitFor(
      'all tournaments to be over',
      async () => (await this.sql.query<{ open: number }>(open, [ids])).rows[0]?.open === 0,
      deadlineMs,
    );
  }

  async #kill(place: number): Promise<void> {
    const { node } = this.#places[place] as Place;
    (this.#places[place] as Place).isUp = false;
    this.counts.kills++;
    process.kill(node?.pid ?? 0, 'SIGKILL');
    await node?.stop();
    await this.#startAt(place);
  }

  async #pause(place: number): Promise<void> {
    const at = this.#places[place] as Place;
    const pid = at.node?.pid ?? 0;
    at.isUp = false;
    this.counts.pauses++;
    process.kill(pid, 'SIGSTOP');
    await sleep(1000 + this.#random.below(4000));
    process.kill(pid, 'SIGCONT');
    at.isUp = true;
  }

  async #startAt(place: number): Promise<void> {
    const env = { TZ: timeZone, PAYOUT_CLOCK_SKEW_MS: String(skewsMs[place]) };
    const node = await startProcessNode(this.#settings(`payout-${place}`), { program, env });
    this.errors.push(node.errors);
    this.#places[place] = { node, isUp: true };
  }

  #settings(name: string): Record<string, string> {
    const settings = { name, 'database.url': this.#schema.url };
    return this.#redis === null ? settings : { ...settings, 'redis.url': this.#redis.url };
  }
}
