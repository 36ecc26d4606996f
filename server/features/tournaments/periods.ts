import type { Schedule } from '../../platform/cron.ts';

/** What the windows of a tournament follow from. Times are unix seconds. */
export interface PeriodRule {
  readonly startTime: number;
  /** 0: never. */
  readonly endTime: number;
  /** Seconds, at least 1. */
  readonly duration: number;
  readonly schedule: Schedule | null;
  /** Windows that opened before this second are closed; null when none has been yet. */
  readonly closedTime: number | null;
}

/** A window of a tournament and what becomes of its records. Unix seconds. */
export interface Period {
  readonly startActive: number;
  /** Scores are accepted before, and not at, this second. */
  readonly endActive: number;
  /** When the records of the window are reset, which they are filed under; 0: never. */
  readonly expiry: number;
  /** Ended by hand before its time, and so closed whatever the time. */
  readonly endedEarly: boolean;
}

/**
 * The period that joins, writes and lists at `now` belong to (spec: leaderboards-tournaments.md, section 5.2). Before
 * the start that is the first one: where the reference looks for the tick after the start, and so files early joins
 * where no write finds them, this is what it will be when the tournament starts.
 */
export function periodAt(rule: PeriodRule, now: number): Period {
  return closedBy(rule.closedTime, plannedPeriod(rule, Math.max(now, rule.startTime)));
}

/**
 * The formula of the contract as it stands, the projection before the start included. A schedule that is exhausted
 * never resets again: its last period stays open behind its end.
 */
export function plannedPeriod(rule: PeriodRule, now: number): Omit<Period, 'endedEarly'> {
  const { startTime, endTime, duration, schedule } = rule;
  if (schedule === null) {
    const endActive = startTime + duration;
    return { startActive: startTime, endActive: capped(endActive, endTime), expiry: endTime };
  }
  let startActive = tickFor(schedule, startTime, now);
  // Unlike 0, no end at all compares as later than any other.
  let expiry = schedule.next(startActive) ?? Number.POSITIVE_INFINITY;
  let endActive = Math.min(startActive + duration, expiry);
  const afterStart = startTime > endActive ? schedule.next(startTime) : null;
  if (afterStart !== null) {
    startActive = afterStart;
    expiry = schedule.next(startActive) ?? Number.POSITIVE_INFINITY;
    endActive = Math.min(startActive + duration, expiry);
  } else if (startTime > startActive && startTime <= endActive) {
    startActive = startTime;
  }
  if (endTime > 0 && expiry > endTime) {
    expiry = endTime;
    endActive = Math.min(endActive, endTime);
  }
  return { startActive, endActive, expiry: Number.isFinite(expiry) ? expiry : 0 };
}

/** The tick that opens the window of `now`. */
function tickFor(schedule: Schedule, startTime: number, now: number): number {
  const first = now < startTime ? schedule.next(startTime) : schedule.prev(now + 1);
  return first ?? schedule.prev(now) ?? schedule.next(now) ?? startTime;
}

const capped = (time: number, end: number): number => (end > 0 ? Math.min(time, end) : time);

function closedBy(closedTime: number | null, period: Omit<Period, 'endedEarly'>): Period {
  const endedEarly = closedTime !== null && closedTime > period.startActive && closedTime < period.endActive;
  return { ...period, endActive: endedEarly ? closedTime : period.endActive, endedEarly };
}

/** Are scores accepted? */
export function isWritable(period: Period, now: number): boolean {
  return period.startActive <= now && isJoinable(period, now);
}

/** Are joins accepted? They are before the window opens, too. */
export function isJoinable({ endActive, endedEarly }: Period, now: number): boolean {
  return now < endActive && !endedEarly;
}

/** The `can_enter` of the contract, as far as time goes: true for one second longer than writes are accepted. */
export function isOpen({ startActive, endActive, endedEarly }: Period, now: number): boolean {
  return startActive <= now && now <= endActive && !endedEarly;
}

/** Is the period over, with its records reset? */
export function isReset({ expiry }: Period, now: number): boolean {
  return expiry > 0 && expiry <= now;
}

/** The tick before `now`; 0 without one, without a schedule and before the start. */
export function previousReset({ schedule, startTime }: PeriodRule, now: number): number {
  return schedule === null || startTime > now ? 0 : (schedule.prev(now) ?? 0);
}
