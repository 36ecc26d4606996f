import type { Logger } from 'pino';
import { isTransient } from '../../platform/errors.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Queryable } from '../../store/transaction.ts';
import type { JobRun, Jobs } from '../jobs/index.ts';
import { type Board, isTournament } from './board.ts';
import { openJob } from './board-queries.ts';
import { type Boards, boardJobs } from './boards.ts';

/** A leaderboard at the end of one of its periods. */
export interface LeaderboardReset {
  /** As it was a second before; `nextReset` is the reset itself. */
  readonly leaderboard: Board;
  /** Unix seconds; 0: none. */
  readonly prevReset: number;
  readonly nextReset: number;
  /** Unix seconds: when the period ended, and the expiry of its records. */
  readonly reset: number;
  /** The same in every call for this reset, and in no other: effects that carry it as idempotency key happen once. */
  readonly key: string;
}

/**
 * Game code that is called at each reset, and again when it throws an error that says that something is unavailable. What
 * else it throws is logged, and changes nothing.
 */
export type ResetHandler = (reset: LeaderboardReset) => Promise<void> | void;

interface Dependencies {
  readonly boards: Boards;
  readonly jobs: Jobs;
  readonly time: DatabaseTime;
  readonly log: Logger;
  /** Is the latest of the resets that were missed made up for? */
  readonly catchUp: boolean;
}

/** A reset that is not handled within this time was missed: then those before the latest one are left out. */
const missedAfterSec = 60;

/**
 * The resets of plain leaderboards (spec: leaderboards-tournaments.md, section 16): one job at a time per board, which
 * ends by making the next one. A reset changes no record.
 */
export class ResetJobs {
  readonly #deps: Dependencies;
  #handler: ResetHandler | undefined;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    deps.jobs.define({ kind: boardJobs.reset, run: (run) => this.#run(run) });
  }

  /** Takes the place of the handler before it. Every node has to have one: any of them may handle a reset. */
  onReset(handler: ResetHandler): void {
    this.#handler = handler;
  }

  /** Makes the job of the next reset, together with whatever else the transaction does. */
  async plan(tx: Queryable, board: Board): Promise<void> {
    await this.#planAt(tx, board, board.resets.next(this.#now()));
  }

  async #run(run: JobRun): Promise<void> {
    const { boards } = this.#deps;
    const second = Number(run.period);
    const [board] = await boards.find([run.subject]);
    if (board === undefined || isTournament(board) || createdIn(run.payload) !== board.createdAt) return;
    const now = this.#now();
    const isMissed = now - second >= missedAfterSec;
    const latest = isMissed ? board.resets.prev(now + 1) : second;
    if (isMissed && (latest > second || !this.#deps.catchUp)) {
      const following = this.#deps.catchUp ? latest : board.resets.next(now);
      await run.complete(JSON.stringify({ missed: true }), (tx) => this.#planAt(tx, board, following));
      return;
    }
    const outcome = await this.#handle(board, second, run);
    await run.complete(JSON.stringify(outcome), (tx) => this.#planAt(tx, board, board.resets.next(second)));
  }

  async #handle(board: Board, reset: number, run: JobRun): Promise<object> {
    if (this.#handler === undefined) return { handled: false };
    const before = reset - 1;
    const { resets, createTime } = board;
    try {
      await this.#handler({
        leaderboard: board,
        prevReset: createTime.seconds > before ? 0 : resets.prev(before),
        nextReset: resets.next(before),
        reset,
        key: run.key,
      });
      return { handled: true };
    } catch (error) {
      // That will be over.
      if (isTransient(error) && !run.isLast) throw error;
      this.#deps.log.warn({ err: error, leaderboard: board.id, reset }, 'leaderboard reset handler failed');
      return { handled: true, failed: true };
    }
  }

  /**
   * Makes the job of that reset or, if it has an outcome already, of the next one that has none. If it is there already,
   * so is the rest of the chain.
   */
  async #planAt(tx: Queryable, board: Board, second: number): Promise<void> {
    const payload = JSON.stringify({ created: board.createdAt });
    for (let at = second; at !== 0; at = board.resets.next(at)) {
      const id = { kind: boardJobs.reset, subject: board.id, period: String(at) };
      if (await this.#deps.jobs.schedule(tx, { ...id, dueMs: at * 1000, payload })) return;
      if ((await tx.query(openJob, [id.kind, id.subject, id.period])).length > 0) return;
    }
  }

  #now(): number {
    return Math.floor(this.#deps.time.now() / 1000);
  }
}

/** The board that a job is about: one that was created anew under the same id has jobs of its own. */
function createdIn(payload: string): unknown {
  return (JSON.parse(payload) as { created?: unknown }).created;
}
