import type { Logger } from 'pino';
import { ConnectGate } from './connect-gate.ts';
import { connectionConfig } from './connection-config.ts';
import { Link } from './link.ts';
import { ConnectionUnavailable, translate } from './pg-errors.ts';
import { Pool, type WaitStats } from './pool.ts';
import { SharedClients } from './shared-clients.ts';
import { type Param, type Statement, sql } from './sql.ts';
import { type Queryable, runTransaction, type Transaction } from './transaction.ts';

export interface DatabaseOptions {
  /** `postgresql://user:password@host:port/name`; `sslmode` and `options` are respected. */
  readonly url: string;
  /** Connections for transactions and streams. Default 10. */
  readonly poolSize?: number | undefined;
  /** Connections that single statements share. Default 4. */
  readonly sharedClients?: number | undefined;
  /** Longest run of one statement in the database. Default 5000. */
  readonly statementTimeoutMs?: number | undefined;
  /** Longest wait for a connection. Default 2000. */
  readonly acquireTimeoutMs?: number | undefined;
  /** Longest attempt to connect. Default 2000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Age at which a connection is replaced, 0 for never. Default one hour. */
  readonly maxLifetimeMs?: number | undefined;
  /** Most single statements pending, and most transactions waiting, at a time. Default 20000. */
  readonly maxPending?: number | undefined;
  /** As shown in pg_stat_activity. Default `muster`. */
  readonly applicationName?: string | undefined;
}

export interface DatabaseStats {
  /** Most connections there can be. */
  readonly max: number;
  /** Open connections. */
  readonly total: number;
  readonly inUse: number;
  readonly idle: number;
  /** Calls that wait for a connection now. */
  readonly waiting: number;
  /** Single statements sent and not answered. */
  readonly inFlight: number;
  /** Calls that ever had to wait for a connection, and for how long together. */
  readonly waitCount: number;
  readonly waitTimeNanos: number;
}

const pingStatement = sql<{ one: number }>('muster_ping', 'SELECT 1 AS one', 'read');

/** What a statement may take beyond its own timeout before its connection is taken for dead. */
const answerGraceMs = 1_000;

/** How often connections are looked at for overdue answers. */
const sweepMs = 250;

/** A stream whose next batch, or whose consumer, takes longer than this is cut off. */
const streamBatchMs = 60_000;

/**
 * PostgreSQL or CockroachDB. Connects when first used, and again by itself after a loss; until then calls wait
 * `acquireTimeoutMs` and fail as UNAVAILABLE. All errors are AppErrors with the database's own as `cause`; their
 * `retry` says whether the effect may have happened.
 */
export class Database implements Queryable {
  readonly #options: Required<DatabaseOptions>;
  readonly #log: Logger;
  readonly #gate: ConnectGate;
  readonly #shared: SharedClients;
  readonly #pool: Pool;
  readonly #wait: WaitStats = { waitCount: 0, waitNanos: 0 };
  readonly #sweeper: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  constructor(options: DatabaseOptions, log: Logger) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.#options = { ...defaults, url: options.url, ...given };
    this.#log = log;
    this.#gate = new ConnectGate({
      onDown: (error) => log.warn({ err: error }, 'database unreachable'),
      onUp: (failures) => log.info({ failures }, 'database reachable again'),
    });
    const { statementTimeoutMs, acquireTimeoutMs, maxLifetimeMs, maxPending } = this.#options;
    const answerTimeoutMs = statementTimeoutMs + answerGraceMs;
    const config = connectionConfig({
      ...this.#options,
      idleTransactionMs,
    });
    this.#shared = new SharedClients(
      {
        clients: this.#options.sharedClients,
        acquireTimeoutMs,
        callTimeoutMs: answerTimeoutMs,
        maxPending,
        maxLifetimeMs,
      },
      this.#gate,
      () => Link.open({ config, answerTimeoutMs, transactional: false }),
      this.#wait,
    );
    this.#pool = new Pool(
      { size: this.#options.poolSize, acquireTimeoutMs, maxWaiting: maxPending, maxLifetimeMs },
      this.#gate,
      () => Link.open({ config, answerTimeoutMs, transactional: true }),
      this.#wait,
    );
    this.#sweeper = setInterval(() => {
      const now = performance.now();
      this.#shared.sweep(now);
      this.#pool.sweep(now);
    }, sweepMs);
    this.#sweeper.unref();
  }

  /**
   * Runs a single statement by itself and returns its rows. Conflicts (SQLSTATE class 40) are retried; a `read` is sent
   * once more when its connection is lost, a `write` then fails with retry `unknown`.
   */
  async query<Row>(statement: Statement<Row>, params: readonly Param[] = []): Promise<Row[]> {
    const { rows } = await this.#shared.run(statement, params);
    return rows as Row[];
  }

  /** Like `query`, for the effect; returns how many rows were touched. */
  async execute(statement: Statement, params: readonly Param[] = []): Promise<number> {
    const { rowCount } = await this.#shared.run(statement, params);
    return rowCount ?? 0;
  }

  /**
   * Runs `work` in a transaction: commits when it returns, rolls back when it throws, and runs it again from the start
   * (up to five times) on conflicts, so it must have no effect outside `tx` but through `tx.afterCommit`. An error
   * with retry `unknown` means that COMMIT was sent and the connection lost. Do not nest: `work` that waits for another
   * transaction holds one connection while it waits for a second.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return runTransaction(this.#pool, this.#log, work);
  }

  /**
   * Reads what may be too large for memory, in batches from one snapshot, without the statement timeout. Ending the
   * loop early releases everything. Holds a connection of the pool meanwhile.
   */
  async *stream<Row>(
    statement: Statement<Row>,
    params: readonly Param[] = [],
    batchSize = 500,
  ): AsyncGenerator<Row[], void, void> {
    const link = await this.#pool.acquire();
    try {
      for await (const rows of link.cursor(statement, params, batchSize, streamBatchMs)) yield rows as Row[];
    } catch (error) {
      throw translate(error, 'statement-read');
    } finally {
      this.#pool.release(link);
    }
  }

  /** Resolves if the database answers within `deadlineMs`; fails as UNAVAILABLE otherwise. */
  async ping(deadlineMs = this.#options.acquireTimeoutMs): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(translate(new ConnectionUnavailable(`No answer within ${deadlineMs} ms`), 'statement-read'));
      }, deadlineMs);
    });
    try {
      await Promise.race([this.query(pingStatement), tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  stats(): DatabaseStats {
    const total = this.#shared.total + this.#pool.total;
    const inUse = this.#shared.busy + this.#pool.total - this.#pool.idle;
    return {
      max: this.#options.sharedClients + this.#options.poolSize,
      total,
      inUse,
      idle: total - inUse,
      waiting: this.#shared.waiting + this.#pool.waiting,
      inFlight: this.#shared.inFlight,
      waitCount: this.#wait.waitCount,
      waitTimeNanos: this.#wait.waitNanos,
    };
  }

  /** Refuses new work as UNAVAILABLE, lets running work finish until the deadline, and closes all connections. */
  close(deadlineMs = this.#options.statementTimeoutMs): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#gate.close();
    await Promise.all([this.#shared.close(deadlineMs), this.#pool.close(deadlineMs)]);
    clearInterval(this.#sweeper);
  }
}

const defaults = {
  poolSize: 10,
  sharedClients: 4,
  statementTimeoutMs: 5_000,
  acquireTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
  maxLifetimeMs: 3_600_000,
  maxPending: 20_000,
  applicationName: 'muster',
} as const;

/**
 * A node that hangs in the middle of a transaction keeps its locks, for which others wait, no longer than this. What
 * transactions do between their statements takes no time to speak of.
 */
const idleTransactionMs = 1_500;
