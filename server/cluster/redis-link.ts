import type { Redis, RedisOptions } from 'ioredis';
import type { ClusterLog } from './bus.ts';
import { isMiscount, Pacer, RedisConnections, reconnect } from './redis-connections.ts';
import { RedisPlace, type RedisPlaceLimits } from './redis-place.ts';
import { hashSlot, type RedisClusterServer, spreadTags, type Target } from './redis-slots.ts';
import { Watch } from './redis-watch.ts';

export interface RedisLinkOptions {
  /**
   * A `redis://` or `rediss://` URL, or what ioredis takes (with Sentinel: `sentinels` and `name`), or a Redis Cluster.
   */
  readonly server: string | RedisOptions | RedisClusterServer;
  readonly log: ClusterLog;
  /** What all keys and channels begin with, default 'muster:'. Two clusters on one Redis need two of them. */
  readonly prefix?: string;
  readonly limits?: Partial<RedisLinkLimits>;
}

export type RedisLinkLimits = RedisPlaceLimits;

/** With these, the two connections of a link together never try to connect more than 5 times in a second. */
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

/** The places besides the link itself over which keys spread on a Redis Cluster. The same on all nodes. */
const spreadPlaces = 16;

/**
 * This node's way to Redis: one connection for commands and one for subscriptions.
 *
 * On a Redis Cluster the link itself is one place: its keys and channels lie in one slot, named after the prefix, and
 * both connections go to the master of that slot. What it publishes travels by sharded pub/sub (SSUBSCRIBE, SPUBLISH),
 * so there is one server again that puts it in order, among itself and with what scripts do. When the slot goes to
 * another server, that counts as a loss, for the subscriptions are gone. What need not lie together with the rest is
 * kept `at` other places.
 */
export class RedisLink extends RedisPlace {
  /** In subscriber mode. It forgets its channels with the connection: `RedisBus` subscribes them again. */
  readonly subscriber: Redis;
  /** On a Redis Cluster. */
  readonly isCluster: boolean;
  readonly #connections: RedisConnections;
  readonly #subscriberTarget: Target;
  readonly #subscriberWatch: Watch;
  readonly #places: readonly RedisPlace[];
  #prove: () => Promise<unknown>;

  constructor({ server, log, prefix = 'muster:', ...options }: RedisLinkOptions) {
    if (/[{}]/.test(prefix)) throw new Error('a Redis key prefix must not contain braces');
    const limits = { ...redisLinkLimits, ...options.limits };
    const connections = new RedisConnections(server, limits, log);
    const { isCluster } = connections;
    const pacer = new Pacer(limits);
    super({ connections, pacer, prefix: isCluster ? `{${prefix}}` : prefix, limits, log });
    this.isCluster = isCluster;
    this.#connections = connections;
    const leader = (): Target['address'] => (this.commands.status === 'ready' ? this.target.address : undefined);
    const { redis, target } = connections.open({ pacer, slot: hashSlot(this.markerKey), leader });
    this.subscriber = redis;
    this.#subscriberTarget = target;
    this.#prove = () => redis.ping();
    this.#subscriberWatch = new Watch(redis, () => this.#prove());
    if (isCluster) this.#mindMoves();
    const others = new Pacer(limits);
    this.#places = isCluster
      ? spreadTags(spreadPlaces).map(
          (tag) => new RedisPlace({ connections, pacer: others, prefix: `${prefix}{${tag}}`, limits, log }),
        )
      : [];
  }

  /**
   * Where keys lie that are named by `tag`, and that no script uses together with keys of another tag: on a Redis
   * Cluster at one of several places, which may be lost, and be up and down, each by itself; otherwise here.
   */
  at(tag: string): RedisPlace {
    return this.#places[hashSlot(`{${tag}}`) % spreadPlaces] ?? this;
  }

  /** The pub/sub channel of a bus topic. */
  channel(topic: string): string {
    return this.key(`topic:${topic}`);
  }

  /** How the subscriber's connection shows that it lives, and that it is still subscribed; otherwise by a ping. */
  proveSubscriptions(prove: () => Promise<unknown>): void {
    this.#prove = prove;
  }

  /** Ends all connections; whatever is asked afterwards is UNAVAILABLE. */
  override async close(): Promise<void> {
    this.#connections.close();
    this.subscriber.disconnect();
    await Promise.all([super.close(), ...this.#places.map((place) => place.close())]);
  }

  protected override tick(): void {
    this.#subscriberWatch.tick(this.limits.silentProbes);
    super.tick();
  }

  protected override arrived(): void {
    this.#follow();
  }

  /** The order among what is published and what scripts do is that of one server, so both connections go to one. */
  #follow(): void {
    if (!this.isCluster || this.commands.status !== 'ready' || this.subscriber.status !== 'ready') return;
    if (!this.#isTogether()) reconnect(this.subscriber);
  }

  #isTogether(): boolean {
    const [leads, follows] = [this.target.address, this.#subscriberTarget.address];
    return leads?.host === follows?.host && leads?.port === follows?.port;
  }

  /**
   * A server that the slot has left ends the subscriptions by replies that nobody asked for, over which ioredis loses
   * count; and to SSUBSCRIBE such a server says MOVED, which ioredis tells by an event alone.
   */
  #mindMoves(): void {
    const { subscriber } = this;
    const leave = (): void => {
      reconnect(subscriber);
      if (this.#isTogether()) reconnect(this.commands);
    };
    subscriber.on('ready', () => this.#follow());
    subscriber.on('moved', leave);
    subscriber.on('error', (error: Error) => {
      if (isMiscount(error)) leave();
    });
  }
}
