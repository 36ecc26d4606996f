import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { within } from '../../platform/within.ts';
import type { Database } from '../../store/database.ts';
import { ActiveRun, type Definition, maxAttempts, planNext, type RunDependencies } from './active-run.ts';
import {
  type ClaimedRow,
  claimJobs,
  failJob,
  insertNext,
  nextDue,
  releaseJobs,
  renewLeases,
  retryJob,
} from './queries.ts';

export interface RunnerSettings {
  /** Runs at a time. */
  readonly workers: number;
  /** Longest pause between looks. */
  readonly pollMs: number;
  readonly leaseMs: number;
  /** How long runs may take to end once the node stops. */
  readonly drainMs: number;
}

interface Dependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** As it appears in the table. */
  readonly node: string;
  readonly settings: RunnerSettings;
}

const defaultMaxRunSec = 600;
/** Pauses after failed attempts: the first, and what they grow to. */
const firstPauseMs = 1000;
const maxPauseMs = 60_000;
/** Renewals per lease: one may be lost, and one be late. */
const renewalsPerLease = 4;
/** Between looks that were asked for, and between looks at a job that is due but held by somebody's transaction. */
const minLookPauseMs = 5;
const heldPauseMs = 100;
/** How often it is made sure that there is a next one of what recurs. */
const planIntervalMs = 60_000;
/** What handlers have to come to their end after they were told to, before the features below them stop. */
const abortGraceMs = 1000;
const maxErrorLength = 1024;

/** Claims due jobs, as many as it has workers for, runs them, and keeps their leases. */
export class JobRunner {
  readonly #deps: Dependencies;
  readonly #runDeps: RunDependencies;
  readonly #definitions: ReadonlyMap<string, Definition>;
  readonly #running = new Set<ActiveRun>();
  readonly #handlers = new Set<Promise<void>>();
  #looking: Promise<void> = Promise.resolve();
  #renewTimer: NodeJS.Timeout | undefined;
  #isRenewing = false;
  #isStopping = false;
  #wasPoked = false;
  #wake: (() => void) | undefined;
  #plannedAt = Number.NEGATIVE_INFINITY;
  #isCutOff = false;
  #isDueHeld = false;

  constructor(deps: Dependencies, definitions: ReadonlyMap<string, Definition>) {
    this.#deps = deps;
    this.#runDeps = { db: deps.db, clock: deps.clock, leaseMs: deps.settings.leaseMs };
    this.#definitions = definitions;
    deps.metrics.watch('jobs_running', 'Jobs that the node runs', () => this.#running.size);
  }

  start(): void {
    this.#looking = this.#look();
    this.#renewTimer = setInterval(() => void this.#renew(), this.#deps.settings.leaseMs / renewalsPerLease);
    this.#renewTimer.unref();
  }

  /** There may be something to do. */
  poke(): void {
    this.#wasPoked = true;
    this.#wake?.();
  }

  /** Claims nothing more and lets runs end; gives those up that do not in time, for other nodes to take at once. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.poke();
    await this.#looking;
    await within(this.#deps.settings.drainMs, Promise.allSettled(this.#handlers));
    const left = [...this.#running];
    for (const run of left) run.end('released');
    await this.#release(left.map(({ id }) => id));
    await within(abortGraceMs, Promise.allSettled(this.#handlers));
    clearInterval(this.#renewTimer);
  }

  async #look(): Promise<void> {
    while (!this.#isStopping) {
      this.#wasPoked = false;
      let pauseMs = this.#deps.settings.pollMs;
      try {
        await this.#planRecurring();
        pauseMs = await this.#claimAll();
        if (this.#isCutOff) this.#deps.log.info('jobs go on');
        this.#isCutOff = false;
      } catch (error) {
        if (!this.#isCutOff) this.#deps.log.warn({ err: error }, 'jobs have to wait');
        this.#isCutOff = true;
      }
      await this.#pause(this.#wasPoked ? minLookPauseMs : pauseMs);
    }
  }

  async #pause(ms: number): Promise<void> {
    const since = this.#deps.clock.monotonic();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        this.#wake = undefined;
        clearTimeout(timer);
        const restMs = minLookPauseMs - (this.#deps.clock.monotonic() - since);
        if (this.#isStopping || restMs <= 0) resolve();
        else setTimeout(resolve, restMs);
      };
    });
    this.#wake = undefined;
  }

  async #planRecurring(): Promise<void> {
    const now = this.#deps.clock.monotonic();
    if (now - this.#plannedAt < planIntervalMs) return;
    for (const { kind, everySec } of this.#definitions.values()) {
      if (everySec !== undefined) await this.#deps.db.execute(insertNext, [kind, everySec]);
    }
    this.#plannedAt = now;
  }

  /** Claims what there is room for; answers how long to wait for more. */
  async #claimAll(): Promise<number> {
    const { pollMs } = this.#deps.settings;
    for (const { kinds, limit } of this.#room()) await this.#claim(kinds, limit);
    const kinds = this.#room().flatMap((room) => room.kinds);
    // Without room the end of a run wakes up.
    if (kinds.length === 0 || this.#isStopping) return pollMs;
    const [next] = await this.#deps.db.query(nextDue, [kinds]);
    const restMs = next === undefined ? pollMs : Math.ceil(next.in_sec * 1000);
    // Due since the claim; or, when that is so twice in a row, held by somebody's transaction.
    const pauseMs = restMs > 0 ? restMs : this.#isDueHeld ? heldPauseMs : minLookPauseMs;
    this.#isDueHeld = restMs <= 0;
    return Math.min(pauseMs, pollMs);
  }

  /** Kinds that may run now, in groups with a common limit. */
  #room(): { kinds: string[]; limit: number }[] {
    const free = this.#deps.settings.workers - this.#running.size;
    if (free <= 0) return [];
    const groups: { kinds: string[]; limit: number }[] = [];
    const others: string[] = [];
    for (const { kind, concurrency } of this.#definitions.values()) {
      if (concurrency === undefined) {
        others.push(kind);
        continue;
      }
      const limit = Math.min(concurrency - [...this.#running].filter((run) => run.kind === kind).length, free);
      if (limit > 0) groups.push({ kinds: [kind], limit });
    }
    if (others.length > 0) groups.push({ kinds: others, limit: free });
    return groups;
  }

  async #claim(kinds: string[], limit: number): Promise<void> {
    const { db, clock, node, settings } = this.#deps;
    const free = Math.min(limit, settings.workers - this.#running.size);
    if (free <= 0 || this.#isStopping) return;
    const sentAt = clock.monotonic();
    const rows = await db.query(claimJobs, [kinds, free, settings.leaseMs, node]);
    if (this.#isStopping) {
      await this.#release(rows.map((row) => [row.kind, row.subject, row.period, row.fence]));
      return;
    }
    if (rows.length > 0) this.#isDueHeld = false;
    for (const row of rows) {
      const definition = this.#definitions.get(row.kind);
      if (definition === undefined) continue;
      if (row.attempts === 1) this.#lateness(row.kind, row.late_sec);
      const handler = this.#run(row, definition, sentAt).finally(() => this.#handlers.delete(handler));
      this.#handlers.add(handler);
    }
  }

  /** Resolves when the handler has ended; the run may be over long before. */
  async #run(row: ClaimedRow, definition: Definition, sentAt: number): Promise<void> {
    const run = new ActiveRun(row, definition, this.#runDeps, sentAt);
    this.#running.add(run);
    const handled = (async () => {
      // Nodes that died with the job in hand could not count it as failed.
      if (run.tries > maxAttempts(definition)) throw new Error('No attempt came to an end.');
      await definition.run(run);
      if (!run.isCompleted) await run.complete('null');
    })();
    await this.#settle(run, definition, handled);
    run.close();
    this.#running.delete(run);
    this.poke();
    await handled.catch(() => undefined);
  }

  async #settle(run: ActiveRun, definition: Definition, handled: Promise<void>): Promise<void> {
    const { log } = this.#deps;
    const about = { kind: run.kind, subject: run.subject, period: run.period, attempt: run.attempt };
    try {
      await Promise.race([handled, run.ended]);
      this.#count(run.kind, 'done');
    } catch (error) {
      if (run.isCompleted) {
        log.warn({ err: error, ...about }, 'a job threw after it was done');
        this.#count(run.kind, 'done');
      } else if (run.endReason === 'lost' || run.endReason === 'released') {
        log.warn(about, run.endReason === 'lost' ? 'lost the lease on a job' : 'gave up a job to other nodes');
        this.#count(run.kind, run.endReason);
      } else {
        run.end('failed');
        await this.#failed(run, definition, error, about);
      }
    }
  }

  async #failed(run: ActiveRun, definition: Definition, error: unknown, about: object): Promise<void> {
    const { db, log } = this.#deps;
    const text = (error instanceof Error ? error.message : String(error)).replaceAll('\0', '').slice(0, maxErrorLength);
    try {
      const known = run.isLast
        ? await db.transaction(async (tx) => {
            const count = await tx.execute(failJob, [...run.id, text]);
            if (count > 0) await planNext(tx, definition, run.period);
            return count;
          })
        : await db.execute(retryJob, [...run.id, pauseMs(run.tries), text]);
      // Completed after all, when the answer to COMMIT got lost; or another node has it, or it was taken back.
      if (known === 0) {
        log.warn({ err: error, ...about }, 'a job threw and is not held any more');
        this.#count(run.kind, 'lost');
      } else {
        if (run.isLast) log.error({ err: error, ...about }, 'a job failed for good');
        else log.warn({ err: error, ...about }, 'a job failed and will be tried again');
        this.#count(run.kind, run.isLast ? 'failed' : 'retried');
      }
    } catch (storeError) {
      // Its lease runs out.
      log.warn({ err: storeError, cause: error, ...about }, 'a job failed, which could not be stored');
      this.#count(run.kind, 'lost');
    }
  }

  async #renew(): Promise<void> {
    for (const run of this.#running) run.checkDeadline(this.#definitions.get(run.kind)?.maxRunSec ?? defaultMaxRunSec);
    const runs = new Map([...this.#running].map((run) => [run.id.join('\0'), run]));
    if (this.#isRenewing || runs.size === 0) return;
    this.#isRenewing = true;
    const sentAt = this.#deps.clock.monotonic();
    try {
      const ids = columns([...runs.values()].map(({ id }) => id));
      for (const { kind, subject, period, fence } of await this.#deps.db.query(renewLeases, [
        ...ids,
        this.#deps.settings.leaseMs,
      ])) {
        runs.get([kind, subject, period, fence].join('\0'))?.extend(sentAt);
      }
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'could not renew leases');
    } finally {
      this.#isRenewing = false;
    }
  }

  async #release(ids: readonly ActiveRun['id'][]): Promise<void> {
    if (ids.length === 0) return;
    try {
      await this.#deps.db.execute(releaseJobs, columns(ids));
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'could not give up jobs; their leases run out');
    }
  }

  #count(kind: string, result: 'done' | 'failed' | 'retried' | 'lost' | 'released'): void {
    this.#deps.metrics
      .counter('jobs_total', 'Attempts at jobs, by how they ended', ['kind', 'result'])
      .child(kind, result)
      .inc();
  }

  #lateness(kind: string, seconds: number): void {
    this.#deps.metrics
      .timer('job_lateness_seconds', 'How long after they were due jobs began', ['kind'])
      .child(kind)
      .record(seconds);
  }
}

const pauseMs = (tries: number): number => Math.min(firstPauseMs * 2 ** (tries - 1), maxPauseMs);

/** Rows as the columns that `unnest` takes. */
function columns(ids: readonly ActiveRun['id'][]): [string[], string[], string[], bigint[]] {
  return [ids.map(([kind]) => kind), ids.map(([, it]) => it), ids.map(([, , it]) => it), ids.map(([, , , it]) => it)];
}
