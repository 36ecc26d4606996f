import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { Metrics, MetricsServer } from './metrics.ts';

function setUp(prefix = 'nakama', namespace = ''): { metrics: Metrics; clock: ManualClock } {
  const clock = new ManualClock();
  return { metrics: new Metrics({ name: 'node-1', metrics: { prefix, namespace } }, clock), clock };
}

/** The value of a line, by its name and labels without those common to all; undefined when it is not there. */
async function value(metrics: Metrics, name: string, labels = ''): Promise<number | undefined> {
  const all = ['node_name="node_1"', labels].filter((each) => each !== '').join(',');
  const line = (await metrics.text()).split('\n').find((each) => each.startsWith(`nakama_${name}{${all}} `));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}

describe('calls', () => {
  it('are counted under every name of the catalogue', async () => {
    const { metrics } = setUp();
    const meter = metrics.call('AuthenticateDevice', 'api');
    meter.record('OK', 0.25, 10, 20);
    meter.record('NOT_FOUND', 0.05, 1, 2);
    metrics.socketMessage(100);
    metrics.socketSent(7);
    metrics.socketMessageError();
    const expected: Record<string, number> = {
      overall_count: 3,
      overall_request_count: 2,
      overall_message_count: 1,
      overall_errors: 2,
      overall_request_errors: 1,
      overall_message_errors: 1,
      overall_recv_bytes: 111,
      overall_request_recv_bytes: 11,
      overall_message_recv_bytes: 100,
      overall_sent_bytes: 29,
      overall_request_sent_bytes: 22,
      overall_message_sent_bytes: 7,
      overall_latency_ms_count: 2,
      AuthenticateDevice_count: 2,
      AuthenticateDevice_errors: 1,
      AuthenticateDevice_recv_bytes: 11,
      AuthenticateDevice_sent_bytes: 22,
      AuthenticateDevice_latency_ms_count: 2,
      AuthenticateDevice_latency_ms_hist_count: 2,
    };
    for (const [name, count] of Object.entries(expected))
      expect([name, await value(metrics, name)]).toEqual([name, count]);
    expect(await value(metrics, 'AuthenticateDevice_latency_ms_sum')).toBeCloseTo(0.3);
    const ok = 'transport="api",rpc_id="AuthenticateDevice",rpc_code="OK"';
    const missing = 'transport="api",rpc_id="AuthenticateDevice",rpc_code="NotFound"';
    expect(await value(metrics, 'count', ok)).toBe(1);
    expect(await value(metrics, 'latency_sum', ok)).toBe(0.25);
    expect(await value(metrics, 'count', missing)).toBe(1);
    expect(await value(metrics, 'recv_bytes', missing)).toBe(1);
    expect(await value(metrics, 'sent_bytes', missing)).toBe(2);
  });

  it('of RPC functions are told apart by a sanitised id', async () => {
    const { metrics } = setUp();
    metrics.call('a.b-c', 'api_rpc').record('OK', 0.001, 0, 0);
    metrics.call('a.b-c', 'ws_rpc').record('INVALID_ARGUMENT', 0.001, 0, 0);
    expect(await value(metrics, 'Rpc_count', 'rpc_id="a_b_c"')).toBe(2);
    expect(await value(metrics, 'Rpc_errors', 'rpc_id="a_b_c"')).toBe(1);
    expect(await value(metrics, 'count', 'transport="api_rpc",rpc_id="a_b_c",rpc_code="OK"')).toBe(1);
    expect(await value(metrics, 'count', 'transport="ws_rpc",rpc_id="a_b_c",rpc_code="InvalidArgument"')).toBe(1);
  });

  it('of one method through two transports add up', async () => {
    const { metrics } = setUp();
    metrics.call('GetAccount', 'api').record('OK', 0.001, 0, 0);
    metrics.call('GetAccount', 'socket').record('OK', 0.001, 0, 0);
    expect(metrics.call('GetAccount', 'api')).toBe(metrics.call('GetAccount', 'api'));
    expect(await value(metrics, 'GetAccount_count')).toBe(2);
  });

  it('of too many names are counted together', async () => {
    const { metrics } = setUp();
    for (let i = 0; i < 2100; i++) metrics.call(`f${i}`, 'api_rpc').record('OK', 0, 0, 0);
    expect(await value(metrics, 'Rpc_count', 'rpc_id="other"')).toBe(100);
    expect(await value(metrics, 'overall_count')).toBe(2100);
  });
});

describe('latencies', () => {
  it('have cumulative buckets with the bounds of the spec', async () => {
    const { metrics } = setUp();
    const meter = metrics.call('M', 'api');
    for (const seconds of [0, 0.0009, 0.001, 0.0011, 0.3, 10, 11, -1]) meter.record('OK', seconds, 0, 0);
    const bucket = (bound: string): Promise<number | undefined> =>
      value(metrics, 'M_latency_ms_hist_bucket', `le="${bound}"`);
    const bounds = [
      '0.001',
      '0.002',
      '0.005',
      '0.01',
      '0.02',
      '0.05',
      '0.1',
      '0.2',
      '0.5',
      '1',
      '2',
      '5',
      '10',
      '+Inf',
    ];
    expect(await Promise.all(bounds.map(bucket))).toEqual([4, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 7, 8]);
  });

  it('have quantiles near the truth', async () => {
    const { metrics } = setUp();
    const meter = metrics.call('M', 'api');
    for (let i = 1; i <= 10_000; i++) meter.record('OK', i / 100_000, 0, 0);
    for (const quantile of [0.5, 0.75, 0.95, 0.99, 0.999]) {
      const estimate = (await value(metrics, 'M_latency_ms', `quantile="${quantile}"`)) ?? Number.NaN;
      expect(Math.abs(estimate / (quantile / 10) - 1)).toBeLessThan(0.03);
    }
  });

  it('forget old observations in the quantiles, but not in count and sum', async () => {
    const { metrics, clock } = setUp();
    const timer = metrics.timer('t', 'help').child();
    const median = (): Promise<number | undefined> => value(metrics, 't', 'quantile="0.5"');
    for (let i = 0; i < 100; i++) timer.record(1);
    expect(await median()).toBeGreaterThan(0.7);
    for (let i = 0; i < 3; i++) {
      clock.advance(5 * 60_000);
      await metrics.text();
    }
    expect(await median()).toBeNaN();
    timer.record(0.01);
    expect(await median()).toBeLessThan(0.02);
    expect(await value(metrics, 't_count')).toBe(101);
    expect(await value(metrics, 't_sum')).toBeCloseTo(100.01);
    expect(await value(metrics, 't_hist_count')).toBe(101);
  });
});

describe('names and labels', () => {
  it('carry prefix and namespace', async () => {
    const { metrics } = setUp('my.prefix', 'eu-1');
    metrics.socketOpened();
    expect(await metrics.text()).toContain('my_prefix_socket_ws_opened{node_name="node_1",namespace="eu_1"} 1\n');
  });

  it('have no underscore in front without a prefix', async () => {
    const { metrics } = setUp('');
    metrics.socketOpened();
    expect(await metrics.text()).toMatch(/^socket_ws_opened\{/m);
  });

  it('are bounded in number', async () => {
    const { metrics } = setUp();
    for (let i = 0; i < 1500; i++) metrics.storageWriteRejected(`c${i}`, 'version');
    expect(await value(metrics, 'storage_write_reject_count', 'collection="other",reason="other"')).toBe(500);
  });

  it('belong to one kind', () => {
    const { metrics } = setUp();
    expect(metrics.counter('x', 'help')).toBe(metrics.counter('x', 'help'));
    expect(() => metrics.gauge('x', 'help')).toThrow(/exists already/);
    metrics.watch('y', 'help', () => 1);
    expect(() => metrics.watch('y', 'help', () => 1)).toThrow(/watched already/);
  });
});

it('shows live state', async () => {
  const { metrics } = setUp();
  let sessions = 1;
  metrics.watchGauges({ sessions: () => sessions, presences: () => 3 });
  const counts = { max: 14, total: 5, inUse: 2, idle: 3, waiting: 1, inFlight: 6, waitCount: 4, waitTimeNanos: 9 };
  metrics.watchDatabase(() => counts);
  expect(await value(metrics, 'sessions')).toBe(1);
  sessions = 0;
  expect(await value(metrics, 'sessions')).toBe(0);
  expect(await value(metrics, 'presences')).toBe(3);
  expect(await value(metrics, 'db_max_open_conns')).toBe(14);
  expect(await value(metrics, 'db_in_use_conns')).toBe(2);
  expect(await value(metrics, 'db_total_wait_time_nanos')).toBe(9);
});

it('counts what happens to sockets and callers', async () => {
  const { metrics } = setUp();
  expect(await metrics.text()).toBe('');
  metrics.socketOpened();
  metrics.socketClosed('pong timeout');
  metrics.outgoingQueueFull();
  metrics.rateLimited('user');
  metrics.presenceEvent();
  metrics.storageWriteRejected('saves', 'version');
  metrics.gauge('level', 'help', ['kind']).child('a').set(-2);
  expect(await value(metrics, 'socket_ws_closed')).toBe(1);
  expect(await value(metrics, 'session_close_total', 'reason="pong_timeout"')).toBe(1);
  expect(await value(metrics, 'outgoing_queue_full_total')).toBe(1);
  expect(await value(metrics, 'rate_limited_total', 'scope="user"')).toBe(1);
  expect(await value(metrics, 'presence_event_count')).toBe(1);
  expect(await value(metrics, 'storage_write_reject_count', 'collection="saves",reason="version"')).toBe(1);
  expect(await value(metrics, 'level', 'kind="a"')).toBe(-2);
});

it('writes text that Prometheus reads', async () => {
  const { metrics } = setUp();
  metrics.call('M', 'api').record('OK', 0.1, 1, 1);
  metrics.socketOpened();
  const unwatch = metrics.watchProcess();
  const lines = (await metrics.text()).trimEnd().split('\n');
  unwatch();
  const types = lines.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]);
  expect(new Set(types).size).toBe(types.length);
  // prom-client writes Nan; Prometheus reads numbers in any case.
  for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
    expect(line).toMatch(/^[a-zA-Z_][a-zA-Z0-9_]*(\{([a-z_]+="[^"\\\n]*",?)*\})? (Na[Nn]|[+-]Inf|-?[0-9.e+-]+)$/);
  }
});

describe('the server', () => {
  it('serves every path, with the state of the process', async () => {
    const { metrics } = setUp();
    const server = new MetricsServer(metrics, await freePort(), '127.0.0.1');
    await server.start();
    try {
      metrics.socketOpened();
      for (const path of ['/metrics', '/', '/any?x=1']) {
        const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
        const text = await response.text();
        expect(text).toContain('nakama_socket_ws_opened{node_name="node_1"} 1');
        expect(text).toMatch(/^nakama_event_loop_lag_seconds\{node_name="node_1",quantile="0.99"\} [\d.e-]+$/m);
        expect(text).toMatch(/^process_cpu_seconds_total\{node_name="node_1"\}/m);
        expect(text).toMatch(/^nodejs_heap_size_used_bytes\{node_name="node_1"\}/m);
      }
      expect((await fetch(`http://127.0.0.1:${server.port}/`, { method: 'POST' })).status).toBe(405);
    } finally {
      await server.stop();
    }
    expect(server.port).toBeNull();
  });

  it('is off with port 0', async () => {
    const server = new MetricsServer(setUp().metrics, 0);
    await server.start();
    expect(server.port).toBeNull();
    await server.stop();
  });

  it('refuses to start on a port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const server = new MetricsServer(setUp().metrics, (other.address() as AddressInfo).port, '127.0.0.1');
    await expect(server.start()).rejects.toThrow(/EADDRINUSE/);
    await server.stop();
    other.close();
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
