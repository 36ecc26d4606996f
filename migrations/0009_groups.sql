-- Groups and who belongs to them, as Nakama 3 has them. groups.edge_count says how many members a group has.

-- Up Migration

CREATE TABLE IF NOT EXISTS groups (
  id           UUID         NOT NULL,
  creator_id   UUID         NOT NULL,
  name         VARCHAR(255) NOT NULL,
  description  VARCHAR(255),
  avatar_url   VARCHAR(512),
  lang_tag     VARCHAR(18)  NOT NULL DEFAULT 'en',
  metadata     JSONB        NOT NULL DEFAULT '{}',
  state        SMALLINT     NOT NULL DEFAULT 0 CHECK (state >= 0), -- 0 open, 1 closed
  edge_count   INT          NOT NULL DEFAULT 0 CHECK (edge_count >= 1 AND edge_count <= max_count),
  max_count    INT          NOT NULL DEFAULT 100 CHECK (max_count >= 1),
  create_time  TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time  TIMESTAMPTZ  NOT NULL DEFAULT now(),
  disable_time TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC',

  CONSTRAINT groups_pkey PRIMARY KEY (disable_time, lang_tag, edge_count, id),
  CONSTRAINT groups_id_key UNIQUE (id),
  CONSTRAINT groups_name_key UNIQUE (name)
);

CREATE INDEX IF NOT EXISTS edge_count_update_time_id_idx ON groups (disable_time, edge_count, update_time, id);
CREATE INDEX IF NOT EXISTS update_time_edge_count_id_idx ON groups (disable_time, update_time, edge_count, id);

-- A membership is two rows, from the group to the user and back, with the same state and position. A ban is only the
-- first of them.
CREATE TABLE IF NOT EXISTS group_edge (
  source_id      UUID        NOT NULL CHECK (source_id <> '00000000-0000-0000-0000-000000000000'),
  state          SMALLINT    NOT NULL DEFAULT 0, -- 0 superadmin, 1 admin, 2 member, 3 wants to join, 4 banned
  position       BIGINT      NOT NULL, -- nanoseconds since 1970 when it came about
  destination_id UUID        NOT NULL CHECK (destination_id <> '00000000-0000-0000-0000-000000000000'),
  update_time    TIMESTAMPTZ NOT NULL DEFAULT now(),

  CONSTRAINT group_edge_pkey PRIMARY KEY (source_id, state, position),
  CONSTRAINT group_edge_source_id_destination_id_key UNIQUE (source_id, destination_id)
);

-- Finds the bans of a user who is to be erased.
CREATE INDEX IF NOT EXISTS muster_group_edge_banned_idx ON group_edge (destination_id) WHERE state = 4;

-- Down Migration

DROP TABLE IF EXISTS group_edge;
DROP TABLE IF EXISTS groups;
