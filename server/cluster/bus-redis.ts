import { randomBytes } from 'node:crypto';
import { invalidArgument, unavailable } from '../platform/errors.ts';
import type { SmallSet } from '../platform/small.ts';
import { within } from '../platform/within.ts';
import {
  type AnswerHandler,
  type Bus,
  type ClusterLog,
  checkFrameSize,
  type FrameHandler,
  type GapListener,
  type Subscription,
} from './bus.ts';
import { inboxChannel, RedisAsks } from './bus-redis-asks.ts';
import { decodeLetter, decodeWire, encodeLetter } from './bus-redis-frame.ts';
import { RedisSender, type RedisSenderLimits } from './bus-redis-sender.ts';
import { type Member, RedisTopics } from './bus-redis-topics.ts';
import type { RedisLink } from './redis-link.ts';

export interface RedisBusOptions {
  /** The name under which other nodes ask this one. A bus that was opened later takes the name over. */
  readonly node: string;
  readonly log: ClusterLog;
  readonly limits?: Partial<RedisSenderLimits>;
}

/** How long the others wait for one that repairs itself after a gap. */
const gapListenerMs = 30_000;

export const redisBusLimits: RedisSenderLimits = { maxPending: 65_536, maxPendingBytes: 64 * 1024 * 1024 };

/** There are several per socket: what they have in common is not made anew for each. */
class Subscriber implements Member, Subscription {
  readonly channel: string;
  readonly handler: FrameHandler;
  readonly #topics: RedisTopics;

  constructor(channel: string, handler: FrameHandler, topics: RedisTopics) {
    this.channel = channel;
    this.handler = handler;
    this.#topics = topics;
  }

  async close(): Promise<void> {
    this.#topics.remove(this);
  }
}

/**
 * The bus over Redis pub/sub. A node hears its own frames through Redis as all others do: hence one order for all, and
 * a publication is done when its frame has come back.
 */
export class RedisBus implements Bus {
  readonly node: string;
  readonly #link: RedisLink;
  readonly #log: ClusterLog;
  /** Tells the frames of this bus from those of others, an earlier life of this node included. */
  readonly #origin = randomBytes(8);
  readonly #sender: RedisSender;
  readonly #topics: RedisTopics;
  readonly #asks: RedisAsks;
  readonly #gapListeners: GapListener[] = [];
  readonly #inbox: Member;
  readonly #replies: Member;
  #droppedFrames = 0;
  #claim = 0;
  #opened = false;
  #isWhole = false;
  #gapDue = false;
  #mending = false;
  #closed = false;

  /** Resolves when this node can be asked; rejects with UNAVAILABLE when Redis is out of reach. */
  static async open(link: RedisLink, options: RedisBusOptions): Promise<RedisBus> {
    const bus = new RedisBus(link, options);
    try {
      await bus.#start();
      return bus;
    } catch (error) {
      await bus.close();
      throw error;
    }
  }

  private constructor(link: RedisLink, { node, log, limits }: RedisBusOptions) {
    this.node = node;
    this.#link = link;
    this.#log = log;
    const hears = (channel: string): boolean => this.#topics.hears(channel);
    this.#sender = new RedisSender(link, this.#origin, hears, { ...redisBusLimits, ...limits });
    this.#topics = new RedisTopics(link, {
      onWhole: () => this.#whole(),
      onBroken: () => this.#broken(),
      onEnded: (channel) => this.#sender.unheard(channel),
      onMessage: (members, message) => this.#receive(members, message),
    });
    const replyChannel = link.key(`replies:${this.#origin.toString('hex')}`);
    this.#asks = new RedisAsks({ link, sender: this.#sender, node, replyChannel, log });
    this.#inbox = { channel: inboxChannel(link, node), handler: (payload) => this.#hear(payload) };
    this.#replies = { channel: replyChannel, handler: (payload) => this.#asks.reply(payload) };
    link.onUp(() => this.#up());
    link.onLost(() => this.#gap());
  }

  get isWhole(): boolean {
    return this.#isWhole && this.#link.isUp;
  }

  get droppedFrames(): number {
    return this.#droppedFrames;
  }

  async publish(topic: string, frame: Uint8Array): Promise<void> {
    this.#checkOpen();
    checkFrameSize(frame);
    await this.#sender.send(this.#channel(topic), frame, true);
  }

  async subscribe(topic: string, handler: FrameHandler): Promise<Subscription> {
    this.#checkOpen();
    const subscriber = new Subscriber(this.#channel(topic), handler, this.#topics);
    await this.#topics.add(subscriber, this.#subscribeMs);
    return subscriber;
  }

  async ask(node: string, kind: string, body: Uint8Array, deadlineMs: number): Promise<Uint8Array> {
    this.#checkOpen();
    return await this.#asks.ask(node, kind, body, deadlineMs);
  }

  answer(kind: string, handler: AnswerHandler): void {
    this.#asks.answer(kind, handler);
  }

  onGap(listener: GapListener): void {
    this.#gapListeners.push(listener);
  }

  /**
   * Resolves when this node has handled every frame that Redis published before the call, by whomever: a script that
   * publishes (see `scriptFrameHeader`) has reached this node's own subscribers then. Rejects as `publish` does.
   */
  async fence(): Promise<void> {
    this.#checkOpen();
    await this.#sender.send(this.#replies.channel, encodeLetter({ what: 'fence' }), true);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#asks.close();
    this.#sender.close();
    await this.#topics.close();
  }

  get #subscribeMs(): number {
    return this.#link.limits.offlineWaitMs + this.#link.limits.commandTimeoutMs;
  }

  async #start(): Promise<void> {
    const [seconds, micros] = await this.#link.run((redis) => redis.time());
    this.#claim = Number(seconds) * 1_000_000 + Number(micros);
    await Promise.all([this.#inbox, this.#replies].map((member) => this.#topics.add(member, this.#subscribeMs)));
    await this.#sender.send(this.#inbox.channel, encodeLetter({ what: 'claim', claim: this.#claim }), true);
    this.#opened = true;
  }

  #receive(members: SmallSet<Member> | undefined, message: Buffer): void {
    const received = decodeWire(message, this.#origin);
    if (received === undefined) {
      if (this.#droppedFrames++ === 0) this.#log.warn({}, 'a bus frame of a newer version was dropped');
      return;
    }
    if (members !== undefined) {
      for (const member of [...members]) if (members.has(member)) this.#call(member, received.payload);
    }
    if (received.ownSequence > 0) this.#sender.returned(received.ownSequence);
  }

  #call(member: Member, payload: Uint8Array): void {
    try {
      member.handler(payload);
    } catch (error) {
      this.#log.error({ err: error, channel: member.channel }, 'bus handler failed');
    }
  }

  #hear(payload: Uint8Array): void {
    const { letter, body } = decodeLetter(payload);
    if (letter.what === 'question') void this.#asks.question(letter, body);
    else if (letter.what === 'claim') this.#compare(letter.claim);
  }

  /** Of two processes with one name the later one is asked. */
  #compare(claim: number): void {
    if (claim > this.#claim) {
      this.#log.warn({ node: this.node }, 'another process answers for this node from now on');
      this.#topics.remove(this.#inbox);
    } else if (claim < this.#claim) {
      this.#stakeClaim();
    }
  }

  #stakeClaim(): void {
    const letter = encodeLetter({ what: 'claim', claim: this.#claim });
    this.#sender.send(this.#inbox.channel, letter, false).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'this node could not say that it is there');
    });
  }

  #whole(): void {
    this.#isWhole = true;
    this.#sender.resume();
    if (!this.#opened) return;
    // Somebody may have taken the name meanwhile, who will say so then.
    this.#stakeClaim();
    this.#gap();
  }

  #broken(): void {
    this.#isWhole = false;
    this.#sender.pause();
    this.#asks.deaf();
  }

  #up(): void {
    this.#sender.kick();
    void this.#mend();
  }

  #gap(): void {
    if (this.#closed || !this.#opened) return;
    this.#gapDue = true;
    void this.#mend();
  }

  /** Calls the listeners once everything is there again, and once more when something was lost while they ran. */
  async #mend(): Promise<void> {
    if (this.#mending) return;
    this.#mending = true;
    while (this.#gapDue && this.isWhole && !this.#closed) {
      this.#gapDue = false;
      for (const listener of this.#gapListeners) {
        try {
          if (!(await within(gapListenerMs, Promise.resolve(listener())))) throw new Error('it takes too long');
        } catch (error) {
          this.#log.error({ err: error }, 'bus gap listener failed');
        }
      }
    }
    this.#mending = false;
  }

  #channel(topic: string): string {
    // Such a name would come back from Redis as another one.
    if (/\p{Surrogate}/u.test(topic)) throw invalidArgument('a bus topic must be valid Unicode');
    return this.#link.channel(topic);
  }

  #checkOpen(): void {
    if (this.#closed) throw unavailable('the bus of this node is closed');
  }
}
