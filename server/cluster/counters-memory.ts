import type { Clock } from '../platform/clock.ts';
import { invalidArgument } from '../platform/errors.ts';
import { type Lock, type LockPolicy, maxLockFailures, type Rate, type SharedCounters } from './counters.ts';
import type { MemoryHub } from './memory-hub.ts';

/** Counters of nodes that live in one process. */
export class MemoryCounters implements SharedCounters {
  readonly #table: CounterTable;
  readonly #clock: Clock;
  readonly #maxKeys: number;

  /** `maxKeys`: buckets held, and as many keys with failures. */
  constructor(hub: MemoryHub, clock: Clock, maxKeys = defaultMaxKeys) {
    this.#table = hub.part(CounterTable);
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  async take(key: string, rate: Rate, cost = 1): Promise<boolean> {
    if (!(positive(rate.perSecond) && positive(rate.burst))) throw invalidArgument('rate must be positive');
    if (!(cost >= 0 && cost <= rate.burst)) throw invalidArgument('cost must be between 0 and the burst');
    const now = this.#clock.monotonic();
    const { buckets } = this.#table;
    const known = buckets.get(key);
    const earned = known === undefined ? rate.burst : ((now - known.at) * rate.perSecond) / 1000;
    const tokens = Math.min(rate.burst, (known?.tokens ?? 0) + earned);
    const paid = tokens >= cost;
    const left = paid ? tokens - cost : tokens;
    const fullAt = now + ((rate.burst - left) * 1000) / rate.perSecond;
    touch(buckets, key, { tokens: left, at: now, endsAt: fullAt });
    trim(buckets, now, this.#maxKeys);
    return paid;
  }

  async fail(key: string, policy: LockPolicy): Promise<Lock> {
    const { limit, windowMs, lockMs } = policy;
    if (
      !(Number.isInteger(limit) && limit >= 1 && limit <= maxLockFailures && positive(windowMs) && positive(lockMs))
    ) {
      throw invalidArgument('lock policy makes no sense');
    }
    const now = this.#clock.monotonic();
    const { failing, locked } = this.#table;
    const lockedUntil = this.#lockedUntil(key, now);
    if (lockedUntil !== undefined) return this.#lock(lockedUntil, now);

    const recent = (failing.get(key)?.times ?? []).filter((time) => time > now - windowMs);
    recent.push(now);
    if (recent.length < limit) {
      touch(failing, key, { times: recent, endsAt: now + windowMs });
      trim(failing, now, this.#maxKeys);
      return { locked: false };
    }
    failing.delete(key);
    touch(locked, key, { endsAt: now + lockMs });
    trim(locked, now, this.#maxKeys);
    return this.#lock(now + lockMs, now);
  }

  async isLocked(key: string): Promise<boolean> {
    return this.#lockedUntil(key, this.#clock.monotonic()) !== undefined;
  }

  async reset(key: string): Promise<void> {
    this.#table.failing.delete(key);
    this.#table.locked.delete(key);
  }

  #lockedUntil(key: string, now: number): number | undefined {
    const lock = this.#table.locked.get(key);
    return lock !== undefined && lock.endsAt > now ? lock.endsAt : undefined;
  }

  #lock(until: number, now: number): Lock {
    return { locked: true, until: Math.ceil(this.#clock.now() + until - now) };
  }
}

const defaultMaxKeys = 100_000;

/** Entries looked at for expiry with each new one; more than one, so that the table shrinks under steady use. */
const trimStep = 2;

/** Times are the clock's monotonic milliseconds. */
interface Expiring {
  /** From then on the entry says no more than no entry would. */
  readonly endsAt: number;
}

interface Bucket extends Expiring {
  readonly tokens: number;
  readonly at: number;
}

interface Failures extends Expiring {
  readonly times: readonly number[];
}

/** The part of the hub that counts. Each map's order is that of last use. */
class CounterTable {
  readonly buckets = new Map<string, Bucket>();
  readonly failing = new Map<string, Failures>();
  readonly locked = new Map<string, Expiring>();
}

const positive = (value: number): boolean => Number.isFinite(value) && value > 0;

function touch<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
}

function trim<T extends Expiring>(map: Map<string, T>, now: number, maxKeys: number): void {
  let looked = 0;
  for (const [key, { endsAt }] of map) {
    if (map.size <= maxKeys && (looked >= trimStep || endsAt > now)) return;
    map.delete(key);
    looked++;
  }
}
