import type { Logger } from 'pino';
import type { Bus, Subscription } from '../../cluster/bus.ts';
import { AppError, Code } from '../../platform/errors.ts';
import { within } from '../../platform/within.ts';
import type { Database } from '../../store/database.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Transaction } from '../../store/transaction.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import type { Jobs } from '../jobs/index.ts';
import type { Ranks } from '../ranks/index.ts';
import { type Board, isTournament, type NewBoard } from './board.ts';
import {
  boardById,
  boardsById,
  countRecords,
  deleteBoard,
  deleteSomeRecords,
  disableRanks,
  insertBoard,
  plainBoardsAfter,
} from './board-queries.ts';
import { toBoard } from './board-rows.ts';

const topic = 'leaderboards';
/** How long a caller waits for the other nodes to be told. They find out by themselves when they write. */
const tellWaitMs = 100;
/** Boards that one node remembers. */
const maxCached = 100_000;
/** Records that are deleted at once: within the time that one statement may take. */
const deletedAtOnce = 10_000;
/** How often work with a board begins again because it had become another one. */
const maxTries = 4;

/** The jobs of a board, which are taken back with it. */
export const boardJobs = { tournament: 'tournament', reset: 'leaderboard_reset' } as const;

/** What `Boards.use` is told when the board that the work was given is not the stored one. */
export const staleBoard = Symbol('stale board');

interface Dependencies {
  readonly db: Database;
  readonly bus: Bus;
  readonly jobs: Jobs;
  readonly ranks: Ranks;
  readonly time: DatabaseTime;
  /** The expiry of the period that a tournament is in at a time; both in unix seconds, 0 for none. */
  readonly tournamentExpiry: (board: Board, now: number) => number;
  readonly log: Logger;
}

export interface CreatedBoard {
  readonly board: Board;
  /** False: there was one of that id, which is as it was. */
  readonly created: boolean;
}

/**
 * The boards of both kinds. Every node remembers those it has used, and hears when one of them changes; what it has
 * not heard it finds out when it writes, see `use`.
 */
export class Boards {
  readonly #deps: Dependencies;
  readonly #known = new Map<string, Board>();
  /** What is being read, by id. */
  readonly #loading = new Map<string, Promise<Board | null>>();
  /** Counts what was forgotten. */
  #changes = 0;
  #subscription: Subscription | undefined;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { bus } = this.#deps;
    this.#subscription = await bus.subscribe(topic, (frame) => this.#forget(Buffer.from(frame).toString('utf8')));
    bus.onGap(() => this.#forgetAll());
  }

  async stop(): Promise<void> {
    await this.#subscription?.close();
  }

  /** The board of that id, of either kind, or null. It may have been replaced a moment ago. */
  get(id: string): Board | null | Promise<Board | null> {
    return this.#known.get(id) ?? this.#load(id);
  }

  /** Those of the boards that exist, in the order of `ids` and each once; as stored, and not remembered. */
  async find(ids: readonly string[]): Promise<Board[]> {
    const wanted = [...new Set(ids.filter(isPossible))];
    if (wanted.length === 0) return [];
    const rows = await this.#deps.db.query(boardsById, [wanted]);
    const found = new Map(rows.map((row) => [row.id, this.#toBoard(row)] as const));
    return wanted.flatMap((id) => found.get(id) ?? []);
  }

  /** The expiry of the period that a board is in at a time; both in unix seconds, 0 for none. */
  expiryAt(board: Board, now: number): number {
    return isTournament(board) ? this.#deps.tournamentExpiry(board, now) : board.resets.next(now);
  }

  /** Plain leaderboards in the order of their creation, after that position. */
  async plainAfter(after: { createTime: Instant; id: string }, count: number): Promise<Board[]> {
    const rows = await this.#deps.db.query(plainBoardsAfter, [instantParam(after.createTime), after.id, count]);
    return rows.map((row) => this.#toBoard(row));
  }

  /**
   * Does something with the board of that id as this node knows it, null when there is none, and again with the stored
   * one when the work answers `staleBoard`, having had no effect. Throws ABORTED when that does not end.
   */
  async use<T>(id: string, work: (board: Board | null) => Promise<T | typeof staleBoard>): Promise<T> {
    for (let tries = 0; tries < maxTries; tries++) {
      const known = this.#known.get(id);
      const result = await work(known ?? (await this.#load(id)));
      if (result !== staleBoard) return result;
      this.#forget(id);
    }
    throw new AppError(Code.ABORTED, 'The leaderboard is being changed.', { retry: 'safe' });
  }

  /**
   * Creates a board, or leaves the one that has that id as it is.
   * @param plan what else belongs to its creation, such as its first job: commits or fails with it.
   */
  async create(
    board: NewBoard,
    plan: (tx: Transaction, board: Board) => Promise<void> = async () => {},
  ): Promise<CreatedBoard> {
    const { db } = this.#deps;
    for (let tries = 0; tries < maxTries; tries++) {
      const created = await db.transaction(async (tx) => {
        const [row] = await tx.query(insertBoard, insertParams(board));
        if (row === undefined) return null;
        const inserted = this.#toBoard(row);
        await plan(tx, inserted);
        return inserted;
      });
      if (created !== null) return { board: created, created: true };
      this.#forget(board.id);
      const stored = await this.#load(board.id);
      if (stored !== null) return { board: stored, created: false };
    }
    throw new AppError(Code.ABORTED, 'The leaderboard is being changed.', { retry: 'safe' });
  }

  /** Deletes a board of either kind with its records, ranks and jobs; false when there is none. */
  async delete(id: string): Promise<boolean> {
    const { db, jobs, ranks } = this.#deps;
    if (!isPossible(id)) return false;
    await this.#announceDrop(id);
    await this.#deleteManyRecords(id);
    const deleted = await db.transaction(async (tx) => {
      const cancelJobs = async (): Promise<void> => {
        for (const kind of Object.values(boardJobs)) await jobs.cancel(tx, kind, id);
      };
      await cancelJobs();
      const count = await tx.execute(deleteBoard, [id]);
      // What a job had planned next whose end the first look has waited for.
      await cancelJobs();
      return count > 0;
    });
    // Also when there was none: whoever deleted it may have died before it came so far.
    await this.changed(id);
    await ranks.drop(id);
    return deleted;
  }

  /** Ends the ranks of a board of that kind for good; false when there is none. */
  async disableRanks(id: string, kind: 'leaderboard' | 'tournament'): Promise<boolean> {
    const { db, ranks } = this.#deps;
    if (!isPossible(id)) return false;
    await this.#announceDrop(id);
    const rows = await db.query(disableRanks, [id, kind === 'tournament']);
    if (rows.length === 0) return false;
    await this.changed(id);
    await ranks.drop(id);
    return true;
  }

  /** To be called after the stored board was changed: all nodes read it anew. */
  async changed(id: string): Promise<void> {
    const { bus, log } = this.#deps;
    this.#forget(id);
    const told = bus.publish(topic, Buffer.from(id)).catch((error) => {
      log.warn({ err: error, leaderboard: id }, 'could not tell the other nodes of a changed leaderboard');
    });
    if (bus.isWhole) await within(tellWaitMs, told);
  }

  async #announceDrop(id: string): Promise<void> {
    const { ranks, time } = this.#deps;
    const board = await this.get(id);
    if (board === null) return;
    const expiry = this.expiryAt(board, Math.floor(time.now() / 1000));
    await ranks.announce({ board: id, expiry, descending: board.descending });
  }

  // The records of a board go with its row, unless that would take longer than a statement may.
  async #deleteManyRecords(id: string): Promise<void> {
    const { db } = this.#deps;
    const [counted] = await db.query(countRecords, [id, deletedAtOnce + 1]);
    if (counted === undefined || counted.count <= deletedAtOnce) return;
    while ((await db.execute(deleteSomeRecords, [id, deletedAtOnce])) === deletedAtOnce);
  }

  #load(id: string): Promise<Board | null> {
    const pending = this.#loading.get(id);
    if (pending !== undefined) return pending;
    const loading: Promise<Board | null> = this.#read(id).finally(() => {
      if (this.#loading.get(id) === loading) this.#loading.delete(id);
    });
    this.#loading.set(id, loading);
    return loading;
  }

  async #read(id: string): Promise<Board | null> {
    if (!isPossible(id)) return null;
    const changes = this.#changes;
    const [row] = await this.#deps.db.query(boardById, [id]);
    if (row === undefined) return null;
    const board = this.#toBoard(row);
    // Something has changed meanwhile, perhaps this one: then it is not known whether this is from before.
    if (changes === this.#changes) this.#remember(board);
    return board;
  }

  #remember(board: Board): void {
    if (this.#known.size >= maxCached) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    this.#known.set(board.id, board);
  }

  #forget(id: string): void {
    this.#changes++;
    this.#known.delete(id);
    this.#loading.delete(id);
  }

  #forgetAll(): void {
    this.#changes++;
    this.#known.clear();
    this.#loading.clear();
  }

  #toBoard(row: Parameters<typeof toBoard>[0]): Board {
    return toBoard(row, this.#deps.log);
  }
}

/** PostgreSQL has no text with this character, and would take the question amiss. */
const isPossible = (id: string): boolean => id !== '' && !id.includes('\0');

function insertParams(board: NewBoard): (string | number | boolean | null)[] {
  return [
    board.id,
    board.authoritative,
    board.descending ? 1 : 0,
    board.operator,
    board.resetSchedule,
    board.metadata,
    board.enableRanks,
    board.category,
    board.title,
    board.description,
    board.duration,
    board.endTime,
    board.maxSize,
    board.maxNumScore,
    board.joinRequired,
    board.startTime,
  ];
}
