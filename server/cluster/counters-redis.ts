import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type Attempt, checkPolicy, checkTake, type LockPolicy, type Rate, type SharedCounters } from './counters.ts';
import type { RedisLink } from './redis-link.ts';
import type { RedisPlace } from './redis-place.ts';

/**
 * Counters in Redis, by its clock, each at the place of its key. Every key goes by itself as soon as it says no more than no key would; how many there
 * may be is a matter of Redis's `maxmemory` and eviction policy.
 */
export class RedisCounters implements SharedCounters {
  readonly #link: RedisLink;

  constructor(link: RedisLink) {
    this.#link = link;
  }

  async take(key: string, rate: Rate, cost = 1): Promise<boolean> {
    checkTake(rate, cost);
    const place = this.#link.at(key);
    const bucket = place.key(`counters:bucket:${key}`);
    const { perSecond, burst } = rate;
    return (await place.run((redis) => scripted(redis).countersTake(bucket, perSecond, burst, cost))) === 1;
  }

  async attempt(key: string, policy: LockPolicy): Promise<Attempt | null> {
    checkPolicy(policy);
    const { limit, windowMs, lockMs, attemptMs } = policy;
    const place = this.#link.at(key);
    const keys = lockKeys(place, key);
    const id = randomBytes(9).toString('base64');
    const granted = await place.run((redis) =>
      scripted(redis).countersAttempt(...keys, id, limit, windowMs, attemptMs),
    );
    if (granted === 0) return null;
    return {
      failed: async () => {
        await place.run((redis) => scripted(redis).countersFail(...keys, id, limit, windowMs, lockMs));
      },
      released: async () => {
        await place.run((redis) => redis.zrem(keys[1], id));
      },
    };
  }

  async reset(key: string): Promise<void> {
    const place = this.#link.at(key);
    const [failures, , lock] = lockKeys(place, key);
    await place.run((redis) => redis.del(failures, lock));
  }
}

function lockKeys(place: RedisPlace, key: string): LockKeys {
  const named = (kind: string): string => place.key(`counters:${kind}:${key}`);
  return [named('failures'), named('open'), named('lock')];
}

/** Of the failures, of the attempts under way, and of the lock. */
type LockKeys = readonly [failures: string, open: string, lock: string];

const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
-- Redis takes whole milliseconds, and not any number of them.
local function duration(ms) return string.format('%.0f', math.min(math.max(math.ceil(ms), 1), 1e15)) end
`;

/** The bucket is two doubles: tokens, and when that was. */
const take = `
${prelude}
local per_second, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = burst
local bucket = redis.call('GET', KEYS[1])
if bucket then
  local left, at = struct.unpack('>dd', bucket)
  tokens = math.min(burst, left + math.max(now - at, 0) * per_second / 1000)
end
local paid = 0
if tokens >= cost then
  paid = 1
  tokens = tokens - cost
end
if tokens < burst then
  redis.call('SET', KEYS[1], struct.pack('>dd', tokens, now), 'PX', duration((burst - tokens) * 1000 / per_second))
else
  redis.call('DEL', KEYS[1])
end
return paid
`;

/** The failures are a list of their times, oldest first; the attempts under way a set, ordered by when they began. */
const lockPrelude = `
${prelude}
local failures, open, lock = KEYS[1], KEYS[2], KEYS[3]
local id, limit, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function recent_failures()
  local oldest = redis.call('LINDEX', failures, 0)
  while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', failures)
    oldest = redis.call('LINDEX', failures, 0)
  end
  return redis.call('LLEN', failures)
end
`;

const attempt = `
${lockPrelude}
local attempt_ms = tonumber(ARGV[4])
if redis.call('EXISTS', lock) == 1 then return 0 end
redis.call('ZREMRANGEBYSCORE', open, '-inf', string.format('%.3f', now - attempt_ms))
if recent_failures() + redis.call('ZCARD', open) >= limit then return 0 end
redis.call('ZADD', open, string.format('%.3f', now), id)
redis.call('PEXPIRE', open, duration(attempt_ms))
return 1
`;

const fail = `
${lockPrelude}
local lock_ms = tonumber(ARGV[4])
redis.call('ZREM', open, id)
if redis.call('EXISTS', lock) == 1 then return 0 end
if recent_failures() + 1 < limit then
  redis.call('RPUSH', failures, string.format('%.3f', now))
  redis.call('PEXPIRE', failures, duration(window))
  return 0
end
redis.call('SET', lock, 1, 'PX', duration(lock_ms))
redis.call('DEL', failures)
return 1
`;

type LockArguments = [...keys: LockKeys, id: string, limit: number, windowMs: number, ms: number];

interface Scripted {
  countersTake(bucket: string, perSecond: number, burst: number, cost: number): Promise<number>;
  countersAttempt(...args: LockArguments): Promise<number>;
  countersFail(...args: LockArguments): Promise<number>;
}

function scripted(redis: Redis): Scripted {
  if (!('countersTake' in redis)) {
    redis.defineCommand('countersTake', { lua: take, numberOfKeys: 1 });
    redis.defineCommand('countersAttempt', { lua: attempt, numberOfKeys: 3 });
    redis.defineCommand('countersFail', { lua: fail, numberOfKeys: 3 });
  }
  return redis as unknown as Scripted;
}
