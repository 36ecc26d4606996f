import { type AppError, resourceExhausted, unavailable } from '../platform/errors.ts';
import { SmallSet } from '../platform/small.ts';
import { within } from '../platform/within.ts';
import { reconnect } from './redis-connections.ts';
import { translateRedisError } from './redis-errors.ts';
import type { RedisLink } from './redis-link.ts';

/** Channels one node may be subscribed to. */
const maxChannels = 1_000_000;

/** Channels in one SUBSCRIBE. */
const maxPerCommand = 1000;

/** One that listens to a channel. */
export interface Member {
  readonly channel: string;
  readonly handler: (payload: Uint8Array) => void;
}

interface Channel {
  readonly name: string;
  readonly members: SmallSet<Member>;
  /** The number of the last command when that was a SUBSCRIBE, on this connection; otherwise 0. */
  asked: number;
  /** Redis has acknowledged it, and no UNSUBSCRIBE was sent since. */
  active: boolean;
  readonly waiting: SmallSet<Waiting>;
}

interface Waiting {
  resolve(): void;
  reject(error: AppError): void;
}

export interface TopicEvents {
  /** Every channel with members is subscribed, on a connection that was not there before. */
  onWhole(): void;
  /** The connection is gone, and all subscriptions with it. */
  onBroken(): void;
  /** Redis has acknowledged that nothing more comes on this channel. */
  onEnded(channel: string): void;
  onMessage(members: SmallSet<Member> | undefined, message: Buffer): void;
}

/**
 * What one node is subscribed to. Changes of one turn of the event loop go out in one command, and after a reconnect
 * everything is subscribed again.
 */
export class RedisTopics {
  readonly #link: RedisLink;
  readonly #events: TopicEvents;
  readonly #channels = new Map<string, Channel>();
  readonly #changed = new Set<Channel>();
  readonly #off: () => void;
  #connection = 0;
  #lastNumber = 0;
  /** What is still to be subscribed again after a reconnect. */
  #restoring: Set<Channel> | undefined;
  #connected = false;
  #scheduled = false;
  /** Channels whose last command was a SUBSCRIBE. */
  #subscribed = 0;

  constructor(link: RedisLink, events: TopicEvents) {
    this.#link = link;
    this.#events = events;
    const { subscriber } = link;
    const ready = (): void => this.#restore();
    const close = (): void => this.#break();
    const message = (channel: Buffer, content: Buffer): void =>
      this.#events.onMessage(this.#channels.get(channel.toString())?.members, content);
    const heard = link.isCluster ? 'smessageBuffer' : 'messageBuffer';
    subscriber.on('ready', ready).on('close', close).on(heard, message);
    this.#off = () => void subscriber.off('ready', ready).off('close', close).off(heard, message);
    if (link.isCluster) link.proveSubscriptions(() => this.#prove());
    if (subscriber.status === 'ready') queueMicrotask(ready);
  }

  /** Whether all that is published on the channel from now on will be heard here. */
  hears(channel: string): boolean {
    return this.#channels.get(channel)?.active === true;
  }

  /** Resolves when Redis has acknowledged the subscription. Rejects, and forgets the member, after the time. */
  async add(member: Member, timeoutMs: number): Promise<void> {
    const channel = this.#channel(member.channel);
    channel.members.add(member);
    if (channel.active) return;
    const { promise, resolve, reject } = withResolvers();
    const waiting: Waiting = { resolve, reject };
    const timer = setTimeout(() => reject(unavailable('Redis is out of reach')), timeoutMs);
    channel.waiting.add(waiting);
    this.#change(channel);
    try {
      await promise;
    } catch (error) {
      this.remove(member);
      throw error;
    } finally {
      clearTimeout(timer);
      channel.waiting.delete(waiting);
    }
  }

  /** The member hears nothing any more from now on. */
  remove(member: Member): void {
    const channel = this.#channels.get(member.channel);
    if (channel === undefined || !channel.members.delete(member) || channel.members.size > 0) return;
    this.#change(channel);
  }

  /** Takes all subscriptions back; resolves when Redis has acknowledged it, or does not. */
  async close(): Promise<void> {
    const asked = [...this.#channels.values()].filter((channel) => channel.asked > 0);
    for (const channel of this.#channels.values()) {
      channel.members.clear();
      for (const { reject } of channel.waiting) reject(unavailable('the bus of this node is closed'));
    }
    this.#channels.clear();
    this.#changed.clear();
    this.#off();
    if (!this.#connected) return;
    const { limits } = this.#link;
    const ended: Promise<unknown>[] = [];
    while (asked.length > 0) ended.push(this.#unsubscribe(asked.splice(-maxPerCommand)));
    await within(limits.offlineWaitMs, Promise.all(ended)).catch(() => undefined);
  }

  #channel(name: string): Channel {
    const known = this.#channels.get(name);
    if (known !== undefined) return known;
    if (this.#channels.size >= maxChannels) throw resourceExhausted('too many bus topics are subscribed');
    const channel: Channel = { name, members: new SmallSet(), asked: 0, active: false, waiting: new SmallSet() };
    this.#channels.set(name, channel);
    return channel;
  }

  #change(channel: Channel): void {
    this.#changed.add(channel);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#changed.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const some: Channel[] = [];
      for (const channel of this.#changed) {
        if (some.length >= maxPerCommand) break;
        this.#changed.delete(channel);
        some.push(channel);
      }
      if (this.#connected) this.#apply(some);
      else for (const channel of some) this.#tidy(channel);
      this.#schedule();
    });
  }

  /** Asks Redis for what the channels should be. */
  #apply(channels: readonly Channel[]): void {
    const starting = channels.filter((channel) => channel.members.size > 0 && channel.asked === 0);
    const ending = channels.filter((channel) => channel.members.size === 0 && channel.asked > 0);
    const number = ++this.#lastNumber;
    for (const channel of starting) channel.asked = number;
    for (const channel of ending) {
      channel.asked = 0;
      channel.active = false;
    }
    this.#subscribed += starting.length - ending.length;
    if (ending.length > 0) {
      this.#follow(this.#unsubscribe(ending), () => {
        for (const { name } of ending) this.#events.onEnded(name);
      });
    }
    if (starting.length > 0) {
      this.#follow(this.#subscribe(starting), (refusal) => {
        // Only the answer to the last SUBSCRIBE tells that no UNSUBSCRIBE is still under way.
        for (const channel of starting) if (channel.asked === number) this.#answered(channel, refusal);
      });
    }
    for (const channel of channels) this.#tidy(channel);
    this.#checkWhole();
  }

  #subscribe(channels: readonly Channel[]): Promise<unknown> {
    const { subscriber, isCluster } = this.#link;
    return isCluster ? subscriber.ssubscribe(...names(channels)) : subscriber.subscribe(...names(channels));
  }

  #unsubscribe(channels: readonly Channel[]): Promise<unknown> {
    const { subscriber, isCluster } = this.#link;
    return isCluster ? subscriber.sunsubscribe(...names(channels)) : subscriber.unsubscribe(...names(channels));
  }

  /** A server that the slot has left, perhaps only for a moment, has ended all subscriptions; Redis counts them. */
  async #prove(): Promise<void> {
    const { subscriber } = this.#link;
    const [connection, expected] = [this.#connection, this.#subscribed + 1];
    const count = await subscriber.ssubscribe(this.#link.key('proof'));
    if (count !== expected && this.#connected && connection === this.#connection) reconnect(subscriber);
  }

  /** What Redis says counts on the connection on which it was asked; a broken one is made good by the next. */
  #follow(command: Promise<unknown>, then: (refusal?: AppError) => void): void {
    const connection = this.#connection;
    const isCurrent = (): boolean => this.#connected && connection === this.#connection;
    command.then(
      () => isCurrent() && then(),
      (error: unknown) => {
        if (isCurrent() && error instanceof Error && error.name === 'ReplyError') then(translateRedisError(error));
      },
    );
  }

  #answered(channel: Channel, refusal: AppError | undefined): void {
    if (refusal === undefined) {
      channel.active = true;
    } else {
      channel.asked = 0;
      this.#subscribed--;
    }
    for (const { resolve, reject } of channel.waiting) {
      if (refusal === undefined) resolve();
      else reject(refusal);
    }
    this.#restoring?.delete(channel);
    this.#checkWhole();
  }

  #tidy(channel: Channel): void {
    if (channel.members.size > 0) return;
    this.#restoring?.delete(channel);
    if (channel.asked === 0 && this.#channels.get(channel.name) === channel) this.#channels.delete(channel.name);
  }

  #restore(): void {
    if (this.#connected) return;
    this.#connection++;
    this.#connected = true;
    this.#restoring = new Set(this.#channels.values());
    for (const channel of this.#restoring) this.#changed.add(channel);
    this.#schedule();
    this.#checkWhole();
  }

  #checkWhole(): void {
    if (this.#restoring === undefined || this.#restoring.size > 0) return;
    this.#restoring = undefined;
    this.#events.onWhole();
  }

  #break(): void {
    this.#connected = false;
    this.#subscribed = 0;
    this.#restoring = undefined;
    for (const channel of this.#channels.values()) {
      channel.asked = 0;
      channel.active = false;
    }
    this.#events.onBroken();
  }
}

const names = (channels: readonly Channel[]): string[] => channels.map(({ name }) => name);

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: AppError) => void } {
  let resolve = (): void => {};
  let reject = (_error: AppError): void => {};
  const promise = new Promise<void>((onDone, onFail) => {
    resolve = onDone;
    reject = onFail;
  });
  return { promise, resolve, reject };
}
