-- Accounts, with the tables, columns and names that Nakama 3 has, so that an existing database of it is taken as it is.
-- Its trigram index on display_name is left out: it needs the extension pg_trgm.

-- Up Migration

CREATE TABLE IF NOT EXISTS users (
  id                       UUID         NOT NULL,
  username                 VARCHAR(128) NOT NULL,
  display_name             VARCHAR(255),
  avatar_url               VARCHAR(512),
  lang_tag                 VARCHAR(18)  NOT NULL DEFAULT 'en',
  location                 VARCHAR(255),
  timezone                 VARCHAR(255),
  metadata                 JSONB        NOT NULL DEFAULT '{}',
  wallet                   JSONB        NOT NULL DEFAULT '{}',
  email                    VARCHAR(255),
  password                 BYTEA        CHECK (length(password) < 32000),
  facebook_id              VARCHAR(128),
  google_id                VARCHAR(128),
  gamecenter_id            VARCHAR(128),
  steam_id                 VARCHAR(128),
  custom_id                VARCHAR(128),
  facebook_instant_game_id VARCHAR(128),
  apple_id                 VARCHAR(128),
  edge_count               INT          NOT NULL DEFAULT 0 CHECK (edge_count >= 0),
  create_time              TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time              TIMESTAMPTZ  NOT NULL DEFAULT now(),
  verify_time              TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC',
  disable_time             TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC',

  CONSTRAINT users_pkey PRIMARY KEY (id),
  CONSTRAINT users_username_key UNIQUE (username),
  CONSTRAINT users_email_key UNIQUE (email),
  CONSTRAINT users_facebook_id_key UNIQUE (facebook_id),
  CONSTRAINT users_google_id_key UNIQUE (google_id),
  CONSTRAINT users_gamecenter_id_key UNIQUE (gamecenter_id),
  CONSTRAINT users_steam_id_key UNIQUE (steam_id),
  CONSTRAINT users_custom_id_key UNIQUE (custom_id),
  CONSTRAINT users_facebook_instant_game_id_key UNIQUE (facebook_instant_game_id),
  CONSTRAINT users_apple_id_key UNIQUE (apple_id)
);

-- The system user: owner of what belongs to no player. Never a friend, never deleted.
INSERT INTO users (id, username)
  VALUES ('00000000-0000-0000-0000-000000000000', '')
  ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS user_device (
  id                 VARCHAR(128) NOT NULL,
  user_id            UUID         NOT NULL,
  preferences        JSONB        NOT NULL DEFAULT '{}',
  push_token_amazon  VARCHAR(512) NOT NULL DEFAULT '',
  push_token_android VARCHAR(512) NOT NULL DEFAULT '',
  push_token_huawei  VARCHAR(512) NOT NULL DEFAULT '',
  push_token_ios     VARCHAR(512) NOT NULL DEFAULT '',
  push_token_web     VARCHAR(512) NOT NULL DEFAULT '',

  CONSTRAINT user_device_pkey PRIMARY KEY (id),
  CONSTRAINT user_device_user_id_id_key UNIQUE (user_id, id),
  CONSTRAINT user_device_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS user_tombstone (
  user_id     UUID        NOT NULL,
  create_time TIMESTAMPTZ NOT NULL DEFAULT now(),

  CONSTRAINT user_tombstone_pkey PRIMARY KEY (create_time, user_id),
  CONSTRAINT user_tombstone_user_id_key UNIQUE (user_id)
);

-- Down Migration

DROP TABLE IF EXISTS user_tombstone;
DROP TABLE IF EXISTS user_device;
DROP TABLE IF EXISTS users;
