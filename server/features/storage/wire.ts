import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { ObjectRow } from './queries.ts';

/** Reads show whole seconds, acks show all (spec: sections 1.4 and 1.5). */
export function toObject(row: ObjectRow): Init<nakama.api.StorageObject> {
  return {
    collection: row.collection,
    key: row.key,
    user_id: row.user_id,
    value: row.value,
    version: row.version,
    permission_read: row.read,
    permission_write: row.write,
    create_time: truncateToSeconds(row.create_time),
    update_time: truncateToSeconds(row.update_time),
  };
}
