import { nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { sql } from '../../store/sql.ts';
import { exportRows } from '../export-items.ts';
import type { UserData } from '../feature.ts';
import { channelOfStream } from './channel-id.ts';
import type { MessageRow } from './queries.ts';
import { toMessage } from './wire.ts';

interface ExportRow extends MessageRow {
  stream_mode: number;
  stream_subject: string;
  stream_descriptor: string;
  stream_label: string;
}

const messagesOfUser = sql<ExportRow>(
  'chat_messages_of_user',
  `SELECT id, code, sender_id, username, content, create_time, update_time, stream_mode, stream_subject,
     stream_descriptor, stream_label
   FROM message WHERE sender_id = $1 ORDER BY id`,
  'read',
);

// What the user wrote goes with the user. Of direct messages the other one's go, too: who they were with is part of them.
const forgetDirectMessages = sql<never>(
  'chat_forget_direct_messages',
  `WITH heads AS (
     DELETE FROM muster_channel_head WHERE stream_mode = 4 AND (stream_subject = $1 OR stream_descriptor = $1)
   )
   DELETE FROM message WHERE stream_mode = 4 AND (stream_subject = $1 OR stream_descriptor = $1)`,
  'write',
);

/** What chat keeps of a user: the messages it wrote, and its conversations. */
export function chatUserData(db: Database): UserData {
  return {
    async erase(tx, userId) {
      await tx.execute(forgetDirectMessages, [userId]);
    },
    lists: [
      {
        key: 'messages',
        items: (userId) => exportRows(db, messagesOfUser, userId, 'nakama.api.ChannelMessage', toExported),
      },
    ],
  };
}

function toExported(row: ExportRow): object {
  const named = (id: string): string => (id === nilUuid ? '' : id);
  const stream = {
    mode: row.stream_mode,
    subject: named(row.stream_subject),
    subcontext: named(row.stream_descriptor),
    label: row.stream_label,
  };
  return toMessage(channelOfStream(stream), row);
}
