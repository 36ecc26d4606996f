import type { Logger } from 'pino';
import type { RankEntry, RankIndex, RankSet } from '../../cluster/rank-index.ts';
import type { Tally } from '../../platform/metrics.ts';
import type { Database } from '../../store/database.ts';
import { periodKey } from './period.ts';
import { expiryParam, readRecords } from './queries.ts';
import { toEntry } from './records.ts';

export interface BuildLimits {
  /** Builds of this node that are under way at a time. */
  readonly concurrent: number;
  /** Further ones that are remembered; whoever asks for ranks again asks for them again. */
  readonly waiting: number;
  /** Rows that are read from the database at a time. */
  readonly readRows: number;
  /** Rows that Redis takes in one step, about a millisecond of it. */
  readonly loadRows: number;
  /** Steps that are on their way to Redis at a time. */
  readonly loads: number;
  /** Without a step for that long a build counts as given up. */
  readonly leaseMs: number;
  /** Between two attempts at the same index. */
  readonly retryMs: number;
  /** After Redis has lost everything, until all nodes have noticed and announce again what they change. */
  readonly lossMs: number;
}

export const buildLimits: Omit<BuildLimits, 'concurrent'> = {
  waiting: 10_000,
  readRows: 1000,
  loadRows: 100,
  loads: 4,
  leaseMs: 10_000,
  retryMs: 1000,
  lossMs: 2000,
};

export interface BuildsOptions {
  readonly db: Database;
  readonly index: RankIndex;
  readonly log: Logger;
  readonly limits: Pick<BuildLimits, 'concurrent'> & Partial<BuildLimits>;
  /** Counts indexes that were built. */
  readonly built: Tally;
}

/**
 * Fills indexes from the table, in the background and one after the other. The incarnation begins before the table is
 * read, so what is committed before the snapshot is in it, and what is committed later is applied to the incarnation: by
 * writers that knew it, or that are refused, read the record again and then know it. Rows lose against newer entries.
 * When Redis loses the incarnation, or another node has taken over, the next row is refused and the build ends. When the
 * node dies, its lease runs out and the next one who asks for a rank begins anew.
 */
export class Builds {
  readonly #options: BuildsOptions;
  readonly #limits: BuildLimits;
  readonly #waiting = new Map<string, RankSet>();
  readonly #running = new Map<string, Promise<void>>();
  /** When an index may be tried again, by `performance.now()`. */
  readonly #pauses = new Map<string, number>();
  #notBefore = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: BuildsOptions) {
    this.#options = options;
    this.#limits = { ...buildLimits, ...options.limits };
    options.index.onLost(() => {
      this.#notBefore = performance.now() + this.#limits.lossMs;
    });
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Somebody has asked for ranks and found no index. */
  demand(set: RankSet): void {
    const key = periodKey(set);
    if (this.#stopped || this.#running.has(key) || this.#waiting.size >= this.#limits.waiting) return;
    const now = performance.now();
    if (now < this.#notBefore || now < (this.#pauses.get(key) ?? 0)) return;
    this.#waiting.set(key, set);
    this.#startNext();
  }

  /** Begins no more, and waits until those under way have ended, which they do at their next step. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await Promise.all(this.#running.values());
  }

  #startNext(): void {
    for (const [key, set] of this.#waiting) {
      if (this.#stopped || this.#running.size >= this.#limits.concurrent) return;
      this.#waiting.delete(key);
      this.#running.set(key, this.#run(key, set));
    }
  }

  async #run(key: string, set: RankSet): Promise<void> {
    const { log } = this.#options;
    const startedAt = performance.now();
    let isBuilt = false;
    try {
      const records = await this.#build(set);
      isBuilt = records !== null;
      if (isBuilt) {
        const ms = Math.round(performance.now() - startedAt);
        log.info({ board: set.board, expiry: set.expiry, records, ms }, 'ranks indexed');
        this.#options.built.inc();
      }
    } catch (error) {
      log.warn({ err: error, board: set.board }, 'ranks could not be indexed');
    }
    this.#running.delete(key);
    if (!isBuilt) this.#pause(key);
    this.#startNext();
  }

  /** Returns how many records there were, or null when this node was not the one to build it after all. */
  async #build(set: RankSet): Promise<number | null> {
    const { index } = this.#options;
    const incarnation = await index.begin(set, this.#limits.leaseMs);
    if (incarnation === null) return null;
    try {
      const records = await this.#fill(set, incarnation);
      if (records !== null && (await index.finish(set, incarnation))) return records;
      await index.abandon(set, incarnation);
      return null;
    } catch (error) {
      await index.abandon(set, incarnation).catch(() => undefined);
      throw error;
    }
  }

  /** Returns how many records there were, or null when the incarnation is gone or the node stops. */
  async #fill(set: RankSet, incarnation: string): Promise<number | null> {
    const { db, index } = this.#options;
    const { leaseMs, readRows, loadRows, loads } = this.#limits;
    const sent = new Set<Promise<void>>();
    const end = { failed: undefined as unknown, isGone: false };
    const send = (entries: RankEntry[]): void => {
      const step = index
        .load(set, incarnation, entries, leaseMs)
        .then((isThere) => {
          if (!isThere) end.isGone = true;
        })
        .catch((error) => {
          end.failed ??= error;
        })
        .finally(() => sent.delete(step));
      sent.add(step);
    };
    let records = 0;
    for await (const rows of db.stream(readRecords, [set.board, expiryParam(set.expiry)], readRows)) {
      for (let start = 0; start < rows.length; start += loadRows) {
        if (sent.size >= loads) await Promise.race(sent);
        send(rows.slice(start, start + loadRows).map(toEntry));
      }
      records += rows.length;
      if (end.isGone || end.failed !== undefined || this.#stopped) break;
    }
    await Promise.all(sent);
    if (end.failed !== undefined) throw end.failed;
    return end.isGone || this.#stopped ? null : records;
  }

  #pause(key: string): void {
    const now = performance.now();
    for (const [other, until] of this.#pauses) {
      if (until > now) break;
      this.#pauses.delete(other);
    }
    this.#pauses.delete(key);
    this.#pauses.set(key, now + this.#limits.retryMs);
  }
}
