import { describe, expect, it } from 'vitest';
import { parseSchedule } from '../../platform/cron.ts';
import { compareEvents, firstEvent, type LifeEvent, lastClosedStart, nextEvent } from './life.ts';
import { isWritable, type PeriodRule, periodAt } from './periods.ts';

const at = (text: string): number => Date.parse(`${text}Z`) / 1000;

const rule = (cron: string | null, start: string, end: string | null, duration: number): PeriodRule => ({
  startTime: at(start),
  endTime: end === null ? 0 : at(end),
  duration,
  schedule: cron === null ? null : parseSchedule(cron),
  closedTime: null,
});

/** The life of a tournament from a second on, as text. */
function life(of: PeriodRule, from: string, count: number): string[] {
  const events: LifeEvent[] = [];
  let event = firstEvent(of, at(from));
  while (event !== null && events.length < count) {
    events.push(event);
    event = nextEvent(of, event);
  }
  return events.map(text);
}
const text = ({ second, kind }: LifeEvent): string =>
  `${new Date(second * 1000).toISOString().slice(5, 19).replace('T', ' ')} ${kind}`;

describe('the life of a tournament', () => {
  it('H1s: opens, ends and is reset in each week', () => {
    expect(life(rule('0 0 * * 1', '2026-01-01T00:00', null, 172_800), '2025-12-30T00:00', 7)).toEqual([
      '01-05 00:00:00 start',
      '01-07 00:00:00 end',
      '01-12 00:00:00 reset',
      '01-12 00:00:00 start',
      '01-14 00:00:00 end',
      '01-19 00:00:00 reset',
      '01-19 00:00:00 start',
    ]);
  });

  it('H3s: ends before it is reset, and nothing comes after its end time', () => {
    const daily = rule('0 0 * * *', '2026-01-01T00:00', '2026-01-10T06:00', 86_400);
    expect(life(daily, '2026-01-09T10:00', 9)).toEqual([
      '01-10 00:00:00 end',
      '01-10 00:00:00 reset',
      '01-10 00:00:00 start',
      '01-10 06:00:00 end',
      '01-10 06:00:00 reset',
    ]);
    expect(life(daily, '2026-01-10T06:00:01', 9)).toEqual([]);
    expect(life(daily, '2026-02-03T11:00', 9)).toEqual([]);
  });

  it('with an end time that is a tick it does not open once more', () => {
    expect(life(rule('0 0 * * *', '2026-01-01T00:00', '2026-01-03T00:00', 3600), '2026-01-02T00:00', 9)).toEqual([
      '01-02 00:00:00 reset',
      '01-02 00:00:00 start',
      '01-02 01:00:00 end',
      '01-03 00:00:00 reset',
    ]);
  });

  it('H4s: without schedule and end time it is never reset; F2', () => {
    const once = rule(null, '2026-01-01T00:00', null, 3600);
    expect(life(once, '2025-01-01T00:00', 9)).toEqual(['01-01 00:00:00 start', '01-01 01:00:00 end']);
    expect(life(once, '2026-01-05T00:00', 9)).toEqual([]);
  });

  it('H1: without schedule it is reset at its end time', () => {
    expect(life(rule(null, '2026-01-01T00:00', '2026-01-03T00:00', 3600), '2026-01-01T00:30', 9)).toEqual([
      '01-01 01:00:00 end',
      '01-03 00:00:00 reset',
    ]);
  });

  it('D1: has a first window that is cut short by the start', () => {
    expect(life(rule('0 12 * * *', '2026-01-10T12:30', null, 3600), '2026-01-10T09:00', 4)).toEqual([
      '01-10 12:30:00 start',
      '01-10 13:00:00 end',
      '01-11 12:00:00 reset',
      '01-11 12:00:00 start',
    ]);
  });

  it('Cc1: opens with the first tick when it starts after a window has closed', () => {
    expect(life(rule('0 12 * * *', '2026-01-10T15:00', null, 3600), '2026-01-10T09:00', 2)).toEqual([
      '01-11 12:00:00 start',
      '01-11 13:00:00 end',
    ]);
  });

  it('passes over a window of no length', () => {
    expect(life(rule('0 12 * * *', '2026-01-10T13:00', null, 3600), '2026-01-10T09:00', 3)).toEqual([
      '01-11 12:00:00 reset',
      '01-11 12:00:00 start',
      '01-11 13:00:00 end',
    ]);
  });

  it('an exhausted schedule ends it, without a reset', () => {
    expect(life(rule('0 0 1 1 * 2020', '2019-12-01T00:00', null, 3600), '2019-12-24T00:00', 9)).toEqual([
      '01-01 00:00:00 start',
      '01-01 01:00:00 end',
    ]);
    expect(life(rule('0 0 1 1 * 2020', '2019-12-01T00:00', null, 3600), '2026-12-24T00:00', 9)).toEqual([]);
  });

  it('a window that was ended by hand ends once, and the next one as planned', () => {
    const ended = { ...rule('0 0 * * 1', '2026-01-01T00:00', null, 172_800), closedTime: at('2026-01-05T13:00:07') };
    expect(life(ended, '2026-01-05T00:00', 5)).toEqual([
      '01-05 00:00:00 start',
      '01-05 13:00:07 end',
      '01-12 00:00:00 reset',
      '01-12 00:00:00 start',
      '01-14 00:00:00 end',
    ]);
  });

  it.each([
    ['A', rule('0 0 * * 1', '2026-01-01T00:00', null, 172_800)],
    ['D', rule('0 12 * * *', '2026-01-10T12:30', null, 3600)],
    ['E', rule('0 0 * * *', '2026-01-01T00:00', '2026-01-10T06:00', 86_400)],
    ['I', rule('0 0 * * 1', '2026-01-07T00:00', null, 864_000)],
    ['several seconds', rule('15,40 */7 * * * * *', '2026-01-09T00:03:20', '2026-01-09T05:00:30', 30)],
  ])('%s: events go on, and a second is writable exactly between a start and its end', (_, of) => {
    let event = firstEvent(of, at('2025-12-31T00:00'));
    for (let count = 0; event !== null && count < 300; count++) {
      const { second, kind } = event;
      const now = (seconds: number) => isWritable(periodAt(of, seconds), seconds);
      if (kind === 'start') expect(now(second), text(event)).toBe(true);
      if (kind === 'end') expect(now(second - 1), text(event)).toBe(true);
      const next: LifeEvent | null = nextEvent(of, event);
      if (next !== null) expect(compareEvents(next, event)).toBeGreaterThan(0);
      // Between an end and the next start nothing is.
      if (kind !== 'start' && next !== null && next.second > second) expect(now(second), text(event)).toBe(false);
      event = next;
    }
  });
});

describe('where it goes on after a pause (H7s)', () => {
  const weekly = rule('0 0 * * 1', '2026-01-01T00:00', null, 172_800);
  const from = (of: PeriodRule, now: string): string | null => {
    const event = lastClosedStart(of, at(now));
    return event && text(event);
  };

  it('with the last window that has closed', () => {
    expect(from(weekly, '2026-03-04T00:00')).toBe('03-02 00:00:00 start');
    expect(from(weekly, '2026-03-03T23:59:59')).toBe('02-23 00:00:00 start');
    expect(from(weekly, '2026-01-06T00:00')).toBeNull();
    expect(from(weekly, '2025-06-06T00:00')).toBeNull();
  });

  it('which after its end time is the last one of all', () => {
    const daily = rule('0 0 * * *', '2026-01-01T00:00', '2026-01-10T06:00', 86_400);
    expect(from(daily, '2026-04-01T03:00')).toBe('01-10 00:00:00 start');
    expect(from(rule(null, '2026-01-01T00:00', null, 3600), '2026-04-01T03:00')).toBe('01-01 00:00:00 start');
  });
});
