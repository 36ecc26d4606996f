/** What happened to the load, in all and since the last look. */
export class Tally {
  /** Visits begun, each with a connect, and those in which it went through. */
  visits = 0;
  opened = 0;
  /** Sockets open at the moment, and the most there were. */
  open = 0;
  peakOpen = 0;
  /** Persistent messages that were acknowledged, and those whose sender was gone before. */
  stored = 0;
  maybeStored = 0;
  readonly endings = new Map<string, number>();
  readonly errors = new Map<string, number>();
  /** By node. */
  readonly connectMs: ReadonlyMap<string, Times>;
  /** From sending a chat message to hearing it. */
  readonly messageMs = new Times();

  /** @param nodes their names */
  constructor(nodes: readonly string[]) {
    this.connectMs = new Map(nodes.map((name) => [name, new Times()]));
  }

  error(kind: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }

  ending(kind: string): void {
    this.endings.set(kind, (this.endings.get(kind) ?? 0) + 1);
  }

  /** A socket of that node is open. */
  connected(node: string, ms: number): void {
    this.connectMs.get(node)?.add(ms);
    this.opened++;
    this.open++;
    this.peakOpen = Math.max(this.peakOpen, this.open);
  }

  get errorCount(): number {
    return [...this.errors.values()].reduce((sum, count) => sum + count, 0);
  }
}

/** Milliseconds that something took, in all and since the last look. */
export class Times {
  readonly #all: number[] = [];
  #seen = 0;

  add(ms: number): void {
    this.#all.push(ms);
  }

  /** Median and 99th percentile of what was added since the last call. */
  recent(): string {
    const since = this.#all.slice(this.#seen);
    this.#seen = this.#all.length;
    return percentiles(since);
  }

  get all(): string {
    return percentiles(this.#all);
  }
}

function percentiles(ms: readonly number[]): string {
  const sorted = Float64Array.from(ms).sort();
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN).toFixed(1);
  return `${at(0.5)}/${at(0.99)}`;
}
