import type { ListedRow } from './record-queries.ts';

/** A record as lists have it. */
export class ListedRecord {
  readonly owner_id: string;
  readonly username: string | null;
  /** The scores as codecs take them best: a number where that is exact, else the digits. */
  readonly scoreOut: number | string;
  readonly subscoreOut: number | string;
  readonly num_score: number;
  readonly max_num_score: number;
  /** The text of a JSON object. */
  readonly metadata: string;
  /** Unix seconds. */
  readonly created: number;
  readonly updated: number;

  constructor({ owner_id, username, metadata, numbers }: ListedRow) {
    const [score = '', subscore = '', writes, maxWrites, created, updated] = numbers.split(' ');
    this.owner_id = owner_id;
    this.username = username;
    this.scoreOut = toInt64(score);
    this.subscoreOut = toInt64(subscore);
    this.num_score = Number(writes);
    this.max_num_score = Number(maxWrites);
    this.metadata = metadata;
    this.created = Number(created);
    this.updated = Number(updated);
  }

  get score(): bigint {
    return BigInt(this.scoreOut);
  }

  get subscore(): bigint {
    return BigInt(this.subscoreOut);
  }
}

/** Any fifteen digits are exact. */
const toInt64 = (digits: string): number | string => (digits.length <= 15 ? Number(digits) : digits);
