import { AppError, Code, internal, resourceExhausted } from '../../platform/errors.ts';
import { newId, nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { Instant } from '../../store/types.ts';
import type { Channel } from './channel-id.ts';
import { type ChangedRow, insertMessages, removeMessage, updateMessage } from './queries.ts';

/** A message to be stored. */
export interface NewMessage {
  readonly code: number;
  readonly senderId: string;
  readonly username: string;
  /** Text of a JSON object. */
  readonly content: string;
}

export interface StoredMessage extends NewMessage {
  readonly id: string;
  readonly time: Instant;
}

interface Waiting {
  readonly id: string;
  readonly message: NewMessage;
  readonly publish: (stored: StoredMessage) => Promise<void>;
  readonly resolve: (stored: StoredMessage) => void;
  readonly reject: (error: unknown) => void;
}

const maxBatch = 100;

/**
 * Stored chat history. Messages of one channel are stored and published one after another in the order in which they
 * came; those that wait for the database go in one statement.
 */
export class MessageLog {
  readonly #db: Database;
  readonly #maxQueue: number;
  readonly #queues = new Map<string, Waiting[]>();

  /** @param maxQueue how many messages of one channel may wait for the database. */
  constructor(db: Database, maxQueue: number) {
    this.#db = db;
    this.#maxQueue = maxQueue;
  }

  /**
   * Stores the message, then publishes it, then resolves. Nobody sees a message that is not stored, and listeners see
   * messages in the order of history. Throws RESOURCE_EXHAUSTED when too many wait.
   */
  append(
    channel: Channel,
    message: NewMessage,
    publish: (stored: StoredMessage) => Promise<void>,
  ): Promise<StoredMessage> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { id: newId(), message, publish, resolve, reject };
      const queue = this.#queues.get(channel.id);
      if (queue === undefined) {
        const own = [waiting];
        this.#queues.set(channel.id, own);
        void this.#drain(channel, own);
      } else if (queue.length >= this.#maxQueue) {
        reject(resourceExhausted('Too many messages wait in this channel.'));
      } else {
        queue.push(waiting);
      }
    });
  }

  /** Changes the sender's own message; null when there is none such in the channel. */
  async update(channel: Channel, messageId: string, message: Omit<NewMessage, 'code'>): Promise<ChangedRow | null> {
    const { senderId, username, content } = message;
    const rows = await this.#db.query(updateMessage, [
      ...streamParams(channel),
      messageId,
      senderId,
      username,
      content,
    ]);
    return rows[0] ?? null;
  }

  /** Deletes the sender's own message; null when there is none such in the channel. */
  async remove(channel: Channel, messageId: string, senderId: string): Promise<ChangedRow | null> {
    const rows = await this.#db.query(removeMessage, [...streamParams(channel), messageId, senderId]);
    return rows[0] ?? null;
  }

  async #drain(channel: Channel, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.slice(0, maxBatch);
      const { stored, error } = await this.#storeBatch(channel, batch);
      for (const waiting of batch) {
        const time = stored.get(waiting.id);
        if (time === undefined) waiting.reject(error);
        else await settle(waiting, { ...waiting.message, id: waiting.id, time });
      }
      queue.splice(0, batch.length);
    }
    this.#queues.delete(channel.id);
  }

  // Times of what got stored; `error` is why the rest was not. One bad message must not fail its neighbours.
  async #storeBatch(channel: Channel, batch: Waiting[]): Promise<{ stored: Map<string, Instant>; error: unknown }> {
    try {
      return { stored: await this.#insert(channel, batch), error: internal('Message was not stored.') };
    } catch (error) {
      const isSharedFate = error instanceof AppError && error.code === Code.UNAVAILABLE;
      if (batch.length === 1 || isSharedFate) return { stored: new Map(), error };
      const stored = new Map<string, Instant>();
      for (const waiting of batch) {
        const alone = await this.#insert(channel, [waiting]).catch(() => null);
        for (const [id, time] of alone ?? []) stored.set(id, time);
      }
      return { stored, error };
    }
  }

  async #insert(channel: Channel, batch: Waiting[]): Promise<Map<string, Instant>> {
    const messages = batch.map((waiting) => waiting.message);
    const rows = await this.#db.query(insertMessages, [
      ...streamParams(channel),
      batch.map((waiting) => waiting.id),
      messages.map((message) => message.code),
      messages.map((message) => message.senderId),
      messages.map((message) => message.username),
      messages.map((message) => message.content),
    ]);
    return new Map(rows.map((row) => [row.id, row.create_time]));
  }
}

async function settle(waiting: Waiting, stored: StoredMessage): Promise<void> {
  try {
    await waiting.publish(stored);
    waiting.resolve(stored);
  } catch (error) {
    waiting.reject(error);
  }
}

/** The channel's columns in `message`. */
export function streamParams({ stream }: Channel): [number, string, string, string] {
  return [stream.mode, stream.subject || nilUuid, stream.subcontext || nilUuid, stream.label];
}
