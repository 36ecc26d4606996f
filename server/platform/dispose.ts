import type { Logger } from 'pino';
import { within } from './within.ts';

export interface DisposeFailure {
  readonly name: string;
  readonly error: unknown;
}

interface Entry {
  readonly name: string;
  readonly dispose: () => unknown;
}

/** How long one part may take to let go before the rest goes on without it, unless told otherwise. */
const defaultDeadlineMs = 15_000;

/** What to release when a node stops, or fails to start: last in, first out. */
export class Disposer {
  readonly #log: Logger;
  readonly #deadlineMs: number;
  readonly #entries: Entry[] = [];
  #disposing: Promise<readonly DisposeFailure[]> | undefined;
  #isDone = false;

  /** @param deadlineMs longest wait for each part. */
  constructor(log: Logger, deadlineMs = defaultDeadlineMs) {
    this.#log = log;
    this.#deadlineMs = deadlineMs;
  }

  /** Registers a part that has started. `dispose` may return a promise. Throws once everything is released. */
  add(name: string, dispose: () => unknown): void {
    if (this.#isDone) throw new Error(`${name} was added after everything was released`);
    this.#entries.push({ name, dispose });
  }

  /**
   * Releases all parts, newest first, each even if others fail; parts added meanwhile are released too. Never rejects:
   * failures are logged and returned. Repeated calls wait for the first.
   */
  dispose(): Promise<readonly DisposeFailure[]> {
    this.#disposing ??= this.#dispose();
    return this.#disposing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose().then(() => undefined);
  }

  async #dispose(): Promise<readonly DisposeFailure[]> {
    const failures: DisposeFailure[] = [];
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      const { name, dispose } = entry;
      try {
        const released = Promise.resolve(dispose());
        if (!(await within(this.#deadlineMs, released))) {
          // Whatever becomes of it later has nobody left to hear.
          released.catch(() => undefined);
          throw new Error(`not released within ${this.#deadlineMs} ms`);
        }
      } catch (error) {
        failures.push({ name, error });
        this.#log.error({ err: error, part: name }, 'could not release a part of the server');
      }
    }
    this.#isDone = true;
    return failures;
  }
}
