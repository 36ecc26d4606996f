import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Random } from '../testing/random.ts';
import { parseSchedule } from './cron.ts';
import { Code } from './errors.ts';

/** Unix seconds of `2026-01-07 12:00` and the like. */
const sec = (text: string): number =>
  Date.parse(`${text.replace(' ', 'T')}${text.includes(' ') ? '' : 'T00:00'}Z`) / 1000;
const iso = (at: number | null): string | null => (at === null ? null : new Date(at * 1000).toISOString());

beforeAll(() => {
  vi.stubEnv('TZ', 'America/New_York');
  // The process really is elsewhere, so whatever used local time would be seen.
  expect(new Date(0).getHours()).toBe(19);
});
afterAll(() => vi.unstubAllEnvs());

describe('schedules of the spec (19.1)', () => {
  const cases: readonly [id: string, text: string, now: string, next: string | null, prev?: string | null][] = [
    ['C1', '0 0 * * 1', '2026-01-07 12:00:00', '2026-01-12', '2026-01-05'],
    ['C2', '0 0 * * 1', '2026-01-05 00:00:00', '2026-01-12', '2025-12-29'],
    ['C3', '0 0 * * 1', '2026-01-04 23:59:59', '2026-01-05', '2025-12-29'],
    ['C4', '0 0 * * *', '2026-02-28 23:59:59', '2026-03-01', '2026-02-28'],
    ['C5', '0 0 1 * *', '2026-01-31 10:00', '2026-02-01', '2026-01-01'],
    ['C6', '0 */6 * * *', '2026-03-10 05:59:59', '2026-03-10 06:00', '2026-03-10'],
    ['C7', '0 */6 * * *', '2026-03-10 06:00:00', '2026-03-10 12:00', '2026-03-10'],
    ['C8', '0 12 * * 1-5', '2026-01-09 12:00', '2026-01-12 12:00', '2026-01-08 12:00'],
    ['C9', '0 0 13 * 5', '2026-02-01', '2026-02-06', '2026-01-30'],
    ['C10', '0 0 13 * 5', '2026-02-12', '2026-02-13', '2026-02-06'],
    ['C11', '0 0 31 * *', '2026-01-31', '2026-03-31', '2025-12-31'],
    ['C12', '0 0 L * *', '2026-01-31', '2026-02-28', '2025-12-31'],
    ['C13', '0 0 29 2 *', '2026-01-01', '2028-02-29', '2024-02-29'],
    ['C14', '@weekly', '2026-01-07', '2026-01-11', '2026-01-04'],
    ['C15', '@monthly', '2026-12-15', '2027-01-01', '2026-12-01'],
    ['C16', '@hourly', '2026-06-30 23:30', '2026-07-01', '2026-06-30 23:00'],
    ['C17', '*/30 * * * * * *', '2026-01-01 00:00:10', '2026-01-01 00:00:30', '2026-01-01'],
    ['C18', '0 0 * * 7', '2026-01-07', '2026-01-11', '2026-01-04'],
    ['C19', '0 9 */14 * *', '2026-01-28', '2026-01-29 09:00', '2026-01-15 09:00'],
    ['C20', '0 9 */14 * *', '2026-01-29 09:00', '2026-02-01 09:00', '2026-01-15 09:00'],
    ['C21', '0 0 * * 5L', '2026-01-07', '2026-01-30', '2025-12-26'],
    ['C22', '0 0 * * 1#1', '2026-01-07', '2026-02-02', '2026-01-05'],
    ['C23', '0 0 1 */3 *', '2026-02-10', '2026-04-01', '2026-01-01'],
    ['C24', '0 0 1 1 * 2020', '2026-01-01', null, '2020-01-01'],
    ['C25', '0 0 14W * *', '2013-03-31', '2013-04-15'],
    ['C26', '0 0 30W * *', '2013-03-02', '2013-03-29'],
    ['C27', '15-30/4,55 * * * *', '2013-01-01 00:16', '2013-01-01 00:19', '2013-01-01 00:15'],
  ];
  it.each(cases)('%s: %s at %s', (_, text, now, next, prev) => {
    const schedule = parseSchedule(text);
    expect(iso(schedule.next(sec(now)))).toBe(next === null ? null : iso(sec(next)));
    if (prev !== undefined) expect(iso(schedule.prev(sec(now)))).toBe(prev === null ? null : iso(sec(prev)));
  });

  it('C1 and C17 in seconds', () => {
    expect(parseSchedule('0 0 * * 1').next(sec('2026-01-07 12:00'))).toBe(1_768_176_000);
    expect(parseSchedule('*/30 * * * * * *').prev(sec('2026-01-01 00:00:10'))).toBe(1_767_225_600);
  });
});

describe('texts', () => {
  const bad = [
    '* * * *', // C28
    '*/60 * * * *', // C28
    '0 0 * * 8', // C28
    '@every 1h', // C28
    '@reboot',
    '@midnight',
    '@Daily',
    '@DAILY',
    '',
    ' \t ',
    '*/0 * * * *',
    '0 */24 * * *',
    '0 0 */32 * *',
    '0 0 1 */13 *',
    '0 0 * * */7',
    '0 22-2 * * *',
    '30-10 * * * *',
    '0 0 * * 5-7',
    '0 0 * * 6-1',
    '0 0 * * 1,5-7',
    '0 0 * * fri-sun',
    '60 * * * *',
    '0 24 * * *',
    '0 0 0 * *',
    '0 0 32 * *',
    '0 0 1 0 *',
    '0 0 1 13 *',
    '0 0 1 1 * 1969',
    '0 0 1 1 * 2100',
    '60 0 0 1 1 * *',
    '-1 0 * * *',
    '1.5 0 * * *',
    '0x1 0 * * *',
    '1- * * * *',
    '-5 * * * *',
    '1-2-3 * * * *',
    '*-5 * * * *',
    '1/ * * * *',
    '/5 * * * *',
    '** * * * *',
    '?/5 * * * *',
    ', * * * *',
    '0 0 LL * *',
    '0 0 W * *',
    '0 0 32W * *',
    '0 0 0W * *',
    '0 0 1-5W * *',
    '0 0 L-3 * *',
    '0 L * * *',
    '0 0 * * L',
    '0 0 * * 8L',
    '0 0 * * 1#6',
    '0 0 * * 1#0',
    '0 0 1#1 * *',
    '0 0 * * W',
    '0 0 * janu *',
    '0 0 * mon *',
    '0 0 * * jan',
    'mon 0 * * *',
    '0 0 * * constructor',
    '٣ 0 * * *',
    `0 0 * * 1${' '.repeat(56)}`,
  ];
  it.each(bad)('refuses "%s"', (text) => {
    expect(() => parseSchedule(text)).toThrow(expect.objectContaining({ code: Code.INVALID_ARGUMENT }));
  });

  const same: readonly [text: string, as: string][] = [
    ['  0 0\t*  * \t 1 ', '0 0 * * 1'],
    ['00 00 * * 01', '0 0 * * 1'],
    ['0 0 01 03 *', '0 0 1 3 *'],
    ['0 0 ? ? ?', '0 0 * * *'],
    ['0 0 * * 7', '0 0 * * 0'],
    ['0 0 * * SUN', '0 0 * * 0'],
    ['0 0 * * Monday', '0 0 * * 1'],
    ['0 0 * * sun-sat/2', '0 0 * * 0,2,4,6'],
    ['0 0 1 jan,MAY,September *', '0 0 1 1,5,9 *'],
    ['0 0 l * *', '0 0 L * *'],
    ['0 0 * * friL', '0 0 * * 5L'],
    ['0 0 * * Tuesday#2', '0 0 * * 2#2'],
    ['0 0 * * 7#1', '0 0 * * 0#1'],
    ['5/20 * * * *', '5,25,45 * * * *'],
    ['0 0 20/5 * *', '0 0 20,25,30 * *'],
    ['0,,30 * * * *', '0,30 * * * *'],
    ['0 0 * * 1 *', '0 0 * * 1'],
    ['0 0 0 * * 1 *', '0 0 * * 1'],
    ['0 0 0 * * 1 * what comes after', '0 0 * * 1'],
    ['@yearly', '0 0 1 1 *'],
    ['@annually', '0 0 1 1 *'],
    ['@monthly', '0 0 1 * *'],
    ['@weekly', '0 0 * * 0'],
    ['@daily', '0 0 * * *'],
    ['@hourly', '0 * * * *'],
    // Only a bare star leaves a field free, also when it is one of a list: then the other field alone chooses.
    ['0 0 *,13 * 5', '0 0 * * 5'],
    ['0 0 13 * *,5', '0 0 13 * *'],
    ['0 0 */1 * 5', '0 0 * * *'],
    // 7 is 0, also where it begins a range.
    ['0 0 * * 7-3', '0 0 * * 0-3'],
  ];
  it.each(same)('reads "%s" as "%s"', (text, as) => {
    const [one, other] = [parseSchedule(text), parseSchedule(as)];
    let at = sec('2023-12-30 12:34:56');
    for (let count = 0; count < 100; count++) {
      const next = one.next(at);
      expect(iso(next)).toBe(iso(other.next(at)));
      expect(iso(one.prev(at))).toBe(iso(other.prev(at)));
      at = next as number;
    }
  });
});

describe('edges', () => {
  it('knows no instant that does not exist, in either direction, and tells it soon', () => {
    for (const text of ['0 0 30 2 *', '0 0 31 4,6,9,11 *', '0 0 31W 2 *', '0 0 29 2 * 2026', '0 0 30 2 * 2020-2030']) {
      const schedule = parseSchedule(text);
      for (const at of [sec('1970-01-01'), sec('2026-01-01'), sec('2099-12-31')]) {
        expect([text, schedule.next(at), schedule.prev(at)]).toEqual([text, null, null]);
      }
    }
    // Such dates are seen while reading: no month is looked at.
    const looks = vi.spyOn(Date, 'UTC');
    parseSchedule('0 0 31W 2,4,6 *').next(0);
    expect(looks.mock.calls.length).toBeLessThan(10);
    looks.mockRestore();
  });

  it('counts parts of a second as the second they are in', () => {
    const daily = parseSchedule('@daily');
    const tick = sec('2026-01-05');
    expect(daily.next(tick - 0.001)).toBe(tick);
    expect(daily.next(tick)).toBe(tick + 86_400);
    expect(daily.next(tick + 0.999)).toBe(tick + 86_400);
    expect(daily.prev(tick + 0.999)).toBe(tick - 86_400);
    expect(daily.prev(tick + 1)).toBe(tick);
    expect(daily.prev(tick - 0.5)).toBe(tick - 86_400);
  });

  it('answers the same whatever was asked before', () => {
    for (const text of ['@daily', '0 0 1 1 * 2026', '0 0 1,LW * *', '* * * * * * *', '0 0 30 2 *']) {
      const schedule = parseSchedule(text);
      const days = ['2025-12-31', '2026-01-01', '2026-01-31', '2026-01-02', '2026-01-30', '2025-12-30', '1970-01-01'];
      for (const at of days.flatMap((day) => [sec(day), sec(day) - 1, sec(day) + 1, sec(day) + 0.5, sec(day) - 0.5])) {
        expect([text, at, schedule.next(at)]).toEqual([text, at, parseSchedule(text).next(at)]);
        expect([text, at, schedule.prev(at)]).toEqual([text, at, parseSchedule(text).prev(at)]);
        expect([text, at, schedule.next(at)]).toEqual([text, at, parseSchedule(text).next(at)]);
      }
    }
  });

  it('has nothing before 1970 and nothing after 2099', () => {
    const daily = parseSchedule('@daily');
    const last = sec('2099-12-31');
    expect(daily.next(last)).toBeNull();
    expect(daily.next(last + 1e9)).toBeNull();
    expect(daily.next(1e300)).toBeNull();
    expect(daily.prev(last + 1e9)).toBe(last);
    expect(daily.prev(0)).toBeNull();
    expect(daily.prev(1)).toBe(0);
    expect(daily.prev(-5)).toBeNull();
    expect(daily.next(-5)).toBe(0);
    expect(daily.next(-1e300)).toBe(0);
    expect(parseSchedule('* * * * * * *').next(last + 86_398)).toBe(last + 86_399);
  });
});

/** Says of every instant by itself whether it matches, from the text. */
class Oracle {
  readonly #fields: string[];

  constructor(text: string) {
    this.#fields = text.split(' ');
  }

  isDay(date: Date): boolean {
    const [, , , dates = '', months = '', weekdays = '', years = ''] = this.#fields;
    const day = date.getUTCDate();
    const ofMonth = (at: number) => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), at));
    const length = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
    const nearest = (to: number) => {
      const workdays = Array.from({ length }, (_, index) => index + 1).filter(
        (at) => ofMonth(at).getUTCDay() % 6 !== 0,
      );
      return workdays.sort((a, b) => Math.abs(a - to) - Math.abs(b - to))[0];
    };
    const byDate = dates.split(',').some((entry) => {
      if (entry === 'L') return day === length;
      if (entry === 'LW') return day === nearest(length);
      if (entry.endsWith('W'))
        return Number.parseInt(entry, 10) <= length && day === nearest(Number.parseInt(entry, 10));
      return this.#has(entry, day, 1, 31);
    });
    const byWeekday = weekdays.split(',').some((entry) => {
      const of = Number.parseInt(entry, 10) % 7 === date.getUTCDay();
      if (entry.endsWith('L')) return of && day + 7 > length;
      if (entry.includes('#')) return of && Math.ceil(day / 7) === Number(entry.split('#')[1]);
      return this.#has(entry, date.getUTCDay(), 0, 6);
    });
    const days = dates === '*' ? byWeekday : weekdays === '*' ? byDate : byDate || byWeekday;
    return (
      days && this.#any(months, date.getUTCMonth() + 1, 1, 12) && this.#any(years, date.getUTCFullYear(), 1970, 2099)
    );
  }

  isTime(at: number): boolean {
    const [seconds = '', minutes = '', hours = ''] = this.#fields;
    const hour = Math.floor(at / 3600);
    const minute = Math.floor(at / 60) % 60;
    return this.#any(hours, hour, 0, 23) && this.#any(minutes, minute, 0, 59) && this.#any(seconds, at % 60, 0, 59);
  }

  /** Second by second through days that match, day by day otherwise. */
  search(from: number, step: 1 | -1): number | null {
    let day = Math.floor(from / 86_400);
    let time = from - day * 86_400;
    for (; day >= 0 && day * 86_400 < sec('2100-01-01'); day += step) {
      if (this.isDay(new Date(day * 86_400_000))) {
        for (; time >= 0 && time < 86_400; time += step) if (this.isTime(time)) return day * 86_400 + time;
      }
      time = step === 1 ? 0 : 86_399;
    }
    return null;
  }

  #any(text: string, value: number, min: number, max: number): boolean {
    return text.split(',').some((entry) => this.#has(entry, value, min, max));
  }

  #has(entry: string, value: number, min: number, max: number): boolean {
    const [base = '', step] = entry.split('/');
    const [first = '', last] = base.split('-');
    const from = first === '*' ? min : Number(first);
    const to = last !== undefined ? Number(last) : first === '*' || step !== undefined ? max : from;
    return value >= from && value <= to && (value - from) % Number(step ?? 1) === 0;
  }
}

describe('against an oracle that tries every instant', () => {
  const random = new Random(20_260_105);
  const number = (min: number, max: number) => min + random.below(max - min + 1);

  function entry(min: number, max: number): string {
    const [a, b] = [number(min, max), number(min, max)].sort((x, y) => x - y) as [number, number];
    return random.pick([
      `${a}`,
      `${a}`,
      `${a}-${b}`,
      `*/${number(1, Math.min(max, 40))}`,
      `${a}/${number(1, max)}`,
      `${a}-${b}/${number(1, 6)}`,
    ]);
  }
  const list = (make: () => string, free: number) =>
    random.chance(free) ? '*' : Array.from({ length: number(1, 3) }, make).join(',');
  const dates = () => (random.chance(0.4) ? random.pick(['L', 'LW', `${number(1, 31)}W`]) : entry(1, 31));
  const weekdays = () =>
    random.chance(0.4) ? random.pick([`${number(0, 7)}L`, `${number(0, 7)}#${number(1, 5)}`]) : entry(0, 6);
  const expression = () =>
    [
      list(() => entry(0, 59), 0.2),
      list(() => entry(0, 59), 0.2),
      list(() => entry(0, 23), 0.2),
      list(dates, 0.3),
      list(() => entry(1, 12), 0.5),
      list(weekdays, 0.3),
      random.chance(0.8) ? '*' : `${number(2015, 2025)}-${number(2025, 2040)}`,
    ].join(' ');

  it(`agrees for random schedules and instants (seed ${random.seed})`, () => {
    for (let count = 0; count < 150; count++) {
      const text = expression();
      if (text.length > 64) continue;
      const schedule = parseSchedule(text);
      const oracle = new Oracle(text);
      const at = number(sec('2010-01-01'), sec('2045-01-01'));
      const next = schedule.next(at);
      expect([text, iso(at), iso(next)]).toEqual([text, iso(at), iso(oracle.search(at + 1, 1))]);
      expect([text, iso(at), iso(schedule.prev(at))]).toEqual([text, iso(at), iso(oracle.search(at - 1, -1))]);
      // From a tick on, and from the second after it back.
      if (next === null) continue;
      expect(schedule.prev(next + 1)).toBe(next);
      expect([text, iso(next), iso(schedule.next(next))]).toEqual([text, iso(next), iso(oracle.search(next + 1, 1))]);
    }
  });

  it('agrees on every minute of two years', () => {
    for (const text of ['0 17,45 5 L,13W * 1#2,5L *', '0 0 0 29-31 * * *', '0 */7 23 * 2,12 mon *']) {
      const schedule = parseSchedule(text);
      const oracle = new Oracle(text.replace('mon', '1'));
      const ticks: number[] = [];
      for (let at = sec('2023-12-01'); at < sec('2025-12-02'); at += 60) {
        const day = new Date(Math.floor(at / 86_400) * 86_400_000);
        if (oracle.isTime(at % 86_400) && oracle.isDay(day)) ticks.push(at);
      }
      const found: number[] = [];
      for (
        let at = schedule.next(sec('2023-12-01') - 1);
        at !== null && at < sec('2025-12-02');
        at = schedule.next(at)
      ) {
        found.push(at);
      }
      const back: number[] = [];
      for (let at = schedule.prev(sec('2025-12-02')); at !== null && at >= sec('2023-12-01'); at = schedule.prev(at)) {
        back.unshift(at);
      }
      expect(found).toEqual(ticks);
      expect(back).toEqual(ticks);
    }
  });
});
