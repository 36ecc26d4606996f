-- Revoked sessions. Without foreign keys: a revocation has to outlive the account it is about.

-- Up Migration

-- One token that is no longer valid, kept until it would have expired by itself.
CREATE TABLE IF NOT EXISTS session_revocation (
  token_id    UUID        NOT NULL,
  kind        SMALLINT    NOT NULL, -- 0 session token, 1 refresh token
  user_id     UUID        NOT NULL,
  expire_time TIMESTAMPTZ NOT NULL,

  CONSTRAINT session_revocation_pkey PRIMARY KEY (token_id, kind)
);

CREATE INDEX IF NOT EXISTS session_revocation_expire_time_idx ON session_revocation (expire_time);

-- Tokens of a user issued before not_before are invalid; the row may go when all of them have expired.
CREATE TABLE IF NOT EXISTS session_invalidation (
  user_id     UUID        NOT NULL,
  not_before  TIMESTAMPTZ NOT NULL,
  expire_time TIMESTAMPTZ NOT NULL,

  CONSTRAINT session_invalidation_pkey PRIMARY KEY (user_id)
);

CREATE INDEX IF NOT EXISTS session_invalidation_expire_time_idx ON session_invalidation (expire_time);

-- Down Migration

DROP TABLE IF EXISTS session_invalidation;
DROP TABLE IF EXISTS session_revocation;
