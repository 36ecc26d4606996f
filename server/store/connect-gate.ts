/** Wait before the next attempt after the n-th failure in a row; the last value repeats. With jitter of ±25 %. */
const backoffMs = [50, 100, 200, 400, 800, 1_000] as const;

interface GateEvents {
  /** The first failure after a success. */
  readonly onDown: (error: unknown) => void;
  /** The first success after failures, and how many there were. */
  readonly onUp: (failures: number) => void;
}

/**
 * Through which every connection is opened. While the database answers, connections open side by side. Once an attempt
 * has failed, all of them together make one attempt at a time, further and further apart (at most five in any second):
 * a database that comes up again is not met by a storm, however many calls are waiting for it.
 */
export class ConnectGate {
  readonly #events: GateEvents;
  #failures = 0;
  #notBefore = 0;
  #probe: Promise<unknown> | undefined;
  #lastError: unknown;
  #closed = false;
  readonly #sleepers = new Set<() => void>();

  constructor(events: GateEvents) {
    this.#events = events;
  }

  /** Why connecting fails at present; undefined while it does not. */
  get lastError(): unknown {
    return this.#failures === 0 ? undefined : this.#lastError;
  }

  /**
   * Runs `connect` when its turn has come.
   *
   * @throws what `connect` throws, or `GateClosed`
   */
  async open<T>(connect: () => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#closed) throw new GateClosed();
      if (this.#failures === 0) return this.#attempt(connect);
      if (this.#probe !== undefined) {
        await this.#probe;
        continue;
      }
      const waitMs = this.#notBefore - performance.now();
      if (waitMs > 0) {
        await this.#sleep(waitMs);
        continue;
      }
      const attempt = this.#attempt(connect);
      this.#probe = attempt.then(
        () => undefined,
        () => undefined,
      );
      try {
        return await attempt;
      } finally {
        this.#probe = undefined;
      }
    }
  }

  /** A connection broke as soon as it was made: counts like a failed attempt. */
  flapped(error: unknown): void {
    this.#failed(error, this.#failures);
  }

  /** Nobody gets through any more. */
  close(): void {
    this.#closed = true;
    for (const wake of [...this.#sleepers]) wake();
  }

  async #attempt<T>(connect: () => Promise<T>): Promise<T> {
    const failuresBefore = this.#failures;
    try {
      const connection = await connect();
      const failures = this.#failures;
      this.#failures = 0;
      this.#lastError = undefined;
      if (failures > 0) this.#events.onUp(failures);
      return connection;
    } catch (error) {
      this.#failed(error, failuresBefore);
      throw error;
    }
  }

  /** Attempts that ran side by side count once. */
  #failed(error: unknown, failuresBefore: number): void {
    this.#lastError = error;
    if (this.#failures !== failuresBefore) return;
    const base = backoffMs[Math.min(this.#failures, backoffMs.length - 1)] as number;
    this.#failures++;
    this.#notBefore = performance.now() + base * (0.75 + Math.random() / 2);
    if (this.#failures === 1) this.#events.onDown(error);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }
}

export class GateClosed extends Error {
  override readonly name = 'GateClosed';
}
