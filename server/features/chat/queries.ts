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

/** Where a channel stands after a statement; `newest_time` is that of its newest message, or later. */
export interface HeadRow {
  sequence: bigint;
  newest_time: Instant;
}

const newestMessage = `(SELECT m.create_time FROM message m
         WHERE m.stream_mode = $1::smallint AND m.stream_subject = $2::uuid AND m.stream_descriptor = $3::uuid
           AND m.stream_label = $4::text
         ORDER BY m.create_time DESC LIMIT 1)`;

// Takes the next `size` places in the channel, for the rows of `source`. Nobody else does until the statement has
// committed, on whichever node: the row stays locked. What DO UPDATE sees is the row as the one before has left it. A
// channel without a head starts behind its newest message, which may be older than heads are.
const takePlaces = (size: string, source: string): string =>
  `INSERT INTO muster_channel_head AS h (stream_mode, stream_subject, stream_descriptor, stream_label, sequence, newest_time)
     SELECT $1::smallint, $2::uuid, $3::uuid, $4::text, ${size},
       GREATEST(clock_timestamp(), ${newestMessage}) + ${size} * INTERVAL '1 microsecond'
     FROM ${source}
     ON CONFLICT (stream_mode, stream_subject, stream_descriptor, stream_label) DO UPDATE SET
       sequence = h.sequence + excluded.sequence,
       newest_time = GREATEST(clock_timestamp(), h.newest_time) + excluded.sequence * INTERVAL '1 microsecond'
     RETURNING h.sequence, h.newest_time`;

// Rows get times one microsecond apart, the last of them the channel's newest, so that history has the order in which
// the messages were sent. The senders are locked first, as their foreign keys will be: whoever has one of them locked
// otherwise, or deletes it, would hold up the channel's head, and with it the whole channel. The subselect around $7 has
// the planner expect the same of any batch: it would make a plan for each, which takes longer than to carry it out.
// $5 to $9: ids, codes, senders, usernames, contents.
export const insertMessages = sql<HeadRow>(
  'chat_insert_messages',
  `WITH senders AS (
     SELECT id FROM users WHERE id = ANY (ARRAY(SELECT unnest($7::uuid[]))) ORDER BY id FOR KEY SHARE
   ), batch AS (
     SELECT array_length($5::uuid[], 1)::bigint AS size FROM (SELECT count(*) FROM senders) AS locked
   ), head AS (
     ${takePlaces('size', 'batch')}
   ), stored AS (
     INSERT INTO message (id, code, sender_id, username, stream_mode, stream_subject, stream_descriptor, stream_label,
       content, create_time, update_time)
     SELECT n.id, n.code, n.sender_id, n.username, $1::smallint, $2::uuid, $3::uuid, $4::text, n.content,
       head.newest_time - (array_length($5::uuid[], 1) - n.position) * INTERVAL '1 microsecond',
       head.newest_time - (array_length($5::uuid[], 1) - n.position) * INTERVAL '1 microsecond'
     FROM head, unnest($5::uuid[], $6::smallint[], $7::uuid[], $8::text[], $9::jsonb[])
         WITH ORDINALITY AS n (id, code, sender_id, username, content, position)
   )
   SELECT sequence, newest_time FROM head`,
  'write',
);

export interface ChangedRow extends HeadRow {
  create_time: Instant;
  update_time: Instant;
}

// The message comes before the head: a change that finds none takes no place.
const changeOne = (change: string): string =>
  `WITH changed AS (
     ${change}
     WHERE stream_mode = $1::smallint AND stream_subject = $2::uuid AND stream_descriptor = $3::uuid
       AND stream_label = $4::text AND id = $5::uuid AND sender_id = $6::uuid
     RETURNING create_time, update_time
   ), head AS (
     ${takePlaces('1', 'changed')}
   )
   SELECT create_time, update_time, sequence, newest_time FROM changed, head`;

// $5 message, $6 sender, $7 username, $8 content.
export const updateMessage = sql<ChangedRow>(
  'chat_update_message',
  changeOne('UPDATE message SET username = $7, content = $8, update_time = GREATEST(clock_timestamp(), create_time)'),
  'write',
);

// $5 message, $6 sender.
export const removeMessage = sql<ChangedRow>('chat_remove_message', changeOne('DELETE FROM message'), 'write');

// Of a channel without a head: the time of its newest message, if any.
export const headOfChannel = sql<HeadRow>(
  'chat_head_of_channel',
  `SELECT COALESCE(h.sequence, 0) AS sequence,
     COALESCE(h.newest_time, ${newestMessage}, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS newest_time
   FROM (SELECT 1) AS one
   LEFT JOIN muster_channel_head h ON h.stream_mode = $1::smallint AND h.stream_subject = $2::uuid
     AND h.stream_descriptor = $3::uuid AND h.stream_label = $4::text`,
  'read',
);

const channelMessages = `SELECT id, code, sender_id, username, content, create_time, update_time FROM message
   WHERE stream_mode = $1 AND stream_subject = $2 AND stream_descriptor = $3 AND stream_label = $4`;

const page = (comparison: '>' | '<', order: 'ASC' | 'DESC'): string =>
  `${channelMessages}
     AND ($5::timestamptz IS NULL OR (create_time, id) ${comparison} ($5::timestamptz, $6::uuid))
   ORDER BY create_time ${order}, id ${order} LIMIT $7`;

/** Oldest first, after a position. */
export const messagesAfter = sql<MessageRow>('chat_messages_after', page('>', 'ASC'), 'read');

/** Newest first, before a position. */
export const messagesBefore = sql<MessageRow>('chat_messages_before', page('<', 'DESC'), 'read');

/** Newest first, after $5 and up to $6. */
export const messagesBetween = sql<MessageRow>(
  'chat_messages_between',
  `${channelMessages}
     AND create_time > $5::timestamptz AND create_time <= $6::timestamptz
   ORDER BY create_time DESC, id DESC LIMIT $7`,
  'read',
);
