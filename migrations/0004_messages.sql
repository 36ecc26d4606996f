-- Chat messages that were sent as persistent, as Nakama 3 has them.

-- Up Migration

CREATE TABLE IF NOT EXISTS message (
  id                UUID         NOT NULL,
  code              SMALLINT     NOT NULL DEFAULT 0,
  sender_id         UUID         NOT NULL,
  username          VARCHAR(128) NOT NULL, -- of the sender when it was sent
  stream_mode       SMALLINT     NOT NULL,
  stream_subject    UUID         NOT NULL,
  stream_descriptor UUID         NOT NULL,
  stream_label      VARCHAR(128) NOT NULL,
  content           JSONB        NOT NULL DEFAULT '{}',
  create_time       TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time       TIMESTAMPTZ  NOT NULL DEFAULT now(),

  CONSTRAINT message_pkey
    PRIMARY KEY (stream_mode, stream_subject, stream_descriptor, stream_label, create_time, id),
  CONSTRAINT message_id_key UNIQUE (id),
  CONSTRAINT message_sender_id_id_key UNIQUE (sender_id, id),
  CONSTRAINT message_sender_id_fkey FOREIGN KEY (sender_id) REFERENCES users (id) ON DELETE CASCADE
);

-- Down Migration

DROP TABLE IF EXISTS message;
