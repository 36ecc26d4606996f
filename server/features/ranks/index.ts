import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Ranks } from './period.ts';
import { SqlRanks } from './sql-ranks.ts';
import { TableRanks } from './table-ranks.ts';

export type { RankedRecord, RankPeriod, Ranks, RecordVersion, RemovedRecord } from './period.ts';

/** Positions of records. No methods of its own: boards and tournaments tell it what changes, and ask. */
export function createRanks(kit: FeatureKit): Feature & { readonly ranks: Ranks } {
  const { db, time, log } = kit;
  const ranks = new TableRanks({ sql: new SqlRanks(db), time, log: subsystem(log, 'ranks') });
  return { name: 'ranks', methods: [], ranks };
}
