import { AppError, Code, invalidArgument } from '../../platform/errors.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import { sqlState, violatedConstraint } from '../../store/pg-errors.ts';
import {
  type Board,
  type Boards,
  isTournament,
  Operator,
  type RecordRow,
  type Records,
  staleBoard,
  type WrittenRecord,
} from '../leaderboards/index.ts';
import { isJoinable, isWritable, type Period, periodAt } from './periods.ts';
import { attempts, entrances, type OwnerKind, sizeConstraint, standing } from './record-queries.ts';
import { TournamentRefused } from './refusals.ts';
import type { Actor } from './words.ts';

export interface ScoreSubmission {
  readonly tournamentId: string;
  /** Canonical UUID; of a user when a client submits, of anything otherwise. */
  readonly ownerId: string;
  /** Null leaves the one that the record has. */
  readonly username: string | null;
  readonly score: bigint;
  readonly subscore: bigint;
  /** Text of a JSON object; null leaves what the record has. */
  readonly metadata: string | null;
  /** In place of the tournament's own. */
  readonly operator: Operator | null;
}

export interface Entry {
  readonly tournamentId: string;
  readonly ownerId: string;
  readonly username: string;
}

interface Dependencies {
  readonly db: Database;
  readonly boards: Boards;
  readonly records: Records;
}

/** How often a write looks again whose record came or went under its eyes. */
const maxTries = 8;
const maxScore = 2n ** 63n - 1n;

/**
 * Joins and scores (spec: leaderboards-tournaments.md, sections 8 and 9). Attempts and sizes are exact, however many
 * write at once and wherever: each write is one statement that looks at what it changes under lock. One that was
 * acknowledged is there when the end of its window is announced.
 */
export class Entries {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Submits a score. Once an owner that had to join has no attempts left, answers the record as it is. Throws
   * TournamentRefused, and INVALID_ARGUMENT for scores below zero.
   */
  async write(submission: ScoreSubmission, actor: Actor): Promise<WrittenRecord> {
    checkScores(submission);
    return await this.#deps.boards.use(submission.tournamentId, async (board) => {
      const tournament = found(board);
      const now = this.#deps.records.now();
      if (actor === 'client' && tournament.endTime > 0 && tournament.endTime <= now)
        throw new TournamentRefused('ended');
      if (actor === 'client' && tournament.authoritative) throw new TournamentRefused('authoritative');
      const period = periodAt(tournament, now);
      if (!isWritable(period, now)) throw new TournamentRefused('outsideDuration');
      return await this.#write(tournament, period, submission, actor === 'client' ? 'user' : 'any');
    });
  }

  /**
   * Enters an owner into the present period, or the first one to come; no effect if it is there already or the
   * tournament is open to all. Throws TournamentRefused.
   */
  async join({ tournamentId, ownerId, username }: Entry, actor: Actor): Promise<void> {
    await this.#deps.boards.use(tournamentId, async (board) => {
      const tournament = found(board);
      if (!tournament.joinRequired) return;
      const now = this.#deps.records.now();
      const period = periodAt(tournament, now);
      if (!isJoinable(period, now)) throw new TournamentRefused('outsideDuration');
      const entry = { ownerId, username, score: 0n, subscore: 0n, metadata: null };
      return await this.#join(tournament, period, entry, actor === 'client' ? 'user' : 'any');
    });
  }

  async #join(board: Board, period: Period, entry: NewEntry, kind: OwnerKind): Promise<typeof staleBoard | undefined> {
    const { records } = this.#deps;
    await records.announce(board, period.expiry);
    const row = await this.#enter(board, period, entry, 0, kind);
    if (row !== undefined) await records.noted(board, period.expiry, row);
    else if ((await records.get(board, period.expiry, entry.ownerId)) === null) {
      await this.#explain(board, period, entry.ownerId, kind);
      return staleBoard;
    }
    return undefined;
  }

  async #write(
    board: Board,
    period: Period,
    submission: ScoreSubmission,
    kind: OwnerKind,
  ): Promise<WrittenRecord | typeof staleBoard> {
    const { records } = this.#deps;
    const { expiry } = period;
    await records.announce(board, expiry);
    for (let tries = 0; tries < maxTries; tries++) {
      const row =
        (await this.#attempt(board, period, submission, kind)) ??
        (board.joinRequired ? undefined : await this.#enter(board, period, submission, 1, kind));
      if (row !== undefined) return { board, expiry, row, rank: await records.changed(board, expiry, row) };
      const present = await records.get(board, expiry, submission.ownerId);
      if ((await this.#explain(board, period, submission.ownerId, kind)) === staleBoard) return staleBoard;
      if (present === null) {
        if (board.joinRequired) throw new TournamentRefused('notJoined');
      } else if (present.num_score >= present.max_num_score) {
        if (!board.joinRequired) throw new TournamentRefused('noAttempts');
        const rank = await records.rankOf(board, expiry, submission.ownerId);
        return { board, expiry, row: present, rank };
      }
    }
    throw new AppError(Code.ABORTED, 'The record is being changed.', { retry: 'safe' });
  }

  async #attempt(
    board: Board,
    period: Period,
    given: ScoreSubmission,
    kind: OwnerKind,
  ): Promise<RecordRow | undefined> {
    const { ownerId, username, score, subscore, metadata, operator } = given;
    const [row] = await this.#deps.db
      .query(attempts[kind], [
        ...[board.id, board.createdAt, period.expiry, period.startActive, ownerId, username, score, subscore, metadata],
        operator ?? board.operator,
      ])
      .catch((error) => refuse(error, metadata));
    return row;
  }

  /** Undefined when the owner has a record already, or none can be made. */
  async #enter(
    board: Board,
    period: Period,
    { ownerId, username, score, subscore, metadata, operator }: NewEntry,
    numScore: number,
    kind: OwnerKind,
  ): Promise<RecordRow | undefined> {
    // There is nothing yet that could be made less.
    const first = firstScores(operator ?? board.operator, score, subscore);
    const [row] = await this.#deps.db
      .query(entrances[kind], [
        ...[board.id, board.createdAt, period.expiry, period.startActive, ownerId, username, ...first, metadata],
        ...[numScore, board.maxSize],
      ])
      .catch((error) => refuse(error, metadata));
    return row;
  }

  /** Why a statement found no board to hold. Undefined when there is one after all. */
  async #explain(
    board: Board,
    period: Period,
    ownerId: string,
    kind: OwnerKind,
  ): Promise<typeof staleBoard | undefined> {
    const [row] = await this.#deps.db.query(standing, [board.id, board.createdAt, period.startActive, ownerId]);
    if (row === undefined) return staleBoard;
    if (row.closed) throw new TournamentRefused('outsideDuration');
    if (kind === 'user' && !row.is_user) throw new TournamentRefused('userNotFound');
    return undefined;
  }
}

type NewEntry = Pick<ScoreSubmission, 'ownerId' | 'username' | 'score' | 'subscore' | 'metadata'> & {
  readonly operator?: Operator | null;
};

/** SQLSTATEs of JSON that a column cannot keep: characters, numbers or nesting beyond what it has. */
const unkeepableStates: ReadonlySet<string | undefined> = new Set(['22021', '22P02', '22P05', '54001']);

function refuse(error: unknown, metadata: string | null): never {
  if (violatedConstraint(error) === sizeConstraint) throw new TournamentRefused('full');
  if (metadata !== null && unkeepableStates.has(sqlState(error))) throw new TournamentRefused('badMetadata');
  throw error;
}

function firstScores(operator: Operator, score: bigint, subscore: bigint): [bigint, bigint] {
  return operator === Operator.DECREMENT ? [0n, 0n] : [score, subscore];
}

/** The board, if it is a tournament. */
export function found(board: Board | null): Board {
  if (board === null || !isTournament(board)) throw new TournamentRefused('notFound');
  return board;
}

function checkScores({ score, subscore, metadata }: ScoreSubmission): void {
  for (const given of [score, subscore]) {
    if (given < 0n || given > maxScore) throw invalidArgument('Score and subscore must not be negative.');
  }
  if (metadata !== null && !isJsonObject(metadata)) throw new TournamentRefused('badMetadata');
}
