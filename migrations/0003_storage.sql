-- Storage objects, as Nakama 3 has them.

-- Up Migration

CREATE TABLE IF NOT EXISTS storage (
  collection  VARCHAR(128) NOT NULL,
  key         VARCHAR(128) NOT NULL,
  user_id     UUID         NOT NULL, -- nil UUID: owned by the system
  value       JSONB        NOT NULL DEFAULT '{}',
  version     VARCHAR(32)  NOT NULL, -- hex MD5 of the value as it was sent
  read        SMALLINT     NOT NULL DEFAULT 1 CHECK (read >= 0),
  write       SMALLINT     NOT NULL DEFAULT 1 CHECK (write >= 0),
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time TIMESTAMPTZ  NOT NULL DEFAULT now(),

  CONSTRAINT storage_pkey PRIMARY KEY (collection, key, user_id),
  CONSTRAINT storage_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS collection_read_user_id_key_idx ON storage (collection, read, user_id, key);
CREATE INDEX IF NOT EXISTS collection_read_key_user_id_idx ON storage (collection, read, key, user_id);
CREATE INDEX IF NOT EXISTS collection_user_id_read_key_idx ON storage (collection, user_id, read, key);
CREATE INDEX IF NOT EXISTS storage_auto_index_fk_user_id_ref_users ON storage (user_id);

-- Down Migration

DROP TABLE IF EXISTS storage;
