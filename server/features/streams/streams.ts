import type { Logger } from 'pino';
import type { Bus } from '../../cluster/bus.ts';
import type { NewPresence, Presence, PresenceTracker } from '../../cluster/presence.ts';
import { type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { encodeEnvelope, encodeOrdered, type StreamPosition } from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import { unavailable } from '../../platform/errors.ts';
import { within } from '../../platform/within.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { SocketSession } from '../../wire/session.ts';
import { LocalStream, type LocalStreamHost, type PresenceMessage, type PresenceNews } from './local-stream.ts';
import { Orders, type StreamOrder } from './orders.ts';
import { Unannounced } from './unannounced.ts';

/** Streams that are looked at anew at a time. */
const resyncBatch = 50;

/** How long a caller waits for others to be told of what they will find in any case. */
const tellWaitMs = 250;

/** How long the sender of a message waits at most for the ones that come before it. */
const maxTurnWaitMs = 2000;

/** How long whoever sends a user away has for taking them off the stream, before the node of their sessions does it. */
const removalGraceMs = 2000;

/** How a session is on a stream. */
export interface Membership {
  /** No join and leave events, not in lists that clients see; still receives everything. */
  readonly hidden: boolean;
  /** Chat: store what is sent under this presence. */
  readonly persistence: boolean;
  readonly status: string;
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
  readonly #news = new Map<number, PresenceNews>();
  readonly #orders: Orders;
  readonly #host: LocalStreamHost;
  readonly #unannounced: Unannounced;
  readonly #removals = new Set<NodeJS.Timeout>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#orders = new Orders(deps.clock, deps.log);
    this.#unannounced = new Unannounced(deps.bus, deps.log);
    this.#host = {
      ...deps,
      orders: this.#orders,
      sessionOf: (sessionId) => this.#byId.get(sessionId),
      holds: ({ stream }, session) => deps.presence.holds(session.id, stream, session.user.id),
      left: (local, session) => this.#leaveLocally(session, local),
      came: (local, session) => {
        local.members.add(session);
        this.#ofSession.get(session)?.add(local.key);
      },
      dismissed: (local, sessions) => this.#removeLater(local.stream, sessions),
    };
  }

  /**
   * Says what listeners of this mode get when presences change, and who listens: those on the stream, or those who
   * watch it. Modes without an entry are silent.
   */
  describe(mode: number, audience: 'members' | 'watchers', message: PresenceMessage): void {
    this.#news.set(mode, { message, audience });
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
   * @param entry a place in the stream's order: messages up to there are nobody's last ones any more (`sendInOrder`)
   */
  async join(
    session: SocketSession,
    stream: Stream,
    membership: Membership,
    entry?: bigint,
  ): Promise<{ isNew: boolean; members: Presence[] }> {
    const presence = this.#toPresence(session, stream, membership);
    const track = async (local: LocalStream): Promise<{ isNew: boolean; members: Presence[] }> => {
      let isNew = false;
      const members = await local.list(async () => {
        const tracked = await this.#deps.presence.track(presence);
        // Whatever is heard before the list is answered counts more than the list.
        await local.begun;
        isNew = tracked.isNew;
        return tracked.members;
      });
      return { isNew, members };
    };
    return this.#asMember(session, stream, track, entry);
  }

  /** Joins, or changes the membership of a session that is on the stream already: a leave and a join in one event. */
  async update(session: SocketSession, stream: Stream, membership: Membership): Promise<void> {
    const presence = this.#toPresence(session, stream, membership);
    await this.#asMember(session, stream, () => this.#deps.presence.update(presence));
  }

  /** Takes the session off the stream; false when it was not on it. */
  async leave(session: SocketSession, stream: Stream): Promise<boolean> {
    const local = this.#local.get(streamKey(stream));
    local?.members.markGone(session);
    if (local !== undefined) this.#leaveLocally(session, local);
    return this.#deps.presence.untrack(session.id, stream, session.user.id);
  }

  /** Takes all sessions of the user off the stream, on every node; the others are told. */
  async removeUser(stream: Stream, userId: string): Promise<void> {
    await this.#deps.presence.untrackUser(userId, stream);
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
    await this.#ready(
      session,
      this.#attend(session, stream, ({ watchers }) => watchers.add(session)),
    );
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
        return this.#local.get(streamKey(stream))?.list(list) ?? list();
      }),
    );
  }

  /**
   * After frames may have been lost: looks at every stream that has listeners here, and tells them who came and went
   * meanwhile. Messages that were sent in order follow by and by.
   */
  async resync(): Promise<void> {
    for (const { ordered } of this.#local.values()) ordered?.catchUp();
    const streams = [...this.#local.values()];
    for (let at = 0; at < streams.length; at += resyncBatch) {
      const batch = streams.slice(at, at + resyncBatch);
      await Promise.all(batch.map((local) => local.resync(() => this.#deps.presence.list(local.stream))));
    }
  }

  /** Sends a message to everyone on the stream. On this node it is queued to the sockets before this resolves. */
  async send(stream: Stream, message: Payload): Promise<void> {
    const frame = encodeEnvelope(stream, EnvelopeFrame.of(message).protobuf);
    await this.#deps.bus.publish(streamTopic(stream), frame);
  }

  /**
   * As `send`, for what its audience will find in any case: never rejects, and waits no longer than `tellWaitMs`, nor at
   * all while the bus is out of reach.
   */
  async tell(stream: Stream, message: Payload): Promise<void> {
    const { isWhole } = this.#deps.bus;
    const told = this.send(stream, message).catch((error) => {
      this.#deps.log.warn({ err: error, stream: streamKey(stream) }, 'could not tell a stream of what is stored');
    });
    if (isWhole) await within(tellWaitMs, told);
  }

  /**
   * As `send`, for a message that is stored at that place of the stream's order. Listeners of this node need not wait
   * for it to come back from the bus, whose copy is then one they have had. As it is stored, it is sent even when the bus
   * does not take it: the other nodes fetch it, after their own gap or when this node gets through to them again. Hence
   * this never rejects, waits for no bus that is out of reach, and whoever sent the message may be told that all is well.
   * @param leaverId a user whose sessions hear nothing after this message: on every node they are off the stream then,
   *   unless they join anew
   */
  async sendInOrder(stream: Stream, position: StreamPosition, message: Payload, leaverId = ''): Promise<void> {
    const envelope = EnvelopeFrame.of(message);
    const ordered = this.#local.get(streamKey(stream))?.ordered;
    const size = envelope.protobuf.byteLength;
    ordered?.take(position, { time: position.time, envelope, leaverId }, size);
    const { bus } = this.#deps;
    const { isWhole } = bus;
    const published = bus
      .publish(streamTopic(stream), encodeOrdered(stream, position, envelope.protobuf, leaverId))
      .catch((error) => this.#unannounced.add(stream, position, error));
    if (isWhole) await published;
    const turn = ordered?.passed(position);
    if (turn !== undefined) await within(maxTurnWaitMs, turn);
  }

  /** Says nothing more of its own accord. */
  close(): void {
    this.#unannounced.close();
    for (const timer of this.#removals) clearTimeout(timer);
  }

  // The session is part of the fan-out before `change` puts it on the stream: nothing falls between list and events.
  async #asMember<T>(
    session: SocketSession,
    stream: Stream,
    change: (local: LocalStream) => Promise<T>,
    entry?: bigint,
  ): Promise<T> {
    const wasMember = this.isMember(session, stream);
    const local = this.#attend(session, stream, ({ members }) => members.startJoin(session, entry));
    try {
      await this.#ready(session, local);
      const [result] = await Promise.all([change(local), local.begun]);
      return result;
    } catch (error) {
      if (!wasMember) this.#leaveLocally(session, local);
      throw this.#ofSession.has(session) ? error : unavailable('Session is closing.', error);
    } finally {
      local.members.endJoin(session);
      this.#dropIfUnused(local);
    }
  }

  // Notes the session on the node's part of the stream, at once: nobody who leaves meanwhile takes it from under it.
  #attend(session: SocketSession, stream: Stream, enter: (local: LocalStream) => void): LocalStream {
    const key = streamKey(stream);
    const sessionStreams = this.#ofSession.get(session);
    if (sessionStreams === undefined) throw unavailable('Session is closing.');
    const local = this.#local.get(key) ?? this.#open(stream);
    enter(local);
    sessionStreams.add(local.key);
    return local;
  }

  // Waits until the node is subscribed to the stream's topic.
  async #ready(session: SocketSession, local: LocalStream): Promise<void> {
    try {
      await local.subscription;
    } catch (error) {
      this.#forget(local.key, session);
      throw error;
    }
    if (!this.#ofSession.has(session)) throw unavailable('Session is closing.');
  }

  #open(stream: Stream): LocalStream {
    const local = new LocalStream(stream, this.#host, this.#news.get(stream.mode));
    this.#local.set(local.key, local);
    return local;
  }

  #leaveLocally(session: SocketSession, local: LocalStream): void {
    local.members.delete(session);
    if (!local.watchers.has(session)) this.#ofSession.get(session)?.delete(local.key);
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
    if (!local.isUnused || this.#local.get(local.key) !== local) return;
    this.#local.delete(local.key);
    local.close();
  }

  // Whoever sent the user away may not have lived to do it.
  #removeLater(stream: Stream, sessions: readonly SocketSession[]): void {
    const timer = setTimeout(async () => {
      this.#removals.delete(timer);
      const gone = sessions.filter((session) => !this.isMember(session, stream));
      const removed = gone.map(({ id, user }) => this.#deps.presence.untrack(id, stream, user.id));
      await Promise.all(removed).catch((error) => {
        this.#deps.log.warn({ err: error, stream: streamKey(stream) }, 'could not take sessions off a stream');
      });
    }, removalGraceMs);
    this.#removals.add(timer);
  }

  #toPresence(session: SocketSession, stream: Stream, membership: Membership): NewPresence {
    const { hidden, persistence, status } = membership;
    const { id: userId, username } = session.user;
    return { sessionId: session.id, userId, username, stream, hidden, persistence, status };
  }
}
