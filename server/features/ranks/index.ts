import type { Logger } from 'pino';
import type { RankIndex } from '../../cluster/rank-index.ts';
import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import { Builds } from './builds.ts';
import { Changes } from './changes.ts';
import { RankChecks } from './checks.ts';
import { Doubts } from './doubts.ts';
import { IndexedRanks } from './indexed-ranks.ts';
import { rankMetrics } from './metrics.ts';
import type { Ranks } from './period.ts';
import { SqlRanks } from './sql-ranks.ts';
import { TableRanks } from './table-ranks.ts';
import { UnsettledChanges } from './unsettled.ts';

export type { Standings } from '../../cluster/rank-index.ts';
export type { RankedRecord, RankPeriod, Ranks, RecordVersion, RemovedRecord } from './period.ts';

export type RanksKit = Pick<FeatureKit, 'config' | 'db' | 'time' | 'metrics' | 'log' | 'rankIndex'>;

export interface RanksOptions {
  /** Without them nobody compares the index with the table. */
  readonly jobs?: Pick<Jobs, 'every'> | undefined;
  /** Longest time from the announcement of a write to its change; for tests. */
  readonly writeMs?: number | undefined;
}

const checkIntervalSec = 60;
/** How often indexes of periods that are over are looked for. */
const endedMs = 5000;

/** Positions of records. No methods of its own: boards and tournaments tell it what changes, and ask. */
export function createRanks(kit: RanksKit, { jobs, writeMs }: RanksOptions): Feature & { readonly ranks: Ranks } {
  const log = subsystem(kit.log, 'ranks');
  const sql = new SqlRanks(kit.db);
  if (kit.rankIndex !== undefined) return createIndexed(kit, kit.rankIndex, { sql, log, jobs, writeMs });
  return { name: 'ranks', methods: [], ranks: new TableRanks({ sql, time: kit.time, log }) };
}

function createIndexed(
  { config, db, time, metrics }: RanksKit,
  index: RankIndex,
  { sql, log, jobs, writeMs }: RanksOptions & { readonly sql: SqlRanks; readonly log: Logger },
): Feature & { readonly ranks: Ranks } {
  const counted = rankMetrics(metrics);
  const changes = new Changes(db, index, writeMs);
  const doubts = new Doubts({ db, index, log });
  const unsettled = new UnsettledChanges({ index, changes, doubts, log });
  const concurrent = config.leaderboard.rank_cache_workers;
  const builds = new Builds({ db, index, log, limits: { concurrent }, built: counted.built });
  metrics.watch('rank_changes_unsettled', 'Changes that may not be in rank indexes', () => unsettled.ownerCount);
  metrics.watch('rank_builds_waiting', 'Rank indexes to be built', () => builds.waitingCount + builds.runningCount);
  const checks = new RankChecks({ db, index, changes, doubts, time, metrics: counted, log });
  jobs?.every({
    kind: 'ranks_check',
    everySec: checkIntervalSec,
    async run(run) {
      if (index.isUp) await run.complete(JSON.stringify(await checks.run(run.signal)));
    },
  });
  const dropEnded = async (): Promise<void> => {
    try {
      if (index.isUp) await index.dropEnded(Math.floor(time.now() / 1000));
    } catch (error) {
      log.debug({ err: error }, 'ranks of periods that are over could not be dropped');
    }
  };
  let timer: NodeJS.Timeout | undefined;
  return {
    name: 'ranks',
    methods: [],
    ranks: new IndexedRanks({ index, sql, changes, unsettled, doubts, builds, time, metrics: counted, log }),
    async start() {
      timer = setInterval(() => void dropEnded(), endedMs).unref();
    },
    async stop() {
      clearInterval(timer);
      await builds.stop();
      await unsettled.stop();
      doubts.stop();
    },
  };
}
