import pg from 'pg';
import Cursor from 'pg-cursor';
import { isConnectionLost, StatementTimeout, sqlState } from './pg-errors.ts';
import {
  BeginningQuery,
  beginStatement,
  Descriptions,
  NamedQuery,
  PreparingQuery,
  type QueryCallback,
} from './queries.ts';
import type { Param, Statement } from './sql.ts';

export interface LinkResult {
  readonly rows: unknown[];
  readonly rowCount: number | null;
  /** First word of the command tag, e.g. `SELECT`, `COMMIT`. */
  readonly command: string;
}

export type LinkCallback = (error: Error | undefined, result: LinkResult | undefined) => void;

interface Flight {
  readonly sentAt: number;
  readonly done: LinkCallback;
}

export interface LinkOptions {
  readonly config: pg.ClientConfig;
  /** A statement unanswered for so long costs the connection: no other way is left to get it off the wire. */
  readonly answerTimeoutMs: number;
  /** For transactions: BEGIN is prepared, for `send` with `begin`, and nothing waits for company on its way out. */
  readonly transactional: boolean;
}

/**
 * One connection. Statements are pipelined: sent at once, answered in order. Every callback of `send` is called exactly
 * once, with the bare error of `pg`.
 */
export class Link {
  readonly openedAt = performance.now();
  /** Resolves once the socket is closed, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #client: pg.Client;
  readonly #answerTimeoutMs: number;
  readonly #descriptions: Descriptions;
  readonly #schedule: (flush: () => void) => void;
  readonly #flights = new Set<Flight>();
  /** By statement name: why it could not be prepared. */
  readonly #preparing = new Map<string, Error>();
  #usable = true;
  #corked = false;
  #ending: Promise<void> | undefined;
  #lostBy: Error | undefined;

  private constructor(client: pg.Client, { answerTimeoutMs, transactional }: LinkOptions) {
    this.#client = client;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#descriptions = new Descriptions(client.connection);
    this.#schedule = transactional ? process.nextTick : setImmediate;
    this.closed = new Promise((resolve) => {
      client.on('end', () => {
        this.#usable = false;
        resolve();
      });
    });
    client.on('error', (error: Error) => {
      this.#usable = false;
      this.#lostBy ??= error;
      // pg leaves the socket of a failed session open until the peer closes it.
      client.connection.stream.destroy();
    });
  }

  /** @throws the bare error of `pg` or of the socket */
  static async open(options: LinkOptions): Promise<Link> {
    const client = new pg.Client({ ...options.config, pipeline: true });
    const link = new Link(client, options);
    const timer = setTimeout(() => {
      link.destroy(new Error('Connection terminated: connecting took too long'));
    }, options.answerTimeoutMs);
    try {
      await client.connect();
      if (options.transactional) await prepareBegin(client);
    } catch (error) {
      client.connection.stream.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return link;
  }

  /** May statements be sent? */
  get usable(): boolean {
    return this.#usable;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  /** Why the connection broke, if it broke. */
  get lostBy(): Error | undefined {
    return this.#lostBy;
  }

  /** For how long the oldest statement has been unanswered, in milliseconds. */
  stalledFor(now: number): number {
    for (const flight of this.#flights) return now - flight.sentAt;
    return 0;
  }

  /**
   * Sends a statement. With `begin`, a BEGIN goes ahead of it in the same batch, so that the statement is skipped by
   * the server should BEGIN fail: it can never run outside the transaction.
   */
  send(statement: Statement, params: readonly Param[], done: LinkCallback, begin = false): void {
    const flight: Flight = { sentAt: performance.now(), done };
    this.#flights.add(flight);
    const callback: QueryCallback = (error, result) => {
      // pg may call twice, and the sweep may have answered already.
      if (!this.#flights.delete(flight)) return;
      if (!error) {
        if (this.#preparing.size > 0) this.#preparing.delete(statement.name);
        done(undefined, result);
      } else done(this.#explain(statement, error), undefined);
    };
    const query = new (begin ? BeginningQuery : NamedQuery)(statement.text, params, callback, this.#descriptions);
    // Named afterwards: given as an object, pg copies it property by property.
    query.name = statement.name;
    this.#cork();
    this.#client.query(query);
  }

  /**
   * What is sent in one turn of the event loop leaves in one system call, which is half of the cost of a statement. In
   * transactions, what is sent by one callback.
   */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    const { stream } = this.#client.connection;
    stream.cork();
    this.#schedule(() => {
      this.#corked = false;
      stream.uncork();
    });
  }

  /**
   * Gives up on a connection whose oldest statement is overdue: that one fails with StatementTimeout, those behind it
   * as on any lost connection.
   */
  sweep(now: number): void {
    let overdue = false;
    for (const flight of this.#flights) {
      if (now - flight.sentAt < this.#answerTimeoutMs) break;
      overdue = true;
      this.#flights.delete(flight);
      flight.done(new StatementTimeout(`No answer from the database within ${this.#answerTimeoutMs} ms`), undefined);
    }
    if (overdue) this.destroy(new Error('Connection terminated: a statement before this one was not answered'));
  }

  /**
   * Reads a statement in batches through a portal, inside a read-only transaction of its own. The link must be idle and
   * is idle again when the iteration is over; when it ends early or badly the caller should look at `usable`.
   */
  async *cursor(statement: Statement, params: readonly Param[], batchSize: number, batchTimeoutMs: number) {
    // A portal outlives its statement, and the statements behind it on a pipelined connection would be answered from
    // it. So this one goes step by step; the flag is read at each query.
    const client = this.#client as pg.Client & { pipeline: boolean };
    client.pipeline = false;
    const within = async <T>(work: T): Promise<Awaited<T>> => {
      const timer = setTimeout(
        () => this.destroy(new StatementTimeout('No batch from the cursor in time')),
        batchTimeoutMs,
      );
      try {
        return await work;
      } finally {
        clearTimeout(timer);
      }
    };
    let cursor: Cursor<unknown> | undefined;
    let clean = false;
    try {
      // The statement timeout would count from the opening of the portal to its end, with all pauses of the consumer.
      await within(client.query(beginCursor));
      cursor = client.query(new Cursor<unknown>(statement.text, params as unknown[]));
      for (;;) {
        const rows = await within(cursor.read(batchSize));
        if (rows.length > 0) {
          const idle = setTimeout(
            () => this.destroy(new StatementTimeout('A stream was left standing')),
            batchTimeoutMs,
          );
          // Here the consumer may leave.
          clean = true;
          try {
            yield rows;
          } finally {
            clearTimeout(idle);
          }
          clean = false;
        }
        if (rows.length < batchSize) break;
      }
      clean = true;
    } finally {
      if (clean && this.#usable) {
        await within(cursor?.close());
        await within(client.query('COMMIT'));
        client.pipeline = true;
      } else {
        this.destroy(new Error('Connection terminated: a cursor was left in an unknown state'));
      }
    }
  }

  /** Is the session outside any transaction? True to fact only after a statement that succeeded. */
  get settled(): boolean {
    return this.#flights.size === 0 && this.#client.getTransactionStatus() === 'I';
  }

  /** Closes at once; what is in flight fails with `reason`. */
  destroy(reason: Error): void {
    this.#usable = false;
    this.#lostBy ??= reason;
    this.#client.connection.stream.destroy(reason);
  }

  /** Says goodbye after what is in flight has been answered, or `deadlineMs` has passed. */
  end(deadlineMs: number): Promise<void> {
    this.#ending ??= this.#end(deadlineMs);
    return this.#ending;
  }

  async #end(deadlineMs: number): Promise<void> {
    this.#usable = false;
    const timer = setTimeout(() => this.destroy(new Error('Connection terminated: closing took too long')), deadlineMs);
    try {
      await Promise.race([this.#client.end(), this.closed]);
      await this.closed;
    } finally {
      clearTimeout(timer);
    }
  }

  #explain(statement: Statement, error: Error): Error {
    const { parsedStatements } = this.#client.connection as pg.Connection & {
      parsedStatements: Record<string, string>;
    };
    const { name } = statement;
    if (sqlState(error) === '26000') {
      // Either the statement ahead in the pipeline that was to prepare it failed, and then with the error that this one
      // would have met; or the session lost it, and forgetting makes the next try prepare it.
      const cause = this.#preparing.get(name);
      if (cause !== undefined) return cause;
      delete parsedStatements[name];
      this.#descriptions.forget(name);
    } else if (sqlState(error) !== undefined && parsedStatements[name] === undefined) {
      this.#preparing.set(name, error);
    }
    // Sockets die with all kinds of errors; once we know that it is dead, they all mean the same.
    if (this.#usable || sqlState(error) !== undefined || isConnectionLost(error)) return error;
    return new Error('Connection terminated', { cause: error });
  }
}

const beginCursor =
  'BEGIN READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0';

function prepareBegin(client: pg.Client): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new PreparingQuery(beginStatement.text, [], (error) => (error ? reject(error) : resolve()));
    query.name = beginStatement.name;
    client.query(query);
  });
}
