import type { Logger } from 'pino';
import type { Bus, Subscription } from '../../cluster/bus.ts';
import type { Presence } from '../../cluster/presence.ts';
import { type Stream, streamKey, streamKeyTopic } from '../../cluster/stream.ts';
import { allChanges, decodeStreamFrame, type PresenceEvent, type StreamMessage } from '../../cluster/stream-frame.ts';
import { SmallSet } from '../../platform/small.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { SocketSession } from '../../wire/session.ts';
import { Members } from './members.ts';
import type { OrderedDelivery } from './ordered-delivery.ts';
import type { OrderedMessage, Orders } from './orders.ts';
import { ToldPresences } from './told-presences.ts';
import { toWirePresence, type WirePresence } from './wire-presence.ts';

/** Turns the comings and goings on one mode of stream into the message its listeners get. */
export type PresenceMessage = (stream: Stream, joins: WirePresence[], leaves: WirePresence[]) => Payload;

/** What is told of who comes and goes, and to whom: those on the stream, or those who watch it. */
export interface PresenceNews {
  readonly message: PresenceMessage;
  readonly audience: 'members' | 'watchers';
}

/** What a stream has to do with the rest of its node. */
export interface LocalStreamHost {
  readonly bus: Bus;
  readonly orders: Orders;
  readonly log: Logger;
  readonly countEvent: () => void;
  /** The node's open session of that id. */
  sessionOf(sessionId: string): SocketSession | undefined;
  /** Is the session on the stream, as far as this node knows? What the others make of this node does not count. */
  holds(local: LocalStream, session: SocketSession): boolean;
  /** The session is to be taken out of the fan-out: its presence is gone. */
  left(local: LocalStream, session: SocketSession): void;
  /** The session is to be put into it: its presence is there. */
  came(local: LocalStream, session: SocketSession): void;
  /** These sessions heard their last message, and are out of the fan-out; their presences may still be there. */
  dismissed(local: LocalStream, sessions: readonly SocketSession[]): void;
}

/** Of the streams that have no order: there is no place at which to begin. */
const noOrder = Promise.resolve();

/** What this node knows of a stream: the sockets here that take part in it or watch it, and what they have been told. */
export class LocalStream {
  readonly stream: Stream;
  readonly key: string;
  readonly members = new Members();
  readonly watchers = new SmallSet<SocketSession>();
  readonly subscription: Promise<Subscription>;
  /** What the listeners here have been told of who is on it. */
  readonly told = new ToldPresences();
  /** Of a mode that has an order. */
  readonly ordered: OrderedDelivery<OrderedMessage> | undefined;
  /** Resolves when it is known where in that order the listeners here begin. */
  readonly begun: Promise<void>;
  readonly #host: LocalStreamHost;
  readonly #news: PresenceNews | undefined;
  /** What waits while the presences are looked at anew. */
  #held: StreamMessage[] | undefined;
  #isClosed = false;

  /** @param news undefined for streams whose comings and goings are nobody's concern */
  constructor(stream: Stream, host: LocalStreamHost, news: PresenceNews | undefined) {
    this.stream = stream;
    this.key = streamKey(stream);
    this.#host = host;
    this.#news = news;
    this.subscription = host.bus.subscribe(streamKeyTopic(this.key), (frame) => this.#hear(frame));
    this.ordered = host.orders.open(stream, (message) => this.#deliverOrdered(message));
    // Why it is not subscribed is told to those who wait for the subscription itself.
    const { ordered } = this;
    this.begun = ordered === undefined ? noOrder : this.subscription.then(() => ordered.begin()).catch(() => undefined);
  }

  get isUnused(): boolean {
    return this.members.isEmpty && this.watchers.size === 0;
  }

  /** Hears nothing more. */
  close(): void {
    this.#isClosed = true;
    this.ordered?.close();
    this.subscription
      .then((subscription) => subscription.close())
      .catch((error) => this.#host.log.warn({ err: error, stream: this.key }, 'could not unsubscribe from stream'));
  }

  /** After frames may have been lost: tells listeners who came and went meanwhile, as far as that concerns anybody. */
  async resync(list: () => Promise<Presence[]>): Promise<void> {
    if (this.#news === undefined || this.#held !== undefined) return;
    this.#held = [];
    try {
      const missingFrom = this.members.startLook();
      const look = async (): Promise<Presence[]> => {
        const presences = await list();
        // Their leaves, or the end of the stream, were lost.
        for (const session of missingFrom(presences))
          if (!this.#host.holds(this, session)) this.#host.left(this, session);
        return presences;
      };
      await this.told.whileListing(look, (missed) => this.#announce(missed));
    } catch (error) {
      this.#host.log.warn({ err: error, stream: this.key }, 'could not look at stream after a gap');
    } finally {
      const held = this.#held;
      this.#held = undefined;
      for (const message of held) this.#process(message);
    }
  }

  /** Also tells the listeners here what the list shows and they should have heard before: frames were lost. */
  list(fetch: () => Promise<Presence[]>): Promise<Presence[]> {
    const wasComplete = this.told.isComplete;
    return this.told.whileListing(fetch, ({ leaves, joins }) => {
      this.#announce({ leaves, joins: wasComplete ? joins : [] });
    });
  }

  #hear(bytes: Uint8Array): void {
    const message = this.#isClosed ? undefined : decodeStreamFrame(bytes);
    if (message === undefined) return;
    // What has its own order need not wait for others.
    if (this.#held === undefined || message.kind === 'ordered') this.#process(message);
    else this.#held.push(message);
  }

  #process(message: StreamMessage): void {
    // A node that was given up while it stood still comes back with its sessions.
    if (!('sweep' in message && message.sweep)) this.#follow(allChanges(message));
    switch (message.kind) {
      case 'envelope':
        this.#deliver(this.members, EnvelopeFrame.fromBytes(message.envelope), message.sessionIds);
        break;
      case 'ordered':
        this.#takeOrdered(message);
        break;
      case 'presences':
        this.#host.countEvent();
        this.#announce(this.told.take(message));
        break;
      case 'closed':
        // Everyone is off the stream, without an event (spec: realtime.md, section 10, "close stream").
        this.told.clear();
        for (const session of [...this.members]) this.#host.left(this, session);
        break;
    }
  }

  #takeOrdered({ position, envelope, leaverId }: Extract<StreamMessage, { kind: 'ordered' }>): void {
    if (envelope === undefined) {
      this.ordered?.expect(position);
      return;
    }
    const message = { time: position.time, envelope: EnvelopeFrame.fromBytes(envelope), leaverId };
    if (this.ordered === undefined) this.#deliverOrdered(message);
    else this.ordered.take(position, message, envelope.byteLength);
  }

  #deliverOrdered({ time, envelope, leaverId }: OrderedMessage): void {
    this.#deliver(this.members, envelope);
    const leaving = leaverId === '' ? [] : this.members.leaving(leaverId, time);
    if (leaving.length === 0) return;
    for (const session of leaving) {
      this.members.markGone(session);
      this.#host.left(this, session);
    }
    this.#host.dismissed(this, leaving);
  }

  #follow(event: PresenceEvent): void {
    const { left, came } = this.members.changedBy(event, (id) => this.#host.sessionOf(id));
    for (const session of left) this.#host.left(this, session);
    for (const session of came) this.#host.came(this, session);
  }

  #announce({ joins, leaves }: PresenceEvent): void {
    if (this.#news === undefined || joins.length + leaves.length === 0) return;
    const { message, audience } = this.#news;
    const told = message(this.stream, joins.map(toWirePresence), leaves.map(toWirePresence));
    this.#deliver(this[audience], EnvelopeFrame.of(told));
  }

  #deliver(sessions: Iterable<SocketSession>, envelope: EnvelopeFrame, only: readonly string[] = []): void {
    for (const session of sessions) {
      if (only.length === 0 || only.includes(session.id)) session.send(envelope);
    }
  }
}
