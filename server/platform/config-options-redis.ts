import type { Option } from './config-option.ts';

/** Redis, which several nodes share. */
export const redisOptions = [
  {
    key: 'redis.url',
    type: 'string',
    default: '',
    secret: 'password',
    description:
      'Redis as `redis://user:password@host:port/db` or `rediss://...`; also read from REDIS_URL. When neither this nor redis.sentinels is set, the node runs by itself.',
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
    key: 'redis.key_prefix',
    type: 'string',
    default: 'muster',
    minLength: 1,
    maxLength: 64,
    description: 'What all keys and channels begin with; two clusters on one Redis need two of them.',
  },
] as const satisfies readonly Option[];
