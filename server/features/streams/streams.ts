import type { Logger } from 'pino';
import type { Bus, Subscription } from '../../cluster/bus.ts';
import type { NewPresence, Presence, PresenceTracker } from '../../cluster/presence.ts';
import { type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import {
  allChanges,
  decodeStreamFrame,
  encodeEnvelope,
  encodeOrdered,
  type PresenceEvent,
  type StreamMessage,
  type StreamPosition,
} from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import { unavailable } from '../../platform/errors.ts';
import { within } from '../../platform/within.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { SocketSession } from '../../wire/session.ts';
import type { OrderedDelivery } from './ordered-delivery.ts';
import { Orders, type StreamOrder } from './orders.ts';
import { ToldPresences } from './told-presences.ts';
import { Unannounced } from './unannounced.ts';
import { toWirePresence, type WirePresence } from './wire-presence.ts';

/** Streams that are looked at anew at a time. */
const resyncBatch = 50;

/** How long the sender of a message waits at most for the ones that come before it. */
const maxTurnWaitMs = 2000;

/** How a session is on a stream. */
export interface Membership {
  /** No join and leave events, not in lists that clients see; still receives everything. */
  readonly hidden: boolean;
  /** Chat: store what is sent under this presence. */
  readonly persistence: boolean;
  readonly status: string;
}

/** Turns the comings and goings on one mode of stream into the message its listeners get. */
export type PresenceMessage = (stream: Stream, joins: WirePresence[], leaves: WirePresence[]) => Payload;

/** What this node knows of a stream: the sockets here that take part in it or watch it. */
interface LocalStream {
  readonly stream: Stream;
  readonly members: Set<SocketSession>;
  readonly watchers: Set<SocketSession>;
  readonly subscription: Promise<Subscription>;
  /** What the listeners here have been told of who is on it. */
  readonly told: ToldPresences;
  /** Of a mode that has an order. */
  readonly ordered: OrderedDelivery<EnvelopeFrame> | undefined;
  /** Resolves when it is known where in that order the listeners here begin. */
  readonly begun: Promise<void>;
  /** What waits while the presences are looked at anew. */
  held: StreamMessage[] | undefined;
}

interface Dependencies {
  readonly bus: Bus;
  readonly presence: PresenceTracker;
  readonly clock: Clock;
  readonly log: Logger;
  readonly countEvent: () => void;
}

/**
 * The single fan-out mechanism: who is on which stream, on any node, and messages to all of them
 * (spec: realtime.md, sections 9 and 10). Frames and presence events of a stream have the order in which the bus takes
 * them; messages sent in order have that of their places, which is the same on every node whatever the bus does.
 */
export class Streams {
  readonly #deps: Dependencies;
  readonly #local = new Map<string, LocalStream>();
  /** Streams by session, so that a closing socket finds them. */
  readonly #ofSession = new Map<SocketSession, Set<string>>();
  readonly #byId = new Map<string, SocketSession>();
  readonly #messages = new Map<number, { message: PresenceMessage; audience: 'members' | 'watchers' }>();
  readonly #orders: Orders;
  readonly #unannounced: Unannounced;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#orders = new Orders(deps.clock, deps.log);
    this.#unannounced = new Unannounced(deps.bus, deps.log);
  }

  /**
   * Says what listeners of this mode get when presences change, and who listens: those on the stream, or those who
   * watch it. Modes without an entry are silent.
   */
  describe(mode: number, audience: 'members' | 'watchers', message: PresenceMessage): void {
    this.#messages.set(mode, { message, audience });
  }

  /** Says where the streams of this mode have their order from: for `sendInOrder`. */
  order(mode: number, order: StreamOrder): void {
    this.#orders.set(mode, order);
  }

  sessionOpened(session: SocketSession): void {
    this.#ofSession.set(session, new Set());
    this.#byId.set(session.id, session);
    this.#deps.presence.openSession(session.id);
  }

  /** Takes the session off all its streams; its leaves are announced everywhere. */
  async sessionClosed(session: SocketSession): Promise<void> {
    const keys = this.#ofSession.get(session) ?? [];
    this.#ofSession.delete(session);
    this.#byId.delete(session.id);
    // Gone from the fan-out first, so that nobody hears of their own leaving.
    for (const key of keys) this.#forget(key, session);
    await this.#deps.presence.untrackSession(session.id);
  }

  /**
   * Puts the session on the stream. `members` are all presences afterwards, hidden ones and itself included; whoever
   * is not in it will arrive as an event. Being on it already keeps the old membership.
   */
  async join(
    session: SocketSession,
    stream: Stream,
    membership: Membership,
  ): Promise<{ isNew: boolean; members: Presence[] }> {
    const presence = this.#toPresence(session, stream, membership);
    return this.#asMember(session, stream, async (local) => {
      let isNew = false;
      const members = await local.told.whileListing(async () => {
        const tracked = await this.#deps.presence.track(presence);
        isNew = tracked.isNew;
        return tracked.members;
      });
      return { isNew, members };
    });
  }

  /** Joins, or changes the membership of a session that is on the stream already: a leave and a join in one event. */
  async update(session: SocketSession, stream: Stream, membership: Membership): Promise<void> {
    const presence = this.#toPresence(session, stream, membership);
    await this.#asMember(session, stream, () => this.#deps.presence.update(presence));
  }

  /** Takes the session off the stream; false when it was not on it. */
  async leave(session: SocketSession, stream: Stream): Promise<boolean> {
    const local = this.#local.get(streamKey(stream));
    if (local !== undefined) this.#leaveLocally(session, local);
    return this.#deps.presence.untrack(session.id, stream, session.user.id);
  }

  /** Takes everyone off the stream, on every node; nobody is told. */
  async empty(stream: Stream): Promise<void> {
    await this.#deps.presence.closeStream(stream);
  }

  /** Is this session, of this node, on the stream? */
  isMember(session: SocketSession, stream: Stream): boolean {
    return this.#local.get(streamKey(stream))?.members.has(session) ?? false;
  }

  /** From now on the session hears who comes and goes on the stream, without being on it. */
  async watch(session: SocketSession, stream: Stream): Promise<void> {
    await this.#attend(session, stream, 'watchers');
  }

  unwatch(session: SocketSession, stream: Stream): void {
    const local = this.#local.get(streamKey(stream));
    if (local === undefined) return;
    local.watchers.delete(session);
    if (!local.members.has(session)) this.#ofSession.get(session)?.delete(streamKey(stream));
    this.#dropIfUnused(local);
  }

  /** All presences of the stream, on every node, hidden ones included. */
  async presences(stream: Stream): Promise<Presence[]> {
    return (await this.presencesOf([stream]))[0] ?? [];
  }

  /** As `presences` of each stream. What is heard here until the last list has arrived counts for all of them. */
  async presencesOf(streams: readonly Stream[]): Promise<Presence[][]> {
    const lists = Promise.all(streams.map((stream) => this.#deps.presence.list(stream)));
    return Promise.all(
      streams.map((stream, index) => {
        const list = async (): Promise<Presence[]> => (await lists)[index] ?? [];
        return this.#local.get(streamKey(stream))?.told.whileListing(list) ?? list();
      }),
    );
  }

  /**
   * After frames may have been lost: looks at every stream that has listeners here, and tells them who came and went
   * meanwhile. Messages that were sent in order follow by and by.
   */
  async resync(): Promise<void> {
    for (const { ordered } of this.#local.values()) ordered?.catchUp();
    const streams = [...this.#local.values()].filter((local) => this.#messages.has(local.stream.mode));
    for (let at = 0; at < streams.length; at += resyncBatch) {
      await Promise.all(streams.slice(at, at + resyncBatch).map((local) => this.#resyncStream(local)));
    }
  }

  async #resyncStream(local: LocalStream): Promise<void> {
    if (local.held !== undefined) return;
    local.held = [];
    try {
      const members = await this.#deps.presence.list(local.stream);
      this.#announce(local, local.told.replace(members));
    } catch (error) {
      this.#deps.log.warn({ err: error, stream: streamKey(local.stream) }, 'could not look at stream after a gap');
    } finally {
      const held = local.held;
      local.held = undefined;
      // The list may have some of what they say already.
      for (const message of held) this.#process(local, message, 'only news');
    }
  }

  /** Sends a message to everyone on the stream. On this node it is queued to the sockets before this resolves. */
  async send(stream: Stream, message: Payload): Promise<void> {
    const frame = encodeEnvelope(stream, EnvelopeFrame.of(message).protobuf);
    await this.#deps.bus.publish(streamTopic(stream), frame);
  }

  /**
   * As `send`, for a message that is stored at that place of the stream's order. Listeners of this node need not wait
   * for it to come back from the bus, whose copy is then one they have had. As it is stored, it is sent even when the bus
   * does not take it: the other nodes fetch it, after their own gap or when this node gets through to them again. Hence
   * this never rejects, and whoever sent the message may be told that all is well.
   */
  async sendInOrder(stream: Stream, position: StreamPosition, message: Payload): Promise<void> {
    const envelope = EnvelopeFrame.of(message);
    const ordered = this.#local.get(streamKey(stream))?.ordered;
    ordered?.take(position, envelope, envelope.protobuf.byteLength);
    try {
      await this.#deps.bus.publish(streamTopic(stream), encodeOrdered(stream, position, envelope.protobuf));
    } catch (error) {
      this.#unannounced.add(stream, position, error);
    }
    const turn = ordered?.passed(position);
    if (turn !== undefined) await within(maxTurnWaitMs, turn);
  }

  /** Says nothing more of its own accord. */
  close(): void {
    this.#unannounced.close();
  }

  // The session is part of the fan-out before `change` puts it on the stream: nothing falls between list and events.
  async #asMember<T>(session: SocketSession, stream: Stream, change: (local: LocalStream) => Promise<T>): Promise<T> {
    const wasMember = this.isMember(session, stream);
    const local = await this.#attend(session, stream, 'members');
    try {
      const [result] = await Promise.all([change(local), local.begun]);
      return result;
    } catch (error) {
      if (!wasMember) this.#leaveLocally(session, local);
      throw this.#ofSession.has(session) ? error : unavailable('Session is closing.', error);
    }
  }

  // Notes the session on the node's part of the stream, and waits until that is subscribed to the stream's topic.
  async #attend(session: SocketSession, stream: Stream, role: 'members' | 'watchers'): Promise<LocalStream> {
    const key = streamKey(stream);
    const sessionStreams = this.#ofSession.get(session);
    if (sessionStreams === undefined) throw unavailable('Session is closing.');
    const local = this.#local.get(key) ?? this.#open(stream);
    // Noted before the wait, so that nobody who leaves meanwhile takes the stream from under this session.
    local[role].add(session);
    sessionStreams.add(key);
    try {
      await local.subscription;
    } catch (error) {
      this.#forget(key, session);
      throw error;
    }
    if (!this.#ofSession.has(session)) throw unavailable('Session is closing.');
    return local;
  }

  #open(stream: Stream): LocalStream {
    const key = streamKey(stream);
    const members = new Set<SocketSession>();
    const subscription = this.#deps.bus.subscribe(streamTopic(stream), (frame) => this.#onFrame(key, frame));
    const ordered = this.#orders.open(stream, (message) => this.#deliver(members, message));
    // Why it is not subscribed is told to those who wait for the subscription itself.
    const begun = subscription.then(() => ordered?.begin()).catch(() => undefined);
    const told = new ToldPresences();
    const local = {
      stream,
      members,
      watchers: new Set<SocketSession>(),
      subscription,
      told,
      ordered,
      begun,
      held: undefined,
    };
    this.#local.set(key, local);
    return local;
  }

  #leaveLocally(session: SocketSession, local: LocalStream): void {
    local.members.delete(session);
    if (!local.watchers.has(session)) this.#ofSession.get(session)?.delete(streamKey(local.stream));
    this.#dropIfUnused(local);
  }

  #forget(key: string, session: SocketSession): void {
    const local = this.#local.get(key);
    if (local === undefined) return;
    local.members.delete(session);
    local.watchers.delete(session);
    this.#dropIfUnused(local);
  }

  #dropIfUnused(local: LocalStream): void {
    if (local.members.size + local.watchers.size > 0) return;
    const key = streamKey(local.stream);
    if (this.#local.get(key) === local) this.#local.delete(key);
    local.ordered?.close();
    local.subscription
      .then((subscription) => subscription.close())
      .catch((error) => this.#deps.log.warn({ err: error, stream: key }, 'could not unsubscribe from stream'));
  }

  #onFrame(key: string, bytes: Uint8Array): void {
    const local = this.#local.get(key);
    const message = local === undefined ? undefined : decodeStreamFrame(bytes);
    if (local === undefined || message === undefined) return;
    // What has its own order need not wait for others.
    if (local.held === undefined || message.kind === 'ordered') this.#process(local, message);
    else local.held.push(message);
  }

  #process(local: LocalStream, message: StreamMessage, filter?: 'only news'): void {
    this.#dropRemoved(local, allChanges(message));
    switch (message.kind) {
      case 'envelope':
        this.#deliver(local.members, EnvelopeFrame.fromBytes(message.envelope), message.sessionIds);
        break;
      case 'ordered':
        this.#takeOrdered(local, message.position, message.envelope);
        break;
      case 'presences':
        this.#deps.countEvent();
        this.#announce(local, filter === undefined ? local.told.take(message) : local.told.takeNews(message));
        break;
      case 'closed':
        this.#onClosed(local);
        break;
    }
  }

  #takeOrdered({ ordered, members }: LocalStream, position: StreamPosition, envelope: Uint8Array | undefined): void {
    if (envelope === undefined) ordered?.expect(position);
    else if (ordered === undefined) this.#deliver(members, EnvelopeFrame.fromBytes(envelope));
    else ordered.take(position, EnvelopeFrame.fromBytes(envelope), envelope.byteLength);
  }

  #deliver(sessions: Iterable<SocketSession>, envelope: EnvelopeFrame, only: readonly string[] = []): void {
    for (const session of sessions) {
      if (only.length === 0 || only.includes(session.id)) session.send(envelope);
    }
  }

  #announce(local: LocalStream, { joins, leaves }: PresenceEvent): void {
    const described = this.#messages.get(local.stream.mode);
    if (described === undefined || joins.length + leaves.length === 0) return;
    const message = described.message(local.stream, joins.map(toWirePresence), leaves.map(toWirePresence));
    const audience = described.audience === 'members' ? local.members : local.watchers;
    this.#deliver(audience, EnvelopeFrame.of(message));
  }

  // Sessions of this node that somebody else took off the stream: a kick, or a sweep.
  #dropRemoved(local: LocalStream, { joins, leaves }: PresenceEvent): void {
    for (const { sessionId } of leaves) {
      const session = this.#byId.get(sessionId);
      if (session === undefined || !local.members.has(session)) continue;
      if (!joins.some((join) => join.sessionId === sessionId)) this.#leaveLocally(session, local);
    }
  }

  // Everyone is off the stream, without an event (spec: section 10, "close stream").
  #onClosed(local: LocalStream): void {
    local.told.clear();
    for (const session of [...local.members]) this.#leaveLocally(session, local);
  }

  #toPresence(session: SocketSession, stream: Stream, membership: Membership): NewPresence {
    return {
      sessionId: session.id,
      userId: session.user.id,
      username: session.user.username,
      stream,
      ...membership,
    };
  }
}
