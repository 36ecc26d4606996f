import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RankEntry, RankIndex, RankSet, SeenEntry } from '../../cluster/rank-index.ts';
import type { Database } from '../../store/database.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Changes } from './changes.ts';
import type { Doubts } from './doubts.ts';
import type { RankMetrics } from './metrics.ts';
import { countRecords, expiryParam, readBetween, readOwners } from './queries.ts';
import { compareVersions, toEntry } from './records.ts';
import { isOver } from './table-ranks.ts';

export interface CheckLimits {
  /** Periods that one run looks at. */
  readonly periods: number;
  /** Entries of each that it compares. */
  readonly entries: number;
  /** What differs twice with so much time between, in the same way, is not just on its way. */
  readonly settleMs: number;
}

export const checkLimits: CheckLimits = { periods: 10, entries: 500, settleMs: 2000 };

export interface CheckReport {
  readonly periods: number;
  readonly entries: number;
  /** Entries that differed, and were put right. */
  readonly drift: number;
}

interface ChecksOptions {
  readonly db: Database;
  readonly index: RankIndex;
  readonly changes: Changes;
  readonly doubts: Doubts;
  readonly time: DatabaseTime;
  readonly metrics: RankMetrics;
  readonly log: Logger;
}

/**
 * Compares some indexes with the table: how many entries there are, and a stretch of them. There should be no
 * differences; that they would be noticed is the point.
 */
export class RankChecks {
  readonly #options: ChecksOptions;
  readonly #limits: CheckLimits;

  constructor(options: ChecksOptions, limits: Partial<CheckLimits> = {}) {
    this.#options = options;
    this.#limits = { ...checkLimits, ...limits };
  }

  async run(signal?: AbortSignal): Promise<CheckReport> {
    const { index, metrics, log } = this.#options;
    const report = { periods: 0, entries: 0, drift: 0 };
    for (const set of await index.sample(this.#limits.periods)) {
      if (signal?.aborted) break;
      const checked = await this.check(set);
      if (checked === null) continue;
      report.periods++;
      report.entries += checked.entries;
      report.drift += checked.drift;
      metrics.checked.inc(checked.entries);
      if (checked.drift === 0) continue;
      metrics.drift.inc(checked.drift);
      log.error({ ...set, drift: checked.drift }, 'ranks had drifted from the records and were put right');
    }
    return report;
  }

  /** Null when there is no index that should be right. */
  async check(set: RankSet): Promise<{ entries: number; drift: number } | null> {
    const { index, doubts, time } = this.#options;
    if (!(await doubts.isClear(set))) return null;
    const count = await index.count(set);
    if (count === null) return null;
    const missing = await this.#countDrift(set);
    // Changes of the last moment are put into no index.
    if (isOver(set, time)) return null;
    if (missing > 0) {
      await index.drop(set);
      return { entries: 0, drift: missing };
    }
    const from = Math.floor(Math.random() * Math.max(1, Number(count) - this.#limits.entries + 1));
    const entries = await index.slice(set, from, this.#limits.entries);
    if (entries === null) return null;
    const suspects = await this.#differing(set, from, entries);
    return { entries: entries.length, drift: await this.#repair(set, suspects) };
  }

  /** By how many entries index and table differ, the same way for a while. */
  async #countDrift(set: RankSet): Promise<number> {
    const { db, index } = this.#options;
    const params = [set.board, expiryParam(set.expiry)];
    let difference: bigint | undefined;
    for (let look = 0; look < countLooks; look++) {
      if (look > 0) await sleep(this.#limits.settleMs / countLooks);
      const before = await index.count(set);
      const [row] = await db.query(countRecords, params);
      const after = await index.count(set);
      if (before === null || before !== after || row === undefined) return 0;
      const found = row.count - before;
      if (found === 0n || (difference !== undefined && found !== difference)) return 0;
      difference = found;
    }
    return Math.abs(Number(difference ?? 0n));
  }

  /** Owners whose entry differs from their record, in a stretch of the index and of the table. */
  async #differing(set: RankSet, from: number, entries: readonly RankEntry[]): Promise<string[]> {
    const [first, last] = [entries[0], entries.at(-1)];
    if (first === undefined || last === undefined) return [];
    const isWhole = from === 0 && entries.length < this.#limits.entries;
    const bounds = [isWhole ? lowest : first, isWhole ? highest : last];
    const rows = await this.#options.db.query(readBetween, [
      ...[set.board, expiryParam(set.expiry)],
      ...bounds.flatMap(({ score, subscore, owner }) => [score, subscore, owner]),
      2 * this.#limits.entries,
    ]);
    const records = new Map(rows.map((row) => [row.owner_id, toEntry(row)]));
    const differing = entries.filter((entry) => !isEqual(entry, records.get(entry.owner))).map(({ owner }) => owner);
    const indexed = new Set(entries.map(({ owner }) => owner));
    return [...differing, ...[...records.keys()].filter((owner) => !indexed.has(owner))];
  }

  /** Puts right those of the owners that go on differing; returns how many. */
  async #repair(set: RankSet, suspects: readonly string[]): Promise<number> {
    if (suspects.length === 0) return 0;
    const before = await this.#states(set, suspects);
    await sleep(this.#limits.settleMs);
    const after = await this.#states(set, suspects);
    if (isOver(set, this.#options.time)) return 0;
    const drifted = suspects.filter((owner) => {
      const [then, now] = [before?.get(owner), after?.get(owner)];
      return now !== undefined && then?.text === now.text && !isEqual(now.record, entryOf(now.seen, owner));
    });
    if (drifted.length === 0 || after === null) return 0;
    const period = { ...set, descending: false };
    await this.#options.changes.repair(period, new Map(drifted.map((owner) => [owner, after.get(owner)?.seen])));
    return drifted.length;
  }

  async #states(set: RankSet, owners: readonly string[]) {
    const { db, index } = this.#options;
    const seen = await index.seen(set, owners);
    if (seen === null) return null;
    const rows = await db.query(readOwners, [set.board, expiryParam(set.expiry), owners]);
    const records = new Map(rows.map((row) => [row.owner_id, toEntry(row)]));
    return new Map(
      owners.map((owner) => {
        const [record, entry] = [records.get(owner), seen.get(owner)];
        const version = record && `${record.version.created}.${record.version.writes}`;
        return [owner, { record, seen: entry, text: `${version}/${entry?.raw.toString('hex')}` }];
      }),
    );
  }
}

const countLooks = 3;
const lowest = { score: 0n, subscore: 0n, owner: '00000000-0000-0000-0000-000000000000' };
const highest = { score: 2n ** 63n - 1n, subscore: 2n ** 63n - 1n, owner: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };

const entryOf = (seen: SeenEntry | undefined, owner: string): RankEntry | undefined =>
  seen?.score === undefined ? undefined : { owner, version: seen.version, ...seen.score };

function isEqual(a: RankEntry | undefined, b: RankEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.score === b.score && a.subscore === b.subscore && compareVersions(a.version, b.version) === 0;
}
