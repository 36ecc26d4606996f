import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Boards, Records } from '../leaderboards/index.ts';
import { LifeJobs } from './life-jobs.ts';
import { tournamentMethods } from './methods.ts';
import { Tournaments } from './tournaments.ts';

export type { NewTournament } from './creation.ts';
export type { Entry, ScoreSubmission } from './entries.ts';
export type { TournamentHandler, TournamentNotice } from './life-jobs.ts';
export type { TournamentListRequest, TournamentPage } from './listing.ts';
export { type Period, periodAt } from './periods.ts';
export { type Refusal, TournamentRefused } from './refusals.ts';
export type { PeriodRequest, Tournaments } from './tournaments.ts';
export { type Tournament, toTournament } from './views.ts';
export type { Actor } from './words.ts';

export interface TournamentsFeature extends Feature {
  /**
   * nk: tournamentCreate, tournamentDelete, tournamentAddAttempt, tournamentJoin, tournamentsGetId, tournamentList,
   * tournamentsRanksDisable, tournamentRecordWrite, tournamentRecordDelete, tournamentRecordsList,
   * tournamentRecordsHaystack; and the hooks for the end and the reset of tournaments.
   */
  readonly tournaments: Tournaments;
}

interface Others {
  readonly boards: Boards;
  readonly records: Records;
  readonly jobs: Jobs;
}

/** Leaderboards that are open for a while, again and again or once, and to so many. */
export function createTournaments(kit: FeatureKit, { boards, records, jobs }: Others): TournamentsFeature {
  const { db, time, config } = kit;
  const log = subsystem(kit.log, 'tournaments');
  const life = new LifeJobs({ db, time, boards, jobs, log, catchUp: config.leaderboard.catch_up });
  const tournaments = new Tournaments({ db, boards, records, life, log });
  return { name: 'tournaments', methods: tournamentMethods(tournaments), tournaments };
}
