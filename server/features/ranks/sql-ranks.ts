import { resourceExhausted } from '../../platform/errors.ts';
import { Semaphore } from '../../platform/semaphore.ts';
import type { Database } from '../../store/database.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { orderKey, periodKey, pick, type RankPeriod } from './period.ts';
import {
  countRecords,
  expiryParam,
  ownerAtAscending,
  ownerAtDescending,
  ranksAscending,
  ranksDescending,
} from './queries.ts';

export interface SqlRanksLimits {
  /** Counts under way at a time, over all periods. */
  readonly concurrent: number;
  /** Counts that may wait for their turn. */
  readonly waiting: number;
  /** Owners that are looked up by one statement. */
  readonly batchOwners: number;
  /** Owners of one period that may wait for a statement. */
  readonly waitingOwners: number;
  /** Periods of which is remembered that counting takes long. */
  readonly remembered: number;
}

export const sqlRanksLimits: SqlRanksLimits = {
  concurrent: 8,
  waiting: 10_000,
  batchOwners: 1000,
  waitingOwners: 20_000,
  remembered: 1000,
};

/** A count that took longer holds up nobody the next time: it gets a connection of its own. */
const slowMs = 10;

/**
 * Ranks as the table tells them. A rank is a count of what comes before, which takes PostgreSQL about 60 ms for a million
 * records. So there is one count of a period under way at a time, and whoever comes meanwhile shares the next: however
 * many ask, the database counts no more than one connection can. What is answered was counted after it was asked.
 */
export class SqlRanks {
  readonly #db: Database;
  readonly #limits: SqlRanksLimits;
  readonly #turns: Semaphore;
  readonly #owners = new Map<string, OwnersAsked>();
  readonly #counts = new Map<string, Shared<bigint>>();
  readonly #slow = new Set<string>();

  constructor(db: Database, limits: Partial<SqlRanksLimits> = {}) {
    this.#db = db;
    this.#limits = { ...sqlRanksLimits, ...limits };
    this.#turns = new Semaphore(this.#limits.concurrent, this.#limits.waiting, 'Too many ask for ranks.');
  }

  /** Ranks of those of the owners that have a record. */
  async of(period: RankPeriod, owners: readonly string[]): Promise<Map<string, bigint>> {
    if (owners.length === 0) return new Map();
    const key = orderKey(period);
    let asked = this.#owners.get(key);
    if (asked === undefined) {
      asked = new OwnersAsked(
        (batch) => this.#ranksOf(period, batch),
        this.#limits,
        () => this.#owners.delete(key),
      );
      this.#owners.set(key, asked);
    }
    return asked.ask(owners);
  }

  count(period: RankPeriod): Promise<bigint> {
    const key = periodKey(period);
    let shared = this.#counts.get(key);
    if (shared === undefined) {
      shared = new Shared(
        async () => (await this.#read(period, countRecords, []))[0]?.count ?? 0n,
        () => this.#counts.delete(key),
      );
      this.#counts.set(key, shared);
    }
    return shared.ask();
  }

  /** The owner at a rank, from 1; null beyond the end. */
  async at(period: RankPeriod, rank: bigint): Promise<string | null> {
    if (rank < 1n) return null;
    const statement = period.descending ? ownerAtDescending : ownerAtAscending;
    const [row] = await this.#read(period, statement, [rank - 1n]);
    return row?.owner_id ?? null;
  }

  async #ranksOf(period: RankPeriod, owners: readonly string[]): Promise<Map<string, bigint>> {
    const statement = period.descending ? ranksDescending : ranksAscending;
    const rows = await this.#read(period, statement, [owners]);
    return new Map(rows.map(({ owner_id, rank }) => [owner_id, rank]));
  }

  #read<Row>(period: RankPeriod, statement: Statement<Row>, more: readonly Param[]): Promise<Row[]> {
    const params = [period.board, expiryParam(period.expiry), ...more];
    return this.#turns.run(async () => {
      const key = periodKey(period);
      const isSlow = this.#slow.delete(key);
      const startedAt = performance.now();
      // Statements on a shared connection wait for those before them; in a transaction it is nobody else's.
      const rows = isSlow
        ? await this.#db.transaction((tx) => tx.query(statement, params))
        : await this.#db.query(statement, params);
      if (performance.now() - startedAt > slowMs) this.#remember(key);
      return rows;
    });
  }

  #remember(key: string): void {
    this.#slow.add(key);
    for (const oldest of this.#slow) {
      if (this.#slow.size <= this.#limits.remembered) break;
      this.#slow.delete(oldest);
    }
  }
}

/** Work whose result all get who asked before it began. */
class Shared<T> {
  readonly #work: () => Promise<T>;
  readonly #ended: () => void;
  #running = false;
  #next: Promise<T> | undefined;
  #start: (() => void) | undefined;

  /** @param ended called when nobody wants anything any more. */
  constructor(work: () => Promise<T>, ended: () => void) {
    this.#work = work;
    this.#ended = ended;
  }

  ask(): Promise<T> {
    if (this.#next !== undefined) return this.#next;
    if (!this.#running) return this.#run();
    let start: (value: Promise<T>) => void = () => {};
    this.#next = new Promise<T>((resolve) => {
      start = resolve;
    });
    this.#start = () => start(this.#run());
    return this.#next;
  }

  async #run(): Promise<T> {
    this.#running = true;
    this.#next = undefined;
    this.#start = undefined;
    try {
      return await this.#work();
    } finally {
      this.#running = false;
      const start = this.#start as (() => void) | undefined;
      if (start === undefined) this.#ended();
      else start();
    }
  }
}

interface Asker {
  readonly owners: readonly string[];
  readonly resolve: (ranks: Map<string, bigint>) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers owners whose ranks are asked for while a statement is under way. */
class OwnersAsked {
  readonly #ranksOf: (owners: readonly string[]) => Promise<Map<string, bigint>>;
  readonly #limits: SqlRanksLimits;
  readonly #ended: () => void;
  #askers: Asker[] = [];
  #waiting = 0;
  #running = false;

  constructor(
    ranksOf: (owners: readonly string[]) => Promise<Map<string, bigint>>,
    limits: SqlRanksLimits,
    ended: () => void,
  ) {
    this.#ranksOf = ranksOf;
    this.#limits = limits;
    this.#ended = ended;
  }

  ask(owners: readonly string[]): Promise<Map<string, bigint>> {
    // One caller may ask for more than may wait, if nobody else does.
    if (this.#waiting > 0 && this.#waiting + owners.length > this.#limits.waitingOwners) {
      throw resourceExhausted('Too many ask for ranks.');
    }
    this.#waiting += owners.length;
    return new Promise((resolve, reject) => {
      this.#askers.push({ owners, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#askers.length > 0) {
      const askers = this.#askers;
      this.#askers = [];
      this.#waiting = 0;
      const owners = [...new Set(askers.flatMap((asker) => asker.owners))];
      try {
        const ranks = await this.#lookUp(owners);
        for (const asker of askers) asker.resolve(pick(ranks, asker.owners));
      } catch (error) {
        for (const asker of askers) asker.reject(error);
      }
    }
    this.#running = false;
    this.#ended();
  }

  async #lookUp(owners: readonly string[]): Promise<Map<string, bigint>> {
    const { batchOwners } = this.#limits;
    if (owners.length <= batchOwners) return this.#ranksOf(owners);
    const ranks = new Map<string, bigint>();
    for (let start = 0; start < owners.length; start += batchOwners) {
      const part = await this.#ranksOf(owners.slice(start, start + batchOwners));
      for (const [owner, rank] of part) ranks.set(owner, rank);
    }
    return ranks;
  }
}
