import type { Clock } from '../platform/clock.ts';
import type { Database } from './database.ts';
import { sql } from './sql.ts';
import { type Instant, instantToMillis } from './types.ts';

/** The time on which all nodes agree, whatever their own clocks say. */
export interface DatabaseTime {
  /** Unix milliseconds. */
  now(): number;
}

const askTime = sql<{ now: Instant }>('database_time', 'SELECT clock_timestamp() AS now', 'read');

/** How often the database is asked; local clocks drift less than a millisecond meanwhile. */
const askIntervalMs = 5_000;
/** An answer that took longer says less than the last good one, up to this age. */
const goodAnswerMs = 20;
const maxAgeMs = 60_000;

/**
 * The database's clock, followed by this node's monotonic one between questions; off by no more than half a round trip.
 * While the database is away the time goes on from the last answer.
 */
export class SampledDatabaseTime implements DatabaseTime {
  readonly #db: Database;
  readonly #clock: Clock;
  /** Database time minus monotonic time, ms. */
  #offset = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.monotonic() + this.#offset;
  }

  /** Resolves when the time is known; rejects when the database does not say it. */
  async start(): Promise<void> {
    await this.#ask();
    this.#timer = setInterval(() => void this.#ask().catch(() => undefined), askIntervalMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    const before = this.#clock.monotonic();
    const [row] = await this.#db.query(askTime);
    const after = this.#clock.monotonic();
    const tripMs = after - before;
    if (row === undefined || (tripMs > goodAnswerMs && after - this.#askedAt < maxAgeMs)) return;
    this.#offset = instantToMillis(row.now) - (before + after) / 2;
    this.#askedAt = after;
  }
}
