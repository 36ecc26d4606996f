import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { internal } from '../platform/errors.ts';
import type { Link, LinkResult } from './link.ts';
import { isConnectionLost, isRetryable, isStalePlan, isUnprepared, translate } from './pg-errors.ts';
import type { Pool } from './pool.ts';
import { conflictDelayMs, lossSettleMs, maxConflictTries } from './shared-clients.ts';
import { type Param, type Statement, sql } from './sql.ts';

/** Where statements can run: the database itself or a transaction. */
export interface Queryable {
  /** Rows of one statement. */
  query<Row>(statement: Statement<Row>, params?: readonly Param[]): Promise<Row[]>;
  /** Runs a statement for its effect and returns how many rows it touched. */
  execute(statement: Statement, params?: readonly Param[]): Promise<number>;
}

/** Lives as long as the function it was given to; not to be kept. */
export interface Transaction extends Queryable {
  /**
   * Calls back once the transaction is committed, in the order of registration and before `transaction` returns; never
   * when it is rolled back or its outcome is unknown. An error there is logged and changes nothing.
   */
  afterCommit(callback: () => void | Promise<void>): void;
}

const commit = sql('muster_commit', 'COMMIT', 'write');
const rollback = sql('muster_rollback', 'ROLLBACK', 'write');

/** Runs `work` between BEGIN and COMMIT. See `Database.transaction`. */
export async function runTransaction<T>(pool: Pool, log: Logger, work: (tx: Transaction) => Promise<T>): Promise<T> {
  let conflicts = 0;
  let resent = false;
  for (;;) {
    const link = await pool.acquire();
    const tx = new Attempt(link);
    const tried = await attempt(tx, work);
    // Given back before anything that may take its time, or may want a connection of its own.
    pool.release(link);
    if ('value' in tried) {
      await callBack(tx.callbacks, log);
      return tried.value;
    }
    // What the database said weighs more than what the work made of it.
    const error = tx.failure ?? tried.thrown;
    if (tx.outcomeUnknown) throw translate(error, 'commit');
    if (isRetryable(error, 'statement-read') && conflicts + 1 < maxConflictTries) {
      conflicts++;
      await sleep(conflictDelayMs(conflicts));
    } else if (!resent && tx.failure !== undefined && isConnectionLost(tx.failure)) {
      // Nothing was committed: as harmless as a conflict, and a connection that idled to death is common.
      resent = true;
      await sleep(lossSettleMs);
    } else {
      throw tried.thrown === tx.failure ? translate(error, 'statement-read') : tried.thrown;
    }
  }
}

async function attempt<T>(
  tx: Attempt,
  work: (tx: Transaction) => Promise<T>,
): Promise<{ readonly value: T } | { readonly thrown: unknown }> {
  try {
    const value = await work(tx);
    await tx.commit();
    return { value };
  } catch (thrown) {
    await tx.rollback();
    return { thrown };
  }
}

async function callBack(callbacks: readonly (() => void | Promise<void>)[], log: Logger): Promise<void> {
  for (const callback of callbacks) {
    try {
      await callback();
    } catch (error) {
      log.error({ err: error }, 'after-commit callback failed');
    }
  }
}

/** One try of a transaction. BEGIN goes out with the first statement; without one there is nothing to commit. */
class Attempt implements Transaction {
  readonly callbacks: (() => void | Promise<void>)[] = [];
  readonly #link: Link;
  #begun = false;
  #ended = false;
  #failure: Error | undefined;
  #outcomeUnknown = false;

  constructor(link: Link) {
    this.#link = link;
  }

  /** The first error that the database answered with, or the loss of the connection: nothing of this try will stay. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** COMMIT was sent and not answered. */
  get outcomeUnknown(): boolean {
    return this.#outcomeUnknown;
  }

  async query<Row>(statement: Statement<Row>, params: readonly Param[] = []): Promise<Row[]> {
    const { rows } = await this.#run(statement, params);
    return rows as Row[];
  }

  async execute(statement: Statement, params: readonly Param[] = []): Promise<number> {
    const { rowCount } = await this.#run(statement, params);
    return rowCount ?? 0;
  }

  afterCommit(callback: () => void | Promise<void>): void {
    if (this.#ended) throw internal('The transaction has ended.');
    this.callbacks.push(callback);
  }

  async #run(statement: Statement, params: readonly Param[]): Promise<LinkResult> {
    if (this.#ended) throw internal('The transaction has ended.');
    const begin = !this.#begun;
    this.#begun = true;
    try {
      return await this.#send(statement, params, begin);
    } catch (error) {
      this.#failure ??= error as Error;
      // Before COMMIT nothing lasts, whatever the statement: hence the phase of a read.
      throw translate(error, 'statement-read');
    }
  }

  #send(statement: Statement, params: readonly Param[], begin = false): Promise<LinkResult> {
    return new Promise((resolve, reject) => {
      if (!this.#link.usable) {
        reject(new Error('Connection terminated', { cause: this.#link.lostBy }));
        return;
      }
      this.#link.send(
        statement,
        params,
        (error, result) => {
          if (error === undefined && result !== undefined) resolve(result);
          else reject(error);
        },
        begin,
      );
    });
  }

  async commit(): Promise<void> {
    this.#ended = true;
    if (!this.#begun) return;
    // The work may have swallowed the error, but the database has not.
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#link.usable) {
      this.#failure = new Error('Connection terminated', { cause: this.#link.lostBy });
      throw this.#failure;
    }
    let result: LinkResult;
    try {
      result = await this.#send(commit, []);
    } catch (error) {
      this.#failure ??= error as Error;
      this.#outcomeUnknown = translate(error, 'commit').retry === 'unknown';
      throw this.#failure;
    }
    // A statement that nobody waited for failed ahead of COMMIT, which then rolls back.
    if (result.command !== 'COMMIT') throw this.#failure ?? internal('The transaction was rolled back.');
  }

  /** Never throws: what is in doubt is closed. */
  async rollback(): Promise<void> {
    this.#ended = true;
    if (isStalePlan(this.#failure) || isUnprepared(this.#failure)) {
      this.#link.destroy(new Error('Connection terminated: its prepared statements are out of date'));
    }
    // The status of the session tells nothing here: pg reports an error before it has read the status that follows.
    if (!this.#begun || !this.#link.usable) return;
    try {
      await this.#send(rollback, []);
    } catch (error) {
      this.#link.destroy(error instanceof Error ? error : new Error('Connection terminated'));
    }
  }
}
