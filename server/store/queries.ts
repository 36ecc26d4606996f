import pg from 'pg';

/*
 * Queries that `pg` does not have but its own building blocks allow. They rest on internals of pg 8 (Query.prepare,
 * Connection.parse/bind/execute, which pg-cursor uses as well, and Result); the tests of this folder fail if those change.
 */

export type QueryCallback = (error: Error | null | undefined, result: pg.QueryResult) => void;

interface WireConnection {
  readonly stream: { cork?(): void; uncork?(): void };
  parse(message: { name: string; text: string; types?: number[] }): void;
  bind(message: { portal: string; statement: string; values: unknown[] }): void;
  execute(message: { portal: string; rows: number }): void;
  sync(): void;
}

interface CommandComplete {
  readonly text: string;
}

/** What of pg's Result tells how rows are read. */
interface RowReader {
  fields: readonly unknown[];
  _parsers: readonly unknown[] | undefined;
  _prebuiltEmptyResultObject: object | null;
}

/** pg's Query with the part that its type declarations leave out. */
export interface PlainQuery extends pg.Query {
  name: string;
  readonly text: string;
  readonly _result: RowReader;
  _accumulateRows: boolean;
  hasBeenParsed(connection: WireConnection): boolean;
  prepare(connection: WireConnection): void;
  handleRowDescription(message: unknown): void;
  handleCommandComplete(message: CommandComplete, connection: WireConnection): void;
}

export const PlainQuery = pg.Query as unknown as new (
  text: string,
  values: readonly unknown[],
  callback: QueryCallback,
) => PlainQuery;

export const beginStatement = { name: 'muster_begin', text: 'BEGIN' } as const;

/** Prepares a statement without running it. */
export class PreparingQuery extends PlainQuery {
  override prepare(connection: WireConnection): void {
    connection.parse({ name: this.name, text: this.text });
    connection.sync();
  }
}

/** What one connection knows of the statements that it has prepared. */
export class Descriptions {
  /** How the rows of a statement are read, by its name. */
  readonly #rows = new Map<string, RowReader>();
  /** The connection, but that it does not ask for a description. */
  readonly undescribed: WireConnection;

  constructor(connection: unknown) {
    this.undescribed = Object.create(connection as object, { describe: { value: () => {} } }) as WireConnection;
  }

  get(name: string): RowReader | undefined {
    return this.#rows.get(name);
  }

  learn(name: string, { fields, _parsers, _prebuiltEmptyResultObject }: RowReader): void {
    this.#rows.set(name, { fields, _parsers, _prebuiltEmptyResultObject });
  }

  forget(name: string): void {
    this.#rows.delete(name);
  }
}

/**
 * A named statement. The database describes its rows only once on a connection, and not with each answer: reading that
 * was a third of what it costs to get an account. They cannot change: PostgreSQL then fails the statement (isStalePlan).
 */
export class NamedQuery extends PlainQuery {
  readonly #known: Descriptions;
  #isLearned = false;

  constructor(text: string, values: readonly unknown[], callback: QueryCallback, known: Descriptions) {
    super(text, values, callback);
    this.#known = known;
  }

  override prepare(connection: WireConnection): void {
    const rows = this.hasBeenParsed(connection) ? this.#known.get(this.name) : undefined;
    if (rows === undefined) {
      super.prepare(connection);
      return;
    }
    this.#isLearned = true;
    Object.assign(this._result, rows);
    this._accumulateRows = true;
    super.prepare(this.#known.undescribed);
  }

  override handleRowDescription(message: unknown): void {
    super.handleRowDescription(message);
    this.#learn();
  }

  override handleCommandComplete(message: CommandComplete, connection: WireConnection): void {
    // One that has no rows is described by nothing.
    if (!this.#isLearned) this.#learn();
    super.handleCommandComplete(message, connection);
  }

  #learn(): void {
    this.#isLearned = true;
    this.#known.learn(this.name, this._result);
  }
}

/**
 * A statement with BEGIN ahead of it and only one Sync after both: no round trip for BEGIN, and when it fails the
 * server skips the statement too. (Two pipelined queries would each have a Sync, and the second would then run and
 * commit on its own.) `beginStatement` must have been prepared on the connection.
 */
export class BeginningQuery extends NamedQuery {
  #begun = false;

  override prepare(connection: WireConnection): void {
    connection.bind({ portal: '', statement: beginStatement.name, values: [] });
    connection.execute({ portal: '', rows: 0 });
    super.prepare(connection);
  }

  override handleCommandComplete(message: CommandComplete, connection: WireConnection): void {
    if (!this.#begun) {
      this.#begun = true;
      return;
    }
    super.handleCommandComplete(message, connection);
  }
}
