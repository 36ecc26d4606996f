import { createHash } from 'node:crypto';
import type { Clock } from '../../platform/clock.ts';
import { AppError, Code } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import { instantToMillis } from '../../store/types.ts';
import type { JobKind, JobRun } from './job.ts';
import { type ClaimedRow, completeJob, forgetEarlier, insertNext, lockJob, storeProgress } from './queries.ts';

/** A kind, and its interval when it recurs. */
export type Definition = JobKind & { readonly everySec?: number };

const defaultMaxAttempts = 10;
export const maxAttempts = (definition: Definition): number => definition.maxAttempts ?? defaultMaxAttempts;

/** Why a run ended before its handler did. */
export type EndReason = 'lost' | 'overdue' | 'failed' | 'released';

const endTexts: Readonly<Record<EndReason, string>> = {
  lost: 'Another node may have the job by now.',
  overdue: 'The job took too long.',
  failed: 'The attempt failed.',
  released: 'The node stops.',
};

export interface RunDependencies {
  readonly db: Database;
  readonly clock: Clock;
  readonly leaseMs: number;
}

/**
 * An attempt that this node has a lease on. The lease is measured from before its statement was sent, so it ends here
 * no later than in the database. From then on the run is over, whatever its handler still does.
 */
export class ActiveRun implements JobRun {
  readonly kind: string;
  readonly subject: string;
  readonly period: string;
  readonly dueMs: number;
  readonly payload: string;
  readonly attempt: number;
  readonly key: string;
  /** Attempts that got nowhere, this one included. */
  readonly tries: number;
  /** Rejects when the run ends before its handler. */
  readonly ended: Promise<never>;
  readonly #definition: Definition;
  readonly #deps: RunDependencies;
  readonly #id: readonly [kind: string, subject: string, period: string, fence: bigint];
  readonly #abort = new AbortController();
  #endReason: EndReason | undefined;
  #isCompleted = false;
  /** Transactions that hold the row, or wait for it. */
  #transactions = 0;
  #leaseEnd = 0;
  #leaseTimer: NodeJS.Timeout | undefined;
  #progressAt: number;
  #reject: (error: Error) => void = () => undefined;

  /** @param sentAt when the claim was sent, on the monotonic clock. */
  constructor(row: ClaimedRow, definition: Definition, deps: RunDependencies, sentAt: number) {
    this.kind = row.kind;
    this.subject = row.subject;
    this.period = row.period;
    this.dueMs = instantToMillis(row.due_time);
    this.payload = row.payload;
    this.attempt = row.attempts;
    this.tries = row.tries;
    this.key = keyOf(row);
    this.#id = [row.kind, row.subject, row.period, row.fence];
    this.#definition = definition;
    this.#deps = deps;
    this.#progressAt = sentAt;
    this.ended = new Promise((_, reject) => {
      this.#reject = reject;
    });
    // Whether somebody waits for it or not.
    this.ended.catch(() => undefined);
    this.extend(sentAt);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get id(): readonly [kind: string, subject: string, period: string, fence: bigint] {
    return this.#id;
  }

  get isLast(): boolean {
    return this.tries >= maxAttempts(this.#definition);
  }

  get isCompleted(): boolean {
    return this.#isCompleted;
  }

  get endReason(): EndReason | undefined {
    return this.#endReason;
  }

  /** The lease was renewed by a statement sent at that time. */
  extend(sentAt: number): void {
    if (this.#endReason !== undefined) return;
    this.#leaseEnd = Math.max(this.#leaseEnd, sentAt + this.#deps.leaseMs);
    this.#watchLease();
  }

  /** Ends what takes too long. */
  checkDeadline(maxRunSec: number): void {
    if (this.#deps.clock.monotonic() - this.#progressAt > maxRunSec * 1000) this.end('overdue');
  }

  /** Ends the run; it cannot complete any more. */
  end(reason: EndReason): void {
    if (this.#endReason !== undefined || this.#isCompleted) return;
    this.#endReason = reason;
    clearTimeout(this.#leaseTimer);
    const error = this.#over();
    this.#abort.abort(error);
    this.#reject(error);
  }

  /** The handler is through. */
  close(): void {
    clearTimeout(this.#leaseTimer);
  }

  async checkpoint(work: (tx: Transaction, payload: string) => Promise<string>): Promise<void> {
    let sentAt = 0;
    const step = async (tx: Transaction): Promise<void> => {
      const [row] = await tx.query(lockJob, this.#id);
      if (row === undefined) throw this.#over();
      const payload = await work(tx, row.payload);
      sentAt = this.#deps.clock.monotonic();
      await tx.execute(storeProgress, [...this.#id, payload, this.#deps.leaseMs]);
    };
    await this.#transaction(step, () => {
      this.#progressAt = sentAt;
      this.extend(sentAt);
    });
  }

  async complete(outcome: string, work?: (tx: Transaction) => Promise<void>): Promise<void> {
    const end = async (tx: Transaction): Promise<void> => {
      // The row first: whoever has it now stays alone with it until the end of the transaction.
      if ((await tx.execute(completeJob, [...this.#id, outcome])) === 0) throw this.#over();
      await planNext(tx, this.#definition, this.period);
      await work?.(tx);
    };
    await this.#transaction(end, () => {
      this.#isCompleted = true;
    });
  }

  async #transaction(work: (tx: Transaction) => Promise<void>, committed: () => void): Promise<void> {
    if (this.#endReason !== undefined) throw this.#over();
    this.#transactions++;
    try {
      await this.#deps.db.transaction(work);
      committed();
    } finally {
      this.#transactions--;
      this.#watchLease();
    }
  }

  /** While a transaction holds the row nobody can take it; one that did not get the row says so itself. */
  #watchLease(): void {
    clearTimeout(this.#leaseTimer);
    if (this.#endReason !== undefined || this.#isCompleted || this.#transactions > 0) return;
    const leftMs = this.#leaseEnd - this.#deps.clock.monotonic();
    if (leftMs <= 0) {
      this.end('lost');
      return;
    }
    // Timers may fire early by part of a millisecond, hence the second look.
    this.#leaseTimer = setTimeout(() => this.#watchLease(), Math.ceil(leftMs));
    this.#leaseTimer.unref();
  }

  #over(): AppError {
    return new AppError(Code.ABORTED, endTexts[this.#endReason ?? 'lost']);
  }
}

/** What follows the end of a run in the same transaction: of what recurs there is always one to come. */
export async function planNext(tx: Transaction, { kind, everySec }: Definition, period: string): Promise<void> {
  if (everySec === undefined) return;
  await tx.execute(insertNext, [kind, everySec]);
  await tx.execute(forgetEarlier, [kind, period]);
}

/** Short enough for an idempotency key, whatever the job's name. */
function keyOf({ kind, subject, period }: ClaimedRow): string {
  return `job:${createHash('sha256')
    .update(JSON.stringify([kind, subject, period]))
    .digest('base64url')}`;
}
