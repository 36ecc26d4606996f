const firstMs = 200;
const longestMs = 10_000;
/** A life of that length is none of a crash loop. */
const steadyMs = 10_000;

/** How long to wait before a worker that has ended is started again: longer each time, as long as its lives are short. */
export class RestartDelay {
  #nextMs = firstMs;

  /** @param livedMs how long the worker served, 0 when it never came up. */
  after(livedMs: number): number {
    if (livedMs >= steadyMs) this.#nextMs = firstMs;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(2 * delayMs, longestMs);
    return delayMs;
  }
}
