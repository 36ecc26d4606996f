import type { Logger } from 'pino';
import { isTransient } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { JobRun, Jobs } from '../jobs/index.ts';
import { type Board, type Boards, boardJobs, isTournament } from '../leaderboards/index.ts';
import { found } from './entries.ts';
import {
  compareEvents,
  eventText,
  type LifeEvent,
  type LifeKind,
  lastClosedStart,
  nextEvent,
  parseEvent,
} from './life.ts';
import { isWritable, periodAt } from './periods.ts';
import { TournamentRefused } from './refusals.ts';
import { closeWindows, forgetSizes, holdTournament, lockSteps, unplanned } from './tournament-queries.ts';
import { type Tournament, viewAt } from './views.ts';

/** What a handler is told. Times are unix seconds. */
export interface TournamentNotice {
  /**
   * An end and a reset show the tournament as it was in the second before, with the size that it had; a start shows the
   * window that opens.
   */
  readonly tournament: Tournament;
  /** When scores were, or will be, accepted no longer. */
  readonly end: number;
  /** When the records are reset, which is the expiry that they are listed by; 0: never. */
  readonly reset: number;
  /**
   * The same each time that a handler is called for this event, and for no other one: an effect that carries it as
   * idempotency key happens once.
   */
  readonly key: string;
  /** Aborted when another node has taken over, or when this one stops waiting. */
  readonly signal: AbortSignal;
}

/**
 * Game code for an event. It is called at least once, and again when the node that did so is lost, or when it throws an
 * error that says that something is unavailable. What else it throws is logged.
 */
export type TournamentHandler = (notice: TournamentNotice) => void | Promise<void>;

interface Dependencies {
  readonly db: Database;
  readonly time: DatabaseTime;
  readonly boards: Boards;
  readonly jobs: Jobs;
  readonly log: Logger;
  /** Whether handlers are called for what was missed while no node was running. */
  readonly catchUp: boolean;
}

/** What is later than this was missed; what is less is just late. */
const missedAfterSec = 60;
/** A window that ends within so many seconds by itself is not ended by another event. */
const endsAnywaySec = 2;
/** How often tournaments without a job are looked for, and how many at once. */
const planEverySec = 30;
const plannedAtOnce = 500;
/** A handler that takes its node with it this often is given up. */
const maxAttempts = 20;
const maxErrorLength = 1024;

/**
 * The life of tournaments as jobs: for each there is exactly one to come, its next event, which plans the one after it in
 * the transaction that completes it. So the events of a tournament come one after the other, and one that is stuck holds
 * up no other tournament.
 */
export class LifeJobs {
  readonly #deps: Dependencies;
  readonly #handlers: Partial<Record<LifeKind, TournamentHandler>> = {};

  constructor(deps: Dependencies) {
    this.#deps = deps;
    const { jobs } = deps;
    jobs.define({ kind: boardJobs.tournament, maxAttempts, run: (run) => this.#run(run) });
    jobs.every({ kind: 'tournament_plan', everySec: planEverySec, run: () => this.planMissing() });
  }

  /** One handler per event, in place of the one before. */
  handle(kind: LifeKind, handler: TournamentHandler): void {
    this.#handlers[kind] = handler;
  }

  /** Plans the first event of a new tournament, in the transaction that creates it. */
  async begin(tx: Transaction, board: Board): Promise<void> {
    await this.#plan(tx, board, nextEvent(board, { second: board.createTime.seconds, kind: 'reset' }));
  }

  /**
   * Ends the window that is open. Scores and joins are refused from now on; the end is announced within the next second,
   * and reset and next window come as planned. Throws TournamentRefused.
   */
  async endNow(id: string): Promise<void> {
    const { db, boards } = this.#deps;
    const [board] = await boards.find([id]);
    const known = found(board ?? null);
    await db.transaction(async (tx) => {
      await tx.query(lockSteps, [boardJobs.tournament, id]);
      const latest = await this.#hold(tx, known);
      if (latest === null) throw new TournamentRefused('notFound');
      const now = this.#now();
      const period = periodAt(latest, now);
      if (!isWritable(period, now)) throw new TournamentRefused('outsideDuration');
      const isEnding = period.endActive - now <= endsAnywaySec;
      // Its start comes first, even when they share the second.
      const second = isEnding ? period.endActive : Math.max(now, period.startActive + 1);
      await tx.execute(closeWindows, [id, known.createdAt, second]);
      if (!isEnding) await this.#bringForward(tx, { ...latest, closedTime: second }, { second, kind: 'end' });
    });
    await boards.changed(id);
  }

  /** Plans tournaments that have nothing planned, such as those that another server created. */
  async planMissing(): Promise<void> {
    const { db, boards } = this.#deps;
    for (let last = ''; ; ) {
      const now = this.#now();
      const rows = await db.query(unplanned, [boardJobs.tournament, now, last, plannedAtOnce]);
      const found = new Map((await boards.find(rows.map(({ id }) => id))).map((board) => [board.id, board] as const));
      for (const { id, last_period: period } of rows) {
        const board = found.get(id);
        const after: LifeEvent = (period === null ? null : parseEvent(period)) ?? { second: now, kind: 'reset' };
        if (board !== undefined && nextEvent(board, after) !== null) await this.#planAfter(board, after);
      }
      if (rows.length < plannedAtOnce) return;
      last = rows.at(-1)?.id ?? '';
    }
  }

  async #planAfter(board: Board, after: LifeEvent): Promise<void> {
    await this.#deps.db.transaction(async (tx) => {
      const latest = await this.#hold(tx, board);
      if (latest === null || (await tx.query(lockSteps, [boardJobs.tournament, board.id])).length > 0) return;
      await this.#plan(tx, latest, nextEvent(latest, after));
    });
  }

  async #run(run: JobRun): Promise<void> {
    const event = parseEvent(run.period);
    const { created } = JSON.parse(run.payload) as { created: string };
    const [board] = await this.#deps.boards.find([run.subject]);
    if (event === null || board === undefined || !isTournament(board) || board.createdAt !== created) {
      return await run.complete(JSON.stringify({ skipped: 'gone' }));
    }
    const resume = this.#resume(board, event);
    if (resume !== event) {
      this.#deps.log.warn(
        { tournament: board.id, event: run.period },
        'tournament event was missed and is passed over',
      );
      return await run.complete(JSON.stringify({ skipped: 'missed' }), async (tx) => {
        const latest = await this.#hold(tx, board);
        if (latest !== null) await this.#plan(tx, latest, resume);
      });
    }
    const hook = await this.#happen(board, event, run);
    await run.complete(JSON.stringify(hook), async (tx) => {
      const latest = await this.#hold(tx, board);
      if (latest === null) return;
      if (event.kind === 'reset') await tx.execute(forgetSizes, [board.id, event.second]);
      await this.#plan(tx, latest, nextEvent(latest, event));
    });
  }

  /** The event itself or, when it was missed, the one to go on with: of older windows than the last there is no more. */
  #resume(board: Board, event: LifeEvent): LifeEvent | null {
    const now = this.#now();
    if (now - event.second <= missedAfterSec) return event;
    if (!this.#deps.catchUp) return nextEvent(board, { second: now, kind: 'start' });
    const first = lastClosedStart(board, now);
    return first !== null && compareEvents(event, first) < 0 ? first : event;
  }

  async #happen(board: Board, event: LifeEvent, run: JobRun): Promise<{ hook: string; error?: string }> {
    const { db, log } = this.#deps;
    if (event.kind === 'end') await db.execute(closeWindows, [board.id, board.createdAt, event.second]);
    const handler = this.#handlers[event.kind];
    if (handler === undefined) return { hook: 'none' };
    const asOf = event.kind === 'start' ? event.second : event.second - 1;
    const [tournament] = await viewAt(db, [board], asOf);
    const { endActive: end, expiry: reset } = (tournament as Tournament).period;
    try {
      await handler({ tournament: tournament as Tournament, end, reset, key: run.key, signal: run.signal });
      return { hook: 'done' };
    } catch (error) {
      // That will be over, and prizes are owed.
      if (isTransient(error) && !run.isLast) throw error;
      // A run that is lost says so itself, when it is to complete.
      log.warn({ err: error, tournament: board.id, event: run.period }, 'tournament hook failed');
      return { hook: 'failed', error: storable(error) };
    }
  }

  /** Puts the end of a window before what was planned of it, unless something earlier is still to come. */
  async #bringForward(tx: Transaction, board: Board, end: LifeEvent): Promise<void> {
    const { jobs } = this.#deps;
    const steps = await tx.query(lockSteps, [boardJobs.tournament, board.id]);
    const isLater = steps.every(({ period }) => {
      const event = parseEvent(period);
      return event === null || compareEvents(event, end) > 0;
    });
    if (!isLater) return;
    await jobs.cancel(tx, boardJobs.tournament, board.id);
    await this.#plan(tx, board, end);
  }

  /** The tournament as it stays until the transaction ends; null when it is another one by now. */
  async #hold(tx: Transaction, board: Board): Promise<Board | null> {
    const [row] = await tx.query(holdTournament, [board.id, board.createdAt]);
    return row === undefined ? null : { ...board, closedTime: row.closed_time?.seconds ?? null };
  }

  /** Plans an event, or the next one that has no outcome yet. */
  async #plan(tx: Transaction, board: Board, first: LifeEvent | null): Promise<void> {
    const payload = JSON.stringify({ created: board.createdAt });
    for (let event = first; event !== null; event = nextEvent(board, event)) {
      const id = { kind: boardJobs.tournament, subject: board.id, period: eventText(event) };
      if (await this.#deps.jobs.schedule(tx, { ...id, dueMs: event.second * 1000, payload })) return;
    }
  }

  #now(): number {
    return Math.floor(this.#deps.time.now() / 1000);
  }
}

/** What is wrong, as a text that JSON of the database takes. */
const storable = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error))
    .replaceAll('\0', '')
    .slice(0, maxErrorLength)
    .replace(/[\ud800-\udfff]/gu, '');
