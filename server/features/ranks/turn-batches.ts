import { orderKey, type RankPeriod } from './period.ts';

/** Gathers what concerns one period in one turn of the event loop, so that it goes to Redis together. */
export class TurnBatches<Item> {
  readonly #most: number;
  readonly #work: (period: RankPeriod, items: readonly Item[]) => void;
  #waiting = new Map<string, { readonly period: RankPeriod; readonly items: Item[] }>();

  /** @param most items that go together; the rest goes beside them */
  constructor(most: number, work: (period: RankPeriod, items: readonly Item[]) => void) {
    this.#most = most;
    this.#work = work;
  }

  add(period: RankPeriod, item: Item): void {
    const key = orderKey(period);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.items.push(item);
      return;
    }
    if (this.#waiting.size === 0) setImmediate(() => this.#flush());
    this.#waiting.set(key, { period, items: [item] });
  }

  #flush(): void {
    const all = this.#waiting;
    this.#waiting = new Map();
    for (const { period, items } of all.values()) {
      for (let start = 0; start < items.length; start += this.#most) {
        this.#work(period, items.slice(start, start + this.#most));
      }
    }
  }
}
