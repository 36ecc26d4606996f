import { expect, it } from 'vitest';
import { fromMicros, placeBefore, toMicros } from './places.ts';

it('converts times both ways, to the microsecond', () => {
  for (const micros of [0n, 1n, 999_999n, 1_000_000n, 1_700_000_000_123_456n, -1n, -1_000_001n]) {
    const instant = fromMicros(micros);
    expect(instant.nanos).toBeGreaterThanOrEqual(0);
    expect(toMicros(instant)).toBe(micros);
  }
  expect(fromMicros(1_700_000_000_000_001n)).toEqual({ seconds: 1_700_000_000, nanos: 1000 });
});

it('finds the places of a batch by its last', () => {
  const last = { sequence: 10n, time: 1_000_000n };
  expect([0, 1, 2].map((distance) => placeBefore(last, distance))).toEqual([
    last,
    { sequence: 9n, time: 999_999n },
    { sequence: 8n, time: 999_998n },
  ]);
});
