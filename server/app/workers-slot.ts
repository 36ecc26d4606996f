import type { Logger } from '../platform/log.ts';
import { within } from '../platform/within.ts';
import type { Assignment, Order } from './workers.ts';
import { type End, WorkerProcess } from './workers-process.ts';
import { RestartDelay } from './workers-restart-delay.ts';

/** The place of one worker: starts its process, and another one each time that one ends, until told to stop. */
export class WorkerSlot {
  readonly #assignment: Assignment;
  readonly #log: Logger;
  readonly #delay = new RestartDelay();
  #process: WorkerProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #order: Order | undefined;

  constructor(assignment: Assignment, log: Logger) {
    this.#assignment = assignment;
    this.#log = log.child({ worker: assignment.name });
  }

  /** Starts the first process. Resolves once it serves. Rejects when it cannot; then there is no second one. */
  async start(): Promise<void> {
    const first = this.#launch();
    const failure = await Promise.race([first.up, first.ended]);
    if (failure !== undefined) throw new Error(failure.reason);
    void first.ended.then((end) => this.#replace(end));
  }

  /** Lets the process end in order. Resolves when it has ended: with false if it had to be killed, after `limitMs`. */
  async stop(limitMs: number): Promise<boolean> {
    this.#give('stop');
    if (this.#process === undefined || (await within(limitMs, this.#process.ended))) return true;
    this.#log.error({ limit_ms: limitMs }, 'a worker does not end, killing it');
    this.#process.kill();
    await this.#process.ended;
    return false;
  }

  /** The process, which was told to stop, shall wait for nothing any more. */
  hurry(): void {
    this.#give('hurry');
  }

  kill(): void {
    this.#process?.kill();
  }

  #give(order: Order): void {
    this.#order = order;
    clearTimeout(this.#restart);
    this.#process?.tell(order);
  }

  #launch(): WorkerProcess {
    const process = new WorkerProcess(this.#assignment);
    this.#process = process;
    this.#log.info({ pid: process.pid }, 'worker process started');
    // Before it was up it may not have heard.
    void process.up.then(() => this.#order !== undefined && process.tell(this.#order));
    return process;
  }

  #replace({ reason, livedMs, code, signal }: End): void {
    if (this.#order !== undefined) return;
    const restartMs = this.#delay.after(livedMs);
    const fields = { reason, code, signal, lived_ms: Math.round(livedMs), restart_ms: restartMs };
    // Code 0: somebody asked that process to end.
    if (code === 0) this.#log.info(fields, 'a worker has ended, starting another');
    else this.#log.error(fields, 'a worker has died, starting another');
    this.#restart = setTimeout(() => void this.#launch().ended.then((end) => this.#replace(end)), restartMs);
  }
}
