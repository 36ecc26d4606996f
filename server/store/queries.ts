import pg from 'pg';

/*
 * Two queries that `pg` does not have but its own building blocks allow. They rest on internals of pg 8 (Query.prepare,
 * Connection.parse/bind/execute, which pg-cursor uses as well); the tests of this folder fail if those change.
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

/** pg's Query with the part that its type declarations leave out. */
export interface PlainQuery extends pg.Query {
  name: string;
  readonly text: string;
  prepare(connection: WireConnection): void;
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

/**
 * A statement with BEGIN ahead of it and only one Sync after both: no round trip for BEGIN, and when it fails the
 * server skips the statement too. (Two pipelined queries would each have a Sync, and the second would then run and
 * commit on its own.) `beginStatement` must have been prepared on the connection.
 */
export class BeginningQuery extends PlainQuery {
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
