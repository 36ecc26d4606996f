import pg from 'pg';
import { expect, test } from 'vitest';
import { Code } from '../platform/errors.ts';
import { openTestDatabase, outcome, quiet } from '../testing/store.ts';
import { waitFor } from '../testing/wait.ts';
import { Database } from './database.ts';
import { sqlState, violatedConstraint } from './pg-errors.ts';
import { sql } from './sql.ts';
import { instantParam, parseInstant } from './types.ts';

const add = sql<{ x: number }>('test_add', 'SELECT $1::int + $2::int AS x', 'read');
const fail = sql('test_fail', 'SELECT 1 / $1::int', 'read');
const nap = sql('test_nap', 'SELECT pg_sleep($1::float8)', 'read');
const series = sql<{ n: number }>('test_series', 'SELECT n FROM generate_series(1, $1::int) AS n', 'read');

test('session settings: UTC, timeout, name, search_path of the URL', async () => {
  await using test = await openTestDatabase({ statementTimeoutMs: 4_321, applicationName: 'settings' });
  const show = sql<Record<string, string>>(
    'test_show',
    `SELECT current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS timeout,
            current_setting('application_name') AS name, current_schema() AS schema`,
    'read',
  );
  const expected = { zone: 'UTC', timeout: '4321ms', name: 'settings', schema: expect.stringMatching(/^test_/) };
  expect(await test.db.query(show)).toEqual([expected]);
  expect(await test.db.transaction((tx) => tx.query(show))).toEqual([expected]);
});

test('types as promised', async () => {
  await using test = await openTestDatabase();
  const types = sql<Record<string, unknown>>(
    'test_types',
    `SELECT 9007199254740993::int8 AS big, ARRAY[1, 9007199254740993]::int8[] AS bigs, 7::int4 AS small,
            '{"b": 1, "a": 9007199254740993}'::jsonb AS json, NULL::jsonb AS nothing, '\\x00ff'::bytea AS bytes,
            'c0ffee00-0000-4000-8000-000000000000'::uuid AS id, true AS yes, 1.50::numeric AS exact,
            $1::text[] AS texts, $2::int8 AS given, $3::bytea AS sent`,
    'read',
  );
  const [row] = await test.db.query(types, [['a"b', null, '{\\'], 9_223_372_036_854_775_807n, Buffer.from([0, 255])]);
  expect(row).toEqual({
    big: 9_007_199_254_740_993n,
    bigs: [1n, 9_007_199_254_740_993n],
    small: 7,
    json: '{"a": 9007199254740993, "b": 1}',
    nothing: null,
    bytes: Buffer.from([0, 255]),
    id: 'c0ffee00-0000-4000-8000-000000000000',
    yes: true,
    exact: '1.50',
    texts: ['a"b', null, '{\\'],
    given: 9_223_372_036_854_775_807n,
    sent: Buffer.from([0, 255]),
  });
});

test('timestamps are exact to the microsecond, both ways', async () => {
  await using test = await openTestDatabase();
  const echo = sql<{ at: ReturnType<typeof parseInstant>; epoch: string; same: boolean }>(
    'test_echo_time',
    'SELECT $1::timestamptz AS at, extract(epoch from $1::timestamptz)::text AS epoch, $1::timestamptz = $2::timestamptz AS same',
    'read',
  );
  for (const text of [
    '1970-01-01 00:00:00.000001+00',
    '1969-12-31 23:59:59.999999+00',
    '2024-02-29 12:34:56.123456+00',
    '0001-01-01 00:00:00+00',
    '0044-03-15 12:00:00.5+00 BC',
    '4713-11-24 00:00:00+00 BC',
    '294276-12-31 23:59:59.999999+00',
  ]) {
    const [row] = await test.db.query(echo, [text, instantParam(parseInstant(text))]);
    expect(row?.same, text).toBe(true);
    const epoch = BigInt(row?.at.seconds ?? 0) * 1_000_000n + BigInt((row?.at.nanos ?? 0) / 1_000);
    // The epoch of PostgreSQL is rounded where microseconds do not fit into a double.
    if (Math.abs(row?.at.seconds ?? 0) < 1e12) expect(epoch, text).toBe(BigInt((row?.epoch ?? '').replace('.', '')));
  }
  const [forever] = await test.db.query(echo, ['infinity', '-infinity']);
  expect(forever?.at.seconds).toBe(Number.POSITIVE_INFINITY);
});

test('execute counts rows', async () => {
  await using test = await openTestDatabase();
  await test.db.execute(sql('test_create', 'CREATE TABLE t (id int PRIMARY KEY)', 'write'));
  const insert = sql('test_insert_many', 'INSERT INTO t SELECT unnest($1::int[]) ON CONFLICT DO NOTHING', 'write');
  expect(await test.db.execute(insert, [[1, 2, 3]])).toBe(3);
  expect(await test.db.execute(insert, [[3, 4]])).toBe(1);
  const clash = await outcome(test.db.execute(sql('test_insert_one', 'INSERT INTO t VALUES ($1)', 'write'), [1]));
  expect(clash.error).toMatchObject({ code: Code.ALREADY_EXISTS, retry: 'no' });
  expect(violatedConstraint(clash.error)).toBe('t_pkey');
});

test('a failing statement leaves its neighbours in the pipeline alone', async () => {
  await using test = await openTestDatabase({ sharedClients: 1 });
  const missing = sql('test_missing', 'SELECT * FROM no_such_table WHERE x = $1::int', 'read');
  const results = await Promise.all(
    Array.from({ length: 300 }, (_, i) =>
      outcome(i % 3 === 0 ? test.db.query(add, [i, 1]) : test.db.query(i % 3 === 1 ? fail : missing, [0])),
    ),
  );
  for (const [i, { value, error }] of results.entries()) {
    if (i % 3 === 0) expect(value).toEqual([{ x: i + 1 }]);
    else expect(sqlState(error)).toBe(i % 3 === 1 ? '22012' : '42P01');
  }
  expect(test.db.stats()).toMatchObject({ inFlight: 0, total: 1 });
  expect(await test.db.query(add, [1, 1])).toEqual([{ x: 2 }]);
});

test('the statement timeout ends a statement with DEADLINE_EXCEEDED and spares the rest', async () => {
  await using test = await openTestDatabase({ sharedClients: 1, statementTimeoutMs: 200 });
  const slow = outcome(test.db.query(nap, [5]));
  const behind = outcome(test.db.query(add, [1, 2]));
  expect((await slow).error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'safe' });
  expect((await behind).value).toEqual([{ x: 3 }]);
});

test('a stuck connection gets no new statements while there is another', async () => {
  await using test = await openTestDatabase({ sharedClients: 2 });
  await test.db.ping();
  await waitFor('both connections', () => test.db.stats().total === 2);
  const slow = test.db.query(nap, [1.5]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const results = await Promise.all(Array.from({ length: 50 }, () => outcome(test.db.query(add, [1, 1]))));
  expect(Math.max(...results.map(({ ms }) => ms))).toBeLessThan(800);
  await slow;
});

test('reads of one turn of the event loop share a connection, up to eight of them; writes do not', async () => {
  await using test = await openTestDatabase({ sharedClients: 4 });
  const pid = (kind: 'read' | 'write') =>
    sql<{ pid: number }>(`test_pid_${kind}`, 'SELECT pg_backend_pid() AS pid', kind);
  const pidsOf = async (count: number, kind: 'read' | 'write'): Promise<number> => {
    const rows = await Promise.all(Array.from({ length: count }, () => test.db.query(pid(kind))));
    return new Set(rows.map(([row]) => row?.pid)).size;
  };
  await test.db.ping();
  await waitFor('all connections', () => test.db.stats().total === 4);
  expect(await pidsOf(8, 'read')).toBe(1);
  expect(await pidsOf(9, 'read')).toBe(2);
  expect(await pidsOf(4, 'write')).toBe(4);
});

test('a deadlock among single statements is retried', async () => {
  await using test = await openTestDatabase({ sharedClients: 4 });
  await test.db.execute(sql('test_create_d', 'CREATE TABLE d (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)', 'write'));
  await test.db.execute(sql('test_fill_d', 'INSERT INTO d SELECT generate_series(1, 50)', 'write'));
  const order = (name: string, direction: string) =>
    sql(
      name,
      `UPDATE d SET n = n + 1 WHERE id IN (SELECT id FROM d ORDER BY id ${direction} FOR UPDATE) AND pg_sleep(0.001) IS NOT NULL`,
      'write',
    );
  const [up, down] = [order('test_up_d', 'ASC'), order('test_down_d', 'DESC')];
  await Promise.all([up, down, up, down].map((statement) => test.db.execute(statement)));
  const total = sql<{ n: bigint }>('test_sum_d', 'SELECT sum(n) AS n FROM d', 'read');
  expect(await test.db.query(total)).toEqual([{ n: 200n }]);
});

test('conflicts (40001) of statements that the connection knows are retried, and rows stay what they are', async () => {
  await using test = await openTestDatabase({ sharedClients: 1, poolSize: 1 });
  const write = (name: string, text: string) => test.db.execute(sql(name, text, 'write'));
  await write('test_create_turn', 'CREATE SEQUENCE turn');
  await write(
    'test_create_sometimes',
    `CREATE FUNCTION sometimes(a int) RETURNS TABLE (a1 int, a2 int) LANGUAGE plpgsql AS $$
     BEGIN
       IF nextval('turn') % 3 = 0 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
       RETURN QUERY SELECT a, a + 1;
     END $$`,
  );
  const sometimes = sql('test_sometimes', 'SELECT a1, a2 FROM sometimes($1)', 'read');
  const row = (a: number): object[] => [{ a1: a, a2: a + 1 }];
  for (let i = 0; i < 10; i++) {
    expect(await test.db.query(sometimes, [i])).toEqual(row(i));
    expect(await test.db.transaction((tx) => tx.query(sometimes, [i]))).toEqual(row(i));
  }
  const together = await Promise.all(Array.from({ length: 6 }, (_, i) => test.db.query(sometimes, [i])));
  expect(together).toEqual(Array.from({ length: 6 }, (_, i) => row(i)));
});

test('a changed result type costs a connection, not a call', async () => {
  await using test = await openTestDatabase({ sharedClients: 2, poolSize: 2 });
  await test.db.execute(sql('test_create_c', 'CREATE TABLE c (v varchar(10))', 'write'));
  const read = sql<{ v: unknown }>('test_read_c', 'SELECT v FROM c', 'read');
  await Promise.all(Array.from({ length: 20 }, () => test.db.query(read)));
  await test.db.transaction((tx) => tx.query(read));
  await test.db.execute(sql('test_alter_c', 'ALTER TABLE c ALTER COLUMN v TYPE text', 'write'));
  await Promise.all(Array.from({ length: 20 }, () => test.db.query(read)));
  await test.db.transaction((tx) => tx.query(read));
});

test('rows of a table that changes are those of the table as it is', async () => {
  await using test = await openTestDatabase({ sharedClients: 2, poolSize: 1 });
  const read = sql('test_read_e', 'SELECT * FROM e', 'read');
  const readAll = async (): Promise<unknown[]> => {
    const rows = await Promise.all(Array.from({ length: 20 }, () => test.db.query(read)));
    return [...rows, await test.db.transaction((tx) => tx.query(read))];
  };
  const all = (row: object): unknown[] => Array.from({ length: 21 }, () => [row]);
  await test.db.execute(sql('test_create_e', 'CREATE TABLE e AS SELECT 1 AS a, 2 AS b', 'write'));
  for (let i = 0; i < 2; i++) expect(await readAll()).toEqual(all({ a: 1, b: 2 }));
  await test.db.execute(sql('test_add_e', "ALTER TABLE e ADD COLUMN c text DEFAULT 'x'", 'write'));
  for (let i = 0; i < 2; i++) expect(await readAll()).toEqual(all({ a: 1, b: 2, c: 'x' }));
  await test.db.execute(sql('test_drop_e', 'ALTER TABLE e DROP COLUMN a', 'write'));
  for (let i = 0; i < 2; i++) expect(await readAll()).toEqual(all({ b: 2, c: 'x' }));
});

test('a lost prepared statement is prepared again', async () => {
  await using test = await openTestDatabase({ sharedClients: 1, poolSize: 1 });
  const deallocate = sql('test_deallocate', 'DEALLOCATE ALL', 'write');
  await test.db.query(add, [1, 1]);
  await test.db.execute(deallocate);
  expect(await test.db.query(add, [1, 2])).toEqual([{ x: 3 }]);
  await test.db.transaction((tx) => tx.execute(deallocate));
  expect(await test.db.transaction((tx) => tx.query(add, [2, 2]))).toEqual([{ x: 4 }]);
  // What it looked like before it was lost says nothing about what it looks like now.
  await test.db.execute(sql('test_create_f', 'CREATE TABLE f AS SELECT 1 AS a', 'write'));
  const read = sql('test_read_f', 'SELECT * FROM f', 'read');
  expect(await test.db.query(read)).toEqual([{ a: 1 }]);
  await test.db.execute(deallocate);
  await test.db.execute(sql('test_alter_f', 'ALTER TABLE f ADD COLUMN b int DEFAULT 2', 'write'));
  expect(await test.db.query(read)).toEqual([{ a: 1, b: 2 }]);
});

test('streams in batches, from one snapshot', async () => {
  await using test = await openTestDatabase();
  const sizes: number[] = [];
  let sum = 0;
  for await (const rows of test.db.stream(series, [1_050], 100)) {
    sizes.push(rows.length);
    for (const { n } of rows) sum += n;
  }
  expect(sizes).toEqual([...Array.from({ length: 10 }, () => 100), 50]);
  expect(sum).toBe((1_050 * 1_051) / 2);
  for await (const _ of test.db.stream(series, [0])) expect.unreachable();
  const types = sql<{ big: bigint; json: string }>(
    'test_stream_types',
    `SELECT 1::int8 AS big, '{"a":1}'::jsonb AS json`,
    'read',
  );
  for await (const rows of test.db.stream(types)) expect(rows).toEqual([{ big: 1n, json: '{"a": 1}' }]);
});

test('a stream left early or failing gives its connection back', async () => {
  await using test = await openTestDatabase({ poolSize: 1, acquireTimeoutMs: 500 });
  for (let round = 0; round < 5; round++) {
    for await (const rows of test.db.stream(series, [100_000], 10)) {
      expect(rows.length).toBe(10);
      break;
    }
    const body = async () => {
      for await (const _ of test.db.stream(series, [100], 10)) throw new Error('consumer');
    };
    await expect(body()).rejects.toThrow('consumer');
    const bad = sql('test_bad_stream', 'SELECT 1 / (50 - n) FROM generate_series(1, $1::int) AS n', 'read');
    const failing = async () => {
      for await (const _ of test.db.stream(bad, [100], 10));
    };
    const { error } = await outcome(failing());
    expect(sqlState(error)).toBe('22012');
    expect(await test.db.transaction((tx) => tx.query(add, [1, 1]))).toEqual([{ x: 2 }]);
  }
  expect(test.db.stats()).toMatchObject({ waiting: 0 });
});

test('a slow consumer is not cut off by the statement timeout', async () => {
  await using test = await openTestDatabase({ statementTimeoutMs: 200 });
  let rows = 0;
  for await (const batch of test.db.stream(series, [40], 10)) {
    rows += batch.length;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  expect(rows).toBe(40);
  const timeout = sql<{ t: string }>('test_timeout', `SELECT current_setting('statement_timeout') AS t`, 'read');
  expect(await test.db.transaction((tx) => tx.query(timeout))).toEqual([{ t: '200ms' }]);
});

test('closing lets running work finish and refuses new', async () => {
  await using test = await openTestDatabase();
  await test.db.ping();
  const running = test.db.query(nap, [0.3]);
  const transaction = test.db.transaction(async (tx) => {
    await tx.query(nap, [0.2]);
    return tx.query(add, [1, 2]);
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const closing = test.db.close();
  const refused = { code: Code.UNAVAILABLE, retry: 'safe' };
  await expect(test.db.query(add, [1, 1])).rejects.toMatchObject(refused);
  await expect(test.db.transaction(async () => 1)).rejects.toMatchObject(refused);
  await expect(test.db.ping()).rejects.toMatchObject(refused);
  await running;
  expect(await transaction).toEqual([{ x: 3 }]);
  await closing;
  expect(test.db.stats()).toMatchObject({ total: 0, inFlight: 0 });
});

test('closing does not wait for ever', async () => {
  await using test = await openTestDatabase();
  const stuck = outcome(test.db.query(nap, [4]));
  const held = outcome(
    test.db.transaction(async (tx) => {
      await tx.query(add, [1, 1]);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await tx.query(add, [1, 1]);
    }),
  );
  await waitFor('the statement', () => test.db.stats().inFlight === 1);
  const closing = await outcome(test.db.close(300));
  expect(closing.ms).toBeLessThan(2_000);
  expect((await stuck).error).toMatchObject({ code: Code.UNAVAILABLE });
  expect((await held).error).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
});

test('nothing listens: UNAVAILABLE within the acquire timeout', async () => {
  const db = new Database({ url: 'postgresql://u:p@127.0.0.1:1/d', acquireTimeoutMs: 300 }, quiet);
  for (const work of [
    () => db.query(add, [1, 1]),
    () => db.transaction((tx) => tx.query(add, [1, 1])),
    () => db.ping(),
    () => db.stream(series, [1]).next(),
  ]) {
    const { error, ms } = await outcome(work());
    expect(error).toMatchObject({ code: Code.UNAVAILABLE, message: 'Database unavailable.', retry: 'safe' });
    expect(ms).toBeLessThan(600);
  }
  await db.close();
});

test('a password that is wrong shows as the cause', async () => {
  const url = new URL(process.env['MUSTER_TEST_DATABASE_URL'] ?? '');
  url.password = 'wrong';
  const db = new Database({ url: url.href, acquireTimeoutMs: 300 }, quiet);
  const { error } = await outcome(db.query(add, [1, 1]));
  expect(error).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
  expect(sqlState(error)).toBe('28P01');
  await db.close();
});

test('more pending statements than allowed are refused', async () => {
  await using test = await openTestDatabase({ maxPending: 10 });
  const results = await Promise.all(Array.from({ length: 15 }, () => outcome(test.db.query(nap, [0.1]))));
  expect(results.filter(({ error }) => error === undefined).length).toBe(10);
  expect(results.at(-1)?.error).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
});

test('connections are replaced when they are old', async () => {
  await using test = await openTestDatabase({ sharedClients: 1, maxLifetimeMs: 300 });
  const pid = sql<{ pid: number }>('test_pid', 'SELECT pg_backend_pid() AS pid', 'read');
  const [first] = await test.db.query(pid);
  await waitFor('another backend', async () => (await test.db.query(pid))[0]?.pid !== first?.pid, 5_000);
});

test('without a caller there are no leftovers in the database', async () => {
  const name = 'leftovers';
  {
    await using test = await openTestDatabase({ applicationName: name });
    await Promise.all(Array.from({ length: 30 }, () => test.db.transaction((tx) => tx.query(add, [1, 1]))));
    expect(test.db.stats().total).toBeLessThanOrEqual(14);
  }
  const client = new pg.Client(process.env['MUSTER_TEST_DATABASE_URL']);
  await client.connect();
  await waitFor('the backends to be gone', async () => {
    const { rows } = await client.query('SELECT 1 FROM pg_stat_activity WHERE application_name = $1', [name]);
    return rows.length === 0;
  });
  await client.end();
});
