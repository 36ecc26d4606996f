import type { Logger } from 'pino';
import { invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { sqlState, violatedConstraint } from '../../store/pg-errors.ts';
import {
  type Board,
  type Boards,
  emptyPage,
  isTournament,
  type ListRequest,
  type RecordPage,
  type Records,
  staleBoard,
  versionOf,
  type WrittenRecord,
} from '../leaderboards/index.ts';
import { type NewTournament, toNewBoard } from './creation.ts';
import { Entries, type Entry, found, type ScoreSubmission } from './entries.ts';
import type { LifeJobs, TournamentHandler } from './life-jobs.ts';
import { listTournaments, type TournamentListRequest, type TournamentPage } from './listing.ts';
import { isJoinable, isReset, periodAt } from './periods.ts';
import { addAttempts, leave } from './record-queries.ts';
import { TournamentRefused } from './refusals.ts';
import { hasMaxSize, type Tournament, viewAt } from './views.ts';
import { type Actor, inWords } from './words.ts';

interface Dependencies {
  readonly db: Database;
  readonly boards: Boards;
  readonly records: Records;
  readonly life: LifeJobs;
  readonly log: Logger;
}

/** Which records of a tournament are meant. */
export interface PeriodRequest {
  readonly tournamentId: string;
  /** Unix seconds at which the period ends, or ended; 0: the present one. */
  readonly expiry: number;
}

const maxIds = 10_000;
const maxCount = 2_147_483_647;

/**
 * Tournaments as clients and game code work with them (spec: leaderboards-tournaments.md). Owners are canonical UUIDs,
 * times unix seconds. What is refused throws TournamentRefused, besides what is said here.
 */
export class Tournaments {
  readonly #deps: Dependencies;
  readonly #entries: Entries;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#entries = new Entries(deps);
  }

  /**
   * Creates a tournament; the one that has that id stays as it is. Refused for the id of a plain leaderboard. Throws
   * INVALID_ARGUMENT (spec: sections 6.2 and 18).
   */
  async create(tournament: NewTournament): Promise<void> {
    const { boards, life } = this.#deps;
    const { board } = await boards.create(toNewBoard(tournament), (tx, created) => life.begin(tx, created));
    if (isTournament(board)) return;
    await inWords('server', 'create', () => Promise.reject(new TournamentRefused('inUse')));
  }

  /** Deletes a tournament with its records and what was planned; no error when there is none of that id. */
  async delete(id: string): Promise<void> {
    const [board] = await this.#deps.boards.find([id]);
    if (board !== undefined && isTournament(board)) await this.#deps.boards.delete(id);
  }

  /** Ends the ranks of a tournament for good. */
  async disableRanks(id: string): Promise<void> {
    if (!(await this.#deps.boards.disableRanks(id, 'tournament'))) throw new TournamentRefused('notFound');
  }

  /** See `LifeJobs.endNow`. */
  async endNow(id: string): Promise<void> {
    await this.#deps.life.endNow(id);
  }

  /**
   * Sets what is called when a window opens, in place of what was. Here and below: on every node, for any of them may
   * come first.
   */
  onStart(handler: TournamentHandler): void {
    this.#deps.life.handle('start', handler);
  }

  /** Sets what is called when a window is over: its records stay as they are. */
  onEnd(handler: TournamentHandler): void {
    this.#deps.life.handle('end', handler);
  }

  /** Sets what is called when the records are reset: they are found under their expiry from then on. */
  onReset(handler: TournamentHandler): void {
    this.#deps.life.handle('reset', handler);
  }

  /** See `LifeJobs.planMissing`; happens by itself every half a minute. */
  async planMissing(): Promise<void> {
    await this.#deps.life.planMissing();
  }

  /** Each once, those with a maximum size last; what is not a tournament is left out. */
  async get(ids: readonly string[]): Promise<Tournament[]> {
    if (ids.length > maxIds) throw invalidArgument(`Too many tournaments, at most ${maxIds} at once.`);
    const boards = (await this.#deps.boards.find(ids)).filter(isTournament);
    const sorted = [...boards.filter((board) => !hasMaxSize(board)), ...boards.filter(hasMaxSize)];
    return await viewAt(this.#deps.db, sorted, this.#now());
  }

  /** See `listTournaments`. */
  async list(request: TournamentListRequest): Promise<TournamentPage> {
    return await listTournaments(this.#deps, request, this.#now());
  }

  /** See `Entries.write`. */
  async write(submission: ScoreSubmission, actor: Actor): Promise<WrittenRecord> {
    return await inWords(actor, 'write', () => this.#entries.write(submission, actor));
  }

  /** See `Entries.join`. */
  async join(entry: Entry, actor: Actor): Promise<void> {
    await inWords(actor, 'join', () => this.#entries.join(entry, actor));
  }

  /**
   * Gives an owner more attempts in the present period, or fewer; no effect without a record, or when there would be none
   * left. Throws INVALID_ARGUMENT for 0.
   */
  async addAttempts(tournamentId: string, ownerId: string, count: number): Promise<void> {
    if (!Number.isInteger(count) || count === 0 || Math.abs(count) > maxCount) {
      throw invalidArgument('expects an attempt count number != 0');
    }
    await inWords('server', 'addAttempts', () => this.#addAttempts(tournamentId, ownerId, count));
  }

  async #addAttempts(tournamentId: string, ownerId: string, count: number): Promise<void> {
    const { boards, db, log } = this.#deps;
    await boards.use(tournamentId, async (board) => {
      const tournament = found(board);
      const now = this.#now();
      const period = periodAt(tournament, now);
      if (!isJoinable(period, now)) throw new TournamentRefused('outsideDuration');
      const values = [tournament.id, tournament.createdAt, period.expiry, ownerId, count];
      try {
        return (await db.query(addAttempts, values)).length === 0 ? staleBoard : undefined;
      } catch (error) {
        if (!isOutOfRange(error)) throw error;
        log.warn({ err: error, tournament: tournament.id, count }, 'attempts were not added');
        return undefined;
      }
    });
  }

  /** Deletes the owner's record of the present period, also when the window is closed; no error when there is none. */
  async deleteRecord(tournamentId: string, ownerId: string, actor: Actor): Promise<void> {
    await inWords(actor, 'delete', () => this.#deleteRecord(tournamentId, ownerId, actor));
  }

  async #deleteRecord(tournamentId: string, ownerId: string, actor: Actor): Promise<void> {
    const { boards, db, records } = this.#deps;
    await boards.use(tournamentId, async (board) => {
      const tournament = found(board);
      if (actor === 'client' && tournament.authoritative) throw new TournamentRefused('authoritative');
      const now = this.#now();
      const period = periodAt(tournament, now);
      // Nobody is counted any more in what was reset.
      const maxSize = isReset(period, now) ? maxCount : tournament.maxSize;
      await records.announce(tournament, period.expiry);
      const values = [tournament.id, tournament.createdAt, period.expiry, ownerId, maxSize];
      const [row] = await db.query(leave, values);
      if (row === undefined) return staleBoard;
      if (row.create_time === null) return undefined;
      await records.removed(tournament, period.expiry, [{ owner: ownerId, version: versionOf(row) }]);
      return undefined;
    });
  }

  /**
   * A page of the records of a period. The present one is empty once it was reset, and refused to clients as `ended` when
   * the tournament is over. Throws INVALID_ARGUMENT for a cursor of another tournament or period.
   */
  async listRecords(which: PeriodRequest, request: ListRequest, actor: Actor): Promise<RecordPage> {
    return await inWords(actor, 'listRecords', async () => {
      const { board, expiry, isOver } = await this.#periodOf(which, actor);
      return isOver ? emptyPage(board, expiry) : await this.#deps.records.list(board, expiry, request);
    });
  }

  /** The record of an owner among its neighbours, or a page of such a list. Otherwise as `listRecords`. */
  async listRecordsAround(
    which: PeriodRequest,
    { ownerId, limit, cursor }: { readonly ownerId: string; readonly limit: number; readonly cursor: string },
    actor: Actor,
  ): Promise<RecordPage> {
    return await inWords(actor, 'listAround', async () => {
      const { board, expiry, isOver } = await this.#periodOf(which, actor);
      if (isOver) return emptyPage(board, expiry);
      return await this.#deps.records.around(board, expiry, ownerId, limit, cursor);
    });
  }

  async #periodOf(
    { tournamentId, expiry }: PeriodRequest,
    actor: Actor,
  ): Promise<{ board: Board; expiry: number; isOver: boolean }> {
    const board = found(await this.#deps.boards.get(tournamentId));
    if (expiry !== 0) return { board, expiry, isOver: false };
    const now = this.#now();
    if (actor === 'client' && board.endTime > 0 && board.endTime <= now) throw new TournamentRefused('ended');
    const period = periodAt(board, now);
    return { board, expiry: period.expiry, isOver: isReset(period, now) };
  }

  #now(): number {
    return this.#deps.records.now();
  }
}

/** The result would not be positive, or not be a number of the column. */
const isOutOfRange = (error: unknown): boolean =>
  violatedConstraint(error) === 'leaderboard_record_max_num_score_check' || sqlState(error) === '22003';
