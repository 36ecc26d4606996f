-- Notifications that wait for their user, as Nakama 3 has them, and what Muster adds: which were read, and their order.

-- Up Migration

CREATE TABLE IF NOT EXISTS notification (
  id          UUID         NOT NULL,
  user_id     UUID         NOT NULL,
  subject     VARCHAR(255) NOT NULL,
  content     JSONB        NOT NULL DEFAULT '{}',
  code        SMALLINT     NOT NULL, -- negative values are the server's own
  sender_id   UUID         NOT NULL, -- nil UUID: the system
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now(),

  CONSTRAINT notification_pkey PRIMARY KEY (user_id, create_time, id),
  CONSTRAINT notification_id_key UNIQUE (id),
  CONSTRAINT notification_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- NULL: not read yet.
ALTER TABLE notification ADD COLUMN IF NOT EXISTS muster_read_time TIMESTAMPTZ NULL;

CREATE INDEX IF NOT EXISTS muster_notification_unread_idx ON notification (user_id) WHERE muster_read_time IS NULL;

-- For the erasure of a user who has sent some.
CREATE INDEX IF NOT EXISTS muster_notification_sender_idx ON notification (sender_id)
  WHERE sender_id <> '00000000-0000-0000-0000-000000000000';

-- One row for each user who ever had one; the lock on it has senders on all nodes take turns, so that what is stored
-- later is also newer, and a reader's cursor never passes a notification that is still to come.
CREATE TABLE IF NOT EXISTS muster_notification_head (
  user_id     UUID        NOT NULL,
  sequence    BIGINT      NOT NULL, -- how many there have been
  newest_time TIMESTAMPTZ NOT NULL, -- no notification of the user is newer

  CONSTRAINT muster_notification_head_pkey PRIMARY KEY (user_id),
  CONSTRAINT muster_notification_head_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- Down Migration

DROP TABLE IF EXISTS muster_notification_head;
DROP TABLE IF EXISTS notification;
