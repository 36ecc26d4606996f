import type { Schedule } from '../../platform/cron.ts';

/**
 * When a board begins anew, in unix seconds; 0 where there is no such time (spec: leaderboards-tournaments.md, sections
 * 4 and 5.1). A second of the schedule belongs to the period that begins with it.
 */
export class Resets {
  readonly #schedule: Schedule | null;

  constructor(schedule: Schedule | null) {
    this.#schedule = schedule;
  }

  /** The first one after `second`. */
  next(second: number): number {
    return this.#schedule?.next(second) ?? 0;
  }

  /** The last one before `second`. */
  prev(second: number): number {
    return this.#schedule?.prev(second) ?? 0;
  }
}
