-- The ledger of wallets, as Nakama 3 has it; the wallets themselves are a column of users. And the outcomes of
-- operations that carried an idempotency key.

-- Up Migration

CREATE TABLE IF NOT EXISTS wallet_ledger (
  id          UUID        NOT NULL,
  user_id     UUID        NOT NULL,
  changeset   JSONB       NOT NULL, -- what was added, by currency
  metadata    JSONB       NOT NULL,
  create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
  update_time TIMESTAMPTZ NOT NULL DEFAULT now(),

  CONSTRAINT wallet_ledger_pkey PRIMARY KEY (user_id, create_time, id),
  CONSTRAINT wallet_ledger_id_key UNIQUE (id),
  CONSTRAINT wallet_ledger_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- Neither key nor request nor result can be read as a user's id: rows outlive users for a while.
CREATE TABLE IF NOT EXISTS muster_idempotency (
  key         BYTEA       NOT NULL, -- SHA-256 of the caller's key
  request     BYTEA       NOT NULL, -- SHA-256 of what was asked with it
  result      TEXT        NOT NULL,
  create_time TIMESTAMPTZ NOT NULL DEFAULT now(),

  CONSTRAINT muster_idempotency_pkey PRIMARY KEY (key)
);

CREATE INDEX IF NOT EXISTS muster_idempotency_create_time_idx ON muster_idempotency (create_time);

-- Down Migration

DROP TABLE IF EXISTS muster_idempotency;
DROP TABLE IF EXISTS wallet_ledger;
