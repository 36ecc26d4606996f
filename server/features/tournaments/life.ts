import { type Period, type PeriodRule, periodAt } from './periods.ts';

/** What happens to a tournament: a window closes, its records are reset, the next one opens. */
export type LifeKind = 'end' | 'reset' | 'start';

/** One step in the life of a tournament. */
export interface LifeEvent {
  /** Unix seconds. */
  readonly second: number;
  readonly kind: LifeKind;
}

/** In the order in which they come within one second. */
const kinds: readonly LifeKind[] = ['end', 'reset', 'start'];

export function compareEvents(a: LifeEvent, b: LifeEvent): number {
  return a.second - b.second || kinds.indexOf(a.kind) - kinds.indexOf(b.kind);
}

/** The first event after another one, or null when there is none to come. */
export function nextEvent(rule: PeriodRule, after: LifeEvent): LifeEvent | null {
  const candidates = periodsAround(rule, after.second)
    .flatMap((period) => eventsOf(period))
    .filter((event) => compareEvents(event, after) > 0);
  return earliest(candidates);
}

/** The first event at that second or later. */
export function firstEvent(rule: PeriodRule, second: number): LifeEvent | null {
  return nextEvent(rule, { second: second - 1, kind: 'start' });
}

/** The opening of the last window that has closed by now; null when none has. */
export function lastClosedStart(rule: PeriodRule, now: number): LifeEvent | null {
  for (const period of periodsAround(rule, now).reverse()) {
    if (isWindow(period) && period.endActive <= now) return { second: period.startActive, kind: 'start' };
  }
  return null;
}

/** The period before the one that `second` belongs to, that one, and the one after, as far as they exist. */
function periodsAround(rule: PeriodRule, second: number): Period[] {
  const current = periodAt(rule, second);
  const before = periodAt(rule, Math.min(second, current.startActive) - 1);
  const found = before.startActive < current.startActive ? [before, current] : [current];
  if (current.expiry > 0 && rule.schedule !== null) found.push(periodAt(rule, current.expiry));
  // Beyond the end of the tournament the formula goes on with windows that never open.
  return found.filter(({ startActive }) => rule.endTime === 0 || startActive < rule.endTime);
}

/** A start in the very second of a window's end leaves a window of no length: it neither opens nor closes. */
const isWindow = ({ startActive, endActive }: Period): boolean => startActive < endActive;

function eventsOf(period: Period): LifeEvent[] {
  const { startActive, endActive, expiry } = period;
  const events: LifeEvent[] = [];
  if (isWindow(period)) events.push({ second: startActive, kind: 'start' }, { second: endActive, kind: 'end' });
  if (expiry > 0) events.push({ second: expiry, kind: 'reset' });
  return events;
}

function earliest(events: readonly LifeEvent[]): LifeEvent | null {
  return events.reduce<LifeEvent | null>(
    (first, event) => (first === null || compareEvents(event, first) < 0 ? event : first),
    null,
  );
}

export const eventText = ({ second, kind }: LifeEvent): string => `${second}:${kind}`;

/** Reads what `eventText` wrote; null for anything else. */
export function parseEvent(text: string): LifeEvent | null {
  const [, second, kind] = /^(-?\d{1,12}):(end|reset|start)$/.exec(text) ?? [];
  return second === undefined || kind === undefined ? null : { second: Number(second), kind: kind as LifeKind };
}
