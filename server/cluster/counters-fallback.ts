import type { Clock } from '../platform/clock.ts';
import { AppError, Code } from '../platform/errors.ts';
import { within } from '../platform/within.ts';
import type { Attempt, LockPolicy, Rate, SharedCounters } from './counters.ts';

interface Sides {
  /** Those of all nodes. */
  readonly shared: SharedCounters;
  /** Whether they can be asked about the key at this moment. */
  readonly isUp: (key: string) => boolean;
  /** This node's own. */
  readonly own: SharedCounters;
  readonly clock: Clock;
}

/** How long the shared counters may take to answer: so many steps of so many milliseconds. */
const answerSteps = 5;
const answerStepMs = 50;
/** For how long they are left alone when they did not. */
const pauseMs = 1000;

/**
 * The shared counters, and while those are out of reach the node's own, so that limits keep holding per node and
 * nobody waits for Redis. A connection that is known to be gone costs nothing; one that has only fallen silent costs
 * a quarter of a second, once in `pauseMs`. Never rejects with UNAVAILABLE. What the node counted by itself is not handed on:
 * whoever uses up a limit there has the shared one still, or again, and so once more per outage and node.
 */
export class FallbackCounters implements SharedCounters {
  readonly #shared: SharedCounters;
  readonly #isUp: (key: string) => boolean;
  readonly #own: SharedCounters;
  readonly #clock: Clock;
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor({ shared, isUp, own, clock }: Sides) {
    this.#shared = shared;
    this.#isUp = isUp;
    this.#own = own;
    this.#clock = clock;
  }

  async take(key: string, rate: Rate, cost?: number): Promise<boolean> {
    const taken = await this.#ask(key, () => this.#shared.take(key, rate, cost));
    return taken === unanswered ? this.#own.take(key, rate, cost) : taken;
  }

  async attempt(key: string, policy: LockPolicy): Promise<Attempt | null> {
    const attempt = await this.#ask(
      key,
      () => this.#shared.attempt(key, policy),
      (late) => late?.released(),
    );
    if (attempt === null) return null;
    if (attempt === unanswered) return this.#own.attempt(key, policy);
    return {
      failed: async () => {
        if ((await this.#ask(key, () => attempt.failed())) !== unanswered) return;
        await (await this.#own.attempt(key, policy))?.failed();
      },
      released: async () => void (await this.#ask(key, () => attempt.released())),
    };
  }

  async reset(key: string): Promise<void> {
    await Promise.all([this.#own.reset(key), this.#ask(key, () => this.#shared.reset(key))]);
  }

  /** @param late what to do with an answer that nobody waits for any more. */
  async #ask<T>(
    key: string,
    question: () => Promise<T>,
    late?: (answer: T) => unknown,
  ): Promise<T | typeof unanswered> {
    if (!this.#isUp(key) || this.#clock.monotonic() < this.#pausedUntil) return unanswered;
    const answer = question();
    try {
      // In steps: when the process was busy for long, an answer that has arrived is read before the next step ends.
      for (let step = 0; step < answerSteps; step++) {
        if (await within(answerStepMs, answer)) return await answer;
      }
    } catch (error) {
      if (error instanceof AppError && error.code === Code.UNAVAILABLE) return unanswered;
      throw error;
    }
    this.#pausedUntil = this.#clock.monotonic() + pauseMs;
    answer.then(late).catch(() => undefined);
    return unanswered;
  }
}

/** The shared counters said nothing, or not in time. */
const unanswered = Symbol('unanswered');
