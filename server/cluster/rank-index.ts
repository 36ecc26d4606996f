import type { NodeId } from './nodes.ts';

/** One period of one board. */
export interface RankSet {
  /** 1 to 128 bytes, any. */
  readonly board: string;
  /** Unix seconds at which the period ends; 0: never. */
  readonly expiry: number;
}

/** Orders the states of one owner's record: the greater pair is the newer one. */
export interface EntryVersion {
  /** Unix microseconds, below 2^53. */
  readonly created: number;
  readonly writes: number;
}

export interface RankEntry {
  /** UUID, canonical spelling. */
  readonly owner: string;
  readonly score: bigint;
  readonly subscore: bigint;
  readonly version: EntryVersion;
}

/**
 * What is to be done to an owner's entry:
 * - put: a record was written;
 * - remove: it was removed in this state;
 * - confirm: the table has it in this state, as was read after the incarnation was known;
 * - clear: the table has none, as was read after `seen` was in the index; nothing happens when that has changed. What
 *   is left behind says that a record of this version was removed, or of the one seen if that is newer.
 */
export type RankChange =
  | ({ readonly kind: 'put' | 'confirm' } & RankEntry)
  | { readonly kind: 'remove'; readonly owner: string; readonly version: EntryVersion }
  | { readonly kind: 'clear'; readonly owner: string; readonly version: EntryVersion; readonly seen: SeenEntry };

/** The entry that an index has of an owner; one without `score` was removed. */
export interface SeenEntry {
  readonly version: EntryVersion;
  readonly score?: { readonly score: bigint; readonly subscore: bigint };
  /** As the index keeps it. */
  readonly raw: Buffer;
}

/**
 * What became of a change. `doubt`: the index has another life of the owner's record (`seen`) and cannot know which is
 * the later one; nothing was changed. The table knows.
 */
export type ChangeResult =
  | {
      readonly done: true /** The owner's rank now; 0 without an entry, or while the index is being built. */;
      readonly rank: number;
    }
  | { readonly done: false; readonly seen: SeenEntry };

/** What a node knows of a set's index. */
export interface KnownIndex {
  /** Which of the indexes that there ever were; '' for none. */
  readonly incarnation: string;
  /** `performance.now()` of when this was learned: whatever began later may rely on it. */
  readonly since: number;
}

/** What a set looks like at one moment. */
export interface Standings {
  /** How many entries there are. */
  readonly count: bigint;
  /** Of those of the owners that have one. */
  readonly ranks: ReadonlyMap<string, bigint>;
}

export type ApplyReply =
  /** There is no index, so there is nothing to do. */
  | { readonly state: 'absent' }
  /** The index is another one than that of the call, or was announced anew; nothing was changed. */
  | { readonly state: 'moved' }
  | { readonly state: 'applied'; readonly isReady: boolean; readonly results: readonly ChangeResult[] };

/**
 * Records in the order of their ranks, by (score, subscore, owner as bytes), shared by all nodes. It holds copies: it may
 * lose all at any time, and says so; it never answers out of a part. Every index is one incarnation, made by `begin`,
 * filled by `load`, and read from `finish` on; changes are applied to it from `begin` on. A change that was meant for
 * another incarnation is refused: that one's successor was filled from a table that may know better by now.
 *
 * Everything rejects with UNAVAILABLE when the shared state is out of reach.
 */
export interface RankIndex {
  /** Whether it can be asked at this moment. */
  readonly isUp: boolean;

  /**
   * Notes that this node is going to change the set, so that `sweep` knows after its death, and tells what index there
   * is. Remembered, and free, until the node has not announced it for a minute.
   */
  announce(set: RankSet): Promise<KnownIndex>;

  /** Applies changes in one step. `descending` is for the ranks only. */
  apply(set: RankSet, incarnation: string, changes: readonly RankChange[], descending: boolean): Promise<ApplyReply>;

  /** Null when there is no complete index, as for all that follow. */
  standings(set: RankSet, owners: readonly string[], descending: boolean): Promise<Standings | null>;
  count(set: RankSet): Promise<bigint | null>;
  /** The owner at a rank, from 1; undefined beyond the end. */
  at(set: RankSet, rank: bigint, descending: boolean): Promise<string | undefined | null>;

  /**
   * Makes a new, empty incarnation; null when there is a complete one, or another node fills one and has done so within
   * the lease. What is loaded must have been read from the table afterwards.
   */
  begin(set: RankSet, leaseMs: number): Promise<string | null>;
  /** Adds entries unless there are newer ones, and renews the lease; false when the incarnation is gone. */
  load(set: RankSet, incarnation: string, entries: readonly RankEntry[], leaseMs: number): Promise<boolean>;
  /** From now on it is read; false when the incarnation is gone. */
  finish(set: RankSet, incarnation: string): Promise<boolean>;

  /** It will not be finished: another one may begin at once. */
  abandon(set: RankSet, incarnation: string): Promise<void>;

  /** Removes the set's index. */
  drop(set: RankSet): Promise<void>;
  /** Removes all indexes of a board. */
  dropBoard(board: string): Promise<void>;
  /** Removes all indexes there are. */
  dropAll(): Promise<void>;
  /** Removes the indexes of periods that ended by then, in unix seconds. */
  dropEnded(now: number): Promise<number>;
  /** Removes what a node that is gone had announced. Returns how many indexes that were. */
  sweep(node: NodeId): Promise<number>;

  /** For checks: some of the sets that have an index. */
  sample(most: number): Promise<RankSet[]>;
  /** For checks: entries in ascending order, from a position; null when there is no complete index. */
  slice(set: RankSet, from: number, most: number): Promise<RankEntry[] | null>;
  /** For checks: what the index has of owners; null when there is no complete index. */
  seen(set: RankSet, owners: readonly string[]): Promise<Map<string, SeenEntry> | null>;

  /** Called when indexes may be gone, and what this node had announced is forgotten. */
  onLost(listener: () => void): void;
}
