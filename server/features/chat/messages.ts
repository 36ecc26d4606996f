import type { StreamPosition } from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import { internalUnlessTransient, invalidArgument } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import { type Instant, instantFromMillis } from '../../store/types.ts';
import { payload } from '../../wire/envelope.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { Streams } from '../streams/index.ts';
import { type Channel, channelNames } from './channel-id.ts';
import { MessageCode } from './message-codes.ts';
import type { MessageLog, StoredChange, StoredMessage } from './message-log.ts';

/** Whose message it is. */
export interface Author {
  /** Canonical UUID; that of the system user for the server. */
  readonly id: string;
  readonly username: string;
}

/** A message as the sender is told of it. */
export type MessageAck = Init<nakama.realtime.ChannelMessageAck>;

interface Dependencies {
  readonly streams: Streams;
  readonly log: MessageLog;
  readonly clock: Clock;
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

/**
 * Messages of a channel by whoever may write there, which is for the caller to know (spec: realtime.md, section 14.5).
 * What is not persistent is neither stored nor looked up, only told to those who are there.
 */
export class Messages {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** @param content text of a JSON object */
  async send(channel: Channel, author: Author, content: string, persistent: boolean): Promise<MessageAck> {
    if (!persistent) return this.#broadcastOnly(channel, author, newId(), MessageCode.SENT, content);
    const message = { code: MessageCode.SENT, senderId: author.id, username: author.username, content };
    const publish = ({ id, time, position }: StoredMessage): Promise<MessageAck> =>
      this.#broadcast(channel, author, { ...message, id, created: time, updated: time, position });
    return this.#deps.log.append(channel, message, publish).catch((error) => {
      if (violatedConstraint(error) === 'message_sender_id_fkey') throw invalidArgument('Message sender not found.');
      throw internalUnlessTransient(error, 'Could not persist message to channel history');
    });
  }

  /** Changes a message of this author. */
  async update(
    channel: Channel,
    author: Author,
    messageId: string,
    content: string,
    persistent: boolean,
  ): Promise<MessageAck> {
    const code = MessageCode.UPDATED;
    if (!persistent) return this.#broadcastOnly(channel, author, messageId, code, content);
    const message = { senderId: author.id, username: author.username, content };
    const publish = (change: StoredChange): Promise<MessageAck> =>
      this.#broadcast(channel, author, { ...change, id: messageId, code, content });
    return found('update', this.#deps.log.update(channel, messageId, message, publish));
  }

  /** Deletes a message of this author. */
  async remove(channel: Channel, author: Author, messageId: string, persistent: boolean): Promise<MessageAck> {
    const code = MessageCode.REMOVED;
    const content = '{}';
    if (!persistent) return this.#broadcastOnly(channel, author, messageId, code, content);
    const publish = (change: StoredChange): Promise<MessageAck> =>
      this.#broadcast(channel, author, { ...change, id: messageId, code, content });
    return found('remove', this.#deps.log.remove(channel, messageId, author.id, publish));
  }

  #broadcastOnly(channel: Channel, author: Author, id: string, code: number, content: string): Promise<MessageAck> {
    const time = instantFromMillis(this.#deps.clock.now());
    return this.#broadcast(channel, author, { id, code, content, created: time, updated: time });
  }

  async #broadcast(channel: Channel, author: Author, message: Announcement): Promise<MessageAck> {
    const ack = {
      channel_id: channel.id,
      message_id: message.id,
      code: { value: message.code },
      username: author.username,
      create_time: message.created,
      update_time: message.updated,
      persistent: { value: message.position !== undefined },
      ...channelNames(channel),
    };
    const sent = payload('channel_message', { ...ack, sender_id: author.id, content: message.content });
    const { streams } = this.#deps;
    // What is stored is acknowledged even when the bus is out of reach: everybody will hear of it.
    if (message.position === undefined) await streams.send(channel.stream, sent);
    else await streams.sendInOrder(channel.stream, message.position, sent);
    return ack;
  }
}

async function found(verb: 'update' | 'remove', change: Promise<MessageAck | null>): Promise<MessageAck> {
  const ack = await change.catch((error) => {
    throw internalUnlessTransient(error, `Could not persist message ${verb} to channel history`);
  });
  if (ack === null) throw invalidArgument(`Could not find message to ${verb} in channel history`);
  return ack;
}
