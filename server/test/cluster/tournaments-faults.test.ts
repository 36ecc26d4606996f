import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../testing/random.ts';
import { sleep } from '../../testing/wait.ts';
import { lookInto, percentile, type RunTournament } from './payout-checks.ts';
import { PayoutWorld } from './payout-world.ts';

// Reliability anchor F14, small: the whole of it is loadtest/tournaments.ts.

const seed = Number(process.env['MUSTER_PAYOUT_SEED'] ?? 14);

describe('tournaments that end while nodes die, by clocks that are wrong', () => {
  let world: PayoutWorld;

  beforeAll(async () => {
    world = await PayoutWorld.open(new Random(seed));
    await world.start();
    await world.addUsers(40);
  });
  afterAll(() => world?.close());

  const create = (inSec: number): Promise<RunTournament[]> => {
    const firstEnd = Math.floor(Date.now() / 1000) + inSec;
    return world.createTournaments(20, { firstEnd, spreadSec: 4, records: 10 });
  };

  it(`T1: each ends once and pays once, with nodes killed and paused (seed ${seed})`, async () => {
    const tournaments = await create(8);
    const calm = new AbortController();
    const harm = world.harm(calm.signal);
    await world.settled(tournaments, 60_000);
    calm.abort();
    await harm;
    const { violations, lateness, repeated } = await lookInto(world.sql, tournaments);
    console.info('tournaments', { ...world.counts, repeated, p99: percentile(lateness, 0.99) });
    expect(violations).toEqual([]);
    expect(world.counts.kills + world.counts.pauses).toBeGreaterThan(0);
    for (const [fault, expected] of canaries(tournaments[0] as RunTournament)) {
      await world.sql.query('BEGIN');
      await world.sql.query(fault);
      expect((await lookInto(world.sql, tournaments)).violations.join('\n'), fault).toContain(expected);
      await world.sql.query('ROLLBACK');
    }
  }, 120_000);

  it('T1: and with all of them down when it was time', async () => {
    const tournaments = await create(5);
    await world.killAll();
    const last = Math.max(...tournaments.map(({ reset }) => reset));
    await sleep((last + 3) * 1000 - Date.now());
    await world.start();
    await world.settled(tournaments, 30_000);
    expect((await lookInto(world.sql, tournaments)).violations).toEqual([]);
  }, 120_000);
});

/** What the checks have to notice. */
function canaries({ id, end }: RunTournament): [fault: string, expected: string][] {
  return [
    [`DELETE FROM wallet_ledger WHERE metadata ->> 'tournament' = '${id}' AND changeset ? 'cups'`, 'prizes of'],
    [
      `INSERT INTO wallet_ledger (id, user_id, changeset, metadata, create_time, update_time)
       SELECT gen_random_uuid(), user_id, changeset, metadata, create_time, update_time FROM wallet_ledger
       WHERE metadata ->> 'tournament' = '${id}' LIMIT 1`,
      'W2',
    ],
    [`UPDATE wallet_ledger SET create_time = to_timestamp(${end - 1})`, 'before its time'],
    [`DELETE FROM muster_job WHERE subject = '${id}' AND period LIKE '%:end'`, `T1: ${id} has`],
    [`UPDATE muster_job SET outcome = '{"hook": "failed"}' WHERE subject = '${id}'`, `T1: ${id} has`],
  ];
}
