import { resourceExhausted } from './errors.ts';

/** Runs at most so many tasks at once; further ones wait their turn, up to a limit. */
export class Semaphore {
  readonly #concurrent: number;
  readonly #queued: number;
  readonly #message: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /**
   * @param queued how many tasks may wait
   * @param message what a refused caller is told
   */
  constructor(concurrent: number, queued: number, message = 'Server busy, try again later.') {
    this.#concurrent = concurrent;
    this.#queued = queued;
    this.#message = message;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** The task's own outcome. Throws RESOURCE_EXHAUSTED, without running the task, when too many wait already. */
  async run<T>(task: () => Promise<T> | T): Promise<T> {
    await this.#enter();
    try {
      return await task();
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < this.#concurrent) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= this.#queued) throw resourceExhausted(this.#message);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    // The slot passes straight to the next in line, so that no newcomer can take it in between.
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}
