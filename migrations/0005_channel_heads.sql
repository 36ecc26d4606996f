-- The order of each chat channel over all nodes: what is stored, changed or removed there takes the next number.

-- Up Migration

-- One row for each channel that ever had a stored message; the lock on it has writers of all nodes take turns. Rows stay
-- when a channel falls silent: they are small, and fewer than the messages that are kept.
CREATE TABLE IF NOT EXISTS muster_channel_head (
  stream_mode       SMALLINT     NOT NULL,
  stream_subject    UUID         NOT NULL,
  stream_descriptor UUID         NOT NULL,
  stream_label      VARCHAR(128) NOT NULL,
  sequence          BIGINT       NOT NULL, -- the last number given out
  newest_time       TIMESTAMPTZ  NOT NULL, -- the time that belongs to it: no message is newer

  CONSTRAINT muster_channel_head_pkey PRIMARY KEY (stream_mode, stream_subject, stream_descriptor, stream_label)
);

-- Down Migration

DROP TABLE IF EXISTS muster_channel_head;
