import type { Schedule } from '../../platform/cron.ts';

/**
 * When a board begins anew, in unix seconds; 0 where there is no such time (spec: leaderboards-tournaments.md, sections
 * 4 and 5.1). A second of the schedule belongs to the period that begins with it.
 */
export class Resets {
  readonly #schedule: Schedule | null;
  /** The period of the last question: nearly all are about the present one. */
  #from = Number.POSITIVE_INFINITY;
  #until = 0;

  constructor(schedule: Schedule | null) {
    this.#schedule = schedule;
  }

  /** The first one after `second`. */
  next(second: number): number {
    if (this.#schedule === null) return 0;
    if (second >= this.#from && second < this.#until) return this.#until;
    const next = this.#schedule.next(second);
    if (next === null) return 0;
    this.#from = second;
    this.#until = next;
    return next;
  }

  /** The last one before `second`. */
  prev(second: number): number {
    return this.#schedule?.prev(second) ?? 0;
  }
}
