import { randomBytes } from 'node:crypto';
import { Redis, type RedisOptions } from 'ioredis';
import { AppError, Code, unavailable } from '../platform/errors.ts';
import type { ClusterLog } from './bus.ts';

export interface RedisLinkOptions {
  /**
   * A `redis://` or `rediss://` URL, or what ioredis takes (with Sentinel: `sentinels` and `name`). A Redis Cluster will
   * not do: its plain pub/sub has no common order per channel, on which `Bus` relies.
   */
  readonly server: string | RedisOptions;
  readonly log: ClusterLog;
  /** What all keys and channels begin with, default 'muster:'. Two clusters on one Redis need two of them. */
  readonly prefix?: string;
  readonly limits?: Partial<RedisLinkLimits>;
}

export interface RedisLinkLimits {
  /** How long a command waits for a connection before it fails. */
  readonly offlineWaitMs: number;
  /** Commands that may wait for a connection. */
  readonly maxWaiting: number;
  /** Calls of `run` under way at a time. */
  readonly maxRunning: number;
  /** How long a command that was sent may take. */
  readonly commandTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Between two attempts to connect, of both connections together: with 250 ms never more than 5 in a second. */
  readonly attemptGapMs: number;
  /** How often each connection has to show that it lives. */
  readonly probeMs: number;
  /** Probes without an answer after which nothing more is sent for the time being. */
  readonly stalledProbes: number;
  /** Probes without an answer after which the connection is given up. */
  readonly silentProbes: number;
}

export const redisLinkLimits: RedisLinkLimits = {
  offlineWaitMs: 1000,
  maxWaiting: 1000,
  maxRunning: 20_000,
  commandTimeoutMs: 2000,
  connectTimeoutMs: 2000,
  retryMinMs: 100,
  retryMaxMs: 1000,
  attemptGapMs: 250,
  probeMs: 1000,
  stalledProbes: 2,
  silentProbes: 5,
};

/**
 * This node's way to Redis: one connection for commands and one for subscriptions. Both reconnect by themselves, for
 * ever and in no hurry; meanwhile nobody waits longer, and no more wait, than the limits say.
 */
export class RedisLink {
  /** For commands; preferably through `run`. A command on a broken connection is rejected at once, never queued. */
  readonly commands: Redis;
  /** In subscriber mode. It forgets its channels with the connection: `RedisBus` subscribes them again. */
  readonly subscriber: Redis;
  readonly limits: RedisLinkLimits;
  readonly #prefix: string;
  readonly #log: ClusterLog;
  readonly #ups: Listener[] = [];
  readonly #downs: Listener[] = [];
  readonly #losses: Listener[] = [];
  readonly #waiting = new Set<Waiter>();
  readonly #watches: { readonly commands: Watch; readonly subscriber: Watch };
  readonly #ticker: NodeJS.Timeout;
  #runId = '';
  #marker = '';
  #checked = false;
  #isUp = false;
  #closed = false;
  #running = 0;
  #nextAttemptAt = 0;
  #complaints = { reasons: new Set<string>(), until: 0 };

  constructor(options: RedisLinkOptions) {
    this.limits = { ...redisLinkLimits, ...options.limits };
    this.#prefix = options.prefix ?? 'muster:';
    if (/[{}]/.test(this.#prefix)) throw new Error('a Redis key prefix must not contain braces');
    this.#log = options.log;
    this.#nextAttemptAt = performance.now() + this.limits.attemptGapMs;
    this.commands = this.#connect(options.server, { commandTimeout: this.limits.commandTimeoutMs });
    this.subscriber = this.#connect(options.server, {});
    // A probe stands in line behind all other commands: an answer tells that those were carried out as well.
    this.#watches = {
      commands: new Watch(this.commands, () => this.#checkMarker()),
      subscriber: new Watch(this.subscriber, () => this.subscriber.ping()),
    };
    this.#ticker = setInterval(() => this.#tick(), this.limits.probeMs).unref();
    this.commands.on('ready', () => void this.#arrive());
    this.commands.on('close', () => {
      this.#checked = false;
      this.#weigh();
    });
    this.#watches.commands.onAnswer = () => this.#weigh();
  }

  /** Resolves when commands can be sent; rejects with UNAVAILABLE after the time. */
  async ready(timeoutMs: number): Promise<void> {
    if (!this.#isUp) await this.#wait(timeoutMs);
  }

  /** Whether commands can be sent at this moment. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** The key of that name. What stands in braces decides where it lies: related keys share it. */
  key(name: string): string {
    return `${this.#prefix}${name}`;
  }

  /** The pub/sub channel of a bus topic. */
  channel(topic: string): string {
    return `${this.#prefix}topic:${topic}`;
  }

  /**
   * Calls `fn`, which sends commands, once there is a connection. Rejects with UNAVAILABLE when there is none in time
   * (`retry` 'safe'), or when a command got no answer in time or its connection broke ('unknown').
   */
  async run<T>(fn: (redis: Redis) => Promise<T>): Promise<T> {
    await this.ready(this.limits.offlineWaitMs);
    if (this.#running >= this.limits.maxRunning) throw unavailable('too many Redis commands are under way');
    this.#running++;
    try {
      return await fn(this.commands);
    } catch (error) {
      throw translateRedisError(error);
    } finally {
      this.#running--;
    }
  }

  /** Called whenever commands can be sent (again), the first time included; after `onLost`. */
  onUp(listener: () => void): void {
    this.#ups.push(listener);
  }

  /** Called whenever commands cannot be sent any more: no connection, or no answers. */
  onDown(listener: () => void): void {
    this.#downs.push(listener);
  }

  /**
   * Called when what was written to Redis is gone or may be older than it was: it was flushed, restarted, or another
   * server has taken over. Noticed before `onUp`, or within `probeMs` when the connection stayed.
   */
  onLost(listener: () => void): void {
    this.#losses.push(listener);
  }

  /** Equal as long as Redis has kept everything (see `onLost`). */
  async instanceId(): Promise<string> {
    await this.ready(this.limits.offlineWaitMs);
    return `${this.#runId}.${this.#marker}`;
  }

  /** Ends both connections; whatever is asked afterwards is UNAVAILABLE. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    this.commands.disconnect();
    this.subscriber.disconnect();
    this.#weigh();
    for (const waiter of [...this.#waiting]) waiter(unavailable('the connection to Redis is closed'));
  }

  #connect(server: string | RedisOptions, extra: RedisOptions): Redis {
    const { limits } = this;
    const options: RedisOptions = {
      ...extra,
      connectTimeout: limits.connectTimeoutMs,
      disconnectTimeout: 100,
      disableClientInfo: true,
      keyPrefix: '',
      enableOfflineQueue: false,
      autoResubscribe: false,
      // Sending a command again could do its work twice. Zero retries reject what is open as soon as a connection ends.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => this.#retryDelay(attempt),
      sentinelRetryStrategy: (attempt) => Math.min(limits.retryMaxMs, limits.attemptGapMs * attempt),
      // A replica answers: the master is elsewhere by now.
      reconnectOnError: (error) => /(^|-)READONLY\b/.test(error.message) && this.#mayReconnect(),
    };
    const redis =
      typeof server === 'string' ? new Redis(checkUrl(server), options) : new Redis({ ...server, ...options });
    redis.on('error', (error) => this.#complain(error.message));
    redis.on('end', () => {
      if (!this.#closed) setTimeout(() => this.#revive(redis), limits.retryMaxMs).unref();
    });
    return redis;
  }

  /** ioredis gives up for good when the way to the server cannot even be tried, as with no Sentinel to ask. */
  #revive(redis: Redis): void {
    if (!this.#closed && redis.status === 'end') redis.connect().catch(() => undefined);
  }

  #retryDelay(attempt: number): number {
    const { retryMinMs, retryMaxMs, attemptGapMs } = this.limits;
    const backoff = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt - 1, 16));
    const now = performance.now();
    const at = Math.max(now + backoff * (0.5 + Math.random() / 2), this.#nextAttemptAt);
    this.#nextAttemptAt = at + attemptGapMs;
    return at - now;
  }

  #mayReconnect(): boolean {
    return performance.now() > this.#nextAttemptAt + this.limits.retryMaxMs;
  }

  /** Says the same thing only now and then. An error of ioredis itself is not logged: it holds arguments, passwords too. */
  #complain(reason: string): void {
    const now = performance.now();
    if (now > this.#complaints.until) this.#complaints = { reasons: new Set(), until: now + 10_000 };
    if (this.#complaints.reasons.has(reason)) return;
    this.#complaints.reasons.add(reason);
    this.#log.warn({ reason }, 'the connection to Redis has failed');
  }

  /** A connection is there: finds out what is at its other end before anybody uses it. */
  async #arrive(): Promise<void> {
    try {
      const runId = /run_id:(\w+)/.exec(await serverInfo(this.commands))?.[1] ?? '';
      const isOther = this.#runId !== '' && this.#runId !== runId;
      const lostMarker = await this.#readMarker();
      this.#runId = runId;
      this.#checked = true;
      if (lostMarker || isOther) this.#lose();
      this.#weigh();
    } catch (error) {
      // When the connection broke meanwhile there will be another one.
      if (this.commands.status !== 'ready') return;
      this.#complain(translateRedisError(error).message);
      this.commands.disconnect(true);
    }
  }

  async #checkMarker(): Promise<void> {
    if (this.#checked && (await this.#readMarker())) this.#lose();
  }

  /** Whether the marker that this node knows is gone; puts a new one in its place. */
  async #readMarker(): Promise<boolean> {
    const key = this.key('marker');
    let marker = await this.commands.get(key);
    if (marker === null) {
      // With its memory full Redis takes no marker; it did not lose anything by that.
      await this.commands.set(key, randomBytes(12).toString('hex'), 'NX').catch(() => undefined);
      marker = await this.commands.get(key);
    }
    if (marker === null || marker === this.#marker) return false;
    const lost = this.#marker !== '';
    this.#marker = marker;
    return lost;
  }

  #lose(): void {
    this.#log.warn({}, 'Redis has lost its state');
    this.#call(this.#losses);
  }

  #tick(): void {
    this.#watches.commands.tick(this.limits.silentProbes);
    this.#watches.subscriber.tick(this.limits.silentProbes);
    this.#weigh();
  }

  /** Sees whether commands can be sent now, and tells whoever has to know. */
  #weigh(): void {
    const stalled = this.#watches.commands.silent >= this.limits.stalledProbes;
    const isUp = !this.#closed && this.#checked && !stalled;
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (!isUp) {
      this.#call(this.#downs);
      return;
    }
    for (const waiter of [...this.#waiting]) waiter();
    this.#call(this.#ups);
  }

  #wait(timeoutMs: number): Promise<void> {
    if (this.#closed) throw unavailable('the connection to Redis is closed');
    if (this.#waiting.size >= this.limits.maxWaiting)
      throw unavailable('Redis is out of reach, and too many wait for it');
    return new Promise((resolve, reject) => {
      const settle: Waiter = (error) => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => settle(unavailable('Redis is out of reach')), timeoutMs);
      this.#waiting.add(settle);
    });
  }

  #call(listeners: readonly Listener[]): void {
    for (const listener of listeners) {
      try {
        listener();
      } catch (error) {
        this.#log.error({ err: error }, 'Redis link listener failed');
      }
    }
  }
}

type Listener = () => void;

type Waiter = (error?: AppError) => void;

/** Watches that one connection lives. Ticks are counted, not time: a node that was stopped has missed nothing. */
class Watch {
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

/** Turns what ioredis and Redis say into what callers can act on. */
export function translateRedisError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const text = error instanceof Error ? error.message : String(error);
  // The error itself holds the command's arguments, which belong in no log.
  const cause = new Error(text);
  if (error instanceof Error && error.name === 'ReplyError') {
    if (refusals.test(text)) return unavailable('Redis refuses commands at the moment', cause);
    return new AppError(Code.INTERNAL, 'Redis did not understand a command', { cause });
  }
  // ioredis tells by this text alone that a command never left.
  if (text.startsWith("Stream isn't writeable")) return unavailable('Redis is out of reach', cause);
  return new AppError(Code.UNAVAILABLE, 'Redis did not answer', { retry: 'unknown', cause });
}

/** Replies by which Redis says, before it has done anything, that it cannot at present; '-' before it in a script's. */
const refusals =
  /(^|-)(OOM|READONLY|LOADING|MASTERDOWN|NOREPLICAS|MISCONF|BUSY|TRYAGAIN|CLUSTERDOWN|NOAUTH|WRONGPASS|NOPERM|ERR max number of clients)\b/;

/** Not every account may ask. */
const serverInfo = (redis: Redis): Promise<string> =>
  redis.info('server').catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith('NOPERM')) return '';
    throw error;
  });

function checkUrl(url: string): string {
  if (!/^rediss?:\/\//.test(url)) throw new Error('a Redis URL begins with redis:// or rediss://');
  return url;
}
