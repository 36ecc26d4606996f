import type pg from 'pg';
import { prizeOf } from './payout-feature.ts';

/** A tournament of the run. Unix seconds. */
export interface RunTournament {
  readonly id: string;
  readonly end: number;
  readonly reset: number;
  /** Owners, the best first. */
  readonly standings: readonly string[];
}

interface JobRow {
  readonly subject: string;
  readonly period: string;
  readonly state: number;
  readonly outcome: { readonly hook?: string } | null;
  readonly attempts: number;
}

interface LedgerRow {
  readonly user_id: string;
  readonly tournament: string;
  readonly what: string;
  readonly amount: string;
  readonly paid: number;
}

/** What the run has to show. */
export interface Findings {
  /** What should never be (reliability anchors T1, W2, W3). */
  readonly violations: string[];
  /** Seconds from the end of each tournament until the first of its coins were paid, ascending; and until the last. */
  readonly lateness: number[];
  readonly done: number[];
  /** The same as unix seconds, in the order of the tournaments. */
  readonly begun: number[];
  readonly paid: number[];
  /** Runs that a node began and another one had to repeat. */
  readonly repeated: number;
}

/** Each event of each tournament has one outcome, and each of its prizes was paid once and not too early. */
export async function lookInto(sql: pg.Client, tournaments: readonly RunTournament[]): Promise<Findings> {
  const ids = tournaments.map(({ id }) => id);
  const { rows: jobs } = await sql.query<JobRow>(
    `SELECT subject, period, state, outcome, attempts FROM muster_job WHERE kind = 'tournament' AND subject = ANY ($1)`,
    [ids],
  );
  const { rows: ledger } = await sql.query<LedgerRow>(
    `SELECT user_id, metadata ->> 'tournament' AS tournament, metadata ->> 'what' AS what,
       COALESCE(changeset ->> 'coins', changeset ->> 'cups') AS amount, extract(epoch FROM create_time)::float8 AS paid
     FROM wallet_ledger WHERE metadata ->> 'tournament' = ANY ($1) ORDER BY user_id`,
    [ids],
  );
  const violations = await unbalanced(sql);
  const lateness: number[] = [];
  const done: number[] = [];
  const begun: number[] = [];
  const lastPaid: number[] = [];
  const jobsOf = groupBy(jobs, ({ subject }) => subject);
  const ledgerOf = groupBy(ledger, ({ tournament }) => tournament);
  for (const tournament of tournaments) {
    const paid = ledgerOf.get(tournament.id) ?? [];
    violations.push(...checkOutcomes(tournament, jobsOf.get(tournament.id) ?? []), ...checkPrizes(tournament, paid));
    const coins = paid.filter(({ what }) => what === 'coins').map((row) => row.paid);
    const [first, last] = coins.length === 0 ? [Infinity, Infinity] : [Math.min(...coins), Math.max(...coins)];
    begun.push(first);
    lastPaid.push(last);
    lateness.push(first - tournament.end);
    done.push(last - tournament.end);
  }
  const repeated = jobs.reduce((sum, { attempts }) => sum + attempts - 1, 0);
  return { violations, lateness: ascending(lateness), done: ascending(done), begun, paid: lastPaid, repeated };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function checkOutcomes({ id, end, reset }: RunTournament, jobs: readonly JobRow[]): string[] {
  const shown = jobs.map(({ period, state, outcome }) => `${period} ${state} ${outcome?.hook}`);
  // The start was before anybody listened.
  const found = shown.filter((each) => !each.includes(':start ')).sort();
  const expected = [`${end}:end 1 done`, `${reset}:reset 1 done`].sort();
  return found.join() === expected.join() ? [] : [`T1: ${id} has ${found.join(', ') || 'no outcome'}`];
}

function checkPrizes({ id, end, reset, standings }: RunTournament, paid: readonly LedgerRow[]): string[] {
  const found = paid.map(({ what, user_id, amount }) => `${what} ${user_id} ${amount}`).sort();
  const expected = [
    ...standings.map((owner, index) => `coins ${owner} ${prizeOf(index + 1)}`),
    ...standings.slice(0, 1).map((owner) => `cups ${owner} 1`),
  ].sort();
  const violations: string[] = [];
  if (found.join() !== expected.join()) violations.push(`T1: ${id} paid ${found.length} prizes of ${expected.length}`);
  const early = paid.filter((row) => row.paid < (row.what === 'coins' ? end : reset));
  if (early.length > 0) violations.push(`T1: ${id} paid ${early.length} prizes before its time`);
  return violations;
}

/** Wallets that are not what their ledger says. */
async function unbalanced(sql: pg.Client): Promise<string[]> {
  const { rows } = await sql.query<{ id: string }>(
    `SELECT u.id FROM users u LEFT JOIN (
       SELECT user_id, sum((changeset ->> 'coins')::numeric) AS coins, sum((changeset ->> 'cups')::numeric) AS cups
       FROM wallet_ledger GROUP BY user_id
     ) l ON l.user_id = u.id
     WHERE COALESCE((u.wallet ->> 'coins')::numeric, 0) <> COALESCE(l.coins, 0)
       OR COALESCE((u.wallet ->> 'cups')::numeric, 0) <> COALESCE(l.cups, 0)`,
  );
  return rows.map(({ id }) => `W2: the wallet of ${id} is not what its ledger says`);
}

const ascending = (values: number[]): number[] => values.sort((a, b) => a - b);

/** The value below which that share of ascending values is. */
export function percentile(values: readonly number[], share: number): number {
  return values[Math.min(values.length - 1, Math.ceil(share * values.length) - 1)] ?? Number.NaN;
}
