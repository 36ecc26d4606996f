import pg from 'pg';
import { nilUuid } from '../platform/ids.ts';

// A database as Nakama 3 leaves it (spec: http-auth-accounts.md, section 6; storage-wallet-purchases.md, section 1.1;
// realtime.md, section 14.7), written down by hand, so that it does not change along with our migrations.

const epoch = `'1970-01-01 00:00:00 UTC'`;
const uniqueIds = ['facebook_id', 'google_id', 'gamecenter_id', 'steam_id', 'custom_id', 'facebook_instant_game_id'];

const schema = `
CREATE TABLE users (
  PRIMARY KEY (id),
  id            UUID         NOT NULL,
  username      VARCHAR(128) NOT NULL CONSTRAINT users_username_key UNIQUE,
  display_name  VARCHAR(255),
  avatar_url    VARCHAR(512),
  lang_tag      VARCHAR(18)  NOT NULL DEFAULT 'en',
  location      VARCHAR(255),
  timezone      VARCHAR(255),
  metadata      JSONB        NOT NULL DEFAULT '{}',
  wallet        JSONB        NOT NULL DEFAULT '{}',
  email         VARCHAR(255) CONSTRAINT users_email_key UNIQUE,
  password      BYTEA        CHECK (length(password) < 32000),
  ${uniqueIds.map((name) => `${name} VARCHAR(128) CONSTRAINT users_${name}_key UNIQUE,`).join('\n  ')}
  edge_count    INT          NOT NULL DEFAULT 0 CHECK (edge_count >= 0),
  create_time   TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time   TIMESTAMPTZ  NOT NULL DEFAULT now(),
  verify_time   TIMESTAMPTZ  NOT NULL DEFAULT ${epoch},
  disable_time  TIMESTAMPTZ  NOT NULL DEFAULT ${epoch}
);
-- Added by a later migration of Nakama's.
ALTER TABLE users ADD COLUMN apple_id VARCHAR(128) CONSTRAINT users_apple_id_key UNIQUE;
CREATE INDEX users_display_name_idx ON users USING gin (display_name TRIGRAMS);

CREATE TABLE user_device (
  PRIMARY KEY (id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  id                 VARCHAR(128) NOT NULL,
  user_id            UUID         NOT NULL,
  preferences        JSONB        NOT NULL DEFAULT '{}',
  push_token_amazon  VARCHAR(512) NOT NULL DEFAULT '',
  push_token_android VARCHAR(512) NOT NULL DEFAULT '',
  push_token_huawei  VARCHAR(512) NOT NULL DEFAULT '',
  push_token_ios     VARCHAR(512) NOT NULL DEFAULT '',
  push_token_web     VARCHAR(512) NOT NULL DEFAULT '',
  UNIQUE (user_id, id)
);

CREATE TABLE user_tombstone (
  PRIMARY KEY (create_time, user_id),
  user_id     UUID        NOT NULL UNIQUE,
  create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE user_edge (
  PRIMARY KEY (source_id, state, position),
  FOREIGN KEY (source_id)      REFERENCES users (id) ON DELETE CASCADE,
  FOREIGN KEY (destination_id) REFERENCES users (id) ON DELETE CASCADE,
  source_id      UUID        NOT NULL CHECK (source_id <> '${nilUuid}'),
  destination_id UUID        NOT NULL CHECK (destination_id <> '${nilUuid}'),
  position       BIGINT      NOT NULL,
  state          SMALLINT    NOT NULL DEFAULT 0,
  update_time    TIMESTAMPTZ NOT NULL DEFAULT now(),
  metadata       JSONB       NOT NULL DEFAULT '{}',
  UNIQUE (source_id, destination_id)
);
CREATE INDEX user_edge_auto_index_fk_destination_id_ref_users ON user_edge (destination_id);

CREATE TABLE groups (
  PRIMARY KEY (disable_time, lang_tag, edge_count, id),
  id           UUID         NOT NULL UNIQUE,
  creator_id   UUID         NOT NULL,
  name         VARCHAR(255) NOT NULL UNIQUE,
  description  VARCHAR(255),
  avatar_url   VARCHAR(512),
  lang_tag     VARCHAR(18)  NOT NULL DEFAULT 'en',
  metadata     JSONB        NOT NULL DEFAULT '{}',
  state        SMALLINT     NOT NULL DEFAULT 0 CHECK (state >= 0),
  edge_count   INT          NOT NULL DEFAULT 0 CHECK (edge_count >= 1 AND edge_count <= max_count),
  max_count    INT          NOT NULL DEFAULT 100 CHECK (max_count >= 1),
  create_time  TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time  TIMESTAMPTZ  NOT NULL DEFAULT now(),
  disable_time TIMESTAMPTZ  NOT NULL DEFAULT ${epoch}
);
CREATE INDEX edge_count_update_time_id_idx ON groups (disable_time, edge_count, update_time, id);
CREATE INDEX update_time_edge_count_id_idx ON groups (disable_time, update_time, edge_count, id);

CREATE TABLE group_edge (
  PRIMARY KEY (source_id, state, position),
  source_id      UUID        NOT NULL CHECK (source_id <> '${nilUuid}'),
  state          SMALLINT    NOT NULL DEFAULT 0,
  position       BIGINT      NOT NULL,
  destination_id UUID        NOT NULL CHECK (destination_id <> '${nilUuid}'),
  update_time    TIMESTAMPTZ NOT NULL DEFAULT now(),
  UNIQUE (source_id, destination_id)
);

CREATE TABLE storage (
  CONSTRAINT storage_collection_key_user_id_key PRIMARY KEY (collection, key, user_id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  collection  VARCHAR(128) NOT NULL,
  key         VARCHAR(128) NOT NULL,
  user_id     UUID         NOT NULL,
  value       JSONB        NOT NULL DEFAULT '{}',
  version     VARCHAR(32)  NOT NULL,
  read        SMALLINT     NOT NULL DEFAULT 1 CHECK (read >= 0),
  write       SMALLINT     NOT NULL DEFAULT 1 CHECK (write >= 0),
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time TIMESTAMPTZ  NOT NULL DEFAULT now()
);
CREATE INDEX collection_read_user_id_key_idx ON storage (collection, read, user_id, key);
CREATE INDEX collection_read_key_user_id_idx ON storage (collection, read, key, user_id);
CREATE INDEX collection_user_id_read_key_idx ON storage (collection, user_id, read, key);
CREATE INDEX storage_auto_index_fk_user_id_ref_users ON storage (user_id);

CREATE TABLE message (
  PRIMARY KEY (stream_mode, stream_subject, stream_descriptor, stream_label, create_time, id),
  FOREIGN KEY (sender_id) REFERENCES users (id) ON DELETE CASCADE,
  id                UUID         NOT NULL UNIQUE,
  code              SMALLINT     NOT NULL DEFAULT 0,
  sender_id         UUID         NOT NULL,
  username          VARCHAR(128) NOT NULL,
  stream_mode       SMALLINT     NOT NULL,
  stream_subject    UUID         NOT NULL,
  stream_descriptor UUID         NOT NULL,
  stream_label      VARCHAR(128) NOT NULL,
  content           JSONB        NOT NULL DEFAULT '{}',
  create_time       TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time       TIMESTAMPTZ  NOT NULL DEFAULT now(),
  UNIQUE (sender_id, id)
);

CREATE TABLE notification (
  PRIMARY KEY (user_id, create_time, id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  id          UUID         NOT NULL CONSTRAINT notification_id_key UNIQUE,
  user_id     UUID         NOT NULL,
  subject     VARCHAR(255) NOT NULL,
  content     JSONB        NOT NULL DEFAULT '{}',
  code        SMALLINT     NOT NULL,
  sender_id   UUID         NOT NULL,
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now()
);

CREATE TABLE wallet_ledger (
  PRIMARY KEY (user_id, create_time, id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  id          UUID        NOT NULL CONSTRAINT wallet_ledger_id_key UNIQUE,
  user_id     UUID        NOT NULL,
  changeset   JSONB       NOT NULL,
  metadata    JSONB       NOT NULL,
  create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
  update_time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE purchase (
  PRIMARY KEY (transaction_id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET DEFAULT,
  transaction_id VARCHAR(512) NOT NULL CHECK (length(transaction_id) > 0),
  user_id        UUID         NOT NULL DEFAULT '${nilUuid}',
  product_id     VARCHAR(512) NOT NULL,
  store          SMALLINT     NOT NULL DEFAULT 0,
  environment    SMALLINT     NOT NULL DEFAULT 0,
  purchase_time  TIMESTAMPTZ  NOT NULL,
  raw_response   JSONB        NOT NULL DEFAULT '{}',
  refund_time    TIMESTAMPTZ  NOT NULL DEFAULT ${epoch},
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time    TIMESTAMPTZ  NOT NULL DEFAULT now()
);
CREATE INDEX purchase_time_user_id_transaction_id_idx
  ON purchase (purchase_time DESC, user_id DESC, transaction_id DESC);

CREATE TABLE subscription (
  PRIMARY KEY (original_transaction_id),
  FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET DEFAULT,
  original_transaction_id VARCHAR(512) NOT NULL CHECK (length(original_transaction_id) > 0),
  user_id                 UUID         NOT NULL DEFAULT '${nilUuid}',
  product_id              VARCHAR(512) NOT NULL,
  store                   SMALLINT     NOT NULL DEFAULT 0,
  environment             SMALLINT     NOT NULL DEFAULT 0,
  purchase_time           TIMESTAMPTZ  NOT NULL,
  expire_time             TIMESTAMPTZ  NOT NULL,
  refund_time             TIMESTAMPTZ  NOT NULL DEFAULT ${epoch},
  raw_response            JSONB        NOT NULL DEFAULT '{}',
  raw_notification        JSONB        NOT NULL DEFAULT '{}',
  create_time             TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time             TIMESTAMPTZ  NOT NULL DEFAULT now()
);
CREATE INDEX subscription_time_user_id_transaction_id_idx
  ON subscription (purchase_time DESC, user_id DESC, original_transaction_id DESC);

CREATE TABLE leaderboard (
  PRIMARY KEY (id),
  id             VARCHAR(128) NOT NULL,
  authoritative  BOOLEAN      NOT NULL DEFAULT FALSE,
  sort_order     SMALLINT     NOT NULL DEFAULT 1,
  operator       SMALLINT     NOT NULL DEFAULT 0,
  reset_schedule VARCHAR(64),
  metadata       JSONB        NOT NULL DEFAULT '{}',
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  category       SMALLINT     NOT NULL DEFAULT 0 CHECK (category >= 0),
  description    VARCHAR(255) NOT NULL DEFAULT '',
  duration       INT          NOT NULL DEFAULT 0 CHECK (duration >= 0),
  end_time       TIMESTAMPTZ  NOT NULL DEFAULT ${epoch},
  join_required  BOOLEAN      NOT NULL DEFAULT FALSE,
  max_size       INT          NOT NULL DEFAULT 100000000 CHECK (max_size > 0),
  max_num_score  INT          NOT NULL DEFAULT 1000000 CHECK (max_num_score > 0),
  title          VARCHAR(255) NOT NULL DEFAULT '',
  size           INT          NOT NULL DEFAULT 0,
  start_time     TIMESTAMPTZ  NOT NULL DEFAULT now(),
  enable_ranks   BOOLEAN      DEFAULT TRUE
);
CREATE INDEX duration_start_time_end_time_category_idx ON leaderboard (duration, start_time, end_time DESC, category);
CREATE INDEX leaderboard_create_time_id_idx ON leaderboard (create_time, id);

CREATE TABLE leaderboard_record (
  PRIMARY KEY (leaderboard_id, expiry_time, score, subscore, owner_id),
  FOREIGN KEY (leaderboard_id) REFERENCES leaderboard (id) ON DELETE CASCADE,
  leaderboard_id VARCHAR(128) NOT NULL,
  owner_id       UUID         NOT NULL,
  username       VARCHAR(128),
  score          BIGINT       NOT NULL DEFAULT 0 CHECK (score >= 0),
  subscore       BIGINT       NOT NULL DEFAULT 0 CHECK (subscore >= 0),
  num_score      INT          NOT NULL DEFAULT 1 CHECK (num_score >= 0),
  max_num_score  INT          NOT NULL DEFAULT 1000000 CHECK (max_num_score > 0),
  metadata       JSONB        NOT NULL DEFAULT '{}',
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  expiry_time    TIMESTAMPTZ  NOT NULL DEFAULT ${epoch},
  UNIQUE (owner_id, leaderboard_id, expiry_time)
);
CREATE INDEX owner_id_expiry_time_leaderboard_id_idx ON leaderboard_record (owner_id, expiry_time, leaderboard_id);

CREATE TABLE setting (
  PRIMARY KEY (name),
  name        VARCHAR(64) NOT NULL,
  value       JSONB       NOT NULL DEFAULT '{}',
  update_time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE migration_info (
  PRIMARY KEY (id),
  id         TEXT NOT NULL,
  applied_at TIMESTAMPTZ
);

INSERT INTO users (id, username) VALUES ('${nilUuid}', '');
INSERT INTO setting (name, value) VALUES ('utc_toggle', 'false');
INSERT INTO migration_info (id, applied_at) VALUES
  ('20180103142001_initial_schema.sql', '2023-03-01 10:00:00+00'),
  ('20200615102232-apple.sql', '2023-03-01 10:00:01+00');
`;

export const alice = {
  id: '0b1c5a0e-3c7f-4b5e-9f0a-5d6e7f8a9b0c',
  username: 'alice',
  deviceId: 'nakama-device-0001',
  email: 'alice@example.com',
  // A published test vector of bcrypt, so that the hash was not made by us.
  password: 'abcdefghijklmnopqrstuvwxyz',
  passwordHash: '$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC',
  customId: 'custom-alice',
} as const;

export const bob = {
  id: 'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  username: 'Böb "the builder"',
  deviceId: 'nakama-device-0002',
} as const;

export const banned = {
  id: '11111111-2222-4333-8444-555555555555',
  username: 'carol',
  deviceId: 'nakama-device-0003',
} as const;

export const messageIds = ['a0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002'] as const;

/** Alice is its superadmin, Bob a member, the banned one is banned here as well. */
export const groupId = 'b0000000-0000-4000-8000-000000000001';

const rows: readonly (readonly [text: string, values: readonly unknown[]])[] = [
  [
    `INSERT INTO users (id, username, display_name, avatar_url, lang_tag, location, timezone, metadata, wallet, email,
       password, custom_id, steam_id, edge_count, create_time, update_time, verify_time)
     VALUES ($1, $2, 'Alice A.', 'https://example.com/a.png', 'fr', 'Paris', 'Europe/Paris', '{"level": 7}',
       '{"coins": 9007199254740993}', $3, $4, $5, 'steam-1', 3, '2024-02-29 12:34:56.123456+00',
       '2024-03-01 00:00:00.5+00', '2024-03-02 00:00:00+00')`,
    [alice.id, alice.username, alice.email, Buffer.from(alice.passwordHash), alice.customId],
  ],
  [`INSERT INTO users (id, username) VALUES ($1, $2)`, [bob.id, bob.username]],
  [`INSERT INTO users (id, username, disable_time) VALUES ($1, $2, now())`, [banned.id, banned.username]],
  ...[alice, bob, banned].map(
    ({ id, deviceId }) => [`INSERT INTO user_device (id, user_id) VALUES ($1, $2)`, [deviceId, id]] as const,
  ),
  [
    `INSERT INTO storage (collection, key, user_id, value, version, read, write, create_time, update_time) VALUES
       ('saves', 'slot1', $1, '{"hp":100,"id":9223372036854775807}', md5('{"hp":100,"id":9223372036854775807}'), 1, 1,
         '2024-03-03 00:00:00.75+00', '2024-03-04 00:00:00.25+00'),
       ('saves', 'profile', $1, '{"name":"Alice"}', md5('{"name":"Alice"}'), 2, 0, now(), now()),
       ('config', 'rules', '${nilUuid}', '{"max":3}', md5('{"max":3}'), 2, 0, now(), now())`,
    [alice.id],
  ],
  [
    `INSERT INTO message (id, code, sender_id, username, stream_mode, stream_subject, stream_descriptor, stream_label,
       content, create_time, update_time) VALUES
       ($1, 0, $3, 'alice', 2, '${nilUuid}', '${nilUuid}', 'lobby', '{"text":"first"}',
         '2024-03-05 00:00:00.000001+00', '2024-03-05 00:00:00.000001+00'),
       ($2, 0, $4, 'bob as he was', 2, '${nilUuid}', '${nilUuid}', 'lobby', '{"text":"second"}',
         '2024-03-05 00:00:00.000002+00', '2024-03-05 00:00:01+00')`,
    [...messageIds, alice.id, bob.id],
  ],
  [
    `INSERT INTO notification (id, user_id, subject, content, code, sender_id)
     VALUES (gen_random_uuid(), $1, 'Old news', '{"n": 1}', 5, $2)`,
    [alice.id, bob.id],
  ],
  [
    `INSERT INTO wallet_ledger (id, user_id, changeset, metadata) VALUES (gen_random_uuid(), $1, '{"coins":5}', '{}')`,
    [alice.id],
  ],
  [
    `INSERT INTO purchase (transaction_id, user_id, product_id, store, environment, purchase_time, raw_response)
     VALUES ('t1', $1, 'sword', 1, 2, '2024-03-08 00:00:00+00', '{"orderId": "o1"}')`,
    [alice.id],
  ],
  [
    // Nakama keeps JSON of subscriptions inside a JSON text.
    `INSERT INTO subscription (original_transaction_id, user_id, product_id, store, environment, purchase_time,
       expire_time, raw_response, raw_notification, create_time, update_time)
     VALUES ('s1', $1, 'season', 1, 2, '2024-03-08 00:00:00+00', '2034-03-08 00:00:00.5+00',
       to_jsonb('{"kind":"subscription"}'::text), to_jsonb('{}'::text), '2024-03-08 00:00:01+00',
       '2024-03-08 00:00:02+00')`,
    [alice.id],
  ],
  [
    `INSERT INTO user_edge (source_id, destination_id, position, state) VALUES ($1, $2, 1, 0), ($2, $1, 1, 0)`,
    [alice.id, bob.id],
  ],
  [
    `INSERT INTO groups (id, creator_id, name, description, lang_tag, metadata, state, edge_count, max_count, create_time,
       update_time)
     VALUES ($1, $2, 'Guild', 'Of old', 'fr', '{"level": 3}', 1, 3, 5, '2024-03-06 00:00:00.5+00',
       '2024-03-07 00:00:00.25+00')`,
    [groupId, alice.id],
  ],
  [
    // The last one is of an account that is gone: Nakama leaves some, and counts them.
    `INSERT INTO group_edge (source_id, destination_id, state, position) VALUES
       ($1, $2, 0, 1), ($2, $1, 0, 1), ($1, $3, 2, 2), ($3, $1, 2, 2), ($1, $4, 4, 3), ($1, gen_random_uuid(), 0, 4)`,
    [groupId, alice.id, bob.id, banned.id],
  ],
];

/** Fills an empty schema with Nakama's tables and a few rows. */
export async function createNakamaDatabase(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    // One for all: it would go with the schema it is in.
    await client.query('CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public');
    const { rows: found } = await client.query<{ home: string }>(
      `SELECT extnamespace::regnamespace::text AS home FROM pg_extension WHERE extname = 'pg_trgm'`,
    );
    await client.query(schema.replace('TRIGRAMS', `${found[0]?.home}.gin_trgm_ops`));
    for (const [text, values] of rows) await client.query(text, [...values]);
  } finally {
    await client.end();
  }
}
