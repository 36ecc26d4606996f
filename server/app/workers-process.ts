import cluster, { type Worker } from 'node:cluster';
import { type Assignment, assignmentEnvironment, isReport, type Order } from './workers.ts';

/** A worker that does not serve after that time is killed, and counts as one that could not start. */
const startLimitMs = 120_000;

export interface End {
  /** What an operator should know: the worker's own words where it said any. */
  readonly reason: string;
  /** How long it served; 0 when it never did. */
  readonly livedMs: number;
  readonly code: number | null;
  readonly signal: string | null;
}

/** One process of a worker, from its start to its end. */
export class WorkerProcess {
  /** Resolves when it serves; stays open when it ends before. */
  readonly up: Promise<void>;
  /** How it ended. */
  readonly ended: Promise<End>;
  readonly #worker: Worker;

  constructor(assignment: Assignment) {
    const worker = cluster.fork(assignmentEnvironment(assignment));
    this.#worker = worker;
    let upAt: number | undefined;
    let failure: string | undefined;
    this.up = new Promise((resolve) => {
      worker.on('message', (message: unknown) => {
        if (!isReport(message)) return;
        if ('failed' in message) {
          failure = message.failed;
          return;
        }
        upAt = performance.now();
        clearTimeout(limit);
        resolve();
      });
    });
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        clearTimeout(limit);
        const livedMs = upAt === undefined ? 0 : performance.now() - upAt;
        const reason = failure ?? `worker ${assignment.name} ended with ${signal ?? `code ${code}`}`;
        resolve({ reason, livedMs, code, signal });
      };
      worker.once('exit', end);
      worker.on('error', (error) => {
        failure ??= error.message;
        // It was never there, so that there is no exit.
        if (worker.process.pid === undefined) end(null, null);
      });
    });
    const limit = setTimeout(() => {
      failure = `worker ${assignment.name} has not started within ${startLimitMs / 1000} s`;
      this.kill();
    }, startLimitMs);
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** An order that it cannot hear, because it is ending or not ready yet, is lost. */
  tell(order: Order): void {
    if (this.#worker.isConnected()) this.#worker.send(order, () => undefined);
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL');
  }
}
