import { type AppError, unavailable } from '../platform/errors.ts';

/**
 * Operations pass in the order in which they came. While the gate is closed they wait; not for long, and not more than
 * so many.
 */
export class Gate {
  readonly #maxWaiting: number;
  readonly #waitMs: number;
  readonly #waiting = new Set<Waiting>();
  #isOpen = false;
  #end: AppError | undefined;

  constructor(maxWaiting: number, waitMs: number) {
    this.#maxWaiting = maxWaiting;
    this.#waitMs = waitMs;
  }

  /** Calls the operation, at once if the gate is open. Rejects with UNAVAILABLE, and never calls it, after the time. */
  pass<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isOpen) return operation();
    if (this.#end !== undefined) return Promise.reject(this.#end);
    if (this.#waiting.size >= this.#maxWaiting) return Promise.reject(unavailable('too much waits for Redis'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => waiting.fail(unavailable('Redis is out of reach')), this.#waitMs);
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
      };
      const waiting: Waiting = {
        go: () => {
          end();
          operation().then(resolve, reject);
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
      this.#waiting.add(waiting);
    });
  }

  open(): void {
    this.#isOpen = true;
    for (const waiting of [...this.#waiting]) waiting.go();
  }

  close(): void {
    this.#isOpen = false;
  }

  /** For good. */
  shut(error: AppError): void {
    this.#isOpen = false;
    this.#end = error;
    this.refuse(error);
  }

  /** Nobody who waits will pass. */
  refuse(error: AppError): void {
    for (const waiting of [...this.#waiting]) waiting.fail(error);
  }
}

interface Waiting {
  go(): void;
  fail(error: AppError): void;
}
