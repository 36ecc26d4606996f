import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RankIndex } from '../../cluster/rank-index.ts';
import { type Changes, ownerOf, type RecordChange } from './changes.ts';
import type { Doubts } from './doubts.ts';
import { periodKey, type RankPeriod } from './period.ts';

export interface UnsettledLimits {
  /** Owners of one period that are remembered; with more of them its index is dropped. */
  readonly owners: number;
  /** Periods that are remembered; with more of them all indexes are dropped. */
  readonly periods: number;
  /** Owners that are settled by one step. */
  readonly page: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

export const unsettledLimits: UnsettledLimits = {
  owners: 10_000,
  periods: 10_000,
  page: 200,
  retryMinMs: 50,
  retryMaxMs: 500,
};

interface Unsettled {
  readonly period: RankPeriod;
  /** By owner; undefined once there were too many. */
  changes: Map<string, RecordChange> | undefined;
  /** Changes that are not remembered: an index that begins after the last of them has them. */
  forgotten: number;
  failures: number;
}

/**
 * Changes of which it is unknown whether the index has them. As long as there are any, this node does not read the index
 * of the period, and the others are told not to (see Doubts). Once Redis can be reached, the records are read again and
 * the index is put right; where that cannot be done the index is dropped.
 */
export class UnsettledChanges {
  readonly #index: RankIndex;
  readonly #changes: Changes;
  readonly #doubts: Doubts;
  readonly #log: Logger;
  readonly #limits: UnsettledLimits;
  readonly #unsettled = new Map<string, Unsettled>();
  readonly #boards = new Set<string>();
  /** Changes of periods that are not remembered. */
  #forgotten = 0;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(
    { index, changes, doubts, log }: { index: RankIndex; changes: Changes; doubts: Doubts; log: Logger },
    limits: Partial<UnsettledLimits> = {},
  ) {
    this.#index = index;
    this.#changes = changes;
    this.#doubts = doubts;
    this.#log = log;
    this.#limits = { ...unsettledLimits, ...limits };
  }

  /** Owners, over all periods. */
  get ownerCount(): number {
    let count = 0;
    for (const { changes } of this.#unsettled.values()) count += changes?.size ?? this.#limits.owners;
    return count;
  }

  has(period: RankPeriod): boolean {
    return this.#forgotten > 0 || this.#unsettled.has(periodKey(period));
  }

  add(period: RankPeriod, changes: readonly RecordChange[]): void {
    const unsettled = this.#of(period);
    if (unsettled === undefined) {
      this.#forgotten++;
    } else {
      for (const change of changes) unsettled.changes?.set(ownerOf(change), change);
      if ((unsettled.changes?.size ?? 0) > this.#limits.owners) unsettled.changes = undefined;
      if (unsettled.changes === undefined) unsettled.forgotten++;
    }
    this.wake();
  }

  /** The board's indexes are to go, and could not yet. */
  addBoard(board: string): void {
    if (this.#boards.size >= this.#limits.periods) this.#forgotten++;
    else this.#boards.add(board);
    this.wake();
  }

  #of(period: RankPeriod): Unsettled | undefined {
    const key = periodKey(period);
    const known = this.#unsettled.get(key);
    if (known !== undefined || this.#unsettled.size >= this.#limits.periods) return known;
    const unsettled: Unsettled = { period, changes: new Map(), forgotten: 0, failures: 0 };
    this.#unsettled.set(key, unsettled);
    return unsettled;
  }

  /** There are doubts to be taken back, or will be. */
  wake(): void {
    if (!this.#stopped) this.#running ??= this.#run();
  }

  /** Tries once more what is left; if that fails, the doubts stay and others clean up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.#index.isUp) await this.#settleAll().catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { retryMinMs, retryMaxMs } = this.#limits;
    for (let tries = 0; !this.#stopped; tries++) {
      try {
        if (this.#index.isUp && (await this.#settleAll())) break;
      } catch (error) {
        if (tries % 20 === 0) this.#log.warn({ err: error }, 'rank indexes cannot be put right yet');
      }
      await sleep(Math.min(retryMinMs * 2 ** Math.min(tries, 10), retryMaxMs), undefined, { ref: false });
    }
    this.#running = undefined;
  }

  /** Returns whether nothing is left to do. */
  async #settleAll(): Promise<boolean> {
    while (this.#forgotten > 0) {
      const forgotten = this.#forgotten;
      await this.#index.dropAll();
      this.#forgotten -= forgotten;
    }
    for (const board of this.#boards) {
      await this.#index.dropBoard(board);
      this.#boards.delete(board);
    }
    for (const [key, unsettled] of this.#unsettled) {
      await this.#settle(unsettled);
      if (isSettled(unsettled)) this.#unsettled.delete(key);
    }
    for (const set of this.#doubts.raised) {
      // Writes that are under way may have told of themselves by the doubt alone.
      await this.#index.announce(set);
      if (!this.#unsettled.has(periodKey(set))) await this.#doubts.lower(set);
    }
    const left = this.#unsettled.size + this.#forgotten + this.#boards.size + this.#doubts.raisedCount;
    return left === 0;
  }

  async #settle(unsettled: Unsettled): Promise<void> {
    const { period } = unsettled;
    while (unsettled.changes !== undefined && unsettled.changes.size > 0) {
      const page = [...unsettled.changes.values()].slice(0, this.#limits.page);
      try {
        await this.#changes.verify(period, page);
      } catch (error) {
        if (!this.#index.isUp || ++unsettled.failures < maxFailures) throw error;
        // Then the table cannot be read, perhaps, but the index can go: that needs no more than Redis.
        this.#log.warn({ err: error, board: period.board }, 'a rank index cannot be put right and is dropped');
        unsettled.changes = undefined;
        unsettled.forgotten = 1;
        break;
      }
      for (const change of page) {
        if (unsettled.changes?.get(ownerOf(change)) === change) unsettled.changes.delete(ownerOf(change));
      }
    }
    while (unsettled.forgotten > 0) {
      const forgotten = unsettled.forgotten;
      await this.#index.drop(period);
      unsettled.forgotten -= forgotten;
    }
  }
}

/** Attempts after which an index is dropped rather than put right. */
const maxFailures = 3;

const isSettled = ({ changes, forgotten }: Unsettled): boolean => (changes?.size ?? 0) === 0 && forgotten === 0;
