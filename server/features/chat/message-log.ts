import type { StreamPosition } from '../../cluster/stream-frame.ts';
import { AppError, Code, internal, resourceExhausted } from '../../platform/errors.ts';
import { newId, nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { Queryable, Transaction } from '../../store/transaction.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import type { Channel } from './channel-id.ts';
import { fromMicros, placeBefore, placeOf } from './places.ts';
import {
  type ChangedRow,
  headOfChannel,
  insertMessages,
  type MessageRow,
  messagesBetween,
  removeMessage,
  updateMessage,
} from './queries.ts';

/** A message to be stored. */
export interface NewMessage {
  readonly code: number;
  readonly senderId: string;
  readonly username: string;
  /** Text of a JSON object. */
  readonly content: string;
}

/** What was stored under a place in its channel, which listeners on all nodes hear in the order of these. */
interface Placed {
  readonly position: StreamPosition;
}

export interface StoredMessage extends NewMessage, Placed {
  readonly id: string;
  readonly time: Instant;
}

/** A stored message that was changed or removed. */
export interface StoredChange extends Placed {
  readonly created: Instant;
  readonly updated: Instant;
}

/** A message that waits to be stored. */
interface Waiting {
  readonly id: string;
  readonly message: NewMessage;
  /** Hands it to the bus before it returns, and resolves when it is published; never rejects. */
  readonly stored: (message: StoredMessage) => Promise<void>;
  readonly reject: (error: unknown) => void;
}

/** A change of a stored message that waits for its turn; never rejects. */
type Change = () => Promise<void>;

const maxBatch = 100;

/**
 * Stored chat history. What comes to this node for one channel is stored and published one after another in the order in
 * which it came; messages that wait for the database go in one statement. Between nodes the row of the channel's head
 * makes the order: whatever happens in a channel gets its place there, in the order of the commits.
 */
export class MessageLog {
  readonly #db: Database;
  readonly #maxQueue: number;
  readonly #queues = new Map<string, (Waiting | Change)[]>();

  /** @param maxQueue how many messages of one channel may wait for the database. */
  constructor(db: Database, maxQueue: number) {
    this.#db = db;
    this.#maxQueue = maxQueue;
  }

  /**
   * Stores the message, then publishes it, then answers what `publish` did. Nobody sees a message that is not stored.
   * Throws RESOURCE_EXHAUSTED when too many wait.
   */
  append<T>(channel: Channel, message: NewMessage, publish: (stored: StoredMessage) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stored = (own: StoredMessage): Promise<void> => publish(own).then(resolve, reject);
      this.#enqueue(channel, { id: newId(), message, stored, reject });
    });
  }

  /**
   * Stores messages in a transaction, for the caller to publish once it has committed. They pass those that wait here;
   * what comes after them waits for the end of the transaction, on whichever node.
   */
  async storeIn(tx: Transaction, channel: Channel, messages: readonly NewMessage[]): Promise<StoredMessage[]> {
    const all = messages.map((message) => ({ id: newId(), message }));
    const stored: StoredMessage[] = [];
    for (let at = 0; at < all.length; at += maxBatch) {
      const batch = all.slice(at, at + maxBatch);
      const places = await insert(tx, channel, batch);
      for (const [index, position] of places.entries()) {
        const { id, message } = batch[index] as (typeof batch)[number];
        stored.push({ ...message, id, time: fromMicros(position.time), position });
      }
    }
    return stored;
  }

  /** As `append`, for a change to the sender's own message; null when there is none such in the channel. */
  update<T>(
    channel: Channel,
    messageId: string,
    { senderId, username, content }: Omit<NewMessage, 'code'>,
    publish: (change: StoredChange) => Promise<T>,
  ): Promise<T | null> {
    return this.#change(channel, publish, () =>
      this.#db.query(updateMessage, [...streamParams(channel), messageId, senderId, username, content]),
    );
  }

  /** As `append`, for the end of the sender's own message; null when there is none such in the channel. */
  remove<T>(
    channel: Channel,
    messageId: string,
    senderId: string,
    publish: (change: StoredChange) => Promise<T>,
  ): Promise<T | null> {
    return this.#change(channel, publish, () =>
      this.#db.query(removeMessage, [...streamParams(channel), messageId, senderId]),
    );
  }

  /** The last place given out in the channel. */
  async head(channel: Channel): Promise<StreamPosition> {
    const [row] = await this.#db.query(headOfChannel, streamParams(channel));
    if (row === undefined) throw internal('Channel has no head.');
    return placeOf(row);
  }

  /** The newest `limit` messages with after < create_time <= upTo, in microseconds; oldest first. */
  async between(channel: Channel, after: bigint, upTo: bigint, limit: number): Promise<MessageRow[]> {
    const times = [after, upTo].map((time) => instantParam(fromMicros(time)));
    const rows = await this.#db.query(messagesBetween, [...streamParams(channel), ...times, limit]);
    return rows.reverse();
  }

  #change<T>(
    channel: Channel,
    publish: (change: StoredChange) => Promise<T>,
    store: () => Promise<ChangedRow[]>,
  ): Promise<T | null> {
    const run = async (): Promise<T | null> => {
      const [row] = await store();
      if (row === undefined) return null;
      return await publish({ created: row.create_time, updated: row.update_time, position: placeOf(row) });
    };
    return new Promise((resolve, reject) => {
      this.#enqueue(channel, () => run().then(resolve, reject));
    });
  }

  #enqueue(channel: Channel, job: Waiting | Change): void {
    const queue = this.#queues.get(channel.id);
    if (queue === undefined) {
      const own = [job];
      this.#queues.set(channel.id, own);
      void this.#drain(channel, own);
    } else if (queue.length >= this.#maxQueue) {
      throw resourceExhausted('Too many messages wait in this channel.');
    } else {
      queue.push(job);
    }
  }

  async #drain(channel: Channel, queue: (Waiting | Change)[]): Promise<void> {
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      if (typeof next === 'function') {
        await next();
        queue.shift();
      } else {
        const batch = leadingMessages(queue);
        await this.#append(channel, batch);
        queue.splice(0, batch.length);
      }
    }
    this.#queues.delete(channel.id);
  }

  async #append(channel: Channel, batch: Waiting[]): Promise<void> {
    const { stored, error } = await this.#storeBatch(channel, batch);
    const published: Promise<void>[] = [];
    // Handed to the bus in order, so that nobody has to wait for their turn; waiting for each would cost a round trip
    // per message.
    for (const waiting of batch) {
      const position = stored.get(waiting.id);
      if (position === undefined) waiting.reject(error);
      else {
        const time = fromMicros(position.time);
        published.push(waiting.stored({ ...waiting.message, id: waiting.id, time, position }));
      }
    }
    await Promise.all(published);
  }

  // Places of what got stored; `error` is why the rest was not. One bad message must not fail its neighbours.
  async #storeBatch(
    channel: Channel,
    batch: Waiting[],
  ): Promise<{ stored: Map<string, StreamPosition>; error: unknown }> {
    try {
      return { stored: await this.#insert(channel, batch), error: internal('Message was not stored.') };
    } catch (error) {
      const isSharedFate = error instanceof AppError && error.code === Code.UNAVAILABLE;
      if (batch.length === 1 || isSharedFate) return { stored: new Map(), error };
      const stored = new Map<string, StreamPosition>();
      for (const waiting of batch) {
        const alone = await this.#insert(channel, [waiting]).catch(() => null);
        for (const [id, position] of alone ?? []) stored.set(id, position);
      }
      return { stored, error };
    }
  }

  async #insert(channel: Channel, batch: Waiting[]): Promise<Map<string, StreamPosition>> {
    const places = await insert(this.#db, channel, batch);
    return new Map(batch.map(({ id }, index) => [id, places[index] as StreamPosition]));
  }
}

/** Answers the places of the messages. */
async function insert(
  db: Queryable,
  channel: Channel,
  batch: readonly { readonly id: string; readonly message: NewMessage }[],
): Promise<StreamPosition[]> {
  const messages = batch.map(({ message }) => message);
  const [head] = await db.query(insertMessages, [
    ...streamParams(channel),
    batch.map(({ id }) => id),
    messages.map((message) => message.code),
    messages.map((message) => message.senderId),
    messages.map((message) => message.username),
    messages.map((message) => message.content),
  ]);
  if (head === undefined) throw internal('Message was not stored.');
  const last = placeOf(head);
  return batch.map((_, index) => placeBefore(last, batch.length - 1 - index));
}

/** The messages at the head of the queue, up to the next change. */
function leadingMessages(queue: readonly (Waiting | Change)[]): Waiting[] {
  const batch: Waiting[] = [];
  for (const job of queue) {
    if (typeof job === 'function' || batch.length === maxBatch) break;
    batch.push(job);
  }
  return batch;
}

/** The channel's columns in `message`. */
export function streamParams({ stream }: Channel): [number, string, string, string] {
  return [stream.mode, stream.subject || nilUuid, stream.subcontext || nilUuid, stream.label];
}
