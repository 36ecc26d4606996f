/** Where time comes from, so that tests can hold it still. */
export interface Clock {
  /** Unix milliseconds; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds since some fixed point; never goes back. For measuring and for deadlines. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** A clock that moves only when told to. */
export class ManualClock implements Clock {
  #now: number;
  #monotonic = 0;

  /** `now` is unix milliseconds. */
  constructor(now = Date.UTC(2024, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Lets that many milliseconds pass. */
  advance(ms: number): void {
    if (ms < 0) throw new RangeError('time does not go back; use setNow for a clock that was set');
    this.#now += ms;
    this.#monotonic += ms;
  }

  /** Sets the wall clock, as an operator or NTP might; the monotonic clock does not notice. */
  setNow(unixMs: number): void {
    this.#now = unixMs;
  }
}
