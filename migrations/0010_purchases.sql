-- Purchases and subscriptions of app stores, as Nakama 3 has them. They outlive their owners: then they are the system
-- user's. Nakama has no index by user: its own would be read from end to end for each list and each deleted account.

-- Up Migration

CREATE TABLE IF NOT EXISTS purchase (
  transaction_id VARCHAR(512) NOT NULL CHECK (length(transaction_id) > 0),
  user_id        UUID         NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  product_id     VARCHAR(512) NOT NULL,
  store          SMALLINT     NOT NULL DEFAULT 0, -- 0 Apple, 1 Google, 2 Huawei, 3 Facebook Instant, 4 Samsung
  environment    SMALLINT     NOT NULL DEFAULT 0, -- 0 unknown, 1 sandbox, 2 production
  purchase_time  TIMESTAMPTZ  NOT NULL,
  raw_response   JSONB        NOT NULL DEFAULT '{}',
  refund_time    TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC', -- then: not refunded
  create_time    TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time    TIMESTAMPTZ  NOT NULL DEFAULT now(), -- after create_time once it was seen again

  CONSTRAINT purchase_pkey PRIMARY KEY (transaction_id),
  CONSTRAINT purchase_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET DEFAULT
);

CREATE INDEX IF NOT EXISTS purchase_time_user_id_transaction_id_idx
  ON purchase (purchase_time DESC, user_id DESC, transaction_id DESC);

CREATE INDEX IF NOT EXISTS muster_purchase_user_id_idx
  ON purchase (user_id, purchase_time DESC, transaction_id DESC);

CREATE TABLE IF NOT EXISTS subscription (
  original_transaction_id VARCHAR(512) NOT NULL CHECK (length(original_transaction_id) > 0),
  user_id                 UUID         NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  product_id              VARCHAR(512) NOT NULL,
  store                   SMALLINT     NOT NULL DEFAULT 0, -- as in purchase
  environment             SMALLINT     NOT NULL DEFAULT 0, -- as in purchase
  purchase_time           TIMESTAMPTZ  NOT NULL,
  expire_time             TIMESTAMPTZ  NOT NULL,
  refund_time             TIMESTAMPTZ  NOT NULL DEFAULT '1970-01-01 00:00:00 UTC', -- then: not refunded
  raw_response            JSONB        NOT NULL DEFAULT '{}',
  raw_notification        JSONB        NOT NULL DEFAULT '{}',
  create_time             TIMESTAMPTZ  NOT NULL DEFAULT now(),
  update_time             TIMESTAMPTZ  NOT NULL DEFAULT now(),

  CONSTRAINT subscription_pkey PRIMARY KEY (original_transaction_id),
  CONSTRAINT subscription_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET DEFAULT
);

CREATE INDEX IF NOT EXISTS subscription_time_user_id_transaction_id_idx
  ON subscription (purchase_time DESC, user_id DESC, original_transaction_id DESC);

CREATE INDEX IF NOT EXISTS muster_subscription_user_id_idx
  ON subscription (user_id, purchase_time DESC, original_transaction_id DESC);

-- Down Migration

DROP TABLE IF EXISTS subscription;
DROP TABLE IF EXISTS purchase;
