import type { StreamPosition } from '../../cluster/stream-frame.ts';

/** Gaps that are remembered; a node has no more than one message of a channel under way at a time, mostly. */
const maxGaps = 16;

interface Gap {
  readonly after: bigint;
  readonly upTo: bigint;
  /** Times of what was heard in between. */
  readonly heard: Set<bigint>;
  /** How many places had nothing. */
  missing: number;
}

/** Places of a stream that were passed although nothing was there: it could not be fetched, but may be late. */
export class SkippedPlaces {
  #gaps: Gap[] = [];

  /** Listeners have heard what has these times, and nothing else up to `upTo`. */
  add(after: StreamPosition, upTo: StreamPosition, heard: readonly bigint[]): void {
    const missing = Number(upTo.sequence - after.sequence) - heard.length;
    if (missing <= 0) return;
    this.#gaps.push({ after: after.time, upTo: upTo.time, heard: new Set(heard), missing });
    if (this.#gaps.length > maxGaps) this.#gaps.shift();
  }

  /** Whether this is one of those places; from now on it is not. */
  take({ time }: StreamPosition): boolean {
    const gap = this.#gaps.find(({ after, upTo }) => time > after && time <= upTo);
    if (gap === undefined || gap.heard.has(time)) return false;
    gap.heard.add(time);
    if (--gap.missing === 0) this.#gaps = this.#gaps.filter((other) => other !== gap);
    return true;
  }
}
