import { nilUuid } from '../../platform/ids.ts';
import { type Param, sql } from '../../store/sql.ts';
import type { Instant } from '../../store/types.ts';
import type { Notice } from './wire.ts';

export interface NotificationRow {
  id: string;
  user_id: string;
  subject: string;
  content: string;
  code: number;
  sender_id: string;
  create_time: Instant;
  read: boolean;
}

const columns = 'id, user_id, subject, content, code, sender_id, create_time, muster_read_time IS NOT NULL AS read';

// Takes the next places of each user, in one order of users, so that senders never wait for each other in a circle.
// What DO UPDATE sees is the row as the sender before has left it.
const takePlaces = (counts: string): string =>
  `INSERT INTO muster_notification_head AS h (user_id, sequence, newest_time)
     SELECT c.user_id, c.size, clock_timestamp() + c.size * INTERVAL '1 microsecond' FROM (${counts}) AS c
     ORDER BY c.user_id
     ON CONFLICT (user_id) DO UPDATE SET
       sequence = h.sequence + excluded.sequence,
       newest_time = GREATEST(clock_timestamp(), h.newest_time) + excluded.sequence * INTERVAL '1 microsecond'
     RETURNING h.user_id, h.newest_time`;

// $1 to $6: ids, users, subjects, contents, codes, senders. Those of one user keep their order.
export const insertNotifications = sql<{ id: string; create_time: Instant }>(
  'notification_insert',
  `WITH new AS (
     SELECT n.*, count(*) OVER (PARTITION BY n.user_id) - row_number() OVER (PARTITION BY n.user_id ORDER BY n.position)
         AS behind
     FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::smallint[], $6::uuid[]) WITH ORDINALITY
       AS n (id, user_id, subject, content, code, sender_id, position)
   ), head AS (
     ${takePlaces('SELECT user_id, count(*) AS size FROM new GROUP BY user_id')}
   )
   INSERT INTO notification (id, user_id, subject, content, code, sender_id, create_time)
   SELECT new.id, new.user_id, new.subject, new.content, new.code, new.sender_id,
     head.newest_time - new.behind * INTERVAL '1 microsecond'
   FROM new JOIN head USING (user_id)
   RETURNING id, create_time`,
  'write',
);

/** The parameters of `insertNotifications`. */
export const insertParams = (
  list: readonly (Notice & { readonly id: string; readonly userId: string })[],
): readonly Param[] => [
  list.map(({ id }) => id),
  list.map(({ userId }) => userId),
  list.map(({ subject }) => subject),
  list.map(({ content }) => content),
  list.map(({ code }) => code),
  list.map(({ senderId }) => senderId || nilUuid),
];

// The next users after $1 get one each: $2 how many users, $3 to $6 subject, content, code, sender.
export const insertForNextUsers = sql<{ id: string; user_id: string; create_time: Instant }>(
  'notification_insert_for_next_users',
  `WITH target AS (
     SELECT id AS user_id, 1::bigint AS size FROM users WHERE id > $1::uuid ORDER BY id LIMIT $2
   ), head AS (
     ${takePlaces('SELECT user_id, size FROM target')}
   )
   INSERT INTO notification (id, user_id, subject, content, code, sender_id, create_time)
   SELECT gen_random_uuid(), head.user_id, $3::text, $4::jsonb, $5::smallint, $6::uuid, head.newest_time
   FROM head
   RETURNING id, user_id, create_time`,
  'write',
);

// $1 user, $2 and $3 the place behind which to begin, or null, $4 how many.
export const notificationsAfter = sql<NotificationRow>(
  'notification_after',
  `SELECT ${columns} FROM notification
   WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (create_time, id) > ($2::timestamptz, $3::uuid))
   ORDER BY create_time, id LIMIT $4`,
  'read',
);

// $1 user, $2 the highest number that is of interest.
export const countUnread = sql<{ count: number }>(
  'notification_count_unread',
  `SELECT count(*)::int AS count
   FROM (SELECT 1 FROM notification WHERE user_id = $1 AND muster_read_time IS NULL LIMIT $2) AS unread`,
  'read',
);

// $1 ids, $2 only of this user unless null.
export const notificationsById = sql<NotificationRow>(
  'notification_by_id',
  `SELECT ${columns} FROM notification WHERE id = ANY ($1::uuid[]) AND ($2::uuid IS NULL OR user_id = $2::uuid)`,
  'read',
);

// $1 user, $2 ids or null for all.
export const markRead = sql(
  'notification_mark_read',
  `UPDATE notification SET muster_read_time = now()
   WHERE user_id = $1 AND muster_read_time IS NULL AND ($2::uuid[] IS NULL OR id = ANY ($2::uuid[]))`,
  'write',
);

// $1 ids, $2 only of this user unless null.
export const deleteById = sql(
  'notification_delete_by_id',
  'DELETE FROM notification WHERE id = ANY ($1::uuid[]) AND ($2::uuid IS NULL OR user_id = $2::uuid)',
  'write',
);

// $1 and $2: pairs of user and id.
export const deletePairs = sql(
  'notification_delete_pairs',
  `DELETE FROM notification n USING unnest($1::uuid[], $2::uuid[]) AS gone (user_id, id)
   WHERE n.user_id = gone.user_id AND n.id = gone.id`,
  'write',
);

// $1 ids, then what to change, null to keep: $2 subjects, $3 contents, $4 senders.
export const updateById = sql(
  'notification_update_by_id',
  `UPDATE notification n SET subject = COALESCE(c.subject, n.subject), content = COALESCE(c.content, n.content),
     sender_id = COALESCE(c.sender_id, n.sender_id)
   FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::uuid[]) AS c (id, subject, content, sender_id)
   WHERE n.id = c.id`,
  'write',
);

export const notificationsOfUser = sql<NotificationRow>(
  'notification_of_user',
  `SELECT ${columns} FROM notification WHERE user_id = $1 ORDER BY create_time, id`,
  'read',
);

// What the server said of this user to others ("wants to chat") goes; what game code sent in the user's name stays, and
// is nobody's.
export const forgetSender = sql<never>(
  'notification_forget_sender',
  `WITH gone AS (DELETE FROM notification WHERE sender_id = $1 AND code < 0 AND code > -1000)
   UPDATE notification SET sender_id = '00000000-0000-0000-0000-000000000000'
   WHERE sender_id = $1 AND (code >= 0 OR code <= -1000)`,
  'write',
);
