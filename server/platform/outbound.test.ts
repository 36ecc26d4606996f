import { createServer, type Server, type ServerResponse } from 'node:http';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from './clock.ts';
import { type ConfigOverrides, configFrom } from './config.ts';
import { Metrics } from './metrics.ts';
import { Outbound, OutboundError } from './outbound.ts';

type Answer = (response: ServerResponse, path: string, body: string) => void;

let server: Server;
let origin: string;
let answer: Answer;
let calls: number;

beforeEach(async () => {
  calls = 0;
  answer = (response) => response.end('{}');
  server = createServer((request, response) => {
    calls++;
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => answer(response, `${request.method} ${request.url}`, body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function setup(overrides: ConfigOverrides = {}, clock = systemClock) {
  const config = configFrom(overrides);
  const metrics = new Metrics(config);
  const outbound = new Outbound({ settings: config.outbound, clock, metrics, log: pino({ level: 'silent' }) });
  const reasonOf = (path: string, deadline?: number): Promise<string> =>
    outbound.call({ party: 'test', url: origin + path, ...(deadline === undefined ? {} : { deadline }) }).then(
      ({ status }) => String(status),
      (error) => (error instanceof OutboundError ? error.reason : String(error)),
    );
  return { outbound, metrics, reasonOf };
}

describe('calls to third parties', () => {
  it('get what is there, by GET, form or JSON, with the headers asked for', async () => {
    const { outbound } = setup();
    answer = (response, path, body) => response.writeHead(203).end(`${path} ${body}`);
    const send = async (more: object): Promise<string> => {
      const { status, body } = await outbound.call({ party: 'test', url: `${origin}/a?b=c`, ...more });
      return `${status} ${body}`;
    };
    expect(await send({})).toBe('203 GET /a?b=c ');
    expect(await send({ form: { x: 'y z' } })).toBe('203 POST /a?b=c x=y+z');
    expect(await send({ json: '{"x":1}', headers: { authorization: 'Bearer t' } })).toBe('203 POST /a?b=c {"x":1}');
  });

  it('give up in time on who does not answer, or not to the end', async () => {
    const { reasonOf } = setup({ 'outbound.timeout_ms': 400 });
    answer = (response, path) => {
      if (path.includes('slow')) response.writeHead(200).write('{');
    };
    for (const path of ['/silent', '/slow']) {
      const began = performance.now();
      expect(await reasonOf(path)).toBe('timeout');
      expect(performance.now() - began).toBeGreaterThan(200);
    }
    expect(await reasonOf('/', performance.now() - 1)).toBe('timeout');
    expect(calls).toBe(2);
  });

  it('read no more than allowed, packed or not', async () => {
    const { reasonOf } = setup({ 'outbound.max_response_bytes': 1000 });
    let length = 1000;
    answer = (response) => response.end('x'.repeat(length));
    expect(await reasonOf('/')).toBe('200');
    length = 1001;
    expect(await reasonOf('/')).toBe('too large');
    const { gzipSync } = await import('node:zlib');
    answer = (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(1_000_000)));
    expect(await reasonOf('/')).toBe('too large');
  });

  it('follow nobody elsewhere', async () => {
    const { reasonOf } = setup();
    answer = (response) => response.writeHead(302, { location: `${origin}/other` }).end();
    expect(await reasonOf('/')).toBe('302');
    expect(calls).toBe(1);
  });

  it('tell who cannot be reached', async () => {
    const { outbound, reasonOf } = setup();
    answer = (response) => response.destroy();
    expect(await reasonOf('/')).toBe('unreachable');
    const nobody = outbound.call({ party: 'test', url: 'http://127.0.0.1:1/' });
    await expect(nobody).rejects.toMatchObject({ reason: 'unreachable', message: 'http://127.0.0.1:1: unreachable' });
  });

  it('leave a host alone that fails, and try it again after a while', async () => {
    const clock = new ManualClock();
    const { reasonOf } = setup({ 'outbound.breaker_failures': 3, 'outbound.breaker_open_ms': 1000 }, clock);
    answer = (response) => response.writeHead(500).end();
    expect([await reasonOf('/'), await reasonOf('/'), await reasonOf('/')]).toEqual(['500', '500', '500']);
    expect(await reasonOf('/')).toBe('suspended');
    expect(calls).toBe(3);
    clock.advance(1000);
    answer = (response) => response.end();
    expect(await reasonOf('/')).toBe('200');
    expect(await reasonOf('/')).toBe('200');
  });

  it('hold against a host neither refusals nor what the caller had no time for', async () => {
    const { reasonOf } = setup({ 'outbound.breaker_failures': 1, 'outbound.max_response_bytes': 10 });
    answer = (response, path) => {
      if (path.includes('refused')) response.writeHead(403).end();
      else if (path.includes('large')) response.end('x'.repeat(11));
      else if (!path.includes('late')) response.end();
    };
    expect(await reasonOf('/refused')).toBe('403');
    expect(await reasonOf('/large')).toBe('too large');
    expect(await reasonOf('/late', performance.now() + 100)).toBe('timeout');
    expect(await reasonOf('/')).toBe('200');
  });

  it('are so many at a time to one host', async () => {
    const { reasonOf } = setup({ 'outbound.concurrent_calls': 2 });
    const waiting: ServerResponse[] = [];
    const both = new Promise<void>((resolve) => {
      answer = (response) => {
        if (waiting.push(response) === 2) resolve();
      };
    });
    const pending = [reasonOf('/'), reasonOf('/')];
    await both;
    expect(await reasonOf('/')).toBe('too many calls');
    for (const response of waiting) response.end();
    expect(await Promise.all(pending)).toEqual(['200', '200']);
  });

  it('go where routes say', async () => {
    const { outbound } = setup({ 'outbound.routes': [`https://provider.example.com=${origin}/provider`] });
    answer = (response, path) => response.end(path);
    const { body } = await outbound.call({ party: 'test', url: 'https://provider.example.com/keys?x=1' });
    expect(String(body)).toBe('GET /provider/keys?x=1');
  });

  it('end when the server stops', async () => {
    const { outbound, reasonOf } = setup();
    const arrived = new Promise<void>((resolve) => {
      answer = () => resolve();
    });
    const pending = reasonOf('/');
    await arrived;
    outbound.close();
    expect(await pending).toBe('unreachable');
    expect(await reasonOf('/')).toBe('unreachable');
    expect(calls).toBe(1);
  });

  it('are counted by party and result', async () => {
    const { metrics, reasonOf } = setup({ 'outbound.max_response_bytes': 1 });
    await reasonOf('/');
    answer = (response) => response.writeHead(404).end();
    await reasonOf('/');
    const text = await metrics.text();
    expect(text).toMatch(/outbound_calls_total\{[^}]*party="test",result="too_large"\} 1/);
    expect(text).toMatch(/outbound_calls_total\{[^}]*party="test",result="4xx"\} 1/);
  });
});
