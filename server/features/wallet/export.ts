import type { Database } from '../../store/database.ts';
import { formatTimestamp } from '../../wire/json-scalars.ts';
import { ledgerOfUser } from './queries.ts';

/** A user's ledger, oldest first, as it goes into the export document. */
export async function* exportLedger(db: Database, userId: string): AsyncGenerator<string> {
  for await (const rows of db.stream(ledgerOfUser, [userId])) {
    for (const { create_time, update_time, ...row } of rows) {
      yield JSON.stringify({
        ...row,
        create_time: formatTimestamp(create_time),
        update_time: formatTimestamp(update_time),
      });
    }
  }
}
