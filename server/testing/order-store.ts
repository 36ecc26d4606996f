import type { StreamPosition } from '../cluster/stream-frame.ts';
import type { Fetched, OrderSource } from '../features/streams/ordered-delivery.ts';

export interface Stored {
  readonly position: StreamPosition;
  readonly message: string;
  /** A notice has a place, but nobody can fetch it. */
  readonly isNotice: boolean;
}

/** What the database is to an ordered stream. */
export class OrderStore implements OrderSource<string> {
  readonly all: Stored[] = [];
  /** `head` and ranges that were asked for. */
  readonly asked: string[] = [];
  /** Fails that many times. */
  failures = 0;
  mayFail = (): boolean => false;
  #head: StreamPosition = { sequence: 0n, time: 1000n };

  append(isNotice = false, apart = 1n): Stored {
    const { sequence, time } = this.#head;
    this.#head = { sequence: sequence + 1n, time: time + apart };
    const stored = { position: this.#head, message: `${isNotice ? 'n' : 'm'}${this.#head.sequence}`, isNotice };
    this.all.push(stored);
    return stored;
  }

  /** Sequences count from 1 again, as after a head was removed. */
  startAnew(): void {
    this.#head = { sequence: 0n, time: this.#head.time };
  }

  async head(): Promise<StreamPosition> {
    this.#ask('head');
    return this.#head;
  }

  async between(after: bigint, upTo: bigint, limit: number): Promise<Fetched<string>[]> {
    this.#ask(`${after - 1000n}-${upTo - 1000n}`);
    const found = this.all.filter(({ position, isNotice }) => {
      return !isNotice && position.time > after && position.time <= upTo;
    });
    return found.slice(-limit).map(({ position, message }) => ({ time: position.time, message }));
  }

  #ask(what: string): void {
    this.asked.push(what);
    if (this.failures-- > 0 || this.mayFail()) throw new Error('the store is out of reach');
  }
}
