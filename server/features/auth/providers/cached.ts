import type { Clock } from '../../../platform/clock.ts';

/** Something read from a third party, and how long it serves. Times are unix milliseconds. */
export interface Reading<T> {
  readonly value: T;
  /** Until then it is not read again. */
  readonly freshUntil: number;
  /** Until then it serves while it cannot be read again. */
  readonly usableUntil: number;
}

/** Shortest time between two attempts to replace what is there. */
export const renewalMs = 30_000;

/** Keeps what a third party publishes. However many ask, there is one reading at a time, and all of them wait for it. */
export class Cached<T> {
  readonly #read: () => Promise<Reading<T>>;
  readonly #clock: Clock;
  #current: Reading<T> | undefined;
  #reading: Promise<T> | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;

  /** @param read does not take forever, and throws when there is nothing to be had. */
  constructor(clock: Clock, read: () => Promise<Reading<T>>) {
    this.#clock = clock;
    this.#read = read;
  }

  /** The value, read again when it is no longer fresh. Throws when it cannot be read and there is none to fall back on. */
  async get(): Promise<T> {
    const now = this.#clock.now();
    const current = this.#current;
    if (current === undefined) return this.#renewed();
    if (now < current.freshUntil) return current.value;
    if (now >= current.usableUntil) return this.#renewed();
    if (!this.#mayTry(now)) return current.value;
    return this.#renewed().catch(() => current.value);
  }

  /** A newer value than that one, which lacks something; the same one when it was read just now or cannot be read. */
  async newerThan(value: T): Promise<T> {
    const current = this.#current;
    if (current === undefined || current.value !== value) return this.get();
    if (this.#reading === undefined && !this.#mayTry(this.#clock.now())) return value;
    return this.#renewed().catch(() => value);
  }

  // A wall clock that was put back must not stop renewals.
  #mayTry(now: number): boolean {
    return now >= this.#triedAt + renewalMs || now < this.#triedAt;
  }

  #renewed(): Promise<T> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(): Promise<T> {
    this.#triedAt = this.#clock.now();
    this.#current = await this.#read();
    return this.#current.value;
  }
}
