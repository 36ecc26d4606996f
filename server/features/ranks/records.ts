import type { EntryVersion, RankEntry } from '../../cluster/rank-index.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import type { RankedRecord, RecordVersion } from './period.ts';
import type { RecordState } from './queries.ts';

/** Records as the index has them. */

export function toEntry({ owner_id, score, subscore, create_time, num_score }: RecordState): RankEntry {
  return { owner: owner_id, score, subscore, version: { created: toMicros(create_time), writes: num_score } };
}

export function entryOf({ owner, score, subscore, version }: RankedRecord): RankEntry {
  return { owner, score, subscore, version: entryVersion(version) };
}

export const entryVersion = ({ created, writes }: RecordVersion): EntryVersion => ({
  created: Number(created),
  writes,
});

/** Unix microseconds; exact, for they stay below 2^53 until 2255. */
export const toMicros = ({ seconds, nanos }: Instant): number => seconds * 1_000_000 + Math.floor(nanos / 1000);

/** That microsecond as a parameter. */
export function microsParam(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000);
  return instantParam({ seconds, nanos: (micros - seconds * 1_000_000) * 1000 });
}

/** Below zero when a is older. */
export const compareVersions = (a: EntryVersion, b: EntryVersion): number =>
  a.created - b.created || a.writes - b.writes;
