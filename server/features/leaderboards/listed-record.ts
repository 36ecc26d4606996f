import type { ListedRow } from './record-queries.ts';

/** A record as lists have it. */
export interface ListedRecord {
  readonly owner_id: string;
  readonly username: string | null;
  /** A number where that is exact, else its digits: what codecs take, and `BigInt` as well. */
  readonly score: number | string;
  readonly subscore: number | string;
  readonly num_score: number;
  readonly max_num_score: number;
  readonly metadata: string;
  /** Unix seconds. */
  readonly created: number;
  readonly updated: number;
}

export function toListed({ owner_id, username, metadata, numbers }: ListedRow): ListedRecord {
  const [score = '', subscore = '', writes, maxWrites, created, updated] = numbers.split(' ');
  return {
    owner_id,
    username,
    score: toInt64(score),
    subscore: toInt64(subscore),
    num_score: Number(writes),
    max_num_score: Number(maxWrites),
    metadata,
    created: Number(created),
    updated: Number(updated),
  };
}

/** Any fifteen digits are exact. Numbers are several times faster to encode than anything else. */
function toInt64(digits: string): number | string {
  return digits.length <= 15 ? Number(digits) : digits;
}
