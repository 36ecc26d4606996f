import { subsystem } from '../../platform/log.ts';
import type { Database } from '../../store/database.ts';
import { exportRows } from '../export-items.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Ranks } from '../ranks/index.ts';
import type { Board } from './board.ts';
import { Boards } from './boards.ts';
import { LeaderboardRecords } from './leaderboard-records.ts';
import { Leaderboards } from './leaderboards.ts';
import { leaderboardMethods } from './methods.ts';
import { ResetPlanner } from './planner.ts';
import { recordsOfUser } from './record-queries.ts';
import { Records } from './records.ts';
import { ResetJobs } from './reset-jobs.ts';
import { toRecord } from './wire.ts';

export { type Board, defaultMaxNumScore, isTournament, type NewBoard, noMaxSize, Operator } from './board.ts';
export { type Boards, boardJobs, type CreatedBoard, staleBoard } from './boards.ts';
export { checkedMetadata, checkedSchedule, type NewLeaderboard, parseOperator, parseSortOrder } from './creation.ts';
export type { WrittenRecord } from './leaderboard-records.ts';
export type { Leaderboards, ServerList, ServerWrite } from './leaderboards.ts';
export type { ListedRecord } from './listed-record.ts';
export { parseLimit, parseOwner, parseOwners, toBigInt, toOperator, toSeconds } from './methods.ts';
export { type RecordRow, recordColumns } from './record-queries.ts';
export { emptyPage, type ListRequest, type RecordPage, type Records, versionOf } from './records.ts';
export type { LeaderboardReset, ResetHandler } from './reset-jobs.ts';
export { Resets } from './resets.ts';
export { toLeaderboard, toRecord, toRecordList } from './wire.ts';

export interface LeaderboardsFeature extends Feature {
  /**
   * nk: leaderboardCreate, leaderboardDelete, leaderboardList, leaderboardRanksDisable, leaderboardsGetId,
   * leaderboardRecordWrite, leaderboardRecordDelete, leaderboardRecordsList, leaderboardRecordsListCursorFromRank,
   * leaderboardRecordsHaystack; and the hook for the reset of leaderboards.
   */
  readonly leaderboards: Leaderboards;
  /** Boards of both kinds. */
  readonly boards: Boards;
  /** Records of boards of both kinds. */
  readonly records: Records;
  readonly planner: ResetPlanner;
}

interface Others {
  readonly ranks: Ranks;
  readonly jobs: Jobs;
  /** The expiry of the period that a tournament is in at a time; both in unix seconds, 0 for none. */
  readonly tournamentExpiry: (board: Board, now: number) => number;
}

/** Boards on which records are ranked. Tournaments build on them. */
export function createLeaderboards(kit: FeatureKit, { ranks, jobs, tournamentExpiry }: Others): LeaderboardsFeature {
  const { db, bus, time, config } = kit;
  const log = subsystem(kit.log, 'leaderboards');
  const boards = new Boards({ db, bus, jobs, ranks, time, tournamentExpiry, log });
  const records = new Records({ db, ranks, time, log, unranked: config.leaderboard.blacklist_rank_cache });
  const leaderboardRecords = new LeaderboardRecords({ db, boards, records });
  const resets = new ResetJobs({ boards, jobs, time, log, catchUp: config.leaderboard.catch_up });
  const planner = new ResetPlanner({ db, boards, jobs, resets });
  return {
    name: 'leaderboards',
    methods: leaderboardMethods(leaderboardRecords),
    leaderboards: new Leaderboards({ boards, records, leaderboardRecords, resets }),
    boards,
    records,
    planner,
    userData: {
      erase: (tx, userId) => records.erase(tx, userId),
      lists: [{ key: 'leaderboard_records', items: (userId) => exportRecords(db, userId) }],
    },
    start: () => boards.start(),
    stop: () => boards.stop(),
  };
}

/** Without ranks: they would be those of another moment. */
function exportRecords(db: Database, userId: string): AsyncIterable<string> {
  return exportRows(db, recordsOfUser, userId, 'nakama.api.LeaderboardRecord', (row) =>
    toRecord(row.leaderboard_id, row.expiry_time.seconds, row, 0),
  );
}
