import { AppError, Code, resourceExhausted, unavailable } from '../platform/errors.ts';
import { encodeMarked, encodePlain } from './bus-redis-frame.ts';
import { translateRedisError } from './redis-errors.ts';
import type { RedisLink } from './redis-link.ts';

export interface RedisSenderLimits {
  /** Frames that wait to be sent, to be acknowledged, or to come back. */
  readonly maxPending: number;
  /** The same in bytes. */
  readonly maxPendingBytes: number;
}

/** Frames in one write to the socket. */
const maxBatch = 512;

/** Writes in one turn of the event loop: about 20 ms of work. */
const maxBatchesPerTurn = 8;
const sweepMs = 100;

interface Outgoing {
  readonly channel: string;
  readonly payload: Uint8Array;
  readonly wantsReturn: boolean;
  readonly sequence: number;
  readonly resolve: (receivers: number) => void;
  readonly reject: (error: AppError) => void;
  /** It is done only when it has come back, and all handlers were called. */
  awaitsReturn: boolean;
  /** Known once Redis has acknowledged it. */
  receivers: number | undefined;
  deadline: number;
}

/**
 * Everything a bus publishes, in the order in which it was asked. What is sent in one turn of the event loop leaves in
 * one write; while the bus is not whole frames wait here, not in ioredis, so that they fail in time and bounded.
 */
export class RedisSender {
  readonly #link: RedisLink;
  readonly #origin: Buffer;
  readonly #hears: (channel: string) => boolean;
  readonly #limits: RedisSenderLimits;
  #queue: Outgoing[] = [];
  /** Sent and not done, in the order of sending, hence of their deadlines. */
  readonly #sent = new Map<number, Outgoing>();
  readonly #sweeper: NodeJS.Timeout;
  #pendingBytes = 0;
  #lastSequence = 0;
  #scheduled = false;
  #open = false;
  #closed = false;

  /**
   * @param origin the mark of this bus
   * @param hears whether a frame that is sent now will come back
   */
  constructor(link: RedisLink, origin: Buffer, hears: (channel: string) => boolean, limits: RedisSenderLimits) {
    this.#link = link;
    this.#origin = origin;
    this.#hears = hears;
    this.#limits = limits;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  /**
   * Answers the number of connections that Redis has handed the frame to. With `wantsReturn`, and if this node hears
   * the channel, it resolves when the frame has come back instead (see `returned`), and the number is of no use.
   */
  send(channel: string, payload: Uint8Array, wantsReturn: boolean): Promise<number> {
    if (this.#closed) return Promise.reject(unavailable('the bus of this node is closed'));
    const { maxPending, maxPendingBytes } = this.#limits;
    if (this.#queue.length + this.#sent.size >= maxPending || this.#pendingBytes >= maxPendingBytes) {
      return Promise.reject(resourceExhausted('too many bus frames are waiting'));
    }
    const sequence = ++this.#lastSequence;
    this.#pendingBytes += payload.byteLength;
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#link.limits.offlineWaitMs;
      const state = { awaitsReturn: false, receivers: undefined, deadline };
      this.#queue.push({ channel, payload, wantsReturn, sequence, resolve, reject, ...state });
      this.#schedule();
    });
  }

  /** The bus hears what it is subscribed to: frames may leave. */
  resume(): void {
    this.#open = true;
    this.#schedule();
  }

  /** The bus hears nothing any more: what was to come back will not, and new frames wait. */
  pause(): void {
    this.#open = false;
    for (const outgoing of [...this.#sent.values()]) {
      if (outgoing.awaitsReturn) this.#fail(outgoing, unknownFate());
    }
  }

  /** Commands can be sent again. */
  kick(): void {
    this.#schedule();
  }

  /** An own frame has come back, and its handlers were called. */
  returned(sequence: number): void {
    const outgoing = this.#sent.get(sequence);
    if (outgoing !== undefined) this.#finish(outgoing, outgoing.receivers ?? 1);
  }

  /** This node is not subscribed to the channel any more: whatever has not come back until now never will. */
  unheard(channel: string): void {
    for (const outgoing of [...this.#sent.values()]) {
      if (outgoing.channel !== channel) continue;
      outgoing.awaitsReturn = false;
      if (outgoing.receivers !== undefined) this.#finish(outgoing, outgoing.receivers);
    }
  }

  /** Rejects whatever is pending. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweeper);
    for (const outgoing of this.#queue) this.#fail(outgoing, unavailable('the bus of this node is closed'));
    this.#queue = [];
    for (const outgoing of [...this.#sent.values()]) this.#fail(outgoing, unknownFate());
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      for (let i = 0; i < maxBatchesPerTurn && this.#queue.length > 0; i++) {
        if (!this.#open || !this.#link.isUp) return;
        this.#transmit(this.#queue.splice(0, maxBatch));
      }
      this.#schedule();
    });
  }

  #transmit(batch: readonly Outgoing[]): void {
    const deadline = performance.now() + this.#link.limits.commandTimeoutMs;
    for (const outgoing of batch) {
      outgoing.deadline = deadline;
      outgoing.awaitsReturn = outgoing.wantsReturn && this.#hears(outgoing.channel);
      this.#sent.set(outgoing.sequence, outgoing);
    }
    if (batch.length === 1 && !this.#link.isCluster) this.#publish(batch[0] as Outgoing);
    else this.#publishAll(batch);
  }

  // A pipeline costs more than the command in it.
  #publish(outgoing: Outgoing): void {
    this.#link.commands.publish(outgoing.channel, this.#encode(outgoing)).then(
      (receivers) => this.#acknowledged(outgoing, receivers),
      (error: unknown) => this.#fail(outgoing, translateRedisError(error)),
    );
  }

  #publishAll(batch: readonly Outgoing[]): void {
    const { commands, isCluster, markerKey } = this.#link;
    const pipeline = isCluster ? commands.multi() : commands.pipeline();
    // A server that is not the master of the slot any more would publish nevertheless, in an order of its own. It
    // refuses all of a transaction that would write, though this changes nothing.
    if (isCluster) pipeline.persist(markerKey);
    for (const outgoing of batch) {
      const wire = this.#encode(outgoing);
      if (isCluster) pipeline.spublish(outgoing.channel, wire);
      else pipeline.publish(outgoing.channel, wire);
    }
    pipeline.exec().then(
      (replies) => {
        for (const [i, outgoing] of batch.entries()) {
          const [error, receivers] = replies?.at(i - batch.length) ?? [new Error('no reply')];
          if (error) this.#fail(outgoing, translateRedisError(error));
          else this.#acknowledged(outgoing, Number(receivers));
        }
      },
      (error: unknown) => {
        for (const outgoing of batch) this.#fail(outgoing, translateRedisError(error));
      },
    );
  }

  #encode({ awaitsReturn, sequence, payload }: Outgoing): Buffer {
    return awaitsReturn ? encodeMarked(this.#origin, sequence, payload) : encodePlain(payload);
  }

  #acknowledged(outgoing: Outgoing, receivers: number): void {
    outgoing.receivers = receivers;
    if (!outgoing.awaitsReturn) this.#finish(outgoing, receivers);
  }

  #finish(outgoing: Outgoing, receivers: number): void {
    if (this.#forget(outgoing)) outgoing.resolve(receivers);
  }

  #fail(outgoing: Outgoing, error: AppError): void {
    this.#forget(outgoing);
    outgoing.reject(error);
  }

  #forget(outgoing: Outgoing): boolean {
    if (!this.#sent.delete(outgoing.sequence)) return false;
    this.#pendingBytes -= outgoing.payload.byteLength;
    return true;
  }

  #sweep(): void {
    const now = performance.now();
    for (const outgoing of this.#sent.values()) {
      if (outgoing.deadline > now) break;
      this.#fail(outgoing, unknownFate());
    }
    const late = this.#queue.findIndex((outgoing) => outgoing.deadline > now);
    for (const outgoing of this.#queue.splice(0, late < 0 ? this.#queue.length : late)) {
      this.#pendingBytes -= outgoing.payload.byteLength;
      outgoing.reject(unavailable('Redis is out of reach'));
    }
  }
}

const unknownFate = (): AppError =>
  new AppError(Code.UNAVAILABLE, 'the frame may or may not have been published', { retry: 'unknown' });
