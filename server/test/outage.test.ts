import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../store/embedded.ts';
import { type Player, request, signIn } from '../testing/http.ts';
import { startTestNode, type TestNode } from '../testing/node.ts';
import { formats, TestSocket } from '../testing/socket.ts';
import { quiet } from '../testing/store.ts';
import { sleep, waitFor } from '../testing/wait.ts';
import { type Attempt, Load } from './outage-load.ts';

// The database dies and comes back while the node works (reliability anchors F8, S1, X1).

const downMs = 3000;
/** Of a call while the database is down. */
const answerMs = 3000;
/** From the database's return to the first success of each kind of call. */
const recoveryMs = 5000;
const poolLimit = { 'database.pool_size': 4, 'database.shared_clients': 3 };
const maxConnections = 7;

describe('while the database is down', () => {
  let folder: string;
  let postgres: EmbeddedPostgres;
  let node: TestNode;
  let player: Player;
  let load: Load;
  const startPostgres = () => startEmbeddedPostgres({ dataDir: path.join(folder, 'postgres'), log: quiet });

  const at: Record<'killed' | 'back', number> = { killed: 0, back: 0 };
  const connections: number[] = [];
  const ready: Record<string, unknown> = {};
  let history: readonly Attempt[] = [];

  // One outage, looked at by the tests below.
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'muster-outage-'));
    postgres = await startPostgres();
    node = await startTestNode({ databaseUrl: postgres.url, config: poolLimit });
    player = await signIn(node);
    load = await Load.start(node, player);
    await waitFor('the load to run', () => load.count('ok') > 100);
    ready['before'] = (await request(node, 'GET', '/ready')).status;

    at.killed = performance.now();
    postgres.kill9();
    await waitFor('the node to notice', async () => (await request(node, 'GET', '/ready')).status === 503, 3000);
    ready['down'] = (await request(node, 'GET', '/ready')).text;
    ready['alive'] = (await request(node, 'GET', '/healthcheck')).status;
    await sleep(downMs - (performance.now() - at.killed));

    const successes = load.count('ok');
    postgres = await startPostgres();
    at.back = performance.now();
    const watch = new pg.Client(postgres.url);
    await watch.connect();
    const counting = waitFor('the load to recover', async () => {
      const { rows } = await watch.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name LIKE 'muster %'`,
      );
      connections.push(rows[0]?.count ?? 0);
      return load.count('ok') > successes + 200;
    });
    await waitFor(
      'the node to be ready',
      async () => (await request(node, 'GET', '/ready')).status === 200,
      recoveryMs,
    );
    ready['readyAgainMs'] = performance.now() - at.back;
    await counting;
    await watch.end();
    history = await load.stop();
  });
  afterAll(async () => {
    try {
      await load?.close();
      await node?.stop();
    } finally {
      await postgres?.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  const duringOutage = (attempt: Attempt): boolean => attempt.sentAt > at.killed && attempt.sentAt < at.back;

  it('calls answer UNAVAILABLE, in time', () => {
    for (const kind of load.databaseKinds) {
      const failures = history.filter((attempt) => attempt.kind === kind && attempt.code !== 0);
      expect(failures.length, kind).toBeGreaterThan(0);
      expect(new Set(failures.map(({ code }) => code)), kind).toEqual(new Set([14]));
      // In the body, and as the status.
      expect(new Set(failures.map(({ status }) => status)), kind).toEqual(
        new Set([kind.startsWith('REST') ? 503 : undefined]),
      );
      const slowest = Math.max(...history.filter(duringOutage).map(({ ms }) => ms));
      expect(slowest, kind).toBeLessThan(answerMs);
    }
  });

  it('calls in flight fail at once', () => {
    const inFlight = history.filter(({ sentAt, ms }) => sentAt <= at.killed && sentAt + ms > at.killed);
    for (const { ms } of inFlight) expect(ms).toBeLessThan(answerMs);
  });

  it('no call answers anything but success or UNAVAILABLE', () => {
    expect([...new Set(history.map(({ code }) => code))].sort()).toEqual([0, 14]);
    expect(node.errors).toEqual([]);
  });

  it('failed writes say whether they may be sent again', () => {
    const failed = history.filter(({ kind, code }) => kind.startsWith('call') && code !== 0);
    expect(failed.length).toBeGreaterThan(0);
    for (const { retry } of failed) expect([1, 2]).toContain(retry);
    // Those that found nobody to be sent to had no effect.
    expect(failed.some(({ retry }) => retry === 1)).toBe(true);
  });

  it('sockets stay open and are answered', () => {
    expect(load.closedSockets).toBe(0);
    const pings = history.filter(({ kind }) => kind === 'ping').filter(duringOutage);
    expect(pings.length).toBeGreaterThan(10);
    for (const { ms } of pings) expect(ms).toBeLessThan(1000);
  });

  it('chat that is not stored goes on', () => {
    const messages = history.filter(({ kind }) => kind === 'chat').filter(duringOutage);
    expect(messages.length).toBeGreaterThan(10);
    for (const { code, ms } of messages) {
      expect(code).toBe(0);
      expect(ms).toBeLessThan(1000);
    }
    // Each one once and in order, before, during and after.
    expect(load.heard).toEqual(load.said);
  });

  it('readiness says so, and liveness does not', () => {
    expect(ready).toMatchObject({ before: 200, down: '{"ready":false}', alive: 200 });
    expect(ready['readyAgainMs']).toBeLessThan(recoveryMs);
  });

  it('calls succeed soon after it is back', () => {
    const times: Record<string, string> = {};
    for (const kind of load.databaseKinds) {
      const mine = history.filter((attempt) => attempt.kind === kind);
      const firstError = mine.find(({ code }) => code !== 0);
      const firstSuccess = mine.find(({ code, sentAt, ms }) => code === 0 && sentAt + ms > at.back);
      expect(firstSuccess, kind).toBeDefined();
      const recovered = (firstSuccess?.sentAt ?? 0) + (firstSuccess?.ms ?? 0) - at.back;
      expect(recovered, kind).toBeLessThan(recoveryMs);
      const noticed = (firstError?.sentAt ?? 0) + (firstError?.ms ?? 0) - at.killed;
      times[kind] = `first error after ${Math.round(noticed)} ms, first success after ${Math.round(recovered)} ms`;
    }
    console.info(times, `ready again after ${Math.round(Number(ready['readyAgainMs']))} ms`);
  });

  it('reconnecting keeps to the limits of the pools', () => {
    expect(connections.length).toBeGreaterThan(0);
    expect(Math.max(...connections)).toBeLessThanOrEqual(maxConnections);
  });

  it('no acknowledged write is lost, and none that was said to have failed is there', async () => {
    const client = new pg.Client(postgres.url);
    await client.connect();
    const { rows } = await client.query<{ key: string }>(`SELECT key FROM storage WHERE collection = 'load'`);
    await client.end();
    const stored = new Set(rows.map(({ key }) => key));
    const writes = history.filter(({ key }) => key !== undefined);
    const lost = writes.filter(({ key, code }) => code === 0 && !stored.has(key ?? ''));
    const undead = writes.filter(({ key, code, retry }) => code !== 0 && retry === 1 && stored.has(key ?? ''));
    expect({ lost, undead }).toEqual({ lost: [], undead: [] });
    expect(writes.filter(({ code }) => code === 0).length).toBeGreaterThan(100);
  });

  it('no stored message was seen or acknowledged that history does not have', async () => {
    const client = new pg.Client(postgres.url);
    await client.connect();
    const { rows } = await client.query<{ id: string }>('SELECT id FROM message ORDER BY create_time, id');
    await client.end();
    const stored = rows.map(({ id }) => id);
    expect(load.acked.length).toBeGreaterThan(10);
    expect(load.seen).toEqual(load.acked);
    expect(stored.filter((id) => load.acked.includes(id))).toEqual(load.acked);
    // Beyond those only what was cut while it was stored.
    expect(stored.length - load.acked.length).toBeLessThanOrEqual(1);
  });

  it.each(formats)('the node serves on as before, %s', async (format) => {
    const newcomer = await signIn(node);
    const socket = await TestSocket.connect(node, newcomer.token, { format });
    const { channel } = await socket.request({
      channel_join: { target: `after-${format}`, type: 1, persistence: true },
    });
    await socket.request({ channel_message_send: { channel_id: channel.id, content: '{"text":"stored"}' } });
    const { authorization } = newcomer;
    const listed = await request(node, 'GET', `/v2/channel/${channel.id}`, { authorization });
    expect(listed.body.messages).toHaveLength(1);
    await socket.close();
  });
});
