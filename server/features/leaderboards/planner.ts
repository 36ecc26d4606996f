import type { Database } from '../../store/database.ts';
import type { Jobs } from '../jobs/index.ts';
import { boardsWithoutReset } from './board-queries.ts';
import { type Boards, boardJobs } from './boards.ts';
import type { ResetJobs } from './reset-jobs.ts';

interface Dependencies {
  readonly db: Database;
  readonly boards: Boards;
  readonly jobs: Jobs;
  readonly resets: ResetJobs;
}

const kind = 'leaderboard_plan';
const everySec = 60;
const boardsAtOnce = 500;

/**
 * Sees to it that every leaderboard with a reset to come has a job for it: those of a database that comes from Nakama
 * have none, and neither has one whose job failed for good.
 */
export class ResetPlanner {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    deps.jobs.every({ kind, everySec, run: ({ signal }) => this.planMissing(signal) });
  }

  async planMissing(signal?: AbortSignal): Promise<void> {
    const { db, boards, resets } = this.#deps;
    for (let after = ''; signal?.aborted !== true; ) {
      const rows = await db.query(boardsWithoutReset, [boardJobs.reset, after, boardsAtOnce]);
      for (const board of await boards.find(rows.map(({ id }) => id))) {
        await db.transaction((tx) => resets.plan(tx, board));
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < boardsAtOnce) return;
      after = last.id;
    }
  }
}
