import type { Logger } from 'pino';
import type { AuthenticatedUser } from '../../wire/session.ts';

/** Something that happened, for game code to take note of. */
export interface GameEvent {
  readonly name: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Unix seconds and nanoseconds as the sender set them; undefined when it did not. */
  readonly timestamp: { readonly seconds: number; readonly nanos: number } | undefined;
  /** Sent by a client. */
  readonly external: boolean;
}

/** Whose event it is; game code may emit some that are nobody's. */
export interface EventContext {
  readonly user: AuthenticatedUser | null;
  /** '' where there is no socket. */
  readonly sessionId: string;
  readonly clientAddress: string;
  readonly clientPort: string;
}

/** Any event, the opening of a socket, and its end (with the property `reason`). */
export type EventKind = 'event' | 'session_start' | 'session_end';
export type EventHandler = (context: EventContext, event: GameEvent) => Promise<void> | void;

interface Waiting {
  readonly kind: EventKind;
  readonly context: EventContext;
  readonly event: GameEvent;
}

interface Dependencies {
  readonly queueSize: number;
  readonly workers: number;
  readonly log: Logger;
  /** An event found no room. */
  readonly dropped: () => void;
}

/**
 * Hands events to game code, at most once each and without an order (spec: storage-wallet-purchases.md, section 7).
 * Whoever emits one never waits and never fails: when handlers cannot keep up, events are dropped and counted.
 */
export class Events {
  readonly #deps: Dependencies;
  readonly #handlers = new Map<EventKind, EventHandler[]>();
  #queue: Waiting[] = [];
  #next = 0;
  #running = 0;
  #isFull = false;
  #isClosed = false;
  #onIdle: (() => void) | undefined;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Adds a handler; what it throws is logged. */
  on(kind: EventKind, handler: EventHandler): void {
    this.#handlers.set(kind, [...(this.#handlers.get(kind) ?? []), handler]);
  }

  emit(kind: EventKind, context: EventContext, event: GameEvent): void {
    if (this.#isClosed || !this.#handlers.has(kind)) return;
    if (this.#queue.length - this.#next >= this.#deps.queueSize) {
      this.#deps.dropped();
      if (!this.#isFull) this.#deps.log.warn({ queue: this.#deps.queueSize }, 'event queue full, dropping events');
      this.#isFull = true;
      return;
    }
    this.#isFull = false;
    this.#queue.push({ kind, context, event });
    if (this.#running < this.#deps.workers) {
      this.#running++;
      void this.#work();
    }
  }

  /** Takes no more events; resolves when those that wait are handled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  async #work(): Promise<void> {
    // Not in the turn of whoever emitted it.
    await Promise.resolve();
    for (let waiting = this.#take(); waiting !== undefined; waiting = this.#take()) await this.#handle(waiting);
    this.#running--;
    if (this.#running === 0) this.#onIdle?.();
  }

  #take(): Waiting | undefined {
    const waiting = this.#queue[this.#next];
    if (waiting === undefined) {
      this.#queue = [];
      this.#next = 0;
      return undefined;
    }
    this.#next++;
    if (this.#next >= compactAfter && this.#next * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#next);
      this.#next = 0;
    }
    return waiting;
  }

  async #handle({ kind, context, event }: Waiting): Promise<void> {
    for (const handler of this.#handlers.get(kind) ?? []) {
      try {
        await handler(context, event);
      } catch (error) {
        this.#deps.log.warn({ err: error, event: event.name, kind }, 'event handler failed');
      }
    }
  }
}

/** Handled events are kept at most until there are this many. */
const compactAfter = 1024;
