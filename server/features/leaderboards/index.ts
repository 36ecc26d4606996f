import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Ranks } from '../ranks/index.ts';
import { Boards } from './boards.ts';
import { Records } from './records.ts';

export { type Board, defaultMaxNumScore, isTournament, type NewBoard, noMaxSize, Operator } from './board.ts';
export { type Boards, boardJobs, type CreatedBoard, staleBoard } from './boards.ts';
export { type RecordRow, recordColumns } from './record-queries.ts';
export { emptyPage, type ListRequest, type RecordPage, type Records, versionOf } from './records.ts';
export { Resets } from './resets.ts';
export { toRecord, toRecordList } from './wire.ts';

export interface LeaderboardsFeature extends Feature {
  /** Boards of both kinds. */
  readonly boards: Boards;
  /** Records of boards of both kinds. */
  readonly records: Records;
}

interface Others {
  readonly ranks: Ranks;
  readonly jobs: Jobs;
}

/** Boards on which records are ranked. Tournaments build on them. */
export function createLeaderboards(kit: FeatureKit, { ranks, jobs }: Others): LeaderboardsFeature {
  const { db, bus, time } = kit;
  const boards = new Boards({ db, bus, jobs, ranks, log: subsystem(kit.log, 'leaderboards') });
  const records = new Records({ db, ranks, time, unranked: kit.config.leaderboard.blacklist_rank_cache });
  return {
    name: 'leaderboards',
    methods: [],
    boards,
    records,
    userData: { erase: (tx, userId) => records.erase(tx, userId) },
    start: () => boards.start(),
    stop: () => boards.stop(),
  };
}
