import type { Clock } from '../platform/clock.ts';
import { type Attempt, checkPolicy, checkTake, type LockPolicy, type Rate, type SharedCounters } from './counters.ts';
import type { MemoryHub } from './memory-hub.ts';

/** Counters of nodes that live in one process. */
export class MemoryCounters implements SharedCounters {
  readonly #table: CounterTable;
  readonly #clock: Clock;
  readonly #maxKeys: number;

  /** `maxKeys`: buckets held, and as many keys with failures, with attempts under way, and with locks. */
  constructor(hub: MemoryHub, clock: Clock, maxKeys = defaultMaxKeys) {
    this.#table = hub.part(CounterTable);
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  async take(key: string, rate: Rate, cost = 1): Promise<boolean> {
    checkTake(rate, cost);
    const now = this.#clock.monotonic();
    const { buckets } = this.#table;
    const known = buckets.get(key);
    const earned = known === undefined ? rate.burst : ((now - known.at) * rate.perSecond) / 1000;
    const tokens = Math.min(rate.burst, (known?.tokens ?? 0) + earned);
    const paid = tokens >= cost;
    const left = paid ? tokens - cost : tokens;
    const fullAt = now + ((rate.burst - left) * 1000) / rate.perSecond;
    this.#put(buckets, key, { tokens: left, at: now, endsAt: fullAt }, now);
    return paid;
  }

  async attempt(key: string, policy: LockPolicy): Promise<Attempt | null> {
    checkPolicy(policy);
    const now = this.#clock.monotonic();
    if (this.#isLocked(key, now)) return null;
    const { failing, open } = this.#table;
    const started = recent(open.get(key), now - policy.attemptMs);
    const failures = recent(failing.get(key), now - policy.windowMs);
    if (failures.length + started.length >= policy.limit) return null;
    const attempt = { at: now };
    this.#put(open, key, { times: [...started, attempt], endsAt: now + policy.attemptMs }, now);
    return {
      failed: async () => {
        this.#close(key, attempt);
        this.#fail(key, policy);
      },
      released: async () => this.#close(key, attempt),
    };
  }

  async reset(key: string): Promise<void> {
    this.#table.failing.delete(key);
    this.#table.locked.delete(key);
  }

  #isLocked(key: string, now: number): boolean {
    return (this.#table.locked.get(key)?.endsAt ?? now) > now;
  }

  #close(key: string, attempt: Moment): void {
    const { open } = this.#table;
    const known = open.get(key);
    if (known === undefined) return;
    const times = known.times.filter((other) => other !== attempt);
    if (times.length === 0) open.delete(key);
    else open.set(key, { ...known, times });
  }

  #fail(key: string, { limit, windowMs, lockMs }: LockPolicy): void {
    const now = this.#clock.monotonic();
    if (this.#isLocked(key, now)) return;
    const { failing, locked } = this.#table;
    const times = [...recent(failing.get(key), now - windowMs), { at: now }];
    if (times.length < limit) {
      this.#put(failing, key, { times, endsAt: now + windowMs }, now);
      return;
    }
    failing.delete(key);
    this.#put(locked, key, { endsAt: now + lockMs }, now);
  }

  #put<T extends Expiring>(map: Map<string, T>, key: string, value: T, now: number): void {
    map.delete(key);
    map.set(key, value);
    trim(map, now, this.#maxKeys);
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

interface Moment {
  readonly at: number;
}

interface Moments extends Expiring {
  readonly times: readonly Moment[];
}

/** The part of the hub that counts. Each map's order is that of last use. */
class CounterTable {
  readonly buckets = new Map<string, Bucket>();
  readonly failing = new Map<string, Moments>();
  /** Attempts under way, by when they began. */
  readonly open = new Map<string, Moments>();
  readonly locked = new Map<string, Expiring>();
}

const recent = (moments: Moments | undefined, after: number): Moment[] =>
  moments === undefined ? [] : moments.times.filter(({ at }) => at > after);

function trim<T extends Expiring>(map: Map<string, T>, now: number, maxKeys: number): void {
  let looked = 0;
  for (const [key, { endsAt }] of map) {
    if (map.size <= maxKeys && (looked >= trimStep || endsAt > now)) return;
    map.delete(key);
    looked++;
  }
}
