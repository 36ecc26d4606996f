-- Which ranks must be counted in the table, because some node changes records without being able to tell Redis.

-- Up Migration

CREATE TABLE muster_rank_doubt (
  holder         UUID         NOT NULL, -- the node's process
  leaderboard_id VARCHAR(128) NOT NULL,
  expiry_time    TIMESTAMPTZ  NOT NULL,
  until          TIMESTAMPTZ  NOT NULL, -- renewed while the node lives; afterwards others clean up

  CONSTRAINT muster_rank_doubt_pkey PRIMARY KEY (holder, leaderboard_id, expiry_time)
);

-- Down Migration

DROP TABLE IF EXISTS muster_rank_doubt;
