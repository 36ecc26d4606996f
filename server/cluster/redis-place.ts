import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type AppError, unavailable } from '../platform/errors.ts';
import type { ClusterLog } from './bus.ts';
import type { Pacer, ReconnectLimits, RedisConnections } from './redis-connections.ts';
import { serverInfo, translateRedisError } from './redis-errors.ts';
import { hashSlot, type Target } from './redis-slots.ts';
import { Watch } from './redis-watch.ts';

export interface RedisPlaceLimits extends ReconnectLimits {
  /** How long a command waits for a connection before it fails. */
  readonly offlineWaitMs: number;
  /** Commands that may wait for a connection. */
  readonly maxWaiting: number;
  /** Calls of `run` under way at a time. */
  readonly maxRunning: number;
  /** How long a command that was sent may take. */
  readonly commandTimeoutMs: number;
  /** How often each connection has to show that it lives. */
  readonly probeMs: number;
  /** Probes without an answer after which nothing more is sent for the time being. */
  readonly stalledProbes: number;
  /** Probes without an answer after which the connection is given up. */
  readonly silentProbes: number;
}

export interface RedisPlaceOptions {
  readonly connections: RedisConnections;
  readonly pacer: Pacer;
  /** What all keys begin with. On a Redis Cluster it holds a hash tag. */
  readonly prefix: string;
  readonly limits: RedisPlaceLimits;
  readonly log: ClusterLog;
}

/**
 * Keys that lie together, for scripts may use several of them: all there are on one Redis, those of one slot on a Redis
 * Cluster. There is one connection for commands, which reconnects by itself; meanwhile nobody waits longer, and no more
 * wait, than the limits say.
 */
export class RedisPlace {
  /** For commands; preferably through `run`. A command on a broken connection is rejected at once, never queued. */
  readonly commands: Redis;
  readonly limits: RedisPlaceLimits;
  /** Where `commands` goes, on a Redis Cluster. */
  protected readonly target: Target;
  protected readonly log: ClusterLog;
  readonly #connections: RedisConnections;
  readonly #prefix: string;
  readonly #ups: Listener[] = [];
  readonly #downs: Listener[] = [];
  readonly #losses: Listener[] = [];
  readonly #waiting = new Set<Waiter>();
  readonly #watch: Watch;
  readonly #ticker: NodeJS.Timeout;
  #runId = '';
  #marker = '';
  #checked = false;
  #isUp = false;
  #closed = false;
  #running = 0;

  constructor({ connections, pacer, prefix, limits, log }: RedisPlaceOptions) {
    this.limits = limits;
    this.log = log;
    this.#connections = connections;
    this.#prefix = prefix;
    const options = { commandTimeout: limits.commandTimeoutMs };
    const { redis, target } = connections.open({ pacer, options, slot: hashSlot(this.markerKey) });
    this.commands = redis;
    this.target = target;
    // A probe stands in line behind all other commands: an answer tells that those were carried out as well.
    this.#watch = new Watch(redis, () => this.#checkMarker());
    this.#ticker = setInterval(() => this.tick(), limits.probeMs).unref();
    redis.on('ready', () => void this.#arrive());
    redis.on('close', () => {
      this.#checked = false;
      this.#weigh();
    });
    this.#watch.onAnswer = () => this.#weigh();
  }

  /** Resolves when commands can be sent; rejects with UNAVAILABLE after the time. */
  async ready(timeoutMs: number): Promise<void> {
    if (!this.#isUp) await this.#wait(timeoutMs);
  }

  /** Whether commands can be sent at this moment. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** The key of that name at this place. */
  key(name: string): string {
    return `${this.#prefix}${name}`;
  }

  /** A key that is there as long as the place has kept everything. */
  get markerKey(): string {
    return this.key('marker');
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
   * Called when what was written to this place is gone or may be older than it was: it was flushed, its server was
   * restarted, or another server has taken over. Noticed before `onUp`, or within `probeMs` when the connection stayed.
   */
  onLost(listener: () => void): void {
    this.#losses.push(listener);
  }

  /** Equal as long as this place has kept everything (see `onLost`). */
  async instanceId(): Promise<string> {
    await this.ready(this.limits.offlineWaitMs);
    return this.instance;
  }

  /** The same for what is sent at this moment, in `run`. */
  get instance(): string {
    return `${this.#runId}.${this.#marker}`;
  }

  /** Ends the connection; whatever is asked afterwards is UNAVAILABLE. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    this.commands.disconnect();
    this.#weigh();
    for (const waiter of [...this.#waiting]) waiter(unavailable('the connection to Redis is closed'));
  }

  /** Looks after the connection, every `probeMs`. */
  protected tick(): void {
    this.#watch.tick(this.limits.silentProbes);
    this.#weigh();
  }

  /** A connection is there, and is about to be used. */
  protected arrived(): void {}

  /** A connection is there: finds out what is at its other end before anybody uses it. */
  async #arrive(): Promise<void> {
    try {
      const runId = /run_id:(\w+)/.exec(await serverInfo(this.commands))?.[1] ?? '';
      const isOther = this.#runId !== '' && this.#runId !== runId;
      const lostMarker = await this.#readMarker();
      this.#runId = runId;
      this.#checked = true;
      this.arrived();
      if (lostMarker || isOther) this.#lose();
      this.#weigh();
    } catch (error) {
      // When the connection broke meanwhile there will be another one.
      if (this.commands.status !== 'ready') return;
      this.#connections.complain(translateRedisError(error).message);
      this.commands.disconnect(true);
    }
  }

  async #checkMarker(): Promise<void> {
    if (this.#checked && (await this.#readMarker())) this.#lose();
  }

  /** Whether the marker that this node knows is gone; puts a new one in its place. */
  async #readMarker(): Promise<boolean> {
    let marker = await this.commands.get(this.markerKey);
    if (marker === null) {
      // With its memory full Redis takes no marker; it did not lose anything by that.
      await this.commands.set(this.markerKey, randomBytes(12).toString('hex'), 'NX').catch(() => undefined);
      marker = await this.commands.get(this.markerKey);
    }
    if (marker === null || marker === this.#marker) return false;
    const lost = this.#marker !== '';
    this.#marker = marker;
    return lost;
  }

  #lose(): void {
    this.log.warn({ keys: this.#prefix }, 'Redis has lost its state');
    this.#call(this.#losses);
  }

  /** Sees whether commands can be sent now, and tells whoever has to know. */
  #weigh(): void {
    const stalled = this.#watch.silent >= this.limits.stalledProbes;
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
        this.log.error({ err: error }, 'Redis link listener failed');
      }
    }
  }
}

type Listener = () => void;

type Waiter = (error?: AppError) => void;
