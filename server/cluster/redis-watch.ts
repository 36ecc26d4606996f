import type { Redis } from 'ioredis';

/** Watches that one connection lives. Ticks are counted, not time: a node that was stopped has missed nothing. */
export class Watch {
  readonly redis: Redis;
  /** Ticks since the last answer. */
  silent = 0;
  onAnswer = (): void => {};
  readonly #probe: () => Promise<unknown>;
  #asking = false;

  constructor(redis: Redis, probe: () => Promise<unknown>) {
    this.redis = redis;
    this.#probe = probe;
    redis.on('ready', () => this.#heard());
    redis.on('close', () => {
      this.silent = 0;
      // What ioredis never settles must not keep the next connection from being asked.
      this.#asking = false;
    });
  }

  tick(limit: number): void {
    const { status } = this.redis;
    // 'connect': the other side has taken the connection, and says nothing.
    if (status !== 'ready' && status !== 'connect') return;
    if (this.silent >= limit) {
      this.redis.disconnect(true);
      return;
    }
    this.silent++;
    if (status !== 'ready' || this.#asking) return;
    this.#asking = true;
    this.#probe()
      .then(() => this.#heard())
      .catch(() => undefined)
      .finally(() => {
        this.#asking = false;
      });
  }

  #heard(): void {
    this.silent = 0;
    this.onAnswer();
  }
}
