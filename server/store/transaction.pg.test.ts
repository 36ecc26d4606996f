import pg from 'pg';
import { expect, test } from 'vitest';
import { Code, internal } from '../platform/errors.ts';
import { openTestDatabase, outcome } from '../testing/store.ts';
import { waitFor } from '../testing/wait.ts';
import { sqlState, violatedConstraint } from './pg-errors.ts';
import { sql } from './sql.ts';
import type { Transaction } from './transaction.ts';

const create = sql('test_create', 'CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)', 'write');
const insert = sql('test_insert', 'INSERT INTO t (id) VALUES ($1)', 'write');
const count = sql<{ n: bigint }>('test_count', 'SELECT count(*) AS n FROM t', 'read');
const read = sql<{ n: number }>('test_read', 'SELECT n FROM t WHERE id = $1', 'read');
const write = sql('test_write', 'UPDATE t SET n = $2 WHERE id = $1', 'write');
const serializable = sql('test_serializable', 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'write');
const conflict = sql(
  'test_conflict',
  `DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '40001'; END $$`,
  'write',
);

async function openTable(options = {}) {
  const test = await openTestDatabase(options);
  await test.db.execute(create);
  return test;
}

test('commits, rolls back, and gives the connection back either way', async () => {
  await using test = await openTable({ poolSize: 1 });
  expect(
    await test.db.transaction(async (tx) => {
      await tx.execute(insert, [1]);
      return (await tx.query(count))[0]?.n;
    }),
  ).toBe(1n);
  const failing = test.db.transaction(async (tx) => {
    await tx.execute(insert, [2]);
    throw internal('changed my mind');
  });
  await expect(failing).rejects.toMatchObject({ message: 'changed my mind' });
  expect(await test.db.query(count)).toEqual([{ n: 1n }]);
  expect(await test.db.transaction(async () => 'nothing')).toBe('nothing');
  expect(test.db.stats()).toMatchObject({ waiting: 0 });
});

test('every statement is inside the transaction, the first too', async () => {
  await using test = await openTable({ poolSize: 1 });
  const inTransaction = sql<{ same: boolean }>(
    'test_in_tx',
    'SELECT transaction_timestamp() <> statement_timestamp() AS same',
    'read',
  );
  const [, second] = await test.db.transaction((tx) => Promise.all([tx.query(inTransaction), tx.query(inTransaction)]));
  expect(second).toEqual([{ same: true }]);
});

test('when BEGIN fails the first statement is not run', async () => {
  await using test = await openTable({ poolSize: 1 });
  const breakBegin = sql('test_break_begin', 'DEALLOCATE muster_begin', 'write');
  await test.db.transaction((tx) => tx.execute(breakBegin));
  let tries = 0;
  // The connection without BEGIN fails, and is replaced; had the statement run alone, the second try would clash.
  await test.db.transaction(async (tx) => {
    tries++;
    await tx.execute(insert, [1]);
  });
  expect(tries).toBe(2);
  expect(await test.db.query(count)).toEqual([{ n: 1n }]);
});

test('a failed statement dooms the transaction even when its error is swallowed', async () => {
  await using test = await openTable({ poolSize: 1 });
  const ran: string[] = [];
  const swallowing = test.db.transaction(async (tx) => {
    tx.afterCommit(() => void ran.push('after'));
    await tx.execute(insert, [1]);
    await outcome(tx.execute(insert, [1]));
    return 'fine';
  });
  const { error } = await outcome(swallowing);
  expect(error).toMatchObject({ code: Code.ALREADY_EXISTS, retry: 'no' });
  expect(violatedConstraint(error)).toBe('t_pkey');
  expect(await test.db.query(count)).toEqual([{ n: 0n }]);
  expect(ran).toEqual([]);
});

test('a statement that nobody waited for counts too', async () => {
  await using test = await openTable({ poolSize: 1 });
  const careless = test.db.transaction(async (tx) => {
    await tx.execute(insert, [1]);
    void outcome(tx.execute(insert, [1]));
    return 'fine';
  });
  expect((await outcome(careless)).error).toMatchObject({ code: Code.ALREADY_EXISTS });
  expect(await test.db.query(count)).toEqual([{ n: 0n }]);
});

test('a constraint that fails at COMMIT', async () => {
  await using test = await openTable();
  const deferred = `ALTER TABLE t ADD CONSTRAINT t_n_key UNIQUE (n) DEFERRABLE INITIALLY DEFERRED`;
  await test.db.execute(sql('test_defer', deferred, 'write'));
  const late = test.db.transaction(async (tx) => {
    await tx.execute(insert, [1]);
    await tx.execute(insert, [2]);
  });
  const { error } = await outcome(late);
  expect(error).toMatchObject({ code: Code.ALREADY_EXISTS, retry: 'no' });
  expect(violatedConstraint(error)).toBe('t_n_key');
});

test('statements side by side in one transaction', async () => {
  await using test = await openTable();
  await test.db.transaction((tx) => Promise.all(Array.from({ length: 50 }, (_, id) => tx.execute(insert, [id]))));
  expect(await test.db.query(count)).toEqual([{ n: 50n }]);
});

test('after-commit callbacks run once, in order, and their errors change nothing', async () => {
  await using test = await openTable();
  const ran: string[] = [];
  const value = await test.db.transaction(async (tx) => {
    tx.afterCommit(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      ran.push(`first sees ${(await test.db.query(count))[0]?.n}`);
    });
    tx.afterCommit(() => {
      ran.push('second');
      throw new Error('callback');
    });
    tx.afterCommit(() => void ran.push('third'));
    await tx.execute(insert, [1]);
    expect(ran).toEqual([]);
    return 'value';
  });
  expect(value).toBe('value');
  expect(ran).toEqual(['first sees 1', 'second', 'third']);
});

test('a used up transaction throws', async () => {
  await using test = await openTable();
  let kept: Transaction | undefined;
  await test.db.transaction(async (tx) => {
    kept = tx;
    await tx.execute(insert, [1]);
  });
  await expect(kept?.query(count)).rejects.toMatchObject({ code: Code.INTERNAL });
  await expect(kept?.execute(insert, [2])).rejects.toMatchObject({ code: Code.INTERNAL });
  expect(() => kept?.afterCommit(() => {})).toThrow('ended');
});

test('a real serialization failure is retried, with its callbacks once', async () => {
  await using test = await openTable();
  await test.db.transaction((tx) => Promise.all([tx.execute(insert, [1]), tx.execute(insert, [2])]));
  let tries = 0;
  let called = 0;
  let arrived = 0;
  // Write skew: each reads what the other writes. Both wait for each other on their first try.
  const skew = (mine: number, other: number) => {
    let first = true;
    return test.db.transaction(async (tx) => {
      tries++;
      tx.afterCommit(() => void called++);
      await tx.execute(serializable);
      const [row] = await tx.query(read, [other]);
      if (first) {
        first = false;
        arrived++;
        await waitFor('the other', () => arrived === 2);
      }
      await tx.execute(write, [mine, (row?.n ?? 0) + 1]);
    });
  };
  await Promise.all([skew(1, 2), skew(2, 1)]);
  expect(tries).toBe(3);
  expect(called).toBe(2);
  const sum = await test.db.query(sql<{ n: bigint }>('test_sum', 'SELECT sum(n) AS n FROM t', 'read'));
  expect(sum).toEqual([{ n: 3n }]);
});

test('conflicts that do not end become ABORTED after five tries, without callbacks', async () => {
  await using test = await openTable();
  let tries = 0;
  let called = 0;
  const hopeless = test.db.transaction(async (tx) => {
    tries++;
    tx.afterCommit(() => void called++);
    await tx.execute(insert, [tries]);
    await tx.execute(conflict);
  });
  const { error } = await outcome(hopeless);
  expect(error).toMatchObject({ code: Code.ABORTED, retry: 'safe' });
  expect(sqlState(error)).toBe('40001');
  expect(tries).toBe(5);
  expect(called).toBe(0);
  expect(await test.db.query(count)).toEqual([{ n: 0n }]);
});

test('a conflict is retried even if the work dressed its error up', async () => {
  await using test = await openTable();
  let tries = 0;
  await test.db.transaction(async (tx) => {
    tries++;
    try {
      if (tries < 3) await tx.execute(conflict);
      else await tx.execute(insert, [1]);
    } catch {
      throw internal('Error doing something.');
    }
  });
  expect(tries).toBe(3);
  // A wrapper may inject conflicts of its own.
  let injected = 0;
  await test.db.transaction(async (tx) => {
    await tx.execute(insert, [2]);
    const error = new pg.DatabaseError('injected', 0, 'error');
    if (++injected < 3) throw Object.assign(error, { code: '40001', severity: 'ERROR' });
  });
  expect(injected).toBe(3);
  expect(await test.db.query(count)).toEqual([{ n: 2n }]);
});

test('a deadlock is retried', async () => {
  await using test = await openTable();
  await test.db.transaction((tx) => Promise.all([tx.execute(insert, [1]), tx.execute(insert, [2])]));
  const locking = (order: [number, number]) =>
    test.db.transaction(async (tx) => {
      await tx.execute(write, [order[0], 1]);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await tx.execute(write, [order[1], 1]);
    });
  await Promise.all([locking([1, 2]), locking([2, 1])]);
});

test('a pool of two with many waiters: they leave at their deadline, and nothing is stuck', async () => {
  await using test = await openTable({ poolSize: 2, acquireTimeoutMs: 300 });
  const nap = sql('test_nap', 'SELECT pg_sleep(0.7)', 'read');
  const results = await Promise.all(
    Array.from({ length: 100 }, () => outcome(test.db.transaction((tx) => tx.query(nap)))),
  );
  expect(results.filter(({ error }) => error === undefined).length).toBe(2);
  const refused = results.filter(({ error }) => error !== undefined);
  expect(refused.length).toBe(98);
  for (const { error, ms } of refused) {
    expect(error).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
    expect(ms).toBeGreaterThan(250);
    expect(ms).toBeLessThan(600);
  }
  expect(test.db.stats()).toMatchObject({ waiting: 0, waitCount: expect.any(Number) });
  expect(test.db.stats().waitTimeNanos).toBeGreaterThan(98 * 250e6);
  const after = await Promise.all(
    Array.from({ length: 20 }, (_, id) => test.db.transaction((tx) => tx.execute(insert, [id]))),
  );
  expect(after.length).toBe(20);
  expect(test.db.stats().total).toBeLessThanOrEqual(6);
});

test('nested by mistake on a pool of one: an error at the deadline, not for ever', async () => {
  await using test = await openTable({ poolSize: 1, acquireTimeoutMs: 200 });
  const nested = test.db.transaction(async (tx) => {
    await tx.execute(insert, [1]);
    await test.db.transaction((inner) => inner.execute(insert, [2]));
  });
  expect((await outcome(nested)).error).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
  expect(await test.db.query(count)).toEqual([{ n: 0n }]);
});

test('a table locked exclusively: DEADLINE_EXCEEDED, then all is well', async () => {
  await using test = await openTable({ statementTimeoutMs: 300, poolSize: 2 });
  const blocker = new pg.Client(test.url);
  await blocker.connect();
  await blocker.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  const [single, inTransaction] = await Promise.all([
    outcome(test.db.execute(insert, [1])),
    outcome(test.db.transaction((tx) => tx.execute(insert, [2]))),
  ]);
  expect(single.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'safe' });
  expect(inTransaction.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'safe' });
  await blocker.query('COMMIT');
  await blocker.end();
  await test.db.transaction((tx) => tx.execute(insert, [1]));
  expect(await test.db.query(count)).toEqual([{ n: 1n }]);
});
