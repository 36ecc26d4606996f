import { sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';

// $1 to $4 name the channel: mode, subject, descriptor (the stream's subcontext) and label.

export interface MessageRow {
  id: string;
  code: number;
  sender_id: string;
  username: string;
  content: string;
  create_time: Instant;
  update_time: Instant;
}

// Rows get times one microsecond apart, all after the channel's newest message, so that history has the order in which
// the messages were sent. $5 to $9: ids, codes, senders, usernames, contents.
export const insertMessages = sql<{ id: string; create_time: Instant }>(
  'chat_insert_messages',
  `INSERT INTO message (id, code, sender_id, username, stream_mode, stream_subject, stream_descriptor, stream_label,
     content, create_time, update_time)
   SELECT n.id, n.code, n.sender_id, n.username, $1::smallint, $2::uuid, $3::uuid, $4::text, n.content,
     base.start + n.position * INTERVAL '1 microsecond', base.start + n.position * INTERVAL '1 microsecond'
   FROM unnest($5::uuid[], $6::smallint[], $7::uuid[], $8::text[], $9::jsonb[])
       WITH ORDINALITY AS n (id, code, sender_id, username, content, position),
     (SELECT GREATEST(clock_timestamp(), (
         SELECT m.create_time FROM message m
         WHERE m.stream_mode = $1::smallint AND m.stream_subject = $2::uuid AND m.stream_descriptor = $3::uuid
           AND m.stream_label = $4::text
         ORDER BY m.create_time DESC LIMIT 1)) AS start) AS base
   RETURNING id, create_time`,
  'write',
);

export interface ChangedRow {
  create_time: Instant;
  update_time: Instant;
}

// $5 message, $6 sender, $7 username, $8 content.
export const updateMessage = sql<ChangedRow>(
  'chat_update_message',
  `UPDATE message SET username = $7, content = $8, update_time = GREATEST(clock_timestamp(), create_time)
   WHERE stream_mode = $1 AND stream_subject = $2 AND stream_descriptor = $3 AND stream_label = $4
     AND id = $5 AND sender_id = $6
   RETURNING create_time, update_time`,
  'write',
);

// $5 message, $6 sender.
export const removeMessage = sql<ChangedRow>(
  'chat_remove_message',
  `DELETE FROM message
   WHERE stream_mode = $1 AND stream_subject = $2 AND stream_descriptor = $3 AND stream_label = $4
     AND id = $5 AND sender_id = $6
   RETURNING create_time, update_time`,
  'write',
);

const page = (comparison: '>' | '<', order: 'ASC' | 'DESC'): string =>
  `SELECT id, code, sender_id, username, content, create_time, update_time FROM message
   WHERE stream_mode = $1 AND stream_subject = $2 AND stream_descriptor = $3 AND stream_label = $4
     AND ($5::timestamptz IS NULL OR (create_time, id) ${comparison} ($5::timestamptz, $6::uuid))
   ORDER BY create_time ${order}, id ${order} LIMIT $7`;

/** Oldest first, after a position. */
export const messagesAfter = sql<MessageRow>('chat_messages_after', page('>', 'ASC'), 'read');

/** Newest first, before a position. */
export const messagesBefore = sql<MessageRow>('chat_messages_before', page('<', 'DESC'), 'read');
