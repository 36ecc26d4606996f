-- What players are called by OpenID Connect providers of the operator's choice. The providers that Nakama knows have
-- columns of their own in users.

-- Up Migration

CREATE TABLE IF NOT EXISTS muster_user_identity (
  provider    VARCHAR(64)  NOT NULL, -- its name in social.oidc_providers
  subject     VARCHAR(255) NOT NULL, -- who the player is there
  user_id     UUID         NOT NULL,
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now(),

  CONSTRAINT muster_user_identity_pkey PRIMARY KEY (provider, subject),
  CONSTRAINT muster_user_identity_user_id_provider_key UNIQUE (user_id, provider),
  CONSTRAINT muster_user_identity_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- Down Migration

DROP TABLE IF EXISTS muster_user_identity;
