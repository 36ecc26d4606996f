import type { Clock } from './clock.ts';

export interface CircuitBreakerOptions {
  /** Failures in a row that open it; 0 never does. */
  readonly failures: number;
  /** Milliseconds until one attempt may try again. */
  readonly openMs: number;
  readonly clock: Clock;
  /** Told whenever it opens or closes. */
  readonly changed?: (isOpen: boolean) => void;
}

/** How one attempt ended; exactly one of them is to be called. */
export interface Attempt {
  succeeded(): void;
  failed(): void;
  /** It says nothing about the other side. */
  abandoned(): void;
}

/**
 * Keeps callers from waiting for somebody who does not answer. Closed, it lets everybody through. After so many failures
 * in a row it is open and lets nobody through, but one attempt at a time once `openMs` are over: if that succeeds it
 * closes, and if it fails the time begins anew.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #failures = 0;
  /** Monotonic milliseconds; undefined while closed. */
  #openUntil: number | undefined;
  #isProbing = false;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#openUntil !== undefined;
  }

  /** Null when nobody may try now. */
  enter(): Attempt | null {
    if (this.#openUntil === undefined) return this.#attempt(false);
    if (this.#isProbing || this.#options.clock.monotonic() < this.#openUntil) return null;
    this.#isProbing = true;
    return this.#attempt(true);
  }

  #attempt(isProbe: boolean): Attempt {
    return {
      succeeded: () => this.#close(),
      failed: () => {
        // What began before it opened has been counted by its like.
        if (isProbe || this.#openUntil === undefined) this.#fail();
      },
      abandoned: () => {
        if (isProbe) this.#isProbing = false;
      },
    };
  }

  #close(): void {
    const wasOpen = this.isOpen;
    this.#failures = 0;
    this.#openUntil = undefined;
    this.#isProbing = false;
    if (wasOpen) this.#options.changed?.(false);
  }

  #fail(): void {
    const { failures, openMs, clock, changed } = this.#options;
    this.#failures++;
    this.#isProbing = false;
    if (failures === 0 || this.#failures < failures) return;
    const wasOpen = this.isOpen;
    this.#openUntil = clock.monotonic() + openMs;
    if (!wasOpen) changed?.(true);
  }
}
