import { AppError, Code, internalUnlessTransient, invalidArgument, resourceExhausted } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import type { SocketSession } from '../../wire/session.ts';
import { type Streams, toWirePresence, type WirePresence } from '../streams/index.ts';
import type { ChannelAccesses } from './access.ts';
import { type Channel, parseChannelId } from './channel-id.ts';
import { type HistoryPage, type HistoryRequest, listMessages } from './history.ts';
import type { MessageLog } from './message-log.ts';
import type { Author, MessageAck, Messages } from './messages.ts';

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

/** As whom game code writes, and whether that is stored. */
export interface ServerAuthor extends Partial<Author> {
  /** Default true. */
  readonly persistent?: boolean | undefined;
}

interface Dependencies {
  readonly db: Database;
  readonly streams: Streams;
  readonly channels: ChannelAccesses;
  readonly log: MessageLog;
  readonly messages: Messages;
  readonly maxChannels: number;
}

const maxHistoryLimit = 100;

/**
 * Chat (spec: realtime.md, section 14). Users write through their sockets: access is checked on joining, sending needs
 * only presence. Game code writes into any channel, in the name of anybody or of the server.
 */
export class Chat {
  readonly #deps: Dependencies;
  /** The channels of each socket that ever joined one, and whether what it sends there is stored. */
  readonly #joined = new Map<SocketSession, Map<string, { channel: Channel; persistence: boolean }>>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  closed(session: SocketSession): void {
    this.#joined.delete(session);
  }

  /** Joining again changes nothing, but answers who is there. Throws INVALID_ARGUMENT for a bad target. */
  async join(session: SocketSession, request: JoinRequest): Promise<Joined> {
    const { target, type, persistence, hidden } = request;
    if (target === '') throw invalidArgument('Invalid channel target');
    const { streams, channels } = this.#deps;
    const { user } = session;
    const access = channels.ofJoin(type);
    const channel = await access.resolve(target, user.id);
    this.#checkRoom(session, channel);
    const place = await this.#placeOfEntry(channel);
    const { isNew, members } = await streams
      .join(session, channel.stream, { persistence, hidden, status: '' }, place)
      .catch((error) => {
        throw internalUnlessTransient(error, 'Error joining channel');
      });
    if (isNew) this.#remember(session, channel, persistence);
    await access.resolve(target, user.id).catch(async (error) => {
      // Whoever was there before stays when it cannot be looked up.
      if (isNew || isRefusal(error)) await this.leave(session, channel.id);
      throw error;
    });
    if (isNew) await access.joined?.(channel, user, members);
    const visible = members.filter((member) => !member.hidden && !(isNew && member.sessionId === session.id));
    const self = { user_id: user.id, session_id: session.id, username: user.username, persistence };
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
    return this.#deps.messages.send(channel, session.user, content, persistence);
  }

  /** Changes one's own message. */
  async update(session: SocketSession, channelId: string, messageId: string, content: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    checkContent(content);
    const { persistence } = this.#membership(session, channel, 'updating');
    return this.#deps.messages.update(channel, session.user, id, content, persistence);
  }

  /** Deletes one's own message. */
  async remove(session: SocketSession, channelId: string, messageId: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    const { persistence } = this.#membership(session, channel, 'removing');
    return this.#deps.messages.remove(channel, session.user, id, persistence);
  }

  /**
   * The id of the channel that a user's join would lead to. Throws INVALID_ARGUMENT as the join would.
   * @param userId null for the server: any channel that could be.
   */
  async channelId(userId: string | null, target: string, type: number): Promise<string> {
    return (await this.#deps.channels.ofJoin(type).resolve(target, userId)).id;
  }

  /** As `send`, for game code: as that author, or as the system user, on any channel whether anybody is there or not. */
  async sendAs(author: ServerAuthor, channelId: string, content: string): Promise<MessageAck> {
    const channel = parseChannel(channelId);
    checkContent(content);
    return this.#deps.messages.send(channel, toAuthor(author), content, author.persistent ?? true);
  }

  /** As `sendAs`, for a change to a message of that author. */
  async updateAs(author: ServerAuthor, channelId: string, messageId: string, content: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    checkContent(content);
    return this.#deps.messages.update(channel, toAuthor(author), id, content, author.persistent ?? true);
  }

  /** As `sendAs`, for the end of a message of that author. */
  async removeAs(author: ServerAuthor, channelId: string, messageId: string): Promise<MessageAck> {
    const id = parseMessageId(messageId);
    const channel = parseChannel(channelId);
    return this.#deps.messages.remove(channel, toAuthor(author), id, author.persistent ?? true);
  }

  /**
   * A page of a channel's stored messages. Throws INVALID_ARGUMENT for bad ids, limits outside 1-100 and bad cursors.
   * @param readerId null for the server, which may read everything
   */
  async history(
    readerId: string | null,
    channelId: string,
    request: HistoryRequest,
  ): Promise<HistoryPage & { readonly channel: Channel }> {
    const { limit } = request;
    if (!Number.isInteger(limit) || limit < 1 || limit > maxHistoryLimit) {
      throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxHistoryLimit}.`);
    }
    const channel = parseChannelId(channelId);
    if (channel === null) throw invalidArgument('Invalid channel ID.');
    const { channels, db } = this.#deps;
    if (readerId !== null) await channels.of(channel.kind).requireReader(channel, readerId);
    return { channel, ...(await listMessages(db, channel, request)) };
  }

  #remember(session: SocketSession, channel: Channel, persistence: boolean): void {
    if (session.closed) return; // it may have been forgotten already
    const joined = this.#joined.get(session);
    if (joined === undefined) this.#joined.set(session, new Map([[channel.id, { channel, persistence }]]));
    else joined.set(channel.id, { channel, persistence });
  }

  // Channels that the session was taken off do not count.
  #checkRoom(session: SocketSession, channel: Channel): void {
    const { streams, maxChannels } = this.#deps;
    const joined = this.#joined.get(session);
    if (joined === undefined || joined.has(channel.id) || joined.size < maxChannels) return;
    for (const [id, { channel: known }] of joined) if (!streams.isMember(session, known.stream)) joined.delete(id);
    if (joined.size >= maxChannels) {
      throw resourceExhausted(`Too many channels, at most ${maxChannels} per socket.`);
    }
  }

  // Departures from a group up to there have been taken into account when access is looked at once more.
  async #placeOfEntry(channel: Channel): Promise<bigint | undefined> {
    if (channel.kind !== 'group') return undefined;
    const head = await this.#deps.log.head(channel).catch((error) => {
      throw internalUnlessTransient(error, 'Error joining channel');
    });
    return head.time;
  }

  #membership(session: SocketSession, channel: Channel, verb: string): { persistence: boolean } {
    const membership = this.#joined.get(session)?.get(channel.id);
    if (membership === undefined || !this.#deps.streams.isMember(session, channel.stream)) {
      throw invalidArgument(`Must join channel before ${verb} messages`);
    }
    return membership;
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

const isRefusal = (error: unknown): boolean => error instanceof AppError && error.code === Code.INVALID_ARGUMENT;

const toAuthor = ({ id, username }: ServerAuthor): Author => ({ id: id || nilUuid, username: username ?? '' });
