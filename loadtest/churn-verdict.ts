import type { Measures } from './churn-gauges.ts';
import type { Tally } from './churn-tally.ts';

/** What the verdicts need besides the measures. */
export interface Run {
  readonly baseline: Measures;
  readonly peak: Measures;
  readonly end: Measures;
  readonly tally: Tally;
}

interface Verdict {
  readonly passed: boolean;
  readonly text: string;
}

/** Compiled code and what V8 learns about types. */
const heapMb = 4;
/** V8's young generation, and pages that malloc keeps. */
const rssMb = 48;
const externalMb = 4;
const redisMb = 1;

/** Lines that say how fast things went, not what is left. */
const isPace = (name: string): boolean => name.endsWith('lag p99, ms') || name.endsWith('CPU, %');

/** What recurring jobs of idle nodes use for a moment, or for the minute that a connection stays open after it. */
const isFluctuating = (name: string): boolean =>
  /^SQL connections of |(TCPSocketWrap handles|Timeout handles|open files|statements in flight)$/.test(name);

/** At each name the most of both, where it goes up and down at rest; else the later value. */
export function most(earlier: Measures, later: Measures): Measures {
  return new Map(
    [...later].map(([name, value]) => [name, isFluctuating(name) ? Math.max(earlier.get(name) ?? 0, value) : value]),
  );
}

/** What has to be as it was, with no tolerance, and is not; or no more than the most that it was, if that changes. */
export function differing(baseline: Measures, now: Measures): string[] {
  const names = [...new Set([...baseline.keys(), ...now.keys()])];
  const isExact = (name: string): boolean => !name.endsWith(', MB') && !isPace(name) && name !== 'rows in message';
  return names.filter((name) => isExact(name) && !isBack(name, baseline.get(name) ?? 0, now.get(name) ?? 0));
}

const isBack = (name: string, baseline: number, now: number): boolean =>
  isFluctuating(name) ? now <= baseline : now === baseline;

/** The table of the run: a line for each measure, and whether all have returned. */
export function judge(run: Run): { readonly lines: string[]; readonly passed: boolean } {
  const names = [...new Set([...run.baseline.keys(), ...run.peak.keys(), ...run.end.keys()])].filter(
    (name) => !isPace(name),
  );
  const rows = names.sort().map((name) => {
    const baseline = run.baseline.get(name) ?? 0;
    const end = run.end.get(name) ?? 0;
    const peak = Math.max(run.peak.get(name) ?? 0, end);
    const { passed, text } = verdictOf(name, baseline, end, run.tally);
    return { passed, cells: [name, ...[baseline, peak, end, end - baseline].map(short), text] };
  });
  const header = ['', 'baseline', 'peak', 'end', 'difference', 'verdict'];
  return {
    lines: layOut([header, ...rows.map(({ cells }) => cells)]),
    passed: rows.every(({ passed }) => passed),
  };
}

function verdictOf(name: string, baseline: number, end: number, { stored, maybeStored }: Tally): Verdict {
  const within = (limit: number, why: string): Verdict => {
    const passed = end <= baseline + limit;
    return { passed, text: `${passed ? 'ok' : 'FAILED'}, ${why}: up to +${short(limit)}` };
  };
  if (name.endsWith('heap after GC, MB')) return within(heapMb, 'code');
  if (name.endsWith('external memory, MB')) return within(externalMb, 'buffers');
  if (name.endsWith('RSS, MB')) return within(rssMb, 'pages kept');
  if (name === 'Redis memory, MB') return within(redisMb, 'buffers of its clients');
  if (name === 'rows in message') {
    const passed = end - baseline >= stored && end - baseline <= stored + maybeStored;
    const expected = maybeStored === 0 ? `${stored}` : `${stored} to ${stored + maybeStored}`;
    return { passed, text: `${passed ? 'ok' : 'FAILED'}, acknowledged: ${expected}` };
  }
  const passed = isBack(name, baseline, end);
  return { passed, text: `${passed ? 'ok' : 'FAILED'}${isFluctuating(name) ? ', no more than at rest before' : ''}` };
}

/** Least squares: by how much y grows with each x. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (axis: 0 | 1): number => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return covariance / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

const short = (number: number): string => (Number.isInteger(number) ? String(number) : number.toFixed(2));

function layOut(rows: readonly (readonly string[])[]): string[] {
  const isNumber = (column: number): boolean => column > 0 && column < (rows[0]?.length ?? 0) - 1;
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
