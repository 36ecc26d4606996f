import type { Logger } from 'pino';
import type { RankIndex, Standings } from '../../cluster/rank-index.ts';
import { within } from '../../platform/within.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Builds } from './builds.ts';
import type { Changes, RankAfter, RecordChange } from './changes.ts';
import type { Doubts } from './doubts.ts';
import type { RankMetrics } from './metrics.ts';
import { pick, type RankedRecord, type RankPeriod, type Ranks, type RemovedRecord } from './period.ts';
import { entryOf, entryVersion } from './records.ts';
import type { SqlRanks } from './sql-ranks.ts';
import { isOver } from './table-ranks.ts';
import { TurnBatches } from './turn-batches.ts';
import type { UnsettledChanges } from './unsettled.ts';

export interface IndexedRanksOptions {
  readonly index: RankIndex;
  readonly sql: SqlRanks;
  readonly changes: Changes;
  readonly unsettled: UnsettledChanges;
  readonly doubts: Doubts;
  readonly builds: Builds;
  readonly time: DatabaseTime;
  readonly metrics: RankMetrics;
  readonly log: Logger;
}

/** How long the index may take before the table is asked instead. */
const answerMs = 500;
/** Changes of a period that are put into the index in one step. */
const changesAtOnce = 50;

/** Questions about a period that share one answer. */
const questionsAtOnce = 200;
/** Who asks for more owners is answered alone: the others need not wait for that. */
const ownersTogether = 20;

interface Waiting {
  readonly change: RecordChange;
  readonly resolve: (rank: RankAfter) => void;
}

interface Question {
  readonly owners: readonly string[];
  /** Null: the table has to be asked. What is answered may be of other owners, too. */
  readonly resolve: (standings: Standings | null) => void;
}

/**
 * Ranks out of an index in Redis, and out of the table wherever the index might not be right: while there is none or it is
 * being built, while this node has changes that may not be in it, while another node says so (see Doubts), and while Redis
 * does not answer. What is answered was so at some moment between the question and the answer, counting a change as made
 * when it is in the index, which it is before `changed`, `noted` or `removed` resolve.
 *
 * What can go wrong, and what comes of it:
 * - a change comes late, after a newer one, or after its record was removed: versions and tombstones (see Changes);
 * - an index is built meanwhile, or again: incarnations (see Changes, Builds);
 * - Redis loses everything, or goes back to an older state: an index is bound to the Redis instance in which it was made;
 * - this node cannot reach Redis: UnsettledChanges and Doubts;
 * - this node dies between commit and change: nobody was told that the write has succeeded. It had announced the period,
 *   so the others drop the index as soon as they give the node up (RankIndex.sweep);
 * - this node is halted between the two: the same; when it comes back, its change meets another incarnation;
 * - anything else: RankChecks notices.
 */
export class IndexedRanks implements Ranks {
  readonly #options: IndexedRanksOptions;
  /** What commits in one turn of the event loop. */
  readonly #changes = new TurnBatches<Waiting>(changesAtOnce, (period, items) => void this.#put(period, items));
  /** What is asked in one; the answer begins after the last question. */
  readonly #questions = new TurnBatches<Question>(questionsAtOnce, (period, items) => void this.#answer(period, items));

  constructor(options: IndexedRanksOptions) {
    this.#options = options;
  }

  async announce(period: RankPeriod): Promise<void> {
    const { index, doubts, unsettled, time, log } = this.#options;
    if (isOver(period, time)) return;
    try {
      if (index.isUp && (await inTime(index.announce(period))) !== late) return;
    } catch {
      // The database serves as well.
    }
    try {
      await doubts.raise(period);
      unsettled.wake();
    } catch (error) {
      log.warn({ err: error, board: period.board }, 'a change of ranks could not be announced');
    }
  }

  async changed(period: RankPeriod, record: RankedRecord): Promise<bigint> {
    const { sql, time, metrics, log } = this.#options;
    if (isOver(period, time)) return 0n;
    const rank = await this.#change(period, { kind: 'put', entry: entryOf(record) });
    try {
      if (rank !== null && (await this.#isTrusted(period))) {
        metrics.fromIndex.inc();
        return rank;
      }
      if (rank === null) this.#demand(period);
      metrics.fromTable.inc();
      return (await sql.of(period, [record.owner])).get(record.owner) ?? 0n;
    } catch (error) {
      log.warn({ err: error, board: period.board }, 'a rank cannot be told');
      return 0n;
    }
  }

  async noted(period: RankPeriod, record: RankedRecord): Promise<void> {
    if (isOver(period, this.#options.time)) return;
    await this.#change(period, { kind: 'put', entry: entryOf(record) });
  }

  async removed(period: RankPeriod, records: readonly RemovedRecord[]): Promise<void> {
    if (isOver(period, this.#options.time)) return;
    const toChange = ({ owner, version }: RemovedRecord): RecordChange => ({
      kind: 'remove',
      owner,
      version: entryVersion(version),
    });
    await Promise.all(records.map((record) => this.#change(period, toChange(record))));
  }

  async of(period: RankPeriod, owners: readonly string[]): Promise<Map<string, bigint>> {
    if (isOver(period, this.#options.time) || owners.length === 0) return new Map();
    const standings = await this.#standings(period, owners);
    return standings === null ? this.#options.sql.of(period, owners) : pick(standings.ranks, owners);
  }

  async count(period: RankPeriod): Promise<bigint> {
    if (isOver(period, this.#options.time)) return 0n;
    return (await this.#standings(period, []))?.count ?? (await this.#options.sql.count(period));
  }

  async standings(period: RankPeriod, owners: readonly string[]): Promise<Standings> {
    if (isOver(period, this.#options.time)) return { ranks: new Map(), count: 0n };
    const { sql } = this.#options;
    const standings = await this.#standings(period, owners);
    if (standings !== null) return { ranks: pick(standings.ranks, owners), count: standings.count };
    const [ranks, count] = await Promise.all([sql.of(period, owners), sql.count(period)]);
    return { ranks, count };
  }

  async at(period: RankPeriod, rank: bigint): Promise<string | null> {
    if (isOver(period, this.#options.time)) return null;
    const { index, sql } = this.#options;
    const asked = await this.#ask(period, async () => {
      const owner = await index.at(period, rank, period.descending);
      return owner === null ? null : { owner: owner ?? null };
    });
    return asked === null ? sql.at(period, rank) : asked.owner;
  }

  async drop(board: string): Promise<void> {
    const { index, unsettled, log } = this.#options;
    try {
      if (index.isUp && (await inTime(index.dropBoard(board))) !== late) return;
    } catch (error) {
      log.debug({ err: error, board }, 'rank indexes of a board could not be dropped yet');
    }
    unsettled.addBoard(board);
  }

  #standings(period: RankPeriod, owners: readonly string[]): Promise<Standings | null> {
    if (owners.length > ownersTogether) return this.#askIndex(period, owners, 1);
    return new Promise((resolve) => this.#questions.add(period, { owners, resolve }));
  }

  async #answer(period: RankPeriod, questions: readonly Question[]): Promise<void> {
    const owners = [...new Set(questions.flatMap((question) => question.owners))];
    const standings = await this.#askIndex(period, owners, questions.length);
    for (const { resolve } of questions) resolve(standings);
  }

  #askIndex(period: RankPeriod, owners: readonly string[], questions: number): Promise<Standings | null> {
    return this.#ask(period, () => this.#options.index.standings(period, owners, period.descending), questions);
  }

  /** The index's answer to some questions, or null when the table has to be asked. */
  async #ask<T>(period: RankPeriod, ask: () => Promise<T | null>, questions = 1): Promise<T | null> {
    const { index, metrics, log } = this.#options;
    try {
      if (index.isUp && (await this.#isTrusted(period))) {
        const answer = await inTime(ask());
        if (answer !== null && answer !== late) {
          metrics.fromIndex.inc(questions);
          return answer;
        }
        if (answer === null) this.#demand(period);
      }
    } catch (error) {
      log.debug({ err: error, board: period.board }, 'the rank index does not answer');
    }
    metrics.fromTable.inc(questions);
    return null;
  }

  /** Whether the index has all changes that were acknowledged by now. */
  async #isTrusted(period: RankPeriod): Promise<boolean> {
    const { unsettled, doubts } = this.#options;
    return !unsettled.has(period) && (await doubts.isClear(period));
  }

  #demand(period: RankPeriod): void {
    this.#options.builds.demand({ board: period.board, expiry: period.expiry });
  }

  /** Resolves when the index has the change, or nobody reads it any more. */
  #change(period: RankPeriod, change: RecordChange): Promise<RankAfter> {
    return new Promise((resolve) => this.#changes.add(period, { change, resolve }));
  }

  async #put(period: RankPeriod, items: readonly Waiting[]): Promise<void> {
    const changes = items.map(({ change }) => change);
    const ranks = await this.#settle(period, changes);
    for (const [i, { resolve }] of items.entries()) resolve(ranks?.[i] ?? null);
  }

  async #settle(period: RankPeriod, changes: readonly RecordChange[]): Promise<readonly RankAfter[] | null> {
    const { doubts, unsettled, log } = this.#options;
    const ranks =
      (await this.#try(period, () => this.#options.changes.apply(period, changes))) ??
      (await this.#try(period, () => this.#options.changes.verify(period, changes)));
    if (ranks !== null) return ranks;
    unsettled.add(period, changes);
    try {
      await doubts.raise(period);
      unsettled.wake();
      await doubts.told(period);
    } catch (error) {
      log.warn({ err: error, board: period.board }, 'the other nodes cannot be told that ranks are in doubt');
    }
    return null;
  }

  /** Null when it is unknown whether it was done. */
  async #try(period: RankPeriod, work: () => Promise<RankAfter[]>): Promise<RankAfter[] | null> {
    if (!this.#options.index.isUp) return null;
    try {
      const ranks = await inTime(work());
      return ranks === late ? null : ranks;
    } catch (error) {
      this.#options.log.debug({ err: error, board: period.board }, 'the rank index did not take a change');
      return null;
    }
  }
}

const late = Symbol('late');

/** The result, or `late`. What becomes of the work then is nobody's concern. */
async function inTime<T>(work: Promise<T>): Promise<T | typeof late> {
  let result: T | typeof late = late;
  const done = work.then((value) => {
    result = value;
  });
  done.catch(() => undefined);
  return (await within(answerMs, done)) ? result : late;
}
