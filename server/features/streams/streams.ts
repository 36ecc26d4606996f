import type { Logger } from 'pino';
import type { Bus, Subscription } from '../../cluster/bus.ts';
import type { NewPresence, Presence, PresenceTracker } from '../../cluster/presence.ts';
import { type Stream, StreamMode, streamKey, streamTopic } from '../../cluster/stream.ts';
import { allChanges, decodeStreamFrame, encodeEnvelope, type PresenceEvent } from '../../cluster/stream-frame.ts';
import { unavailable } from '../../platform/errors.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import { ToldPresences } from './told-presences.ts';

/** Streams that are looked at anew at a time. */
const resyncBatch = 50;

/** How a session is on a stream. */
export interface Membership {
  /** No join and leave events, not in lists that clients see; still receives everything. */
  readonly hidden: boolean;
  /** Chat: store what is sent under this presence. */
  readonly persistence: boolean;
  readonly status: string;
}

/** Someone who came to a stream or left it, as clients see them. */
export type WirePresence = Init<nakama.realtime.UserPresence>;

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
  /** Frames that wait while the stream is looked at anew. */
  held: Uint8Array[] | undefined;
}

interface Dependencies {
  readonly bus: Bus;
  readonly presence: PresenceTracker;
  readonly log: Logger;
  readonly countEvent: () => void;
}

/**
 * The single fan-out mechanism: who is on which stream, on any node, and messages to all of them
 * (spec: realtime.md, sections 9 and 10). Frames and presence events of a stream have one order on every node.
 */
export class Streams {
  readonly #deps: Dependencies;
  readonly #local = new Map<string, LocalStream>();
  /** Streams by session, so that a closing socket finds them. */
  readonly #ofSession = new Map<SocketSession, Set<string>>();
  readonly #byId = new Map<string, SocketSession>();
  readonly #messages = new Map<number, { message: PresenceMessage; audience: 'members' | 'watchers' }>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Says what listeners of this mode get when presences change, and who listens: those on the stream, or those who
   * watch it. Modes without an entry are silent.
   */
  describe(mode: number, audience: 'members' | 'watchers', message: PresenceMessage): void {
    this.#messages.set(mode, { message, audience });
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
    return this.#asMember(session, stream, (local) =>
      local.told.whileListing(async () => {
        const tracked = await this.#deps.presence.track(presence);
        return { result: tracked, members: tracked.members };
      }),
    );
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
    const list = (): Promise<Presence[]> => this.#deps.presence.list(stream);
    const local = this.#local.get(streamKey(stream));
    if (local === undefined) return list();
    return local.told.whileListing(async () => {
      const members = await list();
      return { result: members, members };
    });
  }

  /**
   * After frames may have been lost: looks at every stream that has listeners here, and tells them who came and went
   * meanwhile.
   */
  async resync(): Promise<void> {
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
      for (const frame of held) this.#process(local, frame, 'only news');
    }
  }

  /** Sends a message to everyone on the stream. On this node it is queued to the sockets before this resolves. */
  async send(stream: Stream, message: Payload): Promise<void> {
    const frame = encodeEnvelope(stream, EnvelopeFrame.of(message).protobuf);
    await this.#deps.bus.publish(streamTopic(stream), frame);
  }

  // The session is part of the fan-out before `change` puts it on the stream: nothing falls between list and events.
  async #asMember<T>(session: SocketSession, stream: Stream, change: (local: LocalStream) => Promise<T>): Promise<T> {
    const wasMember = this.isMember(session, stream);
    const local = await this.#attend(session, stream, 'members');
    try {
      return await change(local);
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
    let local = this.#local.get(key);
    if (local === undefined) {
      const subscription = this.#deps.bus.subscribe(streamTopic(stream), (frame) => this.#onFrame(key, frame));
      local = {
        stream,
        members: new Set(),
        watchers: new Set(),
        subscription,
        told: new ToldPresences(),
        held: undefined,
      };
      this.#local.set(key, local);
    }
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
    local.subscription
      .then((subscription) => subscription.close())
      .catch((error) => this.#deps.log.warn({ err: error, stream: key }, 'could not unsubscribe from stream'));
  }

  #onFrame(key: string, bytes: Uint8Array): void {
    const local = this.#local.get(key);
    if (local === undefined) return;
    if (local.held === undefined) this.#process(local, bytes);
    else local.held.push(bytes);
  }

  #process(local: LocalStream, bytes: Uint8Array, filter?: 'only news'): void {
    const message = decodeStreamFrame(bytes);
    if (message === undefined) return;
    this.#dropRemoved(local, allChanges(message));
    switch (message.kind) {
      case 'envelope':
        this.#deliver(local.members, EnvelopeFrame.fromBytes(message.envelope), message.sessionIds);
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

/** A presence as clients see it: `persistence` only when true, `status` only on status streams (spec: section 9). */
export function toWirePresence({ stream, sessionId, userId, username, persistence, status }: Presence): WirePresence {
  return {
    user_id: userId,
    session_id: sessionId,
    username,
    persistence,
    ...(stream.mode === StreamMode.STATUS ? { status: { value: status } } : {}),
  };
}
