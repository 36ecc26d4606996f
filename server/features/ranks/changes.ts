import type {
  ChangeResult,
  EntryVersion,
  RankChange,
  RankEntry,
  RankIndex,
  SeenEntry,
} from '../../cluster/rank-index.ts';
import { internal } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { RankPeriod } from './period.ts';
import { expiryParam, readOwners, renewRecord } from './queries.ts';
import { compareVersions, microsParam, toEntry } from './records.ts';

/** What happened to a record, after its commit. */
export type RecordChange =
  | { readonly kind: 'put'; readonly entry: RankEntry }
  | { readonly kind: 'remove'; readonly owner: string; readonly version: EntryVersion };

export const ownerOf = (change: RecordChange): string => (change.kind === 'put' ? change.entry.owner : change.owner);

/** The owner's rank after a change, 0 without a record; null when the index cannot tell: then the table has to. */
export type RankAfter = bigint | null;

/**
 * From the announcement of a write to its change arriving here it takes no longer than that: statements have a shorter
 * time, and a node that is halted for longer loses its announcements.
 */
const writeMs = 15_000;
/** How often a change is tried that meets another index, or another life of its record, each time. */
const maxRounds = 8;

/**
 * Puts changes into the index of their period. Each says which incarnation it is meant for: one that the node knew before
 * the write was announced. That rules out that a change comes so late that the index was meanwhile filled from a table
 * which no longer has that record: without it, nothing in the new index would tell that the change is outdated. Whenever
 * the node cannot be sure, the record is read again, and what the table has now is what is put there.
 *
 * Within an incarnation versions decide: an older state never replaces a newer one, and removals are remembered. Two
 * lives of one owner's record are ordered by their creation, with one exception: an insert reads the clock before it waits
 * for whoever holds the key, so a whole other life, with a later creation, may pass before it comes to be. The index then
 * answers "doubt" to either of the two lives instead of guessing; the record is read again, and one that looks older than
 * what it followed is given a new creation time first.
 */
export class Changes {
  readonly #db: Database;
  readonly #index: RankIndex;
  readonly #writeMs: number;

  constructor(db: Database, index: RankIndex, longestWriteMs = writeMs) {
    this.#db = db;
    this.#index = index;
    this.#writeMs = longestWriteMs;
  }

  /** Changes of different owners, as soon after their commit as possible. Rejects when the outcome is unknown. */
  async apply(period: RankPeriod, changes: readonly RecordChange[]): Promise<RankAfter[]> {
    const { incarnation, since } = await this.#index.announce(period);
    const isSure = incarnation === '' || since < performance.now() - this.#writeMs;
    if (!isSure) return this.verify(period, changes);
    const asked = changes.map(toChange);
    const reply = await this.#index.apply(period, incarnation, asked, period.descending);
    if (reply.state === 'absent') return changes.map(() => null);
    if (reply.state === 'moved') return this.verify(period, changes);
    return this.#settle(period, changes, reply.results, reply.isReady, 0);
  }

  /** As `apply`, however long ago the commits were: reads the records again. */
  verify(period: RankPeriod, changes: readonly RecordChange[]): Promise<RankAfter[]> {
    return this.#verify(period, changes, new Map(), 0);
  }

  /** Puts there what the table has of owners whose entries, if any, were found to be wrong. */
  async repair(period: RankPeriod, wrong: ReadonlyMap<string, SeenEntry | undefined>): Promise<void> {
    const none = { score: 0n, subscore: 0n, version: { created: 0, writes: 0 } };
    const seen = new Map(
      [...wrong].flatMap(([owner, entry]) => (entry === undefined ? [] : [[owner, entry] as const])),
    );
    const changes = [...wrong.keys()].map((owner): RecordChange => ({ kind: 'put', entry: { owner, ...none } }));
    await this.#verify(period, changes, seen, 0, true);
  }

  async #verify(
    period: RankPeriod,
    changes: readonly RecordChange[],
    seen: ReadonlyMap<string, SeenEntry>,
    round: number,
    isWrong = false,
  ): Promise<RankAfter[]> {
    if (round >= maxRounds) throw internal('The rank index would not take a change.');
    const { incarnation } = await this.#index.announce(period);
    const owners = changes.map(ownerOf);
    const rows = await this.#db.query(readOwners, [period.board, expiryParam(period.expiry), owners]);
    const entries = new Map(rows.map((row) => [row.owner_id, toEntry(row)]));
    const facts = await Promise.all(
      changes.map((change) => {
        const owner = ownerOf(change);
        return this.#fact(period, change, entries.get(owner), seen.get(owner), isWrong);
      }),
    );
    const wanted = facts.flatMap((fact) => fact ?? []);
    const reply = await this.#index.apply(period, incarnation, wanted, period.descending);
    if (reply.state === 'absent') return changes.map(() => null);
    if (reply.state === 'moved') return this.#verify(period, changes, new Map(), round + 1);
    // Where there was nothing to say, the record is gone.
    const results = [...reply.results];
    const all = facts.map((fact): ChangeResult => (fact === null ? undefined : results.shift()) ?? gone);
    return this.#settle(period, changes, all, reply.isReady, round + 1);
  }

  /** What to tell the index of an owner, after the table was read. */
  async #fact(
    period: RankPeriod,
    change: RecordChange,
    entry: RankEntry | undefined,
    seen: SeenEntry | undefined,
    isWrong: boolean,
  ): Promise<RankChange | null> {
    const owner = ownerOf(change);
    if (entry === undefined) {
      const version = change.kind === 'put' ? change.entry.version : change.version;
      if (seen?.score !== undefined) {
        const last = compareVersions(version, seen.version) > 0 ? version : seen.version;
        return { kind: 'clear', owner, version: last, seen };
      }
      // Whoever removed what was written here tells so himself.
      return change.kind === 'put' ? null : { kind: 'remove', owner, version };
    }
    const isOutshone = seen !== undefined && compareVersions(entry.version, seen.version) <= 0;
    // A newer state of the same life is just that, unless it is known to be wrong.
    const isSame = !isWrong && isOutshone && seen.score !== undefined && seen.version.created === entry.version.created;
    if (!isOutshone || isSame) return { kind: 'confirm', ...entry };
    const params = [period.board, expiryParam(period.expiry), owner, microsParam(seen.version.created)];
    const [renewed] = await this.#db.query(renewRecord, params);
    return renewed === undefined ? { kind: 'confirm', ...entry } : { kind: 'confirm', ...toEntry(renewed) };
  }

  async #settle(
    period: RankPeriod,
    changes: readonly RecordChange[],
    results: readonly ChangeResult[],
    isReady: boolean,
    round: number,
  ): Promise<RankAfter[]> {
    const ranks = results.map((result) => (result.done && isReady ? BigInt(result.rank) : null));
    const doubtful = changes.filter((_, i) => results[i]?.done === false);
    if (doubtful.length === 0) return ranks;
    const seen = new Map<string, SeenEntry>();
    for (const [i, result] of results.entries()) {
      const change = changes[i];
      if (!result.done && change !== undefined) seen.set(ownerOf(change), result.seen);
    }
    const settled = await this.#verify(period, doubtful, seen, round);
    return ranks.map((rank, i) => (results[i]?.done === false ? (settled.shift() ?? null) : rank));
  }
}

const gone: ChangeResult = { done: true, rank: 0 };

const toChange = (change: RecordChange): RankChange =>
  change.kind === 'put'
    ? { kind: 'put', ...change.entry }
    : { kind: 'remove', owner: change.owner, version: change.version };
