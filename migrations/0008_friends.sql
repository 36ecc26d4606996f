-- Friends, invites and blocks, as Nakama 3 has them. users.edge_count says how many rows of each user there are.

-- Up Migration

CREATE TABLE IF NOT EXISTS user_edge (
  source_id      UUID        NOT NULL CHECK (source_id <> '00000000-0000-0000-0000-000000000000'),
  state          SMALLINT    NOT NULL DEFAULT 0, -- 0 friend, 1 invited, 2 was invited, 3 has blocked
  position       BIGINT      NOT NULL, -- nanoseconds since 1970 when it came about; no two of a user are equal
  destination_id UUID        NOT NULL CHECK (destination_id <> '00000000-0000-0000-0000-000000000000'),
  update_time    TIMESTAMPTZ NOT NULL DEFAULT now(),
  metadata       JSONB       NOT NULL DEFAULT '{}', -- the source's own notes

  CONSTRAINT user_edge_pkey PRIMARY KEY (source_id, state, position),
  CONSTRAINT user_edge_source_id_destination_id_key UNIQUE (source_id, destination_id),
  CONSTRAINT user_edge_source_id_fkey FOREIGN KEY (source_id) REFERENCES users (id) ON DELETE CASCADE,
  CONSTRAINT user_edge_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS user_edge_auto_index_fk_destination_id_ref_users ON user_edge (destination_id);

-- Down Migration

DROP TABLE IF EXISTS user_edge;
