import type { Option } from './config-option.ts';

/** PostgreSQL or CockroachDB (spec: http-auth-accounts.md, section 7.4). */
export const databaseOptions = [
  {
    key: 'database.url',
    type: 'string',
    default: '',
    secret: 'password',
    description:
      'Database as `postgresql://user:password@host:port/name`; also read from DATABASE_URL. Wins over database.address. When neither is set, an embedded PostgreSQL starts under data_dir.',
  },
  {
    key: 'database.address',
    type: 'string[]',
    default: [],
    secret: 'password',
    description:
      'Database as `user:password@host:port/name`, as Nakama writes it; only the first entry is used. Missing parts: user root, port 5432, name nakama. TLS only if the address says so, as in `?sslmode=require`.',
  },
  {
    key: 'database.pool_size',
    type: 'int',
    default: 10,
    min: 1,
    description: 'Connections for transactions.',
  },
  {
    key: 'database.shared_clients',
    type: 'int',
    default: 12,
    min: 1,
    description:
      'Connections that single statements share by pipelining. A commit holds up what is behind it on its connection: more of them let the database flush more commits at once.',
  },
  {
    key: 'database.statement_timeout_ms',
    type: 'int',
    default: 5000,
    min: 1,
    description: 'Longest run of one statement.',
  },
  {
    key: 'database.acquire_timeout_ms',
    type: 'int',
    default: 2000,
    min: 1,
    description: 'Longest wait for a free connection; then the call fails as unavailable.',
  },
  {
    key: 'database.conn_max_lifetime_ms',
    type: 'int',
    default: 3600000,
    min: 0,
    description: 'Age at which a pooled connection is replaced; 0 means never.',
  },
  {
    key: 'database.idempotency_retention_sec',
    type: 'int',
    default: 86400,
    min: 60,
    description:
      'How long the outcome of an operation with an idempotency key is remembered. A repeat that comes later counts as new.',
  },
  {
    key: 'database.auto_migrate',
    type: 'bool',
    default: false,
    devDefault: true,
    description: 'Bring the schema up to date at start. When off, the server refuses to start on an old schema.',
  },
] as const satisfies readonly Option[];
