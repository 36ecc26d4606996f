-- Leaderboards, tournaments and their records, as Nakama 3 has them. A board with a duration is a tournament.

-- Up Migration

CREATE TABLE IF NOT EXISTS leaderboard (
  id             VARCHAR(128) NOT NULL,
  authoritative  BOOLEAN      NOT NULL DEFAULT FALSE,
  sort_order     SMALLINT     NOT NULL DEFAULT 1, -- 0 ascending, 1 descending
  operator       SMALLINT     NOT NULL DEFAULT 0, -- 0 best, 1 set, 2 increment, 3 decrement
  reset_schedule VARCHAR(64),
  metadata       JSONB        NOT NULL DEFAULT '{}',
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  category       SMALLINT     NOT NULL DEFAULT 0 CHECK (category >= 0),
  description    VARCHAR(255) NOT NULL DEFAULT '',
  duration       INT          NOT NULL DEFAULT 0 CHECK (duration >= 0), -- seconds
  end_time       TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC',
  join_required  BOOLEAN      NOT NULL DEFAULT FALSE,
  max_size       INT          NOT NULL DEFAULT 100000000 CHECK (max_size > 0),
  max_num_score  INT          NOT NULL DEFAULT 1000000 CHECK (max_num_score > 0),
  title          VARCHAR(255) NOT NULL DEFAULT '',
  size           INT          NOT NULL DEFAULT 0,
  start_time     TIMESTAMPTZ  NOT NULL DEFAULT now(),
  enable_ranks   BOOLEAN      DEFAULT TRUE,

  CONSTRAINT leaderboard_pkey PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS duration_start_time_end_time_category_idx
  ON leaderboard (duration, start_time, end_time DESC, category);
CREATE INDEX IF NOT EXISTS leaderboard_create_time_id_idx ON leaderboard (create_time, id);

-- Windows of a tournament that opened before it are closed.
ALTER TABLE leaderboard ADD COLUMN IF NOT EXISTS muster_closed_time TIMESTAMPTZ;

-- The order of the list of tournaments.
CREATE INDEX IF NOT EXISTS muster_leaderboard_list_idx
  ON leaderboard (start_time, end_time DESC, category, id) WHERE duration > 0;

-- The primary key is the order of the ranks. (create_time, num_score) tells which of two states of an owner's record is
-- the newer one.
CREATE TABLE IF NOT EXISTS leaderboard_record (
  leaderboard_id VARCHAR(128) NOT NULL,
  owner_id       UUID         NOT NULL, -- a user, or whatever server code ranks
  username       VARCHAR(128),
  score          BIGINT       NOT NULL DEFAULT 0 CHECK (score >= 0),
  subscore       BIGINT       NOT NULL DEFAULT 0 CHECK (subscore >= 0),
  num_score      INT          NOT NULL DEFAULT 1 CHECK (num_score >= 0),
  max_num_score  INT          NOT NULL DEFAULT 1000000 CHECK (max_num_score > 0),
  metadata       JSONB        NOT NULL DEFAULT '{}',
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  expiry_time    TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC', -- when its period ends; 1970: never

  CONSTRAINT leaderboard_record_pkey PRIMARY KEY (leaderboard_id, expiry_time, score, subscore, owner_id),
  CONSTRAINT leaderboard_record_owner_id_leaderboard_id_expiry_time_key UNIQUE (owner_id, leaderboard_id, expiry_time),
  CONSTRAINT leaderboard_record_leaderboard_id_fkey
    FOREIGN KEY (leaderboard_id) REFERENCES leaderboard (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS owner_id_expiry_time_leaderboard_id_idx
  ON leaderboard_record (owner_id, expiry_time, leaderboard_id);

-- How many take part in one period of a tournament with a maximum size. Nakama's leaderboard.size is not used.
CREATE TABLE IF NOT EXISTS muster_tournament_size (
  leaderboard_id VARCHAR(128) NOT NULL REFERENCES leaderboard (id) ON DELETE CASCADE,
  expiry_time    TIMESTAMPTZ  NOT NULL,
  size           INT          NOT NULL,

  CONSTRAINT muster_tournament_size_pkey PRIMARY KEY (leaderboard_id, expiry_time),
  -- Also violated, on purpose, by whoever would be one too many.
  CONSTRAINT muster_tournament_size_size_check CHECK (size >= 0)
);

CREATE OR REPLACE VIEW tournament AS
  SELECT id, authoritative, sort_order, operator, reset_schedule, metadata, create_time, category, description, duration,
    end_time, join_required, max_size, max_num_score, title, size, start_time, enable_ranks
  FROM leaderboard WHERE duration > 0;

CREATE OR REPLACE VIEW tournament_record AS
  SELECT r.leaderboard_id AS tournament_id, r.owner_id, r.username, r.score, r.subscore, r.num_score, r.max_num_score,
    r.metadata, r.create_time, r.update_time, r.expiry_time
  FROM leaderboard_record r JOIN leaderboard b ON b.id = r.leaderboard_id
  WHERE b.duration > 0;

-- Down Migration

DROP VIEW IF EXISTS tournament_record;
DROP VIEW IF EXISTS tournament;
DROP TABLE IF EXISTS muster_tournament_size;
DROP TABLE IF EXISTS leaderboard_record;
DROP TABLE IF EXISTS leaderboard;
