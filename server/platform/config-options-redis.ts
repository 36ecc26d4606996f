import type { Option } from './config-option.ts';
import type { ConfigValues } from './config-options.ts';

/** Redis, which several nodes share. */
export const redisOptions = [
  {
    key: 'redis.url',
    type: 'string',
    default: '',
    secret: 'password',
    description:
      'Redis as `redis://user:password@host:port/db` or `rediss://...`; also read from REDIS_URL. When neither this nor redis.sentinels nor redis.cluster is set, the node runs by itself.',
  },
  {
    key: 'redis.sentinels',
    type: 'string[]',
    default: [],
    description: 'Addresses of Redis Sentinels as `host:port`; redis.url then says user, password and database only.',
  },
  {
    key: 'redis.sentinel_master',
    type: 'string',
    default: 'mymaster',
    minLength: 1,
    description: 'Name of the master that the Sentinels watch.',
  },
  {
    key: 'redis.cluster',
    type: 'string[]',
    default: [],
    description:
      'Some of the servers of a Redis Cluster (7.0 or later) as `host:port`; they name the others. redis.url then says user and password only, and by `rediss://` that all connections use TLS.',
  },
  {
    key: 'redis.key_prefix',
    type: 'string',
    default: 'muster',
    minLength: 1,
    maxLength: 64,
    description: 'What all keys and channels begin with; two clusters on one Redis need two of them.',
  },
] as const satisfies readonly Option[];

/** The values name a Redis, in whichever way. */
export const namesRedis = ({ redis }: Pick<ConfigValues, 'redis'>): boolean =>
  redis.url !== '' || redis.sentinels.length > 0 || redis.cluster.length > 0;

export const redisRules: readonly ((values: ConfigValues) => string | null)[] = [
  ({ redis }) =>
    redis.cluster.length > 0 && redis.sentinels.length > 0
      ? 'redis.cluster and redis.sentinels cannot both be set: it is one or the other'
      : null,
  ({ redis }) =>
    redis.cluster.some((address) => !/^[^:\s/@]+(:\d{1,5})?$/.test(address))
      ? 'redis.cluster must be of the form host:port'
      : null,
  ({ redis }) =>
    redis.cluster.length > 0 && redis.url !== '' && !/^rediss?:\/\/[^/]*(\/0?)?$/.test(redis.url)
      ? 'redis.url must be of the form redis://user:password@host or rediss://..., without a database, when redis.cluster is set'
      : null,
];
