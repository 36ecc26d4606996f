import type { StreamPosition } from '../../cluster/stream-frame.ts';
import type { Instant } from '../../store/types.ts';
import type { HeadRow } from './queries.ts';

// The places of a channel's messages: their times are those of history, to the microsecond.

const perSecond = 1_000_000n;

export function placeOf({ sequence, newest_time }: HeadRow): StreamPosition {
  return { sequence, time: toMicros(newest_time) };
}

/** The place so many before the other, of the same batch. */
export function placeBefore({ sequence, time }: StreamPosition, distance: number): StreamPosition {
  return { sequence: sequence - BigInt(distance), time: time - BigInt(distance) };
}

export function toMicros({ seconds, nanos }: Instant): bigint {
  return BigInt(seconds) * perSecond + BigInt(Math.floor(nanos / 1000));
}

export function fromMicros(micros: bigint): Instant {
  const fraction = ((micros % perSecond) + perSecond) % perSecond;
  return { seconds: Number((micros - fraction) / perSecond), nanos: Number(fraction) * 1000 };
}
