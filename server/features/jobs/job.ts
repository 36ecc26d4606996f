import type { Queryable, Transaction } from '../../store/transaction.ts';

/** What names a job: of one kind, subject and period there is one, and it has one outcome. */
export interface JobId {
  /** What is to be done: `tournament`, `notify_all`. At most 64 characters. */
  readonly kind: string;
  /** What it is done to, such as a tournament's id. At most 160 characters. */
  readonly subject: string;
  /** Which one of its occasions, such as the second of an end. At most 64 characters. */
  readonly period: string;
}

export interface NewJob extends JobId {
  /** Unix milliseconds, by the database's clock. Not given: at once. */
  readonly dueMs?: number;
  /** JSON text, for the run to read. It is gone when the job is done. */
  readonly payload?: string;
}

/** One attempt at a job. */
export interface JobRun extends JobId {
  readonly dueMs: number;
  /** JSON text, as it was when the attempt began. */
  readonly payload: string;
  /** 1 for the first. An attempt before this one may have done anything but complete. */
  readonly attempt: number;
  /** When this attempt throws there is no other: the job has failed. */
  readonly isLast: boolean;
  /** The same for every attempt, and of no other job: effects that carry it as idempotency key happen once. */
  readonly key: string;
  /** Aborted when the job is lost to another node, or when this node stops waiting for it. */
  readonly signal: AbortSignal;
  /**
   * Stores how far the job has come, together with a step of it, in one transaction, so that an attempt after this one
   * goes on from there; ABORTED, and nothing happens, when another node has the job by now. A step ahead gives the job
   * all its attempts and all its time again.
   * @param work gets the payload as it is stored, and answers the new one. May run several times.
   */
  checkpoint(work: (tx: Transaction, payload: string) => Promise<string>): Promise<void>;
  /**
   * Ends the job, together with what `work` does, in one transaction: all of it happens, or, when another node has the
   * job by now, nothing (ABORTED). `work` may run several times, as in `Database.transaction`.
   * @param outcome JSON text that `Jobs.outcome` tells.
   */
  complete(outcome: string, work?: (tx: Transaction) => Promise<void>): Promise<void>;
}

export interface JobKind {
  readonly kind: string;
  /** How many of them one node runs at a time; default: as many as the node runs at all. */
  readonly concurrency?: number;
  /** Attempts after which a job that throws counts as failed, default 10. Pauses between them grow up to a minute. */
  readonly maxAttempts?: number;
  /** What takes longer than this, from its start or its last checkpoint, counts as an attempt that threw; default 600. */
  readonly maxRunSec?: number;
  /** A run that returns without having completed completes with `null`. One that throws is tried again. */
  run(run: JobRun): Promise<void>;
}

export interface RecurringJob {
  readonly kind: string;
  /** Runs are due at whole multiples of this, counted from 1970. */
  readonly everySec: number;
  run(run: JobRun): Promise<void>;
}

export type JobState = 'open' | 'done' | 'failed';

export interface JobReport extends JobId {
  readonly state: JobState;
  readonly dueMs: number;
  readonly attempts: number;
  /** JSON text, null unless done. */
  readonly outcome: string | null;
  /** What the last attempt that failed said. */
  readonly error: string | null;
}

/**
 * Things to be done at some time, by whichever node comes first. Jobs are rows, so they outlive every node; a node that
 * runs one holds a lease on it, and only the one that holds it can complete it.
 */
export interface Jobs {
  /** Says how jobs of that kind are run on this node; before the start. A second one of the same kind is an error. */
  define(kind: JobKind): void;
  /**
   * As `define`, and sees to it that there is always one of them to come: one run per interval over all nodes, and a
   * single one for all intervals in which there was no node. One that fails has its next turn an interval later.
   */
  every(job: RecurringJob): void;
  /** Adds a job, with the rest of a transaction if that is given; false when there is or was one of that id. */
  schedule(to: Queryable, job: NewJob): Promise<boolean>;
  /** Takes back the open jobs of a subject. A run under way cannot complete any more. Returns how many there were. */
  cancel(from: Queryable, kind: string, subject: string): Promise<number>;
  /**
   * Changes what jobs of a kind that are not done have as payload, where that contains some text: the id of a user who
   * is erased, for instance. A run under way sees it at its next checkpoint.
   */
  amend(tx: Transaction, kind: string, containing: string, change: (payload: string) => string): Promise<void>;
  /** What became of a job; null when it is unknown, or done for longer than outcomes are kept. */
  report(id: JobId): Promise<JobReport | null>;
}
