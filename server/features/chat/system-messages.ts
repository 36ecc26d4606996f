import type { Transaction } from '../../store/transaction.ts';
import { payload } from '../../wire/envelope.ts';
import type { Streams } from '../streams/index.ts';
import type { Channel } from './channel-id.ts';
import { isDeparture } from './message-codes.ts';
import type { MessageLog, StoredMessage } from './message-log.ts';
import { toMessage } from './wire.ts';

/** Something that happened to a user in a channel. */
export interface SystemMessage {
  /** One of MessageCode. */
  readonly code: number;
  readonly userId: string;
  readonly username: string;
}

/** Messages of the server itself about the users of a channel (spec: realtime.md, section 14.6). */
export class SystemMessages {
  readonly #streams: Streams;
  readonly #log: MessageLog;

  constructor(streams: Streams, log: MessageLog) {
    this.#streams = streams;
    this.#log = log;
  }

  /**
   * Stores messages together with what they are about, in their order. To be published once the transaction has
   * committed; until then nobody else gets a message into the channel, so this comes last in it.
   */
  async storeIn(tx: Transaction, channel: Channel, messages: readonly SystemMessage[]): Promise<StoredMessage[]> {
    return this.#log.storeIn(
      tx,
      channel,
      messages.map(({ code, userId, username }) => ({ code, senderId: userId, username, content: '{}' })),
    );
  }

  /** Sends what was stored to everybody on the channel; those who left hear nothing after what is said of it. */
  async publish(channel: Channel, stored: readonly StoredMessage[]): Promise<void> {
    // Handed over in order, so that none waits for the ones before.
    const sent = stored.map(({ id, code, senderId, username, content, time, position }) => {
      const row = { id, code, sender_id: senderId, username, content, create_time: time, update_time: time };
      const message = payload('channel_message', toMessage(channel, row));
      return this.#streams.sendInOrder(channel.stream, position, message, isDeparture(code) ? senderId : undefined);
    });
    await Promise.all(sent);
  }
}
