import type { Logger } from 'pino';
import { type Stream, streamKey } from '../../cluster/stream.ts';
import type { StreamPosition } from '../../cluster/stream-frame.ts';
import type { Clock } from '../../platform/clock.ts';
import { Semaphore } from '../../platform/semaphore.ts';
import { EnvelopeFrame, type Payload } from '../../wire/envelope.ts';
import { type Fetched, OrderedDelivery, orderLimits } from './ordered-delivery.ts';

/** Where the streams of one mode have their order from: what `OrderSource` says, stream by stream. */
export interface StreamOrder {
  head(stream: Stream): Promise<StreamPosition>;
  between(stream: Stream, after: bigint, upTo: bigint, limit: number): Promise<StoredPayload[]>;
}

export interface StoredPayload extends Fetched<Payload> {
  /** The user for whom it is the last message, if any. */
  readonly leaverId?: string | undefined;
}

/** A message on its way to this node's listeners. */
export interface OrderedMessage {
  readonly time: bigint;
  readonly envelope: EnvelopeFrame;
  /** Whoever this is, is off the stream after it, unless they came back later; '' for nobody. */
  readonly leaverId: string;
}

/** Streams that fetch what they have missed, at a time; after a gap of the bus that may be all of them. */
const maxFetching = 8;
/** Streams that wait for it. */
const maxWaiting = 1_000_000;

/** The modes whose streams have one order on all nodes. */
export class Orders {
  readonly #byMode = new Map<number, StreamOrder>();
  readonly #fetching = new Semaphore(maxFetching, maxWaiting);
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  set(mode: number, order: StreamOrder): void {
    this.#byMode.set(mode, order);
  }

  /** Undefined for streams that are not ordered. */
  open(stream: Stream, deliver: (message: OrderedMessage) => void): OrderedDelivery<OrderedMessage> | undefined {
    const order = this.#byMode.get(stream.mode);
    if (order === undefined) return undefined;
    return new OrderedDelivery({
      name: streamKey(stream),
      source: {
        head: () => order.head(stream),
        async between(after, upTo, limit) {
          const fetched = await order.between(stream, after, upTo, limit);
          return fetched.map(({ time, message, leaverId = '' }) => {
            return { time, message: { time, envelope: EnvelopeFrame.of(message), leaverId } };
          });
        },
      },
      deliver,
      fetching: this.#fetching,
      clock: this.#clock,
      log: this.#log,
      limits: orderLimits,
    });
  }
}
