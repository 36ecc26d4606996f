import { sleep } from '../server/testing/wait.ts';
import type { Measures } from './churn-gauges.ts';
import type { Tally } from './churn-tally.ts';
import { slope } from './churn-verdict.ts';

const sampleMs = 5000;
const samplesPerLine = 2;

export interface WatchOptions {
  readonly tally: Tally;
  readonly names: readonly string[];
  /** Every so many samples garbage is collected, and the heap looked at. */
  readonly samplesPerGc: number;
  readonly measure: (collect: boolean) => Promise<Measures>;
  readonly say: (line: string) => void;
}

/** Samples everything while the load runs: the highest of each, and how the heaps go on. */
export class Watch {
  readonly peak: Measures = new Map();
  readonly #options: WatchOptions;
  readonly #began = performance.now();
  /** By measure: what it was, by minute. */
  readonly #course = new Map<string, [minute: number, value: number][]>();
  #isOver = false;
  #visits = 0;
  #linesAt = performance.now();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Goes on until `stop`; rejects when something cannot be measured. */
  async run(): Promise<void> {
    for (let sample = 1; !this.#isOver; sample++) {
      await this.#pause(this.#began + sample * sampleMs);
      if (this.#isOver) return;
      const measures = await this.#options.measure((sample - 1) % this.#options.samplesPerGc === 0);
      const minute = (performance.now() - this.#began) / 60_000;
      for (const [name, value] of measures) {
        this.peak.set(name, Math.max(this.peak.get(name) ?? Number.NEGATIVE_INFINITY, value));
        const course = this.#course.get(name) ?? [];
        this.#course.set(name, course);
        course.push([minute, value]);
      }
      if (sample % samplesPerLine === 0) this.#print(measures);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  /** By how much a measure grew per minute of load, leaving out the first part of the time. */
  slope(name: string, leftOut = 0): number {
    const course = this.#course.get(name) ?? [];
    return slope(course.slice(Math.floor(course.length * leftOut)));
  }

  async #pause(until: number): Promise<void> {
    while (!this.#isOver && performance.now() < until) await sleep(Math.min(100, until - performance.now()));
  }

  #print(measures: Measures): void {
    const { tally, names, say } = this.#options;
    const now = performance.now();
    const perSecond = ((tally.visits - this.#visits) * 1000) / (now - this.#linesAt);
    this.#visits = tally.visits;
    this.#linesAt = now;
    const each = (what: string, digits = 0): string =>
      names.map((name) => (this.#latest(`${name} ${what}`, measures) ?? Number.NaN).toFixed(digits)).join('/');
    say(
      [
        `${String(Math.round((now - this.#began) / 1000)).padStart(4)} s`,
        `${perSecond.toFixed(1)} connects/s`,
        `${tally.open} open`,
        `connect ${[...tally.connectMs.values()].map((times) => times.recent()).join(' ')} ms`,
        `message ${tally.messageMs.recent()} ms`,
        `heap ${each('heap after GC, MB', 1)} MB`,
        `RSS ${each('RSS, MB')} MB`,
        `lag ${each('event loop lag p99, ms')} ms`,
        `CPU ${each('CPU, %')} %`,
        `${tally.errorCount} errors`,
      ].join('  '),
    );
  }

  /** The heap is not looked at in every sample. */
  #latest(name: string, measures: Measures): number | undefined {
    return measures.get(name) ?? this.#course.get(name)?.at(-1)?.[1];
  }
}
