import type { Database } from '../store/database.ts';
import type { Statement } from '../store/sql.ts';
import { encodeJson } from '../wire/json-encode.ts';
import { type AnyMessage, messageType } from '../wire/types.ts';

/** The items of an export list whose rows a statement finds by the user's id ($1), as messages of that type. */
export async function* exportRows<Row>(
  db: Database,
  statement: Statement<Row>,
  userId: string,
  type: string,
  toMessage: (row: Row) => object,
): AsyncGenerator<string> {
  for await (const rows of db.stream(statement, [userId])) {
    for (const row of rows) yield exportItem(type, toMessage(row));
  }
}

/** One item as the API shows it. */
export function exportItem(type: string, message: object): string {
  return encodeJson(messageType(type), message as AnyMessage);
}
