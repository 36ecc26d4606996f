import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { type Attempt, CircuitBreaker } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Metrics } from './metrics.ts';
import { type Route, routed, routesOf } from './outbound-routes.ts';

/** Why a call brought no answer. */
export type OutboundFailure = 'unreachable' | 'timeout' | 'too large' | 'too many calls' | 'suspended';

/** A third party gave no answer that could be used. */
export class OutboundError extends Error {
  override readonly name = 'OutboundError';
  readonly reason: OutboundFailure;

  constructor(reason: OutboundFailure, origin: string, cause?: unknown) {
    super(`${origin}: ${reason}`, { cause });
    this.reason = reason;
  }
}

export interface OutboundReply {
  readonly status: number;
  readonly body: Buffer;
}

export interface OutboundRequest {
  /** Who is called, for metrics; one of few. */
  readonly party: string;
  /** https, or whatever the operator chose. */
  readonly url: string;
  /** Sent by POST, as a form. Without one it is a GET. */
  readonly form?: Readonly<Record<string, string>>;
  /** Sent by POST, as JSON text. */
  readonly json?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** When the work that the call belongs to has to be done; see `Outbound.deadline`. */
  readonly deadline?: number;
}

/** What is known of a host. */
interface Host {
  readonly breaker: CircuitBreaker;
  calls: number;
}

interface Dependencies {
  readonly settings: Config['outbound'];
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Hosts that are kept track of; where clients choose the host, there could be any number. */
const maxHosts = 1000;

/**
 * HTTP to third parties. A call ends within `outbound.timeout_ms`, reads no more than `outbound.max_response_bytes`,
 * and follows no redirect. Each host has its own limit of calls under way, and its own circuit breaker: while it fails,
 * calls to it fail at once. An answer of any status is an answer; those of 500 and above count as failures of the host.
 */
export class Outbound {
  readonly #settings: Config['outbound'];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #routes: readonly Route[];
  readonly #count: (party: string, result: string) => void;
  readonly #hosts = new Map<string, Host>();
  readonly #closing = new AbortController();

  constructor({ settings, clock, metrics, log }: Dependencies) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#routes = routesOf(settings.routes);
    // Every call under way listens; Node.js would take more than ten for a leak.
    setMaxListeners(0, this.#closing.signal);
    const calls = metrics.counter('outbound_calls_total', 'Calls to third parties', ['party', 'result']);
    this.#count = (party, result) => calls.child(party, result).inc();
  }

  /** For work that begins now and takes several calls: they share the time that one may take. */
  deadline(): number {
    return this.#clock.monotonic() + this.#settings.timeout_ms;
  }

  /** The answer, of whatever status. Throws OutboundError. */
  async call(request: OutboundRequest): Promise<OutboundReply> {
    try {
      const reply = await this.#guarded(request);
      this.#count(request.party, `${Math.floor(reply.status / 100)}xx`);
      return reply;
    } catch (error) {
      this.#count(request.party, error instanceof OutboundError ? error.reason : 'unreachable');
      throw error;
    }
  }

  /** Ends all calls that are under way. */
  close(): void {
    this.#closing.abort();
  }

  async #guarded(request: OutboundRequest): Promise<OutboundReply> {
    const { timeout_ms: timeoutMs, concurrent_calls: most } = this.#settings;
    const { origin } = new URL(request.url);
    const host = this.#host(origin);
    if (host.calls >= most) throw new OutboundError('too many calls', origin);
    const left = (request.deadline ?? this.deadline()) - this.#clock.monotonic();
    if (left < 1) throw new OutboundError('timeout', origin);
    const attempt = host.breaker.enter();
    if (attempt === null) throw new OutboundError('suspended', origin);
    host.calls++;
    try {
      const reply = await this.#timed(request, origin, left);
      if (reply.status >= 500) attempt.failed();
      else attempt.succeeded();
      return reply;
    } catch (error) {
      // Whoever was left too little time to answer has not failed.
      settle(attempt, error, left >= timeoutMs / 2);
      throw error;
    } finally {
      host.calls--;
    }
  }

  /** The one that was called last is the last in the map, and the first that is forgotten was called longest ago. */
  #host(origin: string): Host {
    const known = this.#hosts.get(origin);
    this.#hosts.delete(origin);
    const host = known ?? this.#newHost(origin);
    this.#hosts.set(origin, host);
    if (this.#hosts.size > maxHosts) {
      for (const [each, { calls }] of this.#hosts) {
        if (calls > 0 || each === origin) continue;
        this.#hosts.delete(each);
        break;
      }
    }
    return host;
  }

  #newHost(origin: string): Host {
    const { breaker_failures: failures, breaker_open_ms: openMs } = this.#settings;
    const changed = (isOpen: boolean): void => {
      if (isOpen) this.#log.warn({ origin }, 'a third party fails, it is left alone for a while');
      else this.#log.info({ origin }, 'a third party is back');
    };
    return { breaker: new CircuitBreaker({ failures, openMs, clock: this.#clock, changed }), calls: 0 };
  }

  async #timed(request: OutboundRequest, origin: string, ms: number): Promise<OutboundReply> {
    const abort = new AbortController();
    const onClosing = (): void => abort.abort();
    const timer = setTimeout(() => abort.abort(), ms);
    this.#closing.signal.addEventListener('abort', onClosing, { once: true });
    try {
      if (this.#closing.signal.aborted) throw new OutboundError('unreachable', origin);
      return await this.#send(request, origin, abort.signal);
    } catch (error) {
      if (error instanceof OutboundError) throw error;
      const isLate = abort.signal.aborted && !this.#closing.signal.aborted;
      throw new OutboundError(isLate ? 'timeout' : 'unreachable', origin, error);
    } finally {
      clearTimeout(timer);
      this.#closing.signal.removeEventListener('abort', onClosing);
      // Ends the connection of an answer that was not read to its end.
      abort.abort();
    }
  }

  async #send(request: OutboundRequest, origin: string, signal: AbortSignal): Promise<OutboundReply> {
    const response = await fetch(routed(request.url, this.#routes), { ...initOf(request), redirect: 'manual', signal });
    const most = this.#settings.max_response_bytes;
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > most) throw new OutboundError('too large', origin);
      chunks.push(chunk);
    }
    return { status: response.status, body: Buffer.concat(chunks) };
  }
}

function initOf({ form, json, headers }: OutboundRequest): RequestInit {
  if (form !== undefined) return { method: 'POST', body: new URLSearchParams(form), headers: { ...headers } };
  if (json === undefined) return { headers: { ...headers } };
  return { method: 'POST', body: json, headers: { 'content-type': 'application/json', ...headers } };
}

function settle(attempt: Attempt, error: unknown, hadTime: boolean): void {
  const reason = error instanceof OutboundError ? error.reason : undefined;
  if (reason === 'unreachable' || (reason === 'timeout' && hadTime)) attempt.failed();
  else attempt.abandoned();
}
