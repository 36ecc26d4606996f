import type { Logger } from 'pino';
import type { Bus } from '../../cluster/bus.ts';
import { type Stream, streamKey, streamTopic } from '../../cluster/stream.ts';
import { encodeOrdered, type StreamPosition } from '../../cluster/stream-frame.ts';

/** Between two attempts to say how far the streams have come. */
const retryMs = 500;
/** Streams kept for that; listeners of others hear of what they miss with the next message. */
const maxStreams = 10_000;
/** Announced at a time. */
const batchSize = 50;

interface Entry {
  readonly stream: Stream;
  readonly position: StreamPosition;
}

/**
 * Ordered streams with messages that the bus did not take. As soon as it takes frames again, the other nodes are told
 * how far each of these streams has come, so that they fetch what they have missed.
 */
export class Unannounced {
  readonly #bus: Bus;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(bus: Bus, log: Logger) {
    this.#bus = bus;
    this.#log = log;
  }

  /** @param error why the bus did not take the message at that place. */
  add(stream: Stream, position: StreamPosition, error: unknown): void {
    const key = streamKey(stream);
    const known = this.#entries.get(key);
    if (known === undefined && this.#entries.size >= maxStreams) return;
    if (this.#entries.size === 0) this.#log.warn({ err: error }, 'stored messages did not reach other nodes yet');
    if (known === undefined || known.position.time < position.time) this.#entries.set(key, { stream, position });
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isClosed || this.#entries.size === 0) return;
    this.#timer = setTimeout(async () => {
      await this.#announceAll();
      this.#timer = undefined;
      this.#schedule();
    }, retryMs);
  }

  // Gives up for this time with the first batch that fails.
  async #announceAll(): Promise<void> {
    const all = [...this.#entries];
    for (let at = 0; at < all.length; at += batchSize) {
      const taken = await Promise.all(all.slice(at, at + batchSize).map(([key, entry]) => this.#announce(key, entry)));
      if (taken.includes(false)) return;
    }
  }

  async #announce(key: string, entry: Entry): Promise<boolean> {
    try {
      await this.#bus.publish(streamTopic(entry.stream), encodeOrdered(entry.stream, entry.position));
    } catch {
      return false;
    }
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    return true;
  }
}
