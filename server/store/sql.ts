/** What a statement may be given; times go through `instantParam`, JSON as its text. */
export type Param = string | number | bigint | boolean | Uint8Array | null | readonly Param[];

declare const rowType: unique symbol;

/** A named SQL text. `Row` exists for the compiler only: the shape of one result row. */
export interface Statement<Row = unknown> {
  /** Names the prepared statement on every connection: unique over the whole server. */
  readonly name: string;
  readonly text: string;
  /** A `read` may be sent again after a lost connection; a `write` may not, its effect is unknown. */
  readonly kind: 'read' | 'write';
  readonly [rowType]?: Row;
}

/**
 * Declares a statement. The text is constant; values only ever travel as parameters ($1, $2 ...).
 *
 * @param name unique over the server, e.g. `users_by_id`
 * @param kind `read` only if running it twice is the same as running it once
 */
export function sql<Row = never>(name: string, text: string, kind: 'read' | 'write'): Statement<Row> {
  if (!namePattern.test(name)) throw new Error(`Bad statement name "${name}"`);
  return { name, text, kind };
}

/** PostgreSQL truncates identifiers at 63 bytes, and two names that agree so far would collide. */
const namePattern = /^[a-z][a-z0-9_.-]{0,62}$/;
