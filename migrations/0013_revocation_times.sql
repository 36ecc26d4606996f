-- When a revocation was written, so that every node can look for new ones, whatever it was told.

-- Up Migration

ALTER TABLE session_revocation ADD COLUMN IF NOT EXISTS create_time TIMESTAMPTZ NOT NULL DEFAULT now();

CREATE INDEX IF NOT EXISTS session_revocation_create_time_idx ON session_revocation (create_time);

ALTER TABLE session_invalidation ADD COLUMN IF NOT EXISTS update_time TIMESTAMPTZ NOT NULL DEFAULT now();

CREATE INDEX IF NOT EXISTS session_invalidation_update_time_idx ON session_invalidation (update_time);

-- Down Migration

DROP INDEX IF EXISTS session_invalidation_update_time_idx;
ALTER TABLE session_invalidation DROP COLUMN IF EXISTS update_time;

DROP INDEX IF EXISTS session_revocation_create_time_idx;
ALTER TABLE session_revocation DROP COLUMN IF EXISTS create_time;
