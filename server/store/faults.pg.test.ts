import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { AppError, Code } from '../platform/errors.ts';
import { FaultProxy } from '../testing/fault-proxy.ts';
import { killBackends, openTestDatabase, outcome, quiet } from '../testing/store.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import { Database } from './database.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import { sql } from './sql.ts';
import type { Queryable } from './transaction.ts';

const create = sql('test_create', 'CREATE TABLE t (id int PRIMARY KEY)', 'write');
const insert = sql('test_insert', 'INSERT INTO t (id) VALUES ($1)', 'write');
const slowInsert = sql('test_slow_insert', 'INSERT INTO t SELECT $1 FROM pg_sleep(0.5)', 'write');
const has = sql<{ id: number }>('test_has', 'SELECT id FROM t WHERE id = $1', 'read');
const nap = sql<{ x: number }>('test_nap', 'SELECT 1 AS x FROM pg_sleep(0.5)', 'read');
const one = sql<{ x: number }>('test_one', 'SELECT 1 AS x', 'read');

const lostWrite = { code: Code.UNAVAILABLE, retry: 'unknown' };
const lostSafely = { code: Code.UNAVAILABLE, retry: 'safe' };

/** A database behind a proxy, and the same one without. */
async function openBehindProxy(options = {}) {
  const direct = await openTestDatabase();
  await direct.db.execute(create);
  const proxy = new FaultProxy(direct.url);
  const db = new Database({ url: await proxy.listen(), ...options }, quiet);
  return {
    db,
    direct: direct.db,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await db.close(500);
      await proxy[Symbol.asyncDispose]();
      await direct[Symbol.asyncDispose]();
    },
  };
}

test('a transaction of one statement takes two round trips', async () => {
  await using test = await openBehindProxy({ poolSize: 1 });
  await test.db.transaction((tx) => tx.execute(insert, [1]));
  let chunks = 0;
  test.proxy.onChunk = () => {
    chunks++;
    return 'pass';
  };
  await test.db.transaction((tx) => tx.execute(insert, [2]));
  expect(chunks).toBe(2);
});

test('statements of one turn of the event loop leave together', async () => {
  await using test = await openBehindProxy({ sharedClients: 1 });
  await test.db.query(one);
  let chunks = 0;
  test.proxy.onChunk = () => {
    chunks++;
    return 'pass';
  };
  await Promise.all(Array.from({ length: 50 }, () => test.db.query(one)));
  expect(chunks).toBeLessThanOrEqual(3);
});

test('rows are described once on a connection, in transactions too', async () => {
  await using test = await openBehindProxy({ sharedClients: 1, poolSize: 1 });
  const describePortal = Buffer.from([0x44, 0, 0, 0, 6, 0x50, 0]);
  let described = 0;
  test.proxy.onChunk = (chunk) => {
    for (let at = chunk.indexOf(describePortal); at >= 0; at = chunk.indexOf(describePortal, at + 1)) described++;
    return 'pass';
  };
  const row = sql(
    'test_row',
    'SELECT id, id * $1::bigint AS times, NULLIF(id, 2) AS maybe FROM t WHERE id = $2',
    'read',
  );
  await test.direct.execute(insert, [1]);
  await test.direct.execute(insert, [2]);
  let id = 10;
  const use = async (db: Queryable): Promise<void> => {
    expect(await db.execute(insert, [id++])).toBe(1);
    expect(await db.query(row, [7, 1])).toEqual([{ id: 1, times: 7n, maybe: 1 }]);
    expect(await db.query(row, [7, 2])).toEqual([{ id: 2, times: 14n, maybe: null }]);
    expect(await db.query(row, [7, 3])).toEqual([]);
  };
  for (let time = 0; time < 3; time++) await use(test.db);
  expect(described).toBe(2);
  for (let time = 0; time < 3; time++) await test.db.transaction(use);
  // On the other connection, and COMMIT.
  expect(described).toBe(2 + 3);
});

test('an error whose transaction status comes late does not leave the connection in a failed transaction', async () => {
  await using test = await openBehindProxy({ poolSize: 1, sharedClients: 1 });
  test.proxy.lateEnds = true;
  const fail = sql('test_fail', 'SELECT 1 / $1::int', 'read');
  for (let round = 0; round < 10; round++) {
    const failing = test.db.transaction(async (tx) => {
      await tx.execute(insert, [round]);
      await tx.query(fail, [0]);
    });
    expect((await outcome(failing)).error).toMatchObject({ code: Code.INTERNAL });
    expect((await outcome(test.db.transaction((tx) => tx.query(fail, [0])))).error).toMatchObject({
      code: Code.INTERNAL,
    });
    expect(await test.db.transaction((tx) => tx.query(has, [round]))).toEqual([]);
    expect((await outcome(test.db.query(fail, [0]))).error).toMatchObject({ code: Code.INTERNAL });
    expect(await test.db.query(one)).toEqual([{ x: 1 }]);
  }
  expect(test.proxy.accepted).toBe(2);
});

test('the connection dies while COMMIT is on its way: unknown, no callbacks; both outcomes occur', async () => {
  await using test = await openBehindProxy({ poolSize: 2 });
  let called = 0;
  let stayed = 0;
  const rounds = 60;
  for (let id = 0; id < rounds; id++) {
    // The answer is lost; the request is too, every other time.
    test.proxy.onChunk = (chunk) =>
      chunk.includes('muster_commit') ? (id % 2 === 0 ? 'cut-before' : 'cut-after') : 'pass';
    let tries = 0;
    const { error } = await outcome(
      test.db.transaction(async (tx) => {
        tries++;
        tx.afterCommit(() => void called++);
        await tx.execute(insert, [id]);
      }),
    );
    expect(error).toMatchObject(lostWrite);
    expect(tries).toBe(1);
    await sleep(5);
    const stays = (await test.direct.query(has, [id])).length === 1;
    if (stays) stayed++;
    if (id % 2 === 0) expect(stays).toBe(false);
  }
  expect(called).toBe(0);
  expect(stayed).toBeGreaterThan(0);
});

test('the connection dies under a write: unknown, sent once', async () => {
  await using test = await openBehindProxy({ sharedClients: 2 });
  await test.db.ping();
  for (const cut of ['cut-before', 'cut-after'] as const) {
    let sent = 0;
    test.proxy.onChunk = (chunk) => {
      if (!chunk.includes('test_insert')) return 'pass';
      sent++;
      return cut;
    };
    const { error } = await outcome(test.db.execute(insert, [cut === 'cut-after' ? 1 : 2]));
    expect(error).toMatchObject(lostWrite);
    expect(sent).toBe(1);
  }
});

test('the connection dies under a read: sent once more, unnoticed', async () => {
  await using test = await openBehindProxy({ sharedClients: 2 });
  await test.db.ping();
  let cuts = 0;
  test.proxy.onChunk = (chunk) => (chunk.includes('test_one') && cuts++ === 0 ? 'cut-after' : 'pass');
  expect(await test.db.query(one)).toEqual([{ x: 1 }]);
  expect(cuts).toBe(2);
  // But not for ever.
  test.proxy.onChunk = (chunk) => (chunk.includes('test_one') ? 'cut-after' : 'pass');
  expect((await outcome(test.db.query(one))).error).toMatchObject(lostSafely);
});

test('the connection dies in a transaction before COMMIT: done again, once', async () => {
  await using test = await openBehindProxy({ poolSize: 2 });
  let cuts = 0;
  test.proxy.onChunk = (chunk) => (chunk.includes('test_insert') && cuts++ === 0 ? 'cut-after' : 'pass');
  let called = 0;
  await test.db.transaction(async (tx) => {
    tx.afterCommit(() => void called++);
    await tx.execute(insert, [1]);
  });
  expect(called).toBe(1);
  expect((await test.direct.query(has, [1])).length).toBe(1);
  test.proxy.onChunk = (chunk) => (chunk.includes('test_insert') ? 'cut-after' : 'pass');
  const { error } = await outcome(test.db.transaction((tx) => tx.execute(insert, [2])));
  expect(error).toMatchObject(lostSafely);
  expect((await test.direct.query(has, [2])).length).toBe(0);
});

test('no answer at all: the connection is given up after the statement timeout, with all that is behind', async () => {
  await using test = await openBehindProxy({ sharedClients: 1, poolSize: 1, statementTimeoutMs: 200 });
  await test.db.ping();
  let swallowed = 0;
  test.proxy.onChunk = (chunk) =>
    /test_(one|insert)/.test(chunk.toString()) && swallowed++ === 0 ? 'swallow' : 'pass';
  const first = outcome(test.db.query(one));
  await sleep(100);
  const behind = outcome(test.db.execute(insert, [1]));
  const { error, ms } = await first;
  expect(error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'safe' });
  // A busy machine is slow to notice, but nowhere near the minutes that TCP would take.
  expect(ms).toBeLessThan(10_000);
  expect((await behind).error).toMatchObject(lostWrite);
  expect(await test.db.query(one)).toEqual([{ x: 1 }]);

  swallowed = 0;
  test.proxy.onChunk = (chunk) => (chunk.includes('muster_commit') && swallowed++ === 0 ? 'swallow' : 'pass');
  const commit = await outcome(test.db.transaction((tx) => tx.query(one)));
  expect(commit.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'unknown' });
  expect(await test.db.transaction((tx) => tx.query(one))).toEqual([{ x: 1 }]);
});

test('a transaction that says nothing for too long gives its locks back, and is done again', async () => {
  await using test = await openTestDatabase();
  await test.db.execute(sql('test_create_g', 'CREATE TABLE g AS SELECT 1 AS id, 0 AS n', 'write'));
  const count = sql('test_count_g', 'UPDATE g SET n = n + 1 WHERE id = 1', 'write');
  let isHeld = false;
  let isOtherDone = false;
  let tries = 0;
  const silent = test.db.transaction(async (tx) => {
    tries++;
    await tx.execute(count);
    isHeld = true;
    await waitFor('the other', () => isOtherDone);
  });
  await waitFor('the lock', () => isHeld);
  // Ends by itself after five seconds, unlike this transaction.
  await test.db.execute(count);
  isOtherDone = true;
  await silent;
  expect(tries).toBe(2);
  expect(await test.db.query(sql('test_read_g', 'SELECT n FROM g', 'read'))).toEqual([{ n: 2 }]);
});

test('backends are terminated under a read, a write and transactions', async () => {
  await using test = await openTestDatabase({ applicationName: 'victim' });
  await using killer = await openTestDatabase();
  await test.db.execute(create);
  const kill = async () => {
    await sleep(150);
    await killer.db.query(killBackends, ['victim']);
  };
  const [read, write] = await Promise.all([
    outcome(test.db.query(nap)),
    outcome(test.db.execute(slowInsert, [1])),
    kill(),
  ]);
  expect(read.value).toEqual([{ x: 1 }]);
  expect(write.error).toMatchObject(lostWrite);

  let tries = 0;
  let called = 0;
  const [retried] = await Promise.all([
    outcome(
      test.db.transaction(async (tx) => {
        tries++;
        tx.afterCommit(() => void called++);
        await tx.execute(slowInsert, [2]);
      }),
    ),
    kill(),
  ]);
  expect(retried.error).toBeUndefined();
  expect([tries, called]).toEqual([2, 1]);

  const hunted = await outcome(
    test.db.transaction(async (tx) => {
      await tx.execute(insert, [3]);
      await killer.db.query(killBackends, ['victim']);
      await sleep(100);
      await tx.query(one);
    }),
  );
  expect(hunted.error).toMatchObject(lostSafely);
  expect((await test.db.query(has, [3])).length).toBe(0);
});

test('all backends are terminated again and again under load: right codes, nothing stuck', async () => {
  await using test = await openTestDatabase({ applicationName: 'hunted', poolSize: 2, sharedClients: 2 });
  await using killer = await openTestDatabase();
  await test.db.execute(create);
  const acknowledged = new Set<number>();
  const unknown = new Set<number>();
  const codes = new Set<string>();
  let next = 0;
  let running = true;
  const worker = async (viaTransaction: boolean) => {
    while (running) {
      const id = next++;
      const { error } = await outcome(
        viaTransaction ? test.db.transaction((tx) => tx.execute(insert, [id])) : test.db.execute(insert, [id]),
      );
      if (error === undefined) {
        acknowledged.add(id);
        continue;
      }
      if (!(error instanceof AppError)) throw error;
      codes.add(`${error.code} ${error.retry}`);
      if (error.retry === 'unknown') unknown.add(id);
      await sleep(5);
    }
  };
  const workers = Array.from({ length: 16 }, (_, i) => worker(i % 2 === 0));
  for (let round = 0; round < 6; round++) {
    await sleep(500);
    await killer.db.query(killBackends, ['hunted']);
  }
  running = false;
  await Promise.all(workers);
  for (const code of codes) expect([`${Code.UNAVAILABLE} safe`, `${Code.UNAVAILABLE} unknown`]).toContain(code);
  const all = await test.db.query(sql<{ id: number }>('test_all', 'SELECT id FROM t', 'read'));
  const present = new Set(all.map(({ id }) => id));
  for (const id of acknowledged) expect(present.has(id)).toBe(true);
  for (const id of present) expect(acknowledged.has(id) || unknown.has(id)).toBe(true);
  expect(acknowledged.size).toBeGreaterThan(200);
  expect(test.db.stats()).toMatchObject({ inFlight: 0, waiting: 0 });
});

test('PostgreSQL is killed and comes back', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  const dataDir = path.join(folder, 'postgres');
  let server = await startEmbeddedPostgres({ dataDir, log: quiet });
  const db = new Database({ url: server.url, poolSize: 4 }, quiet);
  try {
    await db.execute(create);
    const results: { at: number; ms: number; error: unknown }[] = [];
    let next = 0;
    let running = true;
    const acknowledged: number[] = [];
    const workers = Array.from({ length: 20 }, async (_, i) => {
      while (running) {
        const id = next++;
        const done = await outcome(
          i % 2 === 0 ? db.transaction((tx) => tx.execute(insert, [id])) : db.execute(insert, [id]),
        );
        results.push({ at: performance.now(), ms: done.ms, error: done.error });
        if (done.error === undefined) acknowledged.push(id);
        await sleep(5);
      }
    });
    await sleep(500);
    const killedAt = performance.now();
    server.kill9();
    await sleep(5_000);
    const restartAt = performance.now();
    server = await startEmbeddedPostgres({ dataDir, log: quiet });
    const backAt = performance.now();
    await waitFor('a success', () => results.some(({ at, error }) => at > backAt && error === undefined), 5_000);
    await sleep(500);
    running = false;
    await Promise.all(workers);

    // Backends outlive their postmaster by a moment.
    const during = results.filter(({ at }) => at > killedAt + 1_000 && at < restartAt);
    expect(during.length).toBeGreaterThan(0);
    expect(during.every(({ error }) => error !== undefined)).toBe(true);
    for (const { error, ms } of results.filter(({ error }) => error !== undefined)) {
      expect(error).toMatchObject({ code: Code.UNAVAILABLE });
      expect(ms).toBeLessThan(3_000);
    }
    const firstSuccess = Math.min(...results.filter(({ at, error }) => at > backAt && !error).map(({ at }) => at));
    expect(firstSuccess - backAt).toBeLessThan(5_000);
    const all = await db.query(sql<{ id: number }>('test_all', 'SELECT id FROM t', 'read'));
    const present = new Set(all.map(({ id }) => id));
    expect(acknowledged.filter((id) => !present.has(id))).toEqual([]);
    expect(db.stats().total).toBeLessThanOrEqual(db.stats().max);
  } finally {
    await db.close(1_000);
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

test('while nothing answers, attempts to connect stay below five a second', async () => {
  await using test = await openBehindProxy({ acquireTimeoutMs: 300 });
  test.proxy.onChunk = () => 'cut-before';
  const before = test.proxy.accepted;
  const deadline = performance.now() + 3_000;
  await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      while (performance.now() < deadline) {
        const work = i % 2 === 0 ? test.db.query(one) : test.db.transaction((tx) => tx.query(one));
        expect((await outcome(work)).error).toMatchObject(lostSafely);
      }
    }),
  );
  // The first burst is one for each connection that may be.
  expect(test.proxy.accepted - before).toBeLessThanOrEqual(test.db.stats().max + 15);
  test.proxy.onChunk = () => 'pass';
  await waitFor('an answer', async () => (await outcome(test.db.query(one))).error === undefined, 5_000);
});
