import { StreamMode } from '../../cluster/stream.ts';
import type { StreamPosition } from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import { internalUnlessTransient, invalidArgument, resourceExhausted } from '../../platform/errors.ts';
import { newId, parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Instant } from '../../store/types.ts';
import { payload } from '../../wire/envelope.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { SocketSession } from '../../wire/session.ts';
import { type Streams, toWirePresence, type WirePresence } from '../streams/index.ts';
import { type Channel, channelNames, channelOfStream, parseChannelId } from './channel-id.ts';
import { resolveTarget } from './channel-target.ts';
import type { MessageLog, StoredChange, StoredMessage } from './message-log.ts';
import { toMicros } from './places.ts';
import { toMessage } from './wire.ts';

/** What happened to a message, as clients are told. */
export const MessageCode = { SENT: 0, UPDATED: 1, REMOVED: 2 } as const;

export interface JoinRequest {
  readonly target: string;
  readonly type: number;
  readonly persistence: boolean;
  readonly hidden: boolean;
}

export interface Joined {
  readonly channel: Channel;
  readonly presences: WirePresence[];
  readonly self: WirePresence;
}

/** A message as the sender is told of it. */
export type MessageAck = Init<nakama.realtime.ChannelMessageAck>;

interface Dependencies {
  readonly streams: Streams;
  readonly log: MessageLog;
  readonly clock: Clock;
  readonly maxChannels: number;
}

/** What is told to those on the channel. */
interface Announcement {
  readonly id: string;
  readonly code: number;
  readonly content: string;
  readonly created: Instant;
  readonly updated: Instant;
  /** Its place in the channel when it is stored. */
  readonly position?: StreamPosition;
}

/** Chat on the socket (spec: realtime.md, section 14). Access is checked on joining; sending needs only presence. */
export class Chat {
  readonly #deps: Dependencies;
  /** The channels of each socket, and whether what it sends there is stored. */
  readonly #joined = new Map<SocketSession, Map<string, { persistence: boolean }>>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
    for (const mode of [StreamMode.CHANNEL, StreamMode.GROUP, StreamMode.DIRECT_MESSAGE]) {
      deps.streams.describe(mode, 'members', (stream, joins, leaves) => {
        const channel = channelOfStream(stream);
        return payload('channel_presence_event', {
          channel_id: channel.id,
          joins,
          leaves,
          ...channelNames(channel),
        });
      });
      deps.streams.order(mode, {
        head: (stream) => deps.log.head(channelOfStream(stream)),
        async between(stream, after, upTo, limit) {
          const channel = channelOfStream(stream);
          const rows = await deps.log.between(channel, after, upTo, limit);
          return rows.map((row) => ({
            time: toMicros(row.create_time),
            message: payload('channel_message', toMessage(channel, row)),
          }));
        },
      });
    }
  }

  opened(session: SocketSession): void {
    this.#joined.set(session, new Map());
  }

  closed(session: SocketSession): void {
    this.#joined.delete(session);
  }

  /** Joining again changes nothing, but answers who is there. Throws INVALID_ARGUMENT for a bad target. */
  async join(session: SocketSession, request: JoinRequest): Promise<Joined> {
    const channel = resolveTarget(request.target, request.type);
    const { streams, maxChannels } = this.#deps;
    const joined = this.#joined.get(session) ?? new Map<string, { persistence: boolean }>();
    if (!joined.has(channel.id) && joined.size >= maxChannels) {
      throw resourceExhausted(`Too many channels, at most ${maxChannels} per socket.`);
    }
    const { persistence, hidden } = request;
    const { isNew, members } = await streams
      .join(session, channel.stream, { persistence, hidden, status: '' })
      .catch((error) => {
        throw internalUnlessTransient(error, 'Error joining channel');
      });
    if (isNew) joined.set(channel.id, { persistence });
    const visible = members.filter((member) => !member.hidden && !(isNew && member.sessionId === session.id));
    const self = { user_id: session.user.id, session_id: session.id, username: session.user.username, persistence };
    return { channel, presences: visible.map(toWirePresence), self };
  }

  /** Leaving a channel that the session is not on is no error. */
  async leave(session: SocketSession, channelId: string): Promise<void> {
    const channel = parseChannel(channelId);
    this.#joined.get(session)?.delete(channel.id);
    await this.#deps.streams.leave(session, channel.stream);
  }

  /** Stores the message if the session's presence says so, then sends it to everyone on the channel. */
  async send(session: SocketSession, channelId: string, content: string): Promise<MessageAck> {
    const channel = parseChannel(channelId);
    checkContent(content);
    const { persistence } = this.#membership(session, channel, 'sending');
    const { id: senderId, username } = session.user;
    if (!persistence) {
      const time = this.#now();
      return this.#broadcast(channel, session, {
        id: newId(),
        code: MessageCode.SENT,
        content,
        created: time,
        updated: time,
      });
    }
    const message = { code: MessageCode.SENT, senderId, username, content };
    const publish = ({ id, time, position }: StoredMessage): Promise<MessageAck> => {
      return this.#broadcast(channel, session, { ...message, id, created: time, updated: time, position });
    };
    return this.#deps.log.append(channel, message, publish).catch((error) => {
      throw internalUnlessTransient(error, 'Could not persist message to channel history');
    });
  }

  /** Changes one's own message. */
  async update(session: SocketSession, channelId: string, messageId: string, content: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    checkContent(content);
    const { persistence } = this.#membership(session, channel, 'updating');
    const { id: senderId, username } = session.user;
    return this.#change(
      persistence,
      'update',
      (change) => this.#broadcast(channel, session, { ...change, id, code: MessageCode.UPDATED, content }),
      (publish) => this.#deps.log.update(channel, id, { senderId, username, content }, publish),
    );
  }

  /** Deletes one's own message. */
  async remove(session: SocketSession, channelId: string, messageId: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    const { persistence } = this.#membership(session, channel, 'removing');
    return this.#change(
      persistence,
      'remove',
      (change) => this.#broadcast(channel, session, { ...change, id, code: MessageCode.REMOVED, content: '{}' }),
      (publish) => this.#deps.log.remove(channel, id, session.user.id, publish),
    );
  }

  // Without persistence nothing is stored and nothing is looked up.
  async #change(
    persistence: boolean,
    verb: 'update' | 'remove',
    broadcast: (change: Pick<Announcement, 'created' | 'updated' | 'position'>) => Promise<MessageAck>,
    store: (publish: (change: StoredChange) => Promise<MessageAck>) => Promise<MessageAck | null>,
  ): Promise<MessageAck> {
    if (!persistence) {
      const time = this.#now();
      return broadcast({ created: time, updated: time });
    }
    const ack = await store(broadcast).catch((error) => {
      throw internalUnlessTransient(error, `Could not persist message ${verb} to channel history`);
    });
    if (ack === null) throw invalidArgument(`Could not find message to ${verb} in channel history`);
    return ack;
  }

  async #broadcast(channel: Channel, session: SocketSession, message: Announcement): Promise<MessageAck> {
    const ack = {
      channel_id: channel.id,
      message_id: message.id,
      code: { value: message.code },
      username: session.user.username,
      create_time: message.created,
      update_time: message.updated,
      persistent: { value: message.position !== undefined },
      ...channelNames(channel),
    };
    const sent = payload('channel_message', { ...ack, sender_id: session.user.id, content: message.content });
    const { streams } = this.#deps;
    // What is stored is acknowledged even when the bus is out of reach: everybody will hear of it.
    if (message.position === undefined) await streams.send(channel.stream, sent);
    else await streams.sendInOrder(channel.stream, message.position, sent);
    return ack;
  }

  #membership(session: SocketSession, channel: Channel, verb: string): { persistence: boolean } {
    const membership = this.#joined.get(session)?.get(channel.id);
    if (membership === undefined || !this.#deps.streams.isMember(session, channel.stream)) {
      throw invalidArgument(`Must join channel before ${verb} messages`);
    }
    return membership;
  }

  #now(): Instant {
    const ms = this.#deps.clock.now();
    const seconds = Math.floor(ms / 1000);
    return { seconds, nanos: Math.floor(ms - seconds * 1000) * 1_000_000 };
  }
}

function parseChannel(channelId: string): Channel {
  const channel = parseChannelId(channelId);
  if (channel === null) throw invalidArgument('Invalid channel identifier');
  return channel;
}

function parseMessageId(messageId: string): string {
  const id = parseUuid(messageId);
  if (id === null) throw invalidArgument('Invalid message identifier');
  return id;
}

function checkContent(content: string): void {
  if (!isJsonObject(content)) throw invalidArgument('Message content must be a valid JSON object');
}
