import { Redis, type RedisOptions } from 'ioredis';
import type { ClusterLog } from './bus.ts';
import { isElsewhere } from './redis-errors.ts';
import { type Address, connectorTo, type RedisClusterServer, SlotMap, type Target } from './redis-slots.ts';

export interface ReconnectLimits {
  readonly connectTimeoutMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Between two attempts to connect that share a `Pacer`. */
  readonly attemptGapMs: number;
}

/** Sees to it that attempts to connect, of all who share it, keep their distance. */
export class Pacer {
  readonly #limits: ReconnectLimits;
  #nextAttemptAt: number;

  constructor(limits: ReconnectLimits) {
    this.#limits = limits;
    this.#nextAttemptAt = performance.now() + limits.attemptGapMs;
  }

  /** How long to wait before the attempt of that number. */
  delay(attempt: number): number {
    const { retryMinMs, retryMaxMs, attemptGapMs } = this.#limits;
    const backoff = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt - 1, 16));
    const now = performance.now();
    const at = Math.max(now + backoff * (0.5 + Math.random() / 2), this.#nextAttemptAt);
    this.#nextAttemptAt = at + attemptGapMs;
    return at - now;
  }
}

/** What a connection is for. */
export interface Purpose {
  readonly pacer: Pacer;
  readonly options?: RedisOptions;
  /** On a Redis Cluster: the slot to whose master it goes. */
  readonly slot: number;
  /** On a Redis Cluster: the address to go to instead, if there is one. */
  readonly leader?: () => Address | undefined;
}

/** Opens connections that reconnect by themselves, for ever and in no hurry. */
export class RedisConnections {
  /** Of a Redis Cluster. */
  readonly isCluster: boolean;
  readonly #server: string | RedisOptions | RedisClusterServer;
  readonly #slots: SlotMap | undefined;
  readonly #limits: ReconnectLimits;
  readonly #log: ClusterLog;
  #closed = false;
  #complaints = { reasons: new Set<string>(), until: 0 };

  constructor(server: string | RedisOptions | RedisClusterServer, limits: ReconnectLimits, log: ClusterLog) {
    this.#server = typeof server === 'string' ? checkUrl(server) : server;
    this.#limits = limits;
    this.#log = log;
    this.#slots = isClusterServer(server) ? new SlotMap(server, limits.connectTimeoutMs) : undefined;
    this.isCluster = this.#slots !== undefined;
  }

  /** The connection, and where it goes; that is told for a Redis Cluster only. */
  open({ pacer, options: extra = {}, slot, leader }: Purpose): { redis: Redis; target: Target } {
    const { connectTimeoutMs, retryMaxMs, attemptGapMs } = this.#limits;
    const target: Target = {};
    const options: RedisOptions = {
      ...extra,
      connectTimeout: connectTimeoutMs,
      disconnectTimeout: 100,
      disableClientInfo: true,
      keyPrefix: '',
      enableOfflineQueue: false,
      autoResubscribe: false,
      // Sending a command again could do its work twice. Zero retries reject what is open as soon as a connection ends.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => pacer.delay(attempt),
      sentinelRetryStrategy: (attempt) => Math.min(retryMaxMs, attemptGapMs * attempt),
      // A replica answers, or one that was the master of the slot: the master is elsewhere by now.
      reconnectOnError: (error) => {
        if (!isElsewhere(error)) return false;
        this.#slots?.moved(error.message);
        const now = performance.now();
        if (isEnding(redis) || now < leftAt + retryMaxMs) return false;
        leftAt = now;
        return true;
      },
    };
    let leftAt = Number.NEGATIVE_INFINITY;
    const redis: Redis = this.#create(options, { slot, target, leader });
    redis.on('error', (error) => this.complain(isMiscount(error) ? miscount : error.message));
    redis.on('end', () => {
      if (!this.#closed) setTimeout(() => this.#revive(redis), retryMaxMs).unref();
    });
    return { redis, target };
  }

  /** Says the same thing only now and then. An error of ioredis itself is not logged: it holds arguments, passwords too. */
  complain(reason: string): void {
    const now = performance.now();
    if (now > this.#complaints.until) this.#complaints = { reasons: new Set(), until: now + 10_000 };
    if (this.#complaints.reasons.has(reason)) return;
    this.#complaints.reasons.add(reason);
    this.#log.warn({ reason }, 'the connection to Redis has failed');
  }

  /** No connection is brought back to life from now on. */
  close(): void {
    this.#closed = true;
  }

  #create(
    options: RedisOptions,
    { slot, target, leader }: { slot: number; target: Target; leader: Purpose['leader'] },
  ): Redis {
    const server = this.#server;
    if (typeof server === 'string') return new Redis(server, options);
    if (!isClusterServer(server) || this.#slots === undefined) return new Redis({ ...server, ...options });
    const { username, password, tls } = server;
    return new Redis({
      ...options,
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      ...(tls ? { tls } : {}),
      Connector: connectorTo({ map: this.#slots, server, slot }, target, leader),
    });
  }

  /** ioredis gives up for good when the way to the server cannot even be tried, as with no Sentinel to ask. */
  #revive(redis: Redis): void {
    if (!this.#closed && redis.status === 'end') redis.connect().catch(() => undefined);
  }
}

const miscount = 'Command queue state error';

/** ioredis has got a reply that it did not wait for. The text has the reply in it. */
export const isMiscount = ({ message }: Error): boolean => message.startsWith(miscount);

/** Gives the connection up for another one, soon; harmless to be called again until then. */
export function reconnect(redis: Redis): void {
  if (!isEnding(redis)) redis.disconnect(true);
}

const isEnding = (redis: Redis): boolean => redis.stream?.writableEnded === true;

function isClusterServer(server: string | RedisOptions | RedisClusterServer): server is RedisClusterServer {
  return typeof server === 'object' && 'cluster' in server;
}

function checkUrl(url: string): string {
  if (!/^rediss?:\/\//.test(url)) throw new Error('a Redis URL begins with redis:// or rediss://');
  return url;
}
