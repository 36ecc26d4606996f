import type { Redis } from 'ioredis';
import { invalidArgument } from '../platform/errors.ts';
import { type Lock, type LockPolicy, maxLockFailures, type Rate, type SharedCounters } from './counters.ts';
import type { RedisLink } from './redis-link.ts';

/**
 * Counters in Redis, by its clock. Every key goes by itself as soon as it says no more than no key would; how many there
 * may be is a matter of Redis's `maxmemory` and eviction policy.
 */
export class RedisCounters implements SharedCounters {
  readonly #link: RedisLink;

  constructor(link: RedisLink) {
    this.#link = link;
  }

  async take(key: string, rate: Rate, cost = 1): Promise<boolean> {
    if (!(positive(rate.perSecond) && positive(rate.burst))) throw invalidArgument('rate must be positive');
    if (!(cost >= 0 && cost <= rate.burst)) throw invalidArgument('cost must be between 0 and the burst');
    const { perSecond, burst } = rate;
    const paid = await this.#link.run((redis) =>
      scripted(redis).countersTake(this.#bucketKey(key), perSecond, burst, cost),
    );
    return paid === 1;
  }

  async fail(key: string, policy: LockPolicy): Promise<Lock> {
    const { limit, windowMs, lockMs } = policy;
    if (
      !(Number.isInteger(limit) && limit >= 1 && limit <= maxLockFailures && positive(windowMs) && positive(lockMs))
    ) {
      throw invalidArgument('lock policy makes no sense');
    }
    const until = await this.#link.run((redis) =>
      scripted(redis).countersFail(this.#failuresKey(key), this.#lockKey(key), limit, windowMs, lockMs),
    );
    return until === 0 ? { locked: false } : { locked: true, until };
  }

  async isLocked(key: string): Promise<boolean> {
    return (await this.#link.run((redis) => redis.exists(this.#lockKey(key)))) === 1;
  }

  async reset(key: string): Promise<void> {
    await this.#link.run((redis) => redis.del(this.#failuresKey(key), this.#lockKey(key)));
  }

  #bucketKey(key: string): string {
    return this.#link.key(`counters:bucket:${key}`);
  }

  #failuresKey(key: string): string {
    return this.#link.key(`counters:failures:${key}`);
  }

  #lockKey(key: string): string {
    return this.#link.key(`counters:lock:${key}`);
  }
}

const positive = (value: number): boolean => Number.isFinite(value) && value > 0;

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

/** The failures are a list of their times, oldest first; the lock says until when. */
const fail = `
${prelude}
local failures, lock = KEYS[1], KEYS[2]
local limit, window, lock_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local locked = redis.call('GET', lock)
if locked then return tonumber(locked) end

local oldest = redis.call('LINDEX', failures, 0)
while oldest and tonumber(oldest) <= now - window do
  redis.call('LPOP', failures)
  oldest = redis.call('LINDEX', failures, 0)
end
if redis.call('LLEN', failures) + 1 < limit then
  redis.call('RPUSH', failures, string.format('%.3f', now))
  redis.call('PEXPIRE', failures, duration(window))
  return 0
end
local ends = math.ceil(now + math.min(lock_ms, 1e15))
redis.call('SET', lock, string.format('%.0f', ends), 'PX', duration(lock_ms))
redis.call('DEL', failures)
return ends
`;

interface Scripted {
  countersTake(bucket: string, perSecond: number, burst: number, cost: number): Promise<number>;
  countersFail(failures: string, lock: string, limit: number, windowMs: number, lockMs: number): Promise<number>;
}

function scripted(redis: Redis): Scripted {
  if (!('countersTake' in redis)) {
    redis.defineCommand('countersTake', { lua: take, numberOfKeys: 1 });
    redis.defineCommand('countersFail', { lua: fail, numberOfKeys: 2 });
  }
  return redis as unknown as Scripted;
}
