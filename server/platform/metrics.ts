import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { type Clock, systemClock } from './clock.ts';
import { type CallMeter, CallMetrics, type Transport } from './metrics-calls.ts';
import { ExpositionWriter, Family, labelText, type Sample, sanitize, Tally } from './metrics-family.ts';
import { Latency, writeTimer } from './metrics-latency.ts';

export type { CallMeter, CodeName, Transport } from './metrics-calls.ts';
export { type Family, Tally } from './metrics-family.ts';
export { Latency } from './metrics-latency.ts';
export { MetricsServer } from './metrics-server.ts';

export interface MetricsSettings {
  /** Name of the node. */
  readonly name: string;
  readonly metrics: {
    readonly prefix: string;
    readonly namespace: string;
  };
}

/** What the database's connections are doing. */
export interface DatabaseCounts {
  readonly max: number;
  readonly total: number;
  readonly inUse: number;
  readonly idle: number;
  /** Callers waiting for a connection now. */
  readonly waiting: number;
  /** Statements sent and not answered. */
  readonly inFlight: number;
  /** Waits so far. */
  readonly waitCount: number;
  readonly waitTimeNanos: number;
}

/** Milliseconds between samples of the event loop's delay. */
const loopResolutionMs = 20;

/** Everything a node counts. One per node; nothing is shared with other nodes of the same process. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #baseLabels: Readonly<Record<string, string>>;
  readonly #process = new Registry();
  readonly #calls = new CallMetrics();
  readonly #counters = new Map<string, Family<Tally>>();
  readonly #gauges = new Map<string, Family<Tally>>();
  readonly #timers = new Map<string, Family<Latency>>();
  readonly #live = new Map<string, { readonly help: string; readonly read: () => readonly Sample[] }>();
  readonly #socketsOpened: Tally;
  readonly #socketsClosed: Tally;
  readonly #closeReasons: Family<Tally>;
  readonly #queueFull: Tally;
  readonly #rateLimited: Family<Tally>;
  readonly #presenceEvents: Tally;
  readonly #writeRejects: Family<Tally>;
  #isProcessCollected = false;

  constructor({ name, metrics }: MetricsSettings, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#prefix = metrics.prefix === '' ? '' : `${sanitize(metrics.prefix)}_`;
    this.#baseLabels = {
      node_name: sanitize(name),
      ...(metrics.namespace === '' ? {} : { namespace: sanitize(metrics.namespace) }),
    };
    this.#process.setDefaultLabels(this.#baseLabels);
    this.#socketsOpened = this.counter('socket_ws_opened', 'Sockets opened').child();
    this.#socketsClosed = this.counter('socket_ws_closed', 'Sockets closed').child();
    this.#closeReasons = this.counter('session_close_total', 'Sockets closed, by reason', ['reason']);
    this.#queueFull = this.counter('outgoing_queue_full_total', 'Sockets closed for not keeping up').child();
    this.#rateLimited = this.counter('rate_limited_total', 'Calls refused by a rate limit', ['scope']);
    this.#presenceEvents = this.counter('presence_event_count', 'Batches of joins and leaves handled').child();
    const rejectLabels = ['collection', 'reason'];
    this.#writeRejects = this.counter('storage_write_reject_count', 'Storage writes refused', rejectLabels);
  }

  /** A counter, made at its first mention. It appears in the exposition once it is above zero. */
  counter(name: string, help: string, labelNames: readonly string[] = []): Family<Tally> {
    return this.#family(this.#counters, name, help, labelNames, () => new Tally());
  }

  /** A gauge that the caller sets, made at its first mention. */
  gauge(name: string, help: string, labelNames: readonly string[] = []): Family<Tally> {
    return this.#family(this.#gauges, name, help, labelNames, () => new Tally());
  }

  /** A timer, made at its first mention: a summary under that name, and a histogram as `<name>_hist`. */
  timer(name: string, help: string, labelNames: readonly string[] = []): Family<Latency> {
    return this.#family(this.#timers, name, help, labelNames, () => new Latency());
  }

  /** A gauge that is read whenever somebody looks. */
  watch(name: string, help: string, read: () => number): void {
    this.#watch(name, help, () => [{ labels: '', value: read() }]);
  }

  /** The gauges of the node's live state. */
  watchGauges({ sessions, presences }: { sessions: () => number; presences: () => number }): void {
    this.watch('sessions', 'Open sockets', sessions);
    this.watch('presences', 'Tracked presences', presences);
  }

  watchDatabase(read: () => DatabaseCounts): void {
    this.watch('db_max_open_conns', 'Connections allowed', () => read().max);
    this.watch('db_total_open_conns', 'Connections open', () => read().total);
    this.watch('db_in_use_conns', 'Connections in use', () => read().inUse);
    this.watch('db_idle_conns', 'Connections idle', () => read().idle);
    this.watch('db_waiting', 'Callers waiting for a connection', () => read().waiting);
    this.watch('db_statements_in_flight', 'Statements sent and not answered', () => read().inFlight);
    this.watch('db_total_wait_count', 'Waits for a connection so far', () => read().waitCount);
    this.watch('db_total_wait_time_nanos', 'Time spent in those waits', () => read().waitTimeNanos);
  }

  /** The meter of an API method or RPC function; callers keep it. */
  call(name: string, transport: Transport): CallMeter {
    return this.#calls.meter(name, transport);
  }

  /** A message came in from a socket. */
  socketMessage(bytes: number): void {
    this.#calls.messageReceived(bytes);
  }

  /** A frame went out to a socket. */
  socketSent(bytes: number): void {
    this.#calls.messageSent(bytes);
  }

  /** A message made the server close its socket. */
  socketMessageError(): void {
    this.#calls.messageFailed();
  }

  socketOpened(): void {
    this.#socketsOpened.inc();
  }

  socketClosed(reason: string): void {
    this.#socketsClosed.inc();
    this.#closeReasons.child(reason).inc();
  }

  outgoingQueueFull(): void {
    this.#queueFull.inc();
  }

  rateLimited(scope: string): void {
    this.#rateLimited.child(scope).inc();
  }

  presenceEvent(): void {
    this.#presenceEvents.inc();
  }

  storageWriteRejected(collection: string, reason: string): void {
    this.#writeRejects.child(collection, reason).inc();
  }

  /** The metrics as they are now, in Prometheus' text format. */
  async text(): Promise<string> {
    const now = this.#clock.monotonic();
    const out = new ExpositionWriter(this.#prefix, labelText(this.#baseLabels));
    await this.#calls.write(out, now);
    for (const family of this.#counters.values()) out.add(family.name, 'counter', family.help, above(0, family));
    for (const family of this.#gauges.values()) out.add(family.name, 'gauge', family.help, above(-Infinity, family));
    for (const timer of this.#timers.values()) await writeTimer(out, timer.name, timer.help, timer.entries(), now);
    for (const [name, { help, read }] of this.#live) out.add(name, 'gauge', help, read());
    return out.text + (this.#isProcessCollected ? await this.#process.metrics() : '');
  }

  /** Begins to measure the event loop, memory, CPU and garbage collection. The result ends the event loop's part. */
  watchProcess(): () => void {
    if (!this.#isProcessCollected) {
      // prom-client offers no way to end this, so it begins only where somebody scrapes.
      collectDefaultMetrics({ register: this.#process });
      this.#isProcessCollected = true;
    }
    const delay = monitorEventLoopDelay({ resolution: loopResolutionMs });
    delay.enable();
    this.#watch('event_loop_lag_seconds', 'How late the event loop ran since the last look', () => {
      const samples = [50, 99, 100].map((percentile) => ({
        labels: `quantile="${percentile / 100}"`,
        value: delay.count === 0 ? 0 : Math.max(0, delay.percentile(percentile) / 1e9 - loopResolutionMs / 1000),
      }));
      delay.reset();
      return samples;
    });
    return () => {
      delay.disable();
      this.#live.delete('event_loop_lag_seconds');
    };
  }

  #watch(name: string, help: string, read: () => readonly Sample[]): void {
    if (this.#live.has(name)) throw new Error(`metric ${name} is watched already`);
    this.#claim(name);
    this.#live.set(name, { help, read });
  }

  #family<Child>(
    families: Map<string, Family<Child>>,
    name: string,
    help: string,
    labelNames: readonly string[],
    create: () => Child,
  ): Family<Child> {
    const known = families.get(name);
    if (known !== undefined) return known;
    this.#claim(name);
    const family = new Family(name, help, labelNames, create);
    families.set(name, family);
    return family;
  }

  /** A name belongs to one kind of metric; twice in one exposition would make all of it unreadable. */
  #claim(name: string): void {
    const isTaken = [this.#counters, this.#gauges, this.#timers, this.#live].some((kind) => kind.has(name));
    if (isTaken) throw new Error(`metric ${name} exists already as another kind`);
  }
}

function above(least: number, family: Family<Tally>): Sample[] {
  return [...family.entries()].map(([labels, { value }]) => ({ labels, value })).filter(({ value }) => value > least);
}
