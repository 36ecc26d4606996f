import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateUp } from '../../store/migrate.ts';
import type { Param, Statement } from '../../store/sql.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import type { Board } from './board.ts';
import {
  boardById,
  boardsById,
  boardsWithoutReset,
  countRecords,
  disableRanks,
  plainBoardsAfter,
} from './board-queries.ts';
import {
  deleteRecord,
  eraseRecordsOf,
  firstRecords,
  recordOf,
  recordsAfter,
  recordsAround,
  recordsOf,
  recordsOfUser,
} from './record-queries.ts';
import { statementOf } from './write-queries.ts';

// Every statement finds its rows by an index, and pages come out of the primary key in their order, with 40,000 records on
// one of 2,000 boards, and with plans that know the parameters and plans that do not. MUSTER_TEST_PLANS=1 prints them.

let schema: TestSchema;
let client: pg.Client;
let owner = '';
let createdAt = '';

beforeAll(async () => {
  schema = await createTestSchema();
  await migrateUp(schema.url);
  client = new pg.Client(schema.url);
  await client.connect();
  await client.query(`
    INSERT INTO leaderboard (id, reset_schedule, duration)
      SELECT 'board' || n, CASE n % 2 WHEN 0 THEN '@daily' END, n % 3 FROM generate_series(1, 2000) AS n;
    INSERT INTO muster_job (kind, subject, period, due_time, run_time, fence)
      SELECT 'leaderboard_reset', id, '1', now(), now(), 1 FROM leaderboard WHERE duration = 0;
    INSERT INTO users (id, username) SELECT gen_random_uuid(), 'user' || n FROM generate_series(1, 2000) AS n;
    INSERT INTO leaderboard_record (leaderboard_id, owner_id, score, subscore, expiry_time)
      SELECT CASE WHEN n <= 40000 THEN 'board3' ELSE 'board' || n % 2000 + 1 END, gen_random_uuid(), n % 1000, n % 7,
        to_timestamp(CASE WHEN n % 10 = 0 THEN 1768176000 ELSE 0 END)
      FROM generate_series(1, 60000) AS n;
    ANALYZE leaderboard, leaderboard_record, muster_job, users;
  `);
  const { rows } = await client.query<{ owner_id: string; create_time: string }>(
    `SELECT r.owner_id, b.create_time::text FROM leaderboard_record r JOIN leaderboard b ON b.id = r.leaderboard_id
     WHERE b.id = 'board3' AND r.expiry_time = to_timestamp(0) LIMIT 1`,
  );
  owner = rows[0]?.owner_id ?? '';
  createdAt = rows[0]?.create_time ?? '';
});
afterAll(async () => {
  await client?.end();
  await schema?.drop();
});

const literal = (param: Param): string => {
  if (param === null) return 'NULL';
  if (Array.isArray(param)) return pg.escapeLiteral(`{${param.join(',')}}`);
  return typeof param === 'number' ? String(param) : pg.escapeLiteral(String(param));
};

async function planOf(statement: Statement<unknown>, params: readonly Param[], mode: string): Promise<string> {
  await client.query(`SET plan_cache_mode = ${mode}`);
  await client.query(`PREPARE plan AS ${statement.text}`);
  try {
    const { rows } = await client.query(`EXPLAIN (COSTS OFF) EXECUTE plan(${params.map(literal).join(', ')})`);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await client.query('DEALLOCATE plan');
  }
}

/** What PostgreSQL takes for the sixth execution and those that follow: a plan for all, or one that is made each time. */
async function isPlannedOnce(statement: Statement<unknown>, params: readonly Param[]): Promise<boolean> {
  await client.query('SET plan_cache_mode = auto');
  await client.query(`PREPARE plan AS ${statement.text}`);
  try {
    for (let i = 0; i < 6; i++) await client.query(`EXECUTE plan(${params.map(literal).join(', ')})`);
    const { rows } = await client.query("SELECT generic_plans FROM pg_prepared_statements WHERE name = 'plan'");
    return rows[0].generic_plans > 0;
  } finally {
    await client.query('DEALLOCATE plan');
  }
}

const zero = '00000000-0000-0000-0000-000000000000';
const descending = { descending: true } as Board;
const position = (): Param[] => [500, 3, owner];
const writeParams = (): Param[] => ['board3', 0, owner, 'name', 5, 5, '{}', createdAt];

/** What comes in the order of the primary key, and how often that is gone along. */
const pages: [Statement<unknown>, () => Param[]][] = [
  [firstRecords.up, () => ['board3', 0, 101]],
  [firstRecords.down, () => ['board3', 0, 101]],
  [recordsAfter.up, () => ['board3', 0, 101, ...position()]],
  [recordsAfter.down, () => ['board3', 1768176000, 101, ...position()]],
];

const others: [Statement<unknown>, () => Param[]][] = [
  [recordsAround, () => ['board3', 0, owner, 10]],
  [recordsOf, () => ['board3', 0, [owner, zero]]],
  [recordOf, () => ['board3', 0, owner]],
  [deleteRecord, () => ['board3', 0, owner, createdAt]],
  [eraseRecordsOf, () => [owner]],
  [recordsOfUser, () => [owner]],
  [statementOf(descending, 0, 'user'), writeParams],
  [statementOf(descending, 1, 'any'), writeParams],
  [boardById, () => ['board3']],
  [boardsById, () => [['board3', 'board4']]],
  [countRecords, () => ['board9', 10_001]],
  [disableRanks, () => ['board3', false]],
  [plainBoardsAfter, () => [createdAt, 'board3', 11]],
  [boardsWithoutReset, () => ['leaderboard_reset', 'board1500', 100]],
];

const titled = (cases: typeof pages) =>
  cases.map(([statement, params]) => [statement.name, statement, params] as const);

describe.each(['force_custom_plan', 'force_generic_plan'])('with %s', (mode) => {
  const show = async (statement: Statement<unknown>, params: readonly Param[]): Promise<string> => {
    const plan = await planOf(statement, params, mode);
    if (process.env['MUSTER_TEST_PLANS'] !== undefined) console.log(`${statement.name} ${mode}\n${plan}\n`);
    return plan;
  };

  it.each(titled(pages))('%s goes along the primary key', async (name, statement, params) => {
    const plan = await show(statement, params());
    const direction = name.endsWith('down') ? 'Backward ' : '';
    expect(plan).toContain(`Index Scan ${direction}using leaderboard_record_pkey`);
    expect(plan).not.toMatch(/Sort|Seq Scan/);
    if (name.includes('after'))
      expect(plan).toMatch(/Index Cond: .*ROW\(r?\.?score, r?\.?subscore, r?\.?owner_id\) [<>]/);
  });

  it.each(titled(others))('%s scans no table', async (_, statement, params) => {
    const plan = await show(statement, params());
    expect(plan).toMatch(/Index (Only )?Scan|Bitmap Index Scan/);
    expect(plan).not.toMatch(/Seq Scan on (leaderboard|leaderboard_record|users)\b/);
  });

  it('the neighbours of an owner are two walks along the primary key', async () => {
    const plan = await show(recordsAround, ['board3', 0, owner, 10]);
    expect(plan).toContain('Index Scan using leaderboard_record_pkey');
    expect(plan).toContain('Index Scan Backward using leaderboard_record_pkey');
    expect(plan.match(/ROW\(score, subscore, owner_id\) [<>] ROW\(own/g)).toHaveLength(2);
    expect(plan).not.toContain('Sort');
  });
});

it.each([1, 10, 100])('a page of %i around an owner is not planned anew each time', async (limit) => {
  expect(await isPlannedOnce(recordsAround, ['board3', 0, owner, limit])).toBe(true);
});
