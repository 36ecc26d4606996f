import type { Standings } from '../../cluster/rank-index.ts';

/** One period of one board: a set of records that are ranked among each other. */
export interface RankPeriod {
  readonly board: string;
  /** Unix seconds at which the period ends; 0: never. */
  readonly expiry: number;
  /** Ranks go by (score, subscore, owner as bytes), all of them ascending or all of them descending. */
  readonly descending: boolean;
}

/** Names the set of records. */
export const periodKey = ({ board, expiry }: Pick<RankPeriod, 'board' | 'expiry'>): string => `${expiry}:${board}`;

/** Names the set with its order. */
export const orderKey = (period: RankPeriod): string => `${period.descending ? 'd' : 'a'}${periodKey(period)}`;

/** Tells which of two states of an owner's record is the newer one: the greater pair. */
export interface RecordVersion {
  /** Unix microseconds of `leaderboard_record.create_time`, which is `clock_timestamp()` of the insert. */
  readonly created: bigint;
  /** `num_score`; each accepted write adds one. */
  readonly writes: number;
}

/** What ranks need to know of a record. */
export interface RankedRecord {
  /** UUID, canonical spelling. */
  readonly owner: string;
  readonly score: bigint;
  readonly subscore: bigint;
  readonly version: RecordVersion;
}

/** A record that is gone, in the last state it had. */
export interface RemovedRecord {
  readonly owner: string;
  readonly version: RecordVersion;
}

/**
 * Positions of records, 1 for the first. The truth is the table; whatever else answers agrees with it, or steps back
 * and lets the table answer. Who writes records tells before and afterwards:
 *
 *     await ranks.announce(period);          // before the transaction commits
 *     ... commit ...
 *     const rank = await ranks.changed(period, record);
 */
export interface Ranks {
  /**
   * This node is going to change records of the period. Must be awaited before the commit, so that the others know
   * where to look if the node dies between commit and `changed`. Nearly always free. Never fails.
   */
  announce(period: RankPeriod): Promise<void>;
  /** A record was written and committed: its rank now. Never fails; 0 when the rank cannot be told at present. */
  changed(period: RankPeriod, record: RankedRecord): Promise<bigint>;
  /** As `changed`, for whoever does not need the rank, but waits for it all the same before he answers. */
  noted(period: RankPeriod, record: RankedRecord): Promise<void>;
  /** Records were removed and that is committed. Never fails. */
  removed(period: RankPeriod, records: readonly RemovedRecord[]): Promise<void>;
  /** Ranks of those of the owners that have a record. */
  of(period: RankPeriod, owners: readonly string[]): Promise<Map<string, bigint>>;
  /** How many records the period has. */
  count(period: RankPeriod): Promise<bigint>;
  /** Both, for less than what they cost by themselves. */
  standings(period: RankPeriod, owners: readonly string[]): Promise<Standings>;
  /** The owner at a rank (from 1), or null beyond the end. */
  at(period: RankPeriod, rank: bigint): Promise<string | null>;
  /**
   * A board is gone, or is not ranked any more, and that is committed: nothing of it stays, whatever the period. Never
   * fails. Announce its present period before, as for any change.
   */
  drop(board: string): Promise<void>;
}

/** Ranks of those owners. */
export function pick(ranks: ReadonlyMap<string, bigint>, owners: readonly string[]): Map<string, bigint> {
  const picked = new Map<string, bigint>();
  for (const owner of owners) {
    const rank = ranks.get(owner);
    if (rank !== undefined) picked.set(owner, rank);
  }
  return picked;
}
