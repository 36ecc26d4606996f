// Tournaments that end while nodes die: 200 of them end within ten seconds, each pays 50 wallets at its end and one at its
// reset, on three node processes over one database and one Redis. First with nodes killed and paused at random; then with
// all of them killed before the ends and started again half a minute after them. The clock of one node is five minutes
// ahead, that of another five behind, and none is in UTC. Prints a table, and exits with 1 when a tournament ended or paid
// not exactly once, too early, or too late.
//
//   npx tsx loadtest/tournaments.ts             about two and a half minutes
//
//   --tournaments N   per round: 200
//   --records N       per tournament, at most 100: 50
//   --seed N          of what is done to the nodes
//
// PostgreSQL is an embedded one, or that of MUSTER_TEST_DATABASE_URL.
import { parseArgs } from 'node:util';
import { type Findings, lookInto, percentile, type RunTournament } from '../server/test/cluster/payout-checks.ts';
import { PayoutWorld } from '../server/test/cluster/payout-world.ts';
import startPostgres from '../server/testing/global-setup.ts';
import { Random } from '../server/testing/random.ts';
import { sleep } from '../server/testing/wait.ts';

const { values: flags } = parseArgs({
  options: {
    tournaments: { type: 'string', default: '200' },
    records: { type: 'string', default: '50' },
    seed: { type: 'string', default: '14' },
  },
});
const count = Number(flags.tournaments);
const records = Number(flags.records);

const users = 500;
const spreadSec = 10;
/** Before the first end, for creating them: more than it takes. */
const leadSec = 15;
/** From the last reset until nodes are there again. */
const outageSec = 30;
const settleMs = 60_000;
/** While at least one node lives, and after the start of the first node (reliability anchor F14). */
const maxLatenessSec = 3;
const maxLatenessAfterOutageSec = 10;

const now = (): number => Date.now() / 1000;

async function run(world: PayoutWorld): Promise<boolean> {
  await world.start();
  await world.addUsers(users);
  const create = (): Promise<RunTournament[]> =>
    world.createTournaments(count, { firstEnd: Math.ceil(now()) + leadSec, spreadSec, records });
  const lastReset = (tournaments: readonly RunTournament[]): number =>
    Math.max(...tournaments.map(({ reset }) => reset));

  const harmed = await create();
  const calm = new AbortController();
  const harm = world.harm(calm.signal);
  await sleep((lastReset(harmed) - now()) * 1000);
  calm.abort();
  await Promise.all([harm, world.settled(harmed, settleMs)]);
  const first = await lookInto(world.sql, harmed);
  const passedFirst = report('killed and paused', first, 0, maxLatenessSec);
  console.log(
    `  ${world.counts.kills} kills, ${world.counts.pauses} pauses of 1 to 5 s; ${first.repeated} runs repeated`,
  );

  const missed = await create();
  await world.killAll();
  await sleep((lastReset(missed) + outageSec - now()) * 1000);
  const restarted = await world.start();
  await world.settled(missed, settleMs);
  const second = await lookInto(world.sql, missed);
  const passedSecond = report('all down across the ends', second, restarted, maxLatenessAfterOutageSec);
  return passedFirst && passedSecond;
}

/** @param restarted unix seconds: what is late is counted from then, when it is not 0 */
function report(title: string, findings: Findings, restarted: number, limitSec: number): boolean {
  const { violations } = findings;
  const since = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
  const began = since(restarted === 0 ? findings.lateness : findings.begun.map((at) => at - restarted));
  const paid = since(restarted === 0 ? findings.done : findings.paid.map((at) => at - restarted));
  const text = (values: readonly number[]): string =>
    [0.5, 0.99, 1].map((share) => percentile(values, share).toFixed(2)).join(' / ');
  const isLate = !(percentile(began, 0.99) <= limitSec);
  console.log(`${title}: ${violations.length === 0 ? 'each ended and paid once' : `${violations.length} VIOLATIONS`}`);
  console.log(
    `  first prize after ${text(began)} s (p50 / p99 / max), last after ${text(paid)} s${isLate ? ': TOO LATE' : ''}`,
  );
  for (const violation of violations.slice(0, 20)) console.log(`  ${violation}`);
  return violations.length === 0 && !isLate;
}

const stopPostgres = await startPostgres();
const world = await PayoutWorld.open(new Random(Number(flags.seed)));
let passed = false;
try {
  passed = await run(world);
} finally {
  await world.close();
  await stopPostgres();
}
console.log(passed ? 'PASSED' : 'FAILED');
process.exitCode = passed ? 0 : 1;
