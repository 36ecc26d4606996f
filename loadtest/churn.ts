// The churn soak: players connect, join a room, chat, follow, and go in every way there is, on node processes over one
// database and one Redis. Afterwards everything has to be as it was: heaps, files, handles, Redis, SQL. Prints a table,
// and exits with 1 when something has not returned.
//
//   npx tsx loadtest/churn.ts                   10 minutes, 100 connects a second
//   npx tsx loadtest/churn.ts --seconds 30      a quick look; says nothing about slopes
//
//   --rate N          connects a second, all nodes together
//   --listeners A,B   the listener of each node, so also how many nodes: node,uws
//   --seed N          of the players' choices
//   --snapshots DIR   heap snapshots of baseline and end, to be compared in a browser's developer tools
//
// PostgreSQL is an embedded one, or that of MUSTER_TEST_DATABASE_URL; redis-server has to be installed. A run takes
// about five minutes longer than the load: each time the nodes come to rest, idle connections have to go by themselves.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../server/testing/random.ts';
import { sleep } from '../server/testing/wait.ts';
import { type Gauges, type Measures, nodeName } from './churn-gauges.ts';
import { runVisits } from './churn-load.ts';
import { Residents } from './churn-residents.ts';
import { Stage } from './churn-stage.ts';
import { Tally } from './churn-tally.ts';
import { signInPool } from './churn-users.ts';
import { differing, judge, most } from './churn-verdict.ts';
import { Watch } from './churn-watch.ts';

const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    rate: { type: 'string', default: '100' },
    listeners: { type: 'string', default: 'node,uws' },
    seed: { type: 'string', default: '1' },
    snapshots: { type: 'string' },
  },
});
const seconds = Number(flags.seconds);
const rate = Number(flags.rate);
const listeners = flags.listeners.split(',');
const names = listeners.map((_, index) => nodeName(index));

const users = 200;
const warmUpSeconds = 20;
/** Idle connections of the pool live for a minute. */
const settleMs = 65_000;
/** Revocations live until the next purge. */
const quietMs = 200_000;
/** Recurring jobs come once a minute. */
const restMs = 70_000;
const quietPollMs = 2000;
/** In shorter runs the noise is larger than the slope that is looked for. */
const slopeSeconds = 300;
const maxHeapSlope = 1;
const maxRssSlope = 5;

type Measure = (collect: boolean) => Promise<Measures>;

/** Runs it all; false when something has not returned. */
async function soak({ nodes }: Stage, gauges: Gauges, signal: AbortSignal): Promise<boolean> {
  const pool = await signInPool(nodes, users);
  const residents = await Residents.settle(nodes, pool);
  const random = new Random(Number(flags.seed));
  const load = (tally: Tally, duration: number): Promise<number> =>
    runVisits({ nodes, users: pool, random, tally }, rate, duration, signal);
  const measure: Measure = async (collect) =>
    new Map([...(await gauges.measure({ collect })), ...residents.measures()]);

  const warmUp = new Tally(names);
  await load(warmUp, warmUpSeconds);
  console.log(`warm-up: ${warmUp.visits} connects, errors: ${list(warmUp.errors)}`);
  const calm = await atRest(measure, signal, (now) => isCalm(now, residents.count / nodes.length), settleMs);
  const baseline = await resting(calm, measure, signal);
  await writeSnapshots(gauges, 'baseline');

  const tally = new Tally(names);
  // Collections hold players up, so they are rare in a long run; a slope needs some twenty.
  const samplesPerGc = seconds >= slopeSeconds ? 6 : 2;
  const watch = new Watch({ tally, names, samplesPerGc, measure, say: (line) => console.log(line) });
  const watching = watch.run();
  const loading = load(tally, seconds);
  await Promise.race([loading, watching]);
  const lasted = await loading;
  watch.stop();
  await watching;
  const end = await atRest(measure, signal, (now) => differing(baseline, now).length === 0);
  await writeSnapshots(gauges, 'end');
  residents.close();

  const { lines, passed } = judge({ baseline, peak: watch.peak, end, tally });
  console.log(`\n${lines.join('\n')}\n`);
  const isFlat = reportSlopes(watch, lasted);
  reportLoad(tally, lasted);
  for (const line of nodes.flatMap(({ errors }) => errors.slice(0, 5))) console.log(`logged: ${line}`);
  return passed && isFlat && tally.errorCount === 0 && !signal.aborted;
}

/** Measures until it is as quiet as asked for, or the time is over, and then once more after a collection. */
async function atRest(
  measure: Measure,
  signal: AbortSignal,
  isQuiet: (now: Measures) => boolean,
  leastMs = 0,
): Promise<Measures> {
  const began = performance.now();
  const waited = (): number => performance.now() - began;
  const isOver = async (): Promise<boolean> =>
    waited() >= quietMs || (waited() >= leastMs && isQuiet(await measure(false)));
  while (!signal.aborted && !(await isOver())) await sleep(quietPollMs);
  console.log(`measured at rest, ${Math.round(waited() / 1000)} s after the load`);
  return await measure(true);
}

/** What it is like at rest, where that goes up and down: the most of a while. */
async function resting(first: Measures, measure: Measure, signal: AbortSignal): Promise<Measures> {
  let level = first;
  for (const began = performance.now(); !signal.aborted && performance.now() - began < restMs; ) {
    await sleep(quietPollMs);
    level = most(level, await measure(false));
  }
  return most(level, await measure(true));
}

/** Only residents are there, and whatever goes by itself after a while has gone. */
function isCalm(now: Measures, residentsOfNode: number): boolean {
  const areAlone = names.every((name) => now.get(`${name} sessions`) === residentsOfNode);
  return areAlone && now.get('rows in session_revocation') === 0;
}

async function writeSnapshots(gauges: Gauges, moment: string): Promise<void> {
  const folder = flags.snapshots;
  if (folder === undefined) return;
  await gauges.writeSnapshots((name) => path.join(folder, `${name}-${moment}.heapsnapshot`));
}

/** False when heaps or processes grew too fast under load. */
function reportSlopes(watch: Watch, lasted: number): boolean {
  const isTold = lasted >= slopeSeconds;
  const told = (what: string, limit: number, slopeOf: (name: string) => number): boolean => {
    const slopes = names.map(slopeOf);
    const passed = !isTold || slopes.every((slope) => slope < limit);
    const verdict = isTold ? `${passed ? 'ok' : 'FAILED'}, below ${limit}` : 'too short a run to tell';
    const texts = slopes.map((slope, index) => `${names[index]} ${slope.toFixed(3)}`);
    console.log(`slope of the ${what} under load, MB/min: ${texts.join(', ')}: ${verdict}`);
    return passed;
  };
  const heap = told('heap after GC', maxHeapSlope, (name) => watch.slope(`${name} heap after GC, MB`));
  // A process grows at first, up to what the load needs at its worst.
  const rss = told('RSS in the second half', maxRssSlope, (name) => watch.slope(`${name} RSS, MB`, 0.5));
  return heap && rss;
}

/** @param begunFor seconds in which visits began */
function reportLoad(tally: Tally, begunFor: number): void {
  const { visits, opened, peakOpen, connectMs, messageMs } = tally;
  const perSecond = (visits / begunFor).toFixed(1);
  console.log(`${visits} connects (${perSecond}/s), ${opened} of them until open, at most ${peakOpen} sockets open`);
  const connects = [...connectMs].map(([name, times]) => `${name} ${times.all} ms`).join(', ');
  console.log(`connect: ${connects}; chat message there and back: ${messageMs.all} ms (median/p99)`);
  console.log(`endings: ${list(tally.endings)}`);
  console.log(`errors: ${list(tally.errors)}`);
}

function list(counts: ReadonlyMap<string, number>): string {
  return counts.size === 0 ? 'none' : [...counts].map(([kind, count]) => `${count} ${kind}`).join('; ');
}

const stopping = new AbortController();
process.once('SIGINT', () => stopping.abort()).once('SIGTERM', () => stopping.abort());
const stage = new Stage();
try {
  const gauges = await stage.setUp(listeners);
  console.log(`${seconds} s of ${rate} connects/s on ${listeners}, seed ${flags.seed}, Node ${process.version}`);
  process.exitCode = (await soak(stage, gauges, stopping.signal)) ? 0 : 1;
} finally {
  await stage.tearDown();
}
