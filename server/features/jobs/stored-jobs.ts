import { internal, invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { Queryable, Transaction } from '../../store/transaction.ts';
import { instantFromMillis, instantParam, instantToMillis } from '../../store/types.ts';
import type { Definition } from './active-run.ts';
import type { JobId, JobKind, JobReport, JobState, Jobs, NewJob, RecurringJob } from './job.ts';
import { amendJob, cancelJobs, insertJob, jobReport, jobsContaining, purgeBatch, purgeJobs } from './queries.ts';

/** Statements of one purge. */
const maxPurgeBatches = 500;
/** Characters, as wide as the columns. */
const maxLengths = { kind: 64, subject: 160, period: 64 } as const;

const states: readonly JobState[] = ['open', 'done', 'failed'];

/** Jobs as rows of the database. */
export class StoredJobs implements Jobs {
  readonly definitions = new Map<string, Definition>();
  /** There may be something to do at once. */
  onScheduled: () => void = () => undefined;
  /** Kinds are settled. */
  isStarted = false;
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  define(kind: JobKind): void {
    this.#define(kind);
  }

  every(job: RecurringJob): void {
    if (!(Number.isInteger(job.everySec) && job.everySec > 0)) throw internal(`Bad interval of ${job.kind}.`);
    this.#define(job);
  }

  #define(definition: Definition): void {
    const { kind } = definition;
    if (this.isStarted) throw internal(`Jobs run already: too late for ${kind}.`);
    if (this.definitions.has(kind)) throw internal(`There is a kind of job ${kind} already.`);
    this.definitions.set(kind, definition);
  }

  async schedule(to: Queryable, { kind, subject, period, dueMs, payload = '{}' }: NewJob): Promise<boolean> {
    for (const [name, text] of Object.entries({ kind, subject, period })) {
      if ([...text].length > maxLengths[name as keyof typeof maxLengths])
        throw invalidArgument(`Too long a ${name} of a job.`);
    }
    const due = dueMs === undefined ? null : instantParam(instantFromMillis(dueMs));
    const isNew = (await to.execute(insertJob, [kind, subject, period, due, payload])) > 0;
    if (isNew) {
      if (isTransaction(to)) to.afterCommit(() => this.onScheduled());
      else this.onScheduled();
    }
    return isNew;
  }

  async cancel(from: Queryable, kind: string, subject: string): Promise<number> {
    return from.execute(cancelJobs, [kind, subject]);
  }

  async amend(tx: Transaction, kind: string, containing: string, change: (payload: string) => string): Promise<void> {
    for (const { subject, period, payload } of await tx.query(jobsContaining, [kind, containing])) {
      await tx.execute(amendJob, [kind, subject, period, change(payload)]);
    }
  }

  async report({ kind, subject, period }: JobId): Promise<JobReport | null> {
    const [row] = await this.#db.query(jobReport, [kind, subject, period]);
    if (row === undefined) return null;
    return {
      ...{ kind, subject, period },
      state: states[row.state] ?? 'failed',
      dueMs: instantToMillis(row.due_time),
      attempts: row.attempts,
      outcome: row.outcome,
      error: row.error,
    };
  }

  /** Forgets outcomes that are old enough, in small steps; returns how many. */
  async purge(retentionSec: number): Promise<number> {
    let purged = 0;
    for (let batch = 0; batch < maxPurgeBatches; batch++) {
      const count = await this.#db.execute(purgeJobs, [retentionSec]);
      purged += count;
      if (count < purgeBatch) break;
    }
    return purged;
  }
}

const isTransaction = (to: Queryable): to is Transaction => 'afterCommit' in to;
