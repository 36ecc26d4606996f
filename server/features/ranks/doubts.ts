import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { RankIndex, RankSet } from '../../cluster/rank-index.ts';
import { within } from '../../platform/within.ts';
import type { Database } from '../../store/database.ts';
import { periodKey } from './period.ts';
import { expiryParam, lowerDoubt, lowerStaleDoubt, raiseDoubt, readDoubts, renewDoubts } from './queries.ts';

/** How long a node relies on its last look at the doubts. */
const lookMs = 300;
/** After that long every node has looked again since a doubt was raised, or does so before it answers. */
const knownMs = lookMs + 50;
/** How long a doubt lasts by itself: longer than a node may be silent without being dead. */
const doubtMs = 15_000;
const renewMs = 4_000;
/** Doubts that are told apart; with more of them everything is in doubt. */
const maxDoubts = 1000;

interface Raised {
  readonly set: RankSet;
  /** `performance.now()` when the row was there. */
  readonly at: number;
  /** Resolves when it is lowered. */
  readonly lowered: Promise<void>;
  readonly lower: () => void;
}

/**
 * A node that cannot reach Redis goes on changing records, and the index that the others read lacks these changes. So it
 * says in the database, before it answers whoever wrote, that ranks of the period must be counted; and it waits once until
 * all nodes know: they look at least every `lookMs` while they answer out of indexes. When it has repaired the index it
 * takes that back. If it dies before, its doubts run out, and whoever sees that drops the index first.
 *
 * So an index is only read when all changes that were acknowledged before the question are in it.
 */
export class Doubts {
  readonly #db: Database;
  readonly #index: RankIndex;
  readonly #log: Logger;
  readonly #holder = randomUUID();
  readonly #raised = new Map<string, Raised>();
  readonly #raising = new Map<string, Promise<Raised>>();
  readonly #lowering = new Map<string, Promise<unknown>>();
  #renewedAt = Number.NEGATIVE_INFINITY;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #doubted: ReadonlySet<string> | 'all' = 'all';
  #timer: NodeJS.Timeout | undefined;

  constructor({ db, index, log }: { db: Database; index: RankIndex; log: Logger }) {
    this.#db = db;
    this.#index = index;
    this.#log = log;
  }

  /** What this node has raised. */
  get raised(): RankSet[] {
    return [...this.#raised.values()].map(({ set }) => set);
  }

  get raisedCount(): number {
    return this.#raised.size;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Whether the index of the period has all that was acknowledged before this call. Rejects without the database. */
  async isClear(set: RankSet): Promise<boolean> {
    const asked = performance.now();
    // The first look that is joined may have begun before the question, by no more than is allowed.
    while (asked - this.#lookedAt > lookMs) await this.#lookAround();
    return this.#doubted !== 'all' && !this.#doubted.has(periodKey(set));
  }

  /** Puts the period in doubt; the others may not know yet. Rejects without the database. */
  async raise(set: RankSet): Promise<void> {
    await this.#raise(set);
  }

  /** Resolves when the others know that the period is in doubt, or it is no more. */
  async told(set: RankSet): Promise<void> {
    const raised = this.#raised.get(periodKey(set));
    const left = (raised?.at ?? 0) + knownMs - performance.now();
    if (raised !== undefined && left > 0) await within(left, raised.lowered);
  }

  /** The index has what this node changed, and whatever it may be changing now is announced in Redis. */
  async lower(set: RankSet): Promise<void> {
    const key = periodKey(set);
    // Raised anew this moment: there will be another time.
    const raised = this.#raised.get(key);
    if (raised === undefined || this.#raising.has(key)) return;
    this.#raised.delete(key);
    const lowering = this.#db.execute(lowerDoubt, [this.#holder, set.board, expiryParam(set.expiry)]);
    this.#lowering.set(key, lowering);
    try {
      await lowering;
      raised.lower();
    } catch (error) {
      this.#raised.set(key, raised);
      throw error;
    } finally {
      this.#lowering.delete(key);
    }
  }

  #raise(set: RankSet): Promise<Raised> {
    const key = periodKey(set);
    const raised = this.#raised.get(key);
    // A node that was halted may come back to find that the others have cleaned up after it.
    if (raised !== undefined && performance.now() - this.#renewedAt < doubtMs - 2 * renewMs)
      return Promise.resolve(raised);
    let raising = this.#raising.get(key);
    if (raising === undefined) {
      raising = this.#write(set, key).finally(() => this.#raising.delete(key));
      this.#raising.set(key, raising);
    }
    return raising;
  }

  async #write(set: RankSet, key: string): Promise<Raised> {
    await this.#lowering.get(key)?.catch(() => undefined);
    const startedAt = performance.now();
    await this.#db.execute(raiseDoubt, [this.#holder, set.board, expiryParam(set.expiry), doubtMs / 1000]);
    let lower = (): void => {};
    const lowered = new Promise<void>((resolve) => {
      lower = resolve;
    });
    const raised = { set, at: performance.now(), lowered, lower };
    if (this.#raised.size === 0) this.#renewedAt = startedAt;
    this.#raised.set(key, raised);
    this.#timer ??= setInterval(() => void this.#renew(), renewMs).unref();
    return raised;
  }

  async #renew(): Promise<void> {
    if (this.#raised.size === 0) return;
    try {
      const startedAt = performance.now();
      const rows = await this.#db.query(renewDoubts, [this.#holder, doubtMs / 1000]);
      const there = new Set(rows.map((row) => keyOf(row)));
      for (const [key, { at }] of this.#raised) if (at < startedAt && !there.has(key)) this.#raised.delete(key);
      this.#renewedAt = startedAt;
    } catch (error) {
      this.#log.warn({ err: error }, 'doubts about ranks cannot be renewed');
    }
  }

  #lookAround(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const startedAt = performance.now();
    const rows = await this.#db.query(readDoubts, [maxDoubts + 1]);
    this.#doubted = rows.length > maxDoubts ? 'all' : new Set(rows.map(keyOf));
    this.#lookedAt = startedAt;
    const stale = rows.filter(({ is_stale }) => is_stale);
    if (stale.length > 0) void this.#cleanUp(stale.map((row) => ({ holder: row.holder, set: setOf(row) })));
  }

  /** Of nodes that have died in doubt. */
  async #cleanUp(stale: readonly { holder: string; set: RankSet }[]): Promise<void> {
    try {
      for (const { holder, set } of stale) {
        await this.#index.drop(set);
        await this.#db.execute(lowerStaleDoubt, [holder, set.board, expiryParam(set.expiry)]);
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'doubts of a node that is gone cannot be cleared up yet');
    }
  }
}

const setOf = ({
  leaderboard_id,
  expiry_time,
}: {
  leaderboard_id: string;
  expiry_time: { seconds: number };
}): RankSet => ({
  board: leaderboard_id,
  expiry: expiry_time.seconds,
});

const keyOf = (row: Parameters<typeof setOf>[0]): string => periodKey(setOf(row));
