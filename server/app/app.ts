import type { Logger } from 'pino';
import type { Feature, FeatureKit } from '../features/feature.ts';
import { Authenticator } from '../gateway/authenticate.ts';
import { Gateway } from '../gateway/gateway.ts';
import { type Hooks, noHooks } from '../gateway/hooks.ts';
import { CallLimits } from '../gateway/limits.ts';
import { Registry } from '../gateway/registry.ts';
import { type Clock, systemClock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { Disposer } from '../platform/dispose.ts';
import { CloseReasons } from '../platform/errors.ts';
import { createLogger, subsystem } from '../platform/log.ts';
import { Metrics, MetricsServer } from '../platform/metrics.ts';
import { Outbound } from '../platform/outbound.ts';
import { Database } from '../store/database.ts';
import { type DatabaseTime, SampledDatabaseTime } from '../store/database-time.ts';
import { HttpGateway } from '../transports/http-gateway.ts';
import { type Listener, listen } from '../transports/listener.ts';
import { type SocketData, WsServer } from '../transports/ws-server.ts';
import { joinCluster } from './cluster.ts';
import { openDatabaseUrl, prepareSchema } from './database.ts';
import { buildFeatures, type Features } from './features.ts';

export interface AppOptions {
  readonly config: Config;
  readonly log?: Logger;
  readonly clock?: Clock;
  /** Default: what the database says. */
  readonly time?: DatabaseTime;
  readonly hooks?: Hooks;
  /** Other processes of this machine serve the same port. */
  readonly sharesPort?: boolean;
  /** Features besides the built-in ones, which they may build on. */
  readonly extraFeatures?: (kit: FeatureKit, features: Features) => Feature[];
}

interface Parts {
  readonly features: Features;
  readonly log: Logger;
  readonly disposer: Disposer;
  readonly listener: Listener;
  readonly http: HttpGateway;
  readonly sockets: WsServer;
}

/** How long calls in flight may take to end once the node stops. */
const drainMs = 10_000;
/** How long statements may still take after that. */
const databaseCloseMs = 1000;
const readyProbeMs = 1000;

/** One node: built, started, and stopped in reverse. The only place that constructs anything. */
export class App {
  readonly features: Features;
  readonly log: Logger;
  readonly #disposer: Disposer;
  readonly #listener: Listener;
  readonly #http: HttpGateway;
  readonly #sockets: WsServer;
  #isDraining = false;
  #stopping: Promise<void> | undefined;

  private constructor(parts: Parts) {
    this.features = parts.features;
    this.log = parts.log;
    this.#disposer = parts.disposer;
    this.#listener = parts.listener;
    this.#http = parts.http;
    this.#sockets = parts.sockets;
  }

  /** The port that serves HTTP and WebSocket. */
  get port(): number {
    return this.#listener.port;
  }

  /** Which of the two listeners serves. */
  get listenerKind(): 'uws' | 'node' {
    return this.#listener.kind;
  }

  get openSockets(): number {
    return this.#sockets.count;
  }

  /** Starts a node. Rejects, with everything released again, when any part of it cannot start. */
  static async start(options: AppOptions): Promise<App> {
    const log = options.log ?? createLogger(options.config.logger);
    const disposer = new Disposer(log);
    try {
      return await build(options, log, disposer, (parts) => new App(parts));
    } catch (error) {
      await disposer.dispose();
      throw error;
    }
  }

  /**
   * Stops accepting, tells clients, finishes calls in flight, releases everything. Repeated calls wait for the first.
   * @param hurry ends the wait for calls in flight when aborted.
   */
  stop(hurry?: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(hurry);
    return this.#stopping;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  async #stop(hurry?: AbortSignal): Promise<void> {
    this.#isDraining = true;
    this.#listener.stopAccepting();
    const drained = Promise.all([this.#http.idle(drainMs), this.#sockets.closeAll(CloseReasons.goingAway, drainMs)]);
    await Promise.race([drained, ...(hurry === undefined ? [] : [aborted(hurry)])]);
    await this.#disposer.dispose();
    this.log.info('Shutdown complete');
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function build(
  { config, clock = systemClock, time: givenTime, hooks = noHooks, sharesPort = false, extraFeatures }: AppOptions,
  log: Logger,
  disposer: Disposer,
  create: (parts: Parts) => App,
): Promise<App> {
  log.info({ node: config.name, dev: config.dev }, 'starting');
  const metrics = new Metrics(config);
  const url = await openDatabaseUrl(config, log, disposer);
  await prepareSchema(config, url, log);
  const db = openDatabase(config, url, log, metrics, disposer);
  const time = givenTime ?? (await followDatabaseTime(db, clock, disposer));
  const outbound = new Outbound({ settings: config.outbound, clock, metrics, log: subsystem(log, 'outbound') });
  disposer.add('calls to third parties', () => outbound.close());
  const kit = {
    config,
    log,
    clock,
    time,
    metrics,
    db,
    outbound,
    ...(await joinCluster({ config, log, clock }, disposer)),
  };

  const features = buildFeatures(kit);
  const all = [...features.all, ...(extraFeatures?.(kit, features) ?? []), features.jobs];
  for (const feature of all) {
    await feature.start?.();
    disposer.add(`feature ${feature.name}`, async () => feature.stop?.());
  }
  const gateway = new Gateway({
    registry: new Registry(all.flatMap((feature) => feature.methods)),
    authenticator: new Authenticator(features.sessions.sessions, config.socket.server_key),
    limits: new CallLimits({
      config,
      clock,
      ...(kit.isAlone ? {} : { counters: kit.counters }),
      rejected: (scope) => metrics.rateLimited(scope),
      log: subsystem(log, 'limits'),
    }),
    hooks,
    features: all,
    log: subsystem(log, 'gateway'),
  });
  const sockets = new WsServer({ gateway, config, metrics, clock, log: subsystem(log, 'socket') });
  disposer.add('socket server', async () => sockets.stop());
  metrics.watchGauges({ sessions: () => sockets.count, presences: () => kit.presence.localCount() });

  let app: App | undefined;
  const isReady = async (): Promise<boolean> => {
    if (app === undefined || app.isDraining) return false;
    return db.ping(readyProbeMs).then(
      () => true,
      () => false,
    );
  };
  const http = new HttpGateway({
    gateway,
    rawRoutes: all.flatMap((feature) => feature.rawRoutes ?? []),
    config,
    metrics,
    log: subsystem(log, 'http'),
    isReady,
    refuseUpgrade: (request) => sockets.refuse(request),
  });
  const metricsServer = new MetricsServer(metrics, config.metrics.prometheus_port);
  await metricsServer.start();
  disposer.add('metrics server', () => metricsServer.stop());
  const listener = await openListener(config, sharesPort, http, sockets, log);
  disposer.add('listener', () => listener.close());
  app = create({ features, log, disposer, listener, http, sockets });
  log.info({ port: listener.port, listener: listener.kind }, 'Startup done');
  return app;
}

function openDatabase(config: Config, url: string, log: Logger, metrics: Metrics, disposer: Disposer): Database {
  const { database } = config;
  const db = new Database(
    {
      url,
      poolSize: database.pool_size,
      sharedClients: database.shared_clients,
      statementTimeoutMs: database.statement_timeout_ms,
      acquireTimeoutMs: database.acquire_timeout_ms,
      maxLifetimeMs: database.conn_max_lifetime_ms,
      applicationName: `muster ${config.name}`,
    },
    subsystem(log, 'database'),
  );
  disposer.add('database', () => db.close(databaseCloseMs));
  metrics.watchDatabase(() => db.stats());
  return db;
}

async function followDatabaseTime(db: Database, clock: Clock, disposer: Disposer): Promise<DatabaseTime> {
  const time = new SampledDatabaseTime(db, clock);
  await time.start();
  disposer.add('database time', async () => time.stop());
  return time;
}

function openListener(
  config: Config,
  sharesPort: boolean,
  http: HttpGateway,
  sockets: WsServer,
  log: Logger,
): Promise<Listener> {
  const { socket } = config;
  const tls =
    socket.ssl_certificate === '' ? {} : { tls: { certFile: socket.ssl_certificate, keyFile: socket.ssl_private_key } };
  return listen<SocketData>(
    socket.listener,
    {
      address: socket.address,
      port: socket.port,
      maxMessageBytes: socket.max_message_size_bytes,
      maxHeaderBytes: maxHeaderBytes,
      readTimeoutMs: socket.read_timeout_ms,
      idleTimeoutMs: socket.idle_timeout_ms,
      closeAckWaitMs: socket.close_ack_wait_ms,
      reusePort: sharesPort,
      ...tls,
    },
    {
      request: (exchange) => http.handle(exchange),
      upgrade: (request) => sockets.upgrade(request),
      open: (data, connection) => sockets.open(data, connection),
      message: (data, message, isBinary) => sockets.message(data, message, isBinary),
      pong: (data) => sockets.pong(data),
      drain: (data) => sockets.drain(data),
      close: (data) => sockets.closed(data),
    },
    subsystem(log, 'listener'),
  );
}

/** Request line and headers (spec: http-auth-accounts.md, section 1.4). */
const maxHeaderBytes = 9216;
