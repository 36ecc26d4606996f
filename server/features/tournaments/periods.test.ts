import { describe, expect, it } from 'vitest';
import { parseSchedule } from '../../platform/cron.ts';
import {
  isJoinable,
  isOpen,
  isWritable,
  type Period,
  type PeriodRule,
  periodAt,
  plannedPeriod,
  previousReset,
} from './periods.ts';

const at = (text: string): number => Date.parse(`${text}Z`) / 1000;

function rule(cron: string | null, start: string, end: string | null, duration: number): PeriodRule {
  return {
    startTime: at(start),
    endTime: end === null ? 0 : at(end),
    duration,
    schedule: cron === null ? null : parseSchedule(cron),
    closedTime: null,
  };
}

const a = rule('0 0 * * 1', '2026-01-01T00:00', null, 172_800);
const b = rule('0 12 * * *', '2026-01-01T00:00', null, 3600);
const c = rule('0 12 * * *', '2026-01-10T15:00', null, 3600);
const d = rule('0 12 * * *', '2026-01-10T12:30', null, 3600);
const e = rule('0 0 * * *', '2026-01-01T00:00', '2026-01-10T06:00', 86_400);
const f = rule(null, '2026-01-01T00:00', null, 3600);
const g = rule(null, '2026-01-01T00:00', '2026-01-01T12:00', 86_400);
const h = rule(null, '2026-01-01T00:00', '2026-01-03T00:00', 3600);
const i = rule('0 0 * * 1', '2026-01-07T00:00', null, 864_000);
const j = rule('0 0 1 * *', '2026-01-15T00:00', null, 2_678_400);
const k = rule('0 0 * * 1', '2026-01-05T00:00', null, 172_800);
const l1 = rule('0 9 */14 * *', '2023-08-15T09:00', null, 1_202_400);
const l2 = rule('0 22 * * 1-5', '2023-08-15T09:00', null, 7200);
const l3 = rule('0 9 14 * *', '2023-08-14T09:00', null, 604_800);
const l4 = rule('0 9 14 * *', '2023-09-01T09:00', null, 2_419_200);

interface Case {
  readonly name: string;
  readonly rule: PeriodRule;
  readonly now: string;
  readonly opens: string;
  readonly closes: string;
  /** null: never. */
  readonly expires: string | null;
  readonly writable?: boolean;
}

const cases: readonly Case[] = [
  {
    name: 'A1',
    rule: a,
    now: '2026-01-06T12:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
    writable: true,
  },
  {
    name: 'A2',
    rule: a,
    now: '2026-01-07T00:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
  },
  {
    name: 'A3',
    rule: a,
    now: '2026-01-07T12:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
  },
  {
    name: 'A4',
    rule: a,
    now: '2026-01-05T00:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
    writable: true,
  },
  {
    name: 'A5',
    rule: a,
    now: '2026-01-04T23:59:59',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
  },
  {
    name: 'A6',
    rule: a,
    now: '2025-12-30T00:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
  },
  {
    name: 'B1',
    rule: b,
    now: '2026-01-10T12:59:59',
    opens: '2026-01-10T12:00',
    closes: '2026-01-10T13:00',
    expires: '2026-01-11T12:00',
    writable: true,
  },
  {
    name: 'B2',
    rule: b,
    now: '2026-01-10T15:00',
    opens: '2026-01-10T12:00',
    closes: '2026-01-10T13:00',
    expires: '2026-01-11T12:00',
  },
  {
    name: 'B3',
    rule: b,
    now: '2026-01-10T11:59:59',
    opens: '2026-01-09T12:00',
    closes: '2026-01-09T13:00',
    expires: '2026-01-10T12:00',
  },
  {
    name: 'Cc1',
    rule: c,
    now: '2026-01-10T16:00',
    opens: '2026-01-11T12:00',
    closes: '2026-01-11T13:00',
    expires: '2026-01-12T12:00',
  },
  {
    name: 'D1',
    rule: d,
    now: '2026-01-10T12:40',
    opens: '2026-01-10T12:30',
    closes: '2026-01-10T13:00',
    expires: '2026-01-11T12:00',
    writable: true,
  },
  {
    name: 'E1',
    rule: e,
    now: '2026-01-09T10:00',
    opens: '2026-01-09T00:00',
    closes: '2026-01-10T00:00',
    expires: '2026-01-10T00:00',
    writable: true,
  },
  {
    name: 'E2',
    rule: e,
    now: '2026-01-10T03:00',
    opens: '2026-01-10T00:00',
    closes: '2026-01-10T06:00',
    expires: '2026-01-10T06:00',
    writable: true,
  },
  {
    name: 'E3',
    rule: e,
    now: '2026-01-10T06:00',
    opens: '2026-01-10T00:00',
    closes: '2026-01-10T06:00',
    expires: '2026-01-10T06:00',
  },
  {
    name: 'F1',
    rule: f,
    now: '2026-01-01T00:30',
    opens: '2026-01-01T00:00',
    closes: '2026-01-01T01:00',
    expires: null,
    writable: true,
  },
  {
    name: 'F2',
    rule: f,
    now: '2026-01-05T00:00',
    opens: '2026-01-01T00:00',
    closes: '2026-01-01T01:00',
    expires: null,
  },
  {
    name: 'G1',
    rule: g,
    now: '2026-01-01T06:00',
    opens: '2026-01-01T00:00',
    closes: '2026-01-01T12:00',
    expires: '2026-01-01T12:00',
    writable: true,
  },
  {
    name: 'H1',
    rule: h,
    now: '2026-01-02T00:00',
    opens: '2026-01-01T00:00',
    closes: '2026-01-01T01:00',
    expires: '2026-01-03T00:00',
  },
  {
    name: 'I1',
    rule: i,
    now: '2026-01-08T00:00',
    opens: '2026-01-07T00:00',
    closes: '2026-01-12T00:00',
    expires: '2026-01-12T00:00',
    writable: true,
  },
  {
    name: 'I2',
    rule: i,
    now: '2026-01-12T00:00',
    opens: '2026-01-12T00:00',
    closes: '2026-01-19T00:00',
    expires: '2026-01-19T00:00',
    writable: true,
  },
  {
    name: 'J1',
    rule: j,
    now: '2026-01-20T00:00',
    opens: '2026-01-15T00:00',
    closes: '2026-02-01T00:00',
    expires: '2026-02-01T00:00',
    writable: true,
  },
  {
    name: 'J2',
    rule: j,
    now: '2026-02-10T00:00',
    opens: '2026-02-01T00:00',
    closes: '2026-03-01T00:00',
    expires: '2026-03-01T00:00',
    writable: true,
  },
  {
    name: 'K2',
    rule: k,
    now: '2026-01-05T00:00',
    opens: '2026-01-05T00:00',
    closes: '2026-01-07T00:00',
    expires: '2026-01-12T00:00',
    writable: true,
  },
  {
    name: 'L1',
    rule: l1,
    now: '2023-08-21T09:00',
    opens: '2023-08-15T09:00',
    closes: '2023-08-29T07:00',
    expires: '2023-08-29T09:00',
    writable: true,
  },
  {
    name: 'L2',
    rule: l2,
    now: '2023-08-21T11:00',
    opens: '2023-08-18T22:00',
    closes: '2023-08-19T00:00',
    expires: '2023-08-21T22:00',
  },
  {
    name: 'L3',
    rule: l3,
    now: '2023-08-14T09:00',
    opens: '2023-08-14T09:00',
    closes: '2023-08-21T09:00',
    expires: '2023-09-14T09:00',
    writable: true,
  },
];

/** Before the start: the reference's value, and the first window as it will be, which is ours. */
const early: readonly (Case & { readonly ours: Omit<Case, 'name' | 'rule' | 'now' | 'ours'> })[] = [
  {
    name: 'D2',
    rule: d,
    now: '2026-01-10T10:00',
    opens: '2026-01-11T12:00',
    closes: '2026-01-11T13:00',
    expires: '2026-01-12T12:00',
    ours: { opens: '2026-01-10T12:30', closes: '2026-01-10T13:00', expires: '2026-01-11T12:00' },
  },
  {
    name: 'I3',
    rule: i,
    now: '2026-01-06T00:00',
    opens: '2026-01-12T00:00',
    closes: '2026-01-19T00:00',
    expires: '2026-01-19T00:00',
    ours: { opens: '2026-01-07T00:00', closes: '2026-01-12T00:00', expires: '2026-01-12T00:00' },
  },
  {
    name: 'J3',
    rule: j,
    now: '2026-01-10T00:00',
    opens: '2026-02-01T00:00',
    closes: '2026-03-01T00:00',
    expires: '2026-03-01T00:00',
    ours: { opens: '2026-01-15T00:00', closes: '2026-02-01T00:00', expires: '2026-02-01T00:00' },
  },
  {
    name: 'K1',
    rule: k,
    now: '2026-01-04T12:00',
    opens: '2026-01-12T00:00',
    closes: '2026-01-14T00:00',
    expires: '2026-01-19T00:00',
    ours: { opens: '2026-01-05T00:00', closes: '2026-01-07T00:00', expires: '2026-01-12T00:00' },
  },
  {
    name: 'L4',
    rule: l4,
    now: '2023-08-14T09:00',
    opens: '2023-09-14T09:00',
    closes: '2023-10-12T09:00',
    expires: '2023-10-14T09:00',
    ours: { opens: '2023-09-01T09:00', closes: '2023-09-11T09:00', expires: '2023-09-14T09:00' },
  },
];

const times = ({ opens, closes, expires }: Pick<Case, 'opens' | 'closes' | 'expires'>) => ({
  startActive: at(opens),
  endActive: at(closes),
  expiry: expires === null ? 0 : at(expires),
});

describe('the period of a tournament (spec: section 19.2)', () => {
  it.each(cases)('$name', (each) => {
    const now = at(each.now);
    const period = periodAt(each.rule, now);
    expect(period).toEqual({ ...times(each), endedEarly: false });
    expect(isWritable(period, now)).toBe(each.writable === true);
  });

  it.each(cases.filter((each) => at(each.now) >= each.rule.startTime))(
    '$name: is the formula of the contract',
    (each) => {
      expect(plannedPeriod(each.rule, at(each.now))).toEqual(times(each));
    },
  );

  it.each(early)(
    '$name: before the start, joins go where writes will be; the reference looks for the next tick',
    (each) => {
      const now = at(each.now);
      expect(plannedPeriod(each.rule, now)).toEqual(times(each));
      const period = periodAt(each.rule, now);
      expect(period).toEqual({ ...times(each.ours), endedEarly: false });
      expect(period).toEqual(periodAt(each.rule, each.rule.startTime));
      expect([isWritable(period, now), isJoinable(period, now)]).toEqual([false, true]);
    },
  );

  it('A2, A3, A5: entering ends one second later than writing, joining with it, and begins before the window', () => {
    const look = (now: string) => {
      const period = periodAt(a, at(now));
      return [isWritable(period, at(now)), isJoinable(period, at(now)), isOpen(period, at(now))];
    };
    expect(look('2026-01-06T23:59:59')).toEqual([true, true, true]);
    expect(look('2026-01-07T00:00:00')).toEqual([false, false, true]);
    expect(look('2026-01-07T00:00:01')).toEqual([false, false, false]);
    expect(look('2026-01-04T23:59:59')).toEqual([false, true, false]);
  });

  it('tells the reset before: none without a schedule and before the start', () => {
    expect(previousReset(a, at('2026-01-07T12:00'))).toBe(at('2026-01-05T00:00'));
    expect(previousReset(a, at('2026-01-12T00:00'))).toBe(at('2026-01-05T00:00'));
    expect(previousReset(a, at('2025-12-31T00:00'))).toBe(0);
    expect(previousReset(f, at('2026-01-05T00:00'))).toBe(0);
  });
});

describe('odd schedules', () => {
  it('with nothing left of it the last window stays as it is, and is never reset', () => {
    const exhausted = rule('0 0 1 1 * 2020', '2019-12-01T00:00', null, 3600);
    const last = {
      startActive: at('2020-01-01T00:00'),
      endActive: at('2020-01-01T01:00'),
      expiry: 0,
      endedEarly: false,
    };
    expect(periodAt(exhausted, at('2026-01-01T00:00'))).toEqual(last);
    expect(periodAt(exhausted, at('2020-01-01T00:30'))).toEqual(last);
  });

  it('with nothing left before the start there is no window that would be open', () => {
    const now = at('2026-01-05T00:00');
    const period = periodAt(rule('0 0 1 1 * 2020', '2026-01-01T00:00', null, 3600), now);
    expect([isWritable(period, now), isJoinable(period, now), period.expiry]).toEqual([false, false, 0]);
  });

  it('of which nothing came yet the first window is the one to come', () => {
    const now = at('2026-01-05T00:00');
    const period = periodAt(rule('0 0 1 1 * 2030-2031', '2026-01-01T00:00', null, 3600), now);
    expect(period).toMatchObject({ startActive: at('2030-01-01T00:00'), expiry: at('2031-01-01T00:00') });
    expect([isWritable(period, now), isJoinable(period, now)]).toEqual([false, true]);
  });

  it('that leave less than a duration between two ticks never let windows overlap', () => {
    const short = rule('*/20 * * * * * *', '2026-01-01T00:00', null, 3600);
    for (let now = at('2026-01-01T00:00'); now < at('2026-01-01T00:02'); now++) {
      const opened = now - (now % 20);
      expect(plannedPeriod(short, now)).toEqual({ startActive: opened, endActive: opened + 20, expiry: opened + 20 });
    }
  });
});

describe('a window that was ended by hand', () => {
  const ended = (time: string): PeriodRule => ({ ...a, closedTime: at(time) });
  const check = (period: Period, now: number) => [
    isWritable(period, now),
    isJoinable(period, now),
    isOpen(period, now),
  ];

  it('closes at that second, and nothing enters any more', () => {
    const now = at('2026-01-06T12:00');
    const period = periodAt(ended('2026-01-06T12:00'), now);
    expect(period).toMatchObject({
      startActive: at('2026-01-05T00:00'),
      endActive: now,
      expiry: at('2026-01-12T00:00'),
    });
    expect(check(period, now)).toEqual([false, false, false]);
  });

  it('in its first second closes at the next, and is closed at once', () => {
    const now = at('2026-01-05T00:00');
    const period = periodAt(ended('2026-01-05T00:00:01'), now);
    expect(period.endActive).toBe(now + 1);
    expect(check(period, now)).toEqual([false, false, false]);
  });

  it('says nothing about the windows before and after it', () => {
    for (const now of ['2026-01-12T00:00', '2026-01-13T00:00', '2026-01-20T00:00'].map(at)) {
      expect(periodAt(ended('2026-01-06T12:00'), now)).toEqual(periodAt(a, now));
      expect(periodAt(ended('2026-02-03T12:00'), now)).toEqual(periodAt(a, now));
    }
  });
});
