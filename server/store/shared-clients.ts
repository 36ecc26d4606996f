import type { AppError } from '../platform/errors.ts';
import { type ConnectGate, GateClosed } from './connect-gate.ts';
import type { Link, LinkResult } from './link.ts';
import { isConnectionLost, isRetryable, isStalePlan, isUnsent, type Phase, translate } from './pg-errors.ts';
import { flapMs, unavailable, type WaitStats } from './pool.ts';
import type { Param, Statement } from './sql.ts';

export interface SharedClientsOptions {
  readonly clients: number;
  /** Longest wait for a connection while there is none. */
  readonly acquireTimeoutMs: number;
  /** Longest that a call may take in all, with its retries. */
  readonly callTimeoutMs: number;
  /** Most statements in flight or waiting at a time. */
  readonly maxPending: number;
  /** Age at which a connection is replaced; 0 for never. */
  readonly maxLifetimeMs: number;
}

interface Call {
  readonly statement: Statement;
  readonly params: readonly Param[];
  readonly deadline: number;
  conflicts: number;
  /** It was sent again after a lost connection, which happens once. */
  resent: boolean;
  readonly resolve: (result: LinkResult) => void;
  readonly reject: (error: AppError) => void;
}

interface Waiter {
  readonly call: Call;
  readonly since: number;
  readonly timer: NodeJS.Timeout;
}

interface Slot {
  link: Link | undefined;
}

/** Tries of a statement that meets conflicts (SQLSTATE class 40), the first included. */
export const maxConflictTries = 5;

/** A connection whose oldest statement is unanswered for so long gets new ones only if all are like that. */
const stalledMs = 100;

/**
 * Reads of one turn of the event loop that share a connection, and so the system calls there and back. Behind more of them
 * the last would wait for long, while other connections, and cores of the database, have nothing to do.
 */
const readsTogether = 8;

/** Connections tend to die together; so long after the first, the others have been noticed as well. */
export const lossSettleMs = 20;

/** Random wait before try n + 1 after a conflict. */
export function conflictDelayMs(conflicts: number): number {
  return Math.random() * 4 * 2 ** conflicts;
}

/**
 * A few connections that all single statements share: each statement is sent at once on the connection with the fewest
 * in flight, behind those of other callers; reads of one turn of the event loop go together. A lost connection is opened
 * again for as long as this lives.
 */
export class SharedClients {
  readonly #options: SharedClientsOptions;
  readonly #gate: ConnectGate;
  readonly #open: () => Promise<Link>;
  readonly #wait: WaitStats;
  readonly #slots: readonly Slot[];
  readonly #waiters = new Set<Waiter>();
  /** The connection on which reads of this turn go, and for how many more of them. */
  #reading: Link | undefined;
  #readsLeft = 0;
  #pending = 0;
  #keepers: readonly Promise<void>[] | undefined;
  #closed = false;
  #drained: (() => void) | undefined;

  constructor(options: SharedClientsOptions, gate: ConnectGate, open: () => Promise<Link>, wait: WaitStats) {
    this.#options = options;
    this.#gate = gate;
    this.#open = open;
    this.#wait = wait;
    this.#slots = Array.from({ length: options.clients }, () => ({ link: undefined }));
  }

  /** Open connections. */
  get total(): number {
    return this.#slots.reduce((count, { link }) => (link === undefined ? count : count + 1), 0);
  }

  get busy(): number {
    return this.#slots.reduce((count, { link }) => (link !== undefined && link.inFlight > 0 ? count + 1 : count), 0);
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Statements sent and not answered. */
  get inFlight(): number {
    return this.#slots.reduce((count, { link }) => count + (link?.inFlight ?? 0), 0);
  }

  run(statement: Statement, params: readonly Param[]): Promise<LinkResult> {
    if (this.#closed) return Promise.reject(unavailable('The database is closed', undefined));
    if (this.#pending >= this.#options.maxPending) {
      return Promise.reject(unavailable('Too many statements are waiting', this.#gate.lastError));
    }
    this.#keepers ??= this.#slots.map((slot) => this.#keep(slot));
    return new Promise((resolve, reject) => {
      this.#pending++;
      this.#dispatch({
        statement,
        params,
        deadline: performance.now() + this.#options.callTimeoutMs,
        conflicts: 0,
        resent: false,
        resolve: (result) => {
          this.#settled();
          resolve(result);
        },
        reject: (error) => {
          this.#settled();
          reject(error);
        },
      });
    });
  }

  /** Gives up on connections that do not answer and replaces the old; call it every now and then. */
  sweep(now: number): void {
    const { maxLifetimeMs, callTimeoutMs } = this.#options;
    for (const { link } of this.#slots) {
      link?.sweep(now);
      if (link?.usable && maxLifetimeMs > 0 && now - link.openedAt > maxLifetimeMs) void link.end(callTimeoutMs);
    }
  }

  /** Refuses new statements, lets those in flight finish until the deadline, then closes the connections. */
  async close(deadlineMs: number): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiters]) {
      this.#leave(waiter);
      waiter.call.reject(unavailable('The database is closed', undefined));
    }
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const { link } of this.#slots) void link?.end(closeLinkMs);
    await Promise.all(this.#keepers ?? []);
  }

  #settled(): void {
    this.#pending--;
    if (this.#pending === 0) this.#drained?.();
  }

  /** Keeps one connection open until the end. */
  async #keep(slot: Slot): Promise<void> {
    while (!this.#closed) {
      try {
        slot.link = await this.#gate.open(this.#open);
      } catch (error) {
        if (error instanceof GateClosed) return;
        continue;
      }
      const link = slot.link;
      if (this.#closed) void link.end(closeLinkMs);
      else this.#serveWaiters();
      await link.closed;
      slot.link = undefined;
      if (link.lostBy !== undefined && performance.now() - link.openedAt < flapMs) this.#gate.flapped(link.lostBy);
    }
  }

  #dispatch(call: Call): void {
    const link = call.statement.kind === 'read' ? this.#pickForRead() : this.#pick();
    if (link === undefined) {
      this.#await(call);
      return;
    }
    link.send(call.statement, call.params, (error, result) => {
      if (error === undefined && result !== undefined) call.resolve(result);
      else this.#failed(call, error, link);
    });
  }

  #pickForRead(): Link | undefined {
    if (this.#readsLeft > 0 && this.#reading?.usable) {
      this.#readsLeft--;
      return this.#reading;
    }
    if (this.#reading === undefined) {
      setImmediate(() => {
        this.#reading = undefined;
        this.#readsLeft = 0;
      });
    }
    this.#reading = this.#pick();
    this.#readsLeft = readsTogether - 1;
    return this.#reading;
  }

  /** Least in flight; one that seems stuck only when there is no other. */
  #pick(): Link | undefined {
    let best: Link | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    let now = 0;
    for (const { link } of this.#slots) {
      if (link === undefined || !link.usable) continue;
      let load = link.inFlight;
      if (load > 0) {
        if (now === 0) now = performance.now();
        if (link.stalledFor(now) > stalledMs) load += 1e6;
      }
      if (load < fewest) {
        fewest = load;
        best = link;
      }
    }
    return best;
  }

  #await(call: Call): void {
    const since = performance.now();
    const waitMs = Math.min(this.#options.acquireTimeoutMs, Math.max(0, call.deadline - since));
    const waiter: Waiter = {
      call,
      since,
      timer: setTimeout(() => {
        this.#leave(waiter);
        call.reject(unavailable('No connection to the database', this.#gate.lastError));
      }, waitMs),
    };
    this.#waiters.add(waiter);
  }

  #serveWaiters(): void {
    for (const waiter of [...this.#waiters]) {
      this.#leave(waiter);
      this.#dispatch(waiter.call);
    }
  }

  #leave(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    this.#waiters.delete(waiter);
    this.#wait.waitCount++;
    this.#wait.waitNanos += Math.round((performance.now() - waiter.since) * 1e6);
  }

  #failed(call: Call, error: unknown, link: Link): void {
    const phase: Phase = call.statement.kind === 'read' ? 'statement-read' : 'statement-write';
    if (isStalePlan(error)) void link.end(this.#options.callTimeoutMs);
    if (!this.#closed && performance.now() < call.deadline) {
      if (isRetryable(error, phase)) {
        call.conflicts++;
        if (call.conflicts < maxConflictTries) {
          setTimeout(() => this.#dispatch(call), conflictDelayMs(call.conflicts));
          return;
        }
      } else if (!call.resent && (isUnsent(error) || (phase === 'statement-read' && isConnectionLost(error)))) {
        call.resent = true;
        setTimeout(() => this.#dispatch(call), lossSettleMs);
        return;
      }
    }
    call.reject(translate(error, phase));
  }
}

const closeLinkMs = 1_000;
