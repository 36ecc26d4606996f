import type { AppError } from '../platform/errors.ts';
import { type ConnectGate, GateClosed } from './connect-gate.ts';
import type { Link } from './link.ts';
import { ConnectionUnavailable, translate } from './pg-errors.ts';

export interface PoolOptions {
  readonly size: number;
  /** Longest wait for a connection. */
  readonly acquireTimeoutMs: number;
  /** Most callers that may wait at a time. */
  readonly maxWaiting: number;
  /** Age at which a connection is replaced; 0 for never. */
  readonly maxLifetimeMs: number;
}

export interface WaitStats {
  /** Calls that had to wait for a connection. */
  waitCount: number;
  waitNanos: number;
}

interface Waiter {
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (link: Link) => void;
  readonly reject: (error: AppError) => void;
}

/** An unused connection is closed after so long. */
const idleMs = 60_000;

/** A connection that dies within this time of its opening counts as a failed attempt to connect. */
export const flapMs = 500;

/** Connections that one caller at a time has for itself. First come, first served. */
export class Pool {
  readonly #options: PoolOptions;
  readonly #gate: ConnectGate;
  readonly #open: () => Promise<Link>;
  readonly #wait: WaitStats;
  readonly #waiters = new Set<Waiter>();
  /** Most recently used last. */
  readonly #idle: { link: Link; since: number }[] = [];
  /** Every socket that is not closed yet, idle or not. */
  readonly #links = new Set<Link>();
  readonly #opening = new Set<Promise<void>>();
  #closed = false;

  constructor(options: PoolOptions, gate: ConnectGate, open: () => Promise<Link>, wait: WaitStats) {
    this.#options = options;
    this.#gate = gate;
    this.#open = open;
    this.#wait = wait;
  }

  get total(): number {
    return this.#links.size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * A connection for the caller alone, to be given back with `release`.
   *
   * @throws UNAVAILABLE (retry safe) when none became free in time
   */
  acquire(): Promise<Link> {
    if (this.#closed) return Promise.reject(unavailable('The database is closed', undefined));
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      if (entry.link.usable) return Promise.resolve(entry.link);
    }
    if (this.#waiters.size >= this.#options.maxWaiting) {
      return Promise.reject(unavailable('Too many calls wait for a connection', this.#gate.lastError));
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        since: performance.now(),
        timer: setTimeout(() => {
          this.#leave(waiter);
          reject(unavailable('No connection became free in time', this.#gate.lastError));
        }, this.#options.acquireTimeoutMs),
        resolve,
        reject,
      };
      this.#waiters.add(waiter);
      this.#grow();
    });
  }

  /** Takes a connection back; one in the middle of something is closed instead. */
  release(link: Link): void {
    if (!link.usable) return;
    const age = performance.now() - link.openedAt;
    if (this.#closed || (this.#options.maxLifetimeMs > 0 && age > this.#options.maxLifetimeMs)) {
      void link.end(this.#options.acquireTimeoutMs);
    } else if (link.settled) {
      this.#offer(link);
    } else {
      link.destroy(new Error('Connection terminated: it was given back in the middle of a transaction'));
    }
  }

  /** Gives up on connections that do not answer and closes those that nobody needs; call it every now and then. */
  sweep(now: number): void {
    for (const link of this.#links) link.sweep(now);
    while (this.#idle[0] !== undefined && now - this.#idle[0].since > idleMs) {
      void this.#idle.shift()?.link.end(this.#options.acquireTimeoutMs);
    }
  }

  /** Sends the waiting away and closes each connection as soon as it is given back, at the latest at the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiters]) {
      this.#leave(waiter);
      waiter.reject(unavailable('The database is closed', undefined));
    }
    for (const { link } of this.#idle.splice(0)) void link.end(deadlineMs);
    const timer = setTimeout(() => {
      for (const link of this.#links) link.destroy(new Error('Connection terminated: the database is closing'));
    }, deadlineMs);
    await Promise.all(this.#opening);
    await Promise.all([...this.#links].map((link) => link.closed));
    clearTimeout(timer);
  }

  #offer(link: Link): void {
    for (const waiter of this.#waiters) {
      this.#leave(waiter);
      waiter.resolve(link);
      return;
    }
    this.#idle.push({ link, since: performance.now() });
  }

  #leave(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    this.#waiters.delete(waiter);
    this.#wait.waitCount++;
    this.#wait.waitNanos += Math.round((performance.now() - waiter.since) * 1e6);
  }

  /** Opens connections while there is somebody to wait for them, and room. */
  #grow(): void {
    while (
      !this.#closed &&
      this.#opening.size < this.#waiters.size &&
      this.#links.size + this.#opening.size < this.#options.size
    ) {
      const opening = this.#gate.open(this.#open).then(
        (link) => {
          this.#opening.delete(opening);
          this.#adopt(link);
        },
        (error) => {
          this.#opening.delete(opening);
          // The gate paces the next attempt; whoever waits leaves at their own deadline.
          if (!(error instanceof GateClosed)) this.#grow();
        },
      );
      this.#opening.add(opening);
    }
  }

  #adopt(link: Link): void {
    this.#links.add(link);
    void link.closed.then(() => {
      this.#links.delete(link);
      const at = this.#idle.findIndex((entry) => entry.link === link);
      if (at >= 0) this.#idle.splice(at, 1);
      if (link.lostBy !== undefined && performance.now() - link.openedAt < flapMs) this.#gate.flapped(link.lostBy);
      this.#grow();
    });
    if (this.#closed) void link.end(this.#options.acquireTimeoutMs);
    else if (link.usable) this.#offer(link);
  }
}

export function unavailable(message: string, cause: unknown): AppError {
  return translate(new ConnectionUnavailable(message, { cause }), 'connect');
}
