import { type ExpositionWriter, joinLabels, type Sample } from './metrics-family.ts';

/** Upper bounds of the exported histograms in seconds (spec: console-metrics.md, section 11). */
const exportedBounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** Ten bounds per decade from 10 us to 10 s, the exported ones among them: a quantile is off by a fifth at most. */
const bounds = Float64Array.from([
  ...[-5, -4, -3, -2, -1, 0].flatMap((exponent) =>
    [1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8].map((mantissa) => Number(`${mantissa}e${exponent}`)),
  ),
  10,
]);

const bucketCount = bounds.length + 1;

const quantiles = [0.5, 0.75, 0.95, 0.99, 0.999];

/** Quantiles tell of the last one to two such periods, as a summary's do; counts and sums tell of everything. */
const windowMs = 5 * 60_000;

/** The bucket that a duration in seconds falls into. */
export function bucketOf(seconds: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bounds[middle] as number) < seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * How long things took. One fixed histogram feeds both the exported histogram and the summary's quantiles, because
 * prom-client's summary costs microseconds per observation.
 */
export class Latency {
  count = 0;
  /** Seconds. */
  sum = 0;
  // Doubles count exactly up to 2^53; 32 bits would wrap within days.
  readonly #buckets = new Float64Array(bucketCount);
  #windowStart: Float64Array | undefined;
  #nextWindowStart: Float64Array | undefined;
  #nextWindowAt = 0;

  record(seconds: number): void {
    const valid = Math.max(seconds, 0);
    this.add(bucketOf(valid), valid);
  }

  /** For callers that know the bucket already. */
  add(bucket: number, seconds: number): void {
    this.count++;
    this.sum += seconds;
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1;
  }

  /**
   * Samples of a summary.
   * @param nowMs monotonic milliseconds
   */
  *summary(labels: string, nowMs: number): Generator<Sample> {
    const recent = this.#recent(nowMs);
    for (const quantile of quantiles) {
      const value = quantileOf(recent, quantile);
      yield { labels: joinLabels(labels, `quantile="${quantile}"`), value };
    }
    yield { suffix: '_sum', labels, value: this.sum };
    yield { suffix: '_count', labels, value: this.count };
  }

  /** Samples of a histogram, with the bounds of the spec. */
  *histogram(labels: string): Generator<Sample> {
    let bucket = 0;
    let total = 0;
    for (const bound of exportedBounds) {
      for (; bucket < bounds.length && (bounds[bucket] as number) <= bound; bucket++) {
        total += this.#buckets[bucket] as number;
      }
      yield { suffix: '_bucket', labels: joinLabels(labels, `le="${bound}"`), value: total };
    }
    yield { suffix: '_bucket', labels: joinLabels(labels, 'le="+Inf"'), value: this.count };
    yield { suffix: '_sum', labels, value: this.sum };
    yield { suffix: '_count', labels, value: this.count };
  }

  /** Counts since the window began. Windows move on when somebody looks; nobody else needs them. */
  #recent(nowMs: number): Float64Array {
    if (this.#nextWindowStart === undefined) {
      this.#nextWindowStart = new Float64Array(bucketCount);
      this.#nextWindowAt = nowMs + windowMs;
    } else if (nowMs >= this.#nextWindowAt) {
      this.#windowStart = this.#nextWindowStart;
      this.#nextWindowStart = this.#buckets.slice();
      this.#nextWindowAt = nowMs + windowMs;
    }
    const start = this.#windowStart;
    return start === undefined ? this.#buckets : this.#buckets.map((count, i) => count - (start[i] as number));
  }
}

/** The value below which that share of the observations lies, in seconds; NaN when there are none. */
function quantileOf(buckets: Float64Array, quantile: number): number {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return Number.NaN;
  const rank = quantile * total;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    const count = buckets[i] as number;
    if (count > 0 && below + count >= rank) {
      const lower = i === 0 ? 0 : (bounds[i - 1] as number);
      return lower + ((bounds[i] as number) - lower) * ((rank - below) / count);
    }
    below += count;
  }
  return bounds[bounds.length - 1] as number;
}

/** Writes a timer twice: as the summary that the spec names, and as a histogram that adds up across nodes. */
export async function writeTimer(
  out: ExpositionWriter,
  name: string,
  help: string,
  children: Iterable<readonly [string, Latency]>,
  nowMs: number,
): Promise<void> {
  const used = [...children].filter(([, latency]) => latency.count > 0);
  if (used.length === 0) return;
  out.begin(name, 'summary', help);
  for (const [labels, latency] of used) {
    out.addSamples(name, latency.summary(labels, nowMs));
    await out.pause();
  }
  const histogramName = `${name}_hist`;
  out.begin(histogramName, 'histogram', help);
  for (const [labels, latency] of used) {
    out.addSamples(histogramName, latency.histogram(labels));
    await out.pause();
  }
}
