import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { AppError, Code } from './errors.ts';
import { createLogger, type LogSettings, subsystem } from './log.ts';

const settings: LogSettings = { level: 'debug', format: 'json', stdout: false, file: '' };

function capture(overrides: Partial<LogSettings> = {}): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({ ...settings, ...overrides }, { write: (line) => lines.push(JSON.parse(line)) });
  return { log, lines };
}

it('writes the keys of the spec', () => {
  const { log, lines } = capture();
  subsystem(log, 'http').warn({ uid: 'u1' }, 'slow');
  expect(lines).toEqual([
    { level: 'warn', ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), logger: 'http', uid: 'u1', msg: 'slow' },
  ]);
});

it('writes the keys of Google Cloud', () => {
  const { log, lines } = capture({ format: 'stackdriver' });
  log.debug('a');
  log.warn('b');
  log.fatal('c');
  expect(lines).toMatchObject([
    { severity: 'DEBUG', message: 'a', time: expect.any(String) },
    { severity: 'WARNING', message: 'b' },
    { severity: 'CRITICAL', message: 'c' },
  ]);
  expect(lines[0]).not.toHaveProperty('level');
});

it('leaves out lines below its level', () => {
  const { log, lines } = capture({ level: 'error' });
  log.warn('no');
  log.error('yes');
  expect(lines).toHaveLength(1);
});

describe('credentials', () => {
  it('never reach the log', () => {
    const { log, lines } = capture();
    const secret = 'hunter2';
    log.info({ authorization: secret, token: secret, refresh_token: secret, password: secret }, 'a');
    log.info({ headers: { authorization: secret, cookie: secret, accept: 'x' } }, 'b');
    log.child({ token: secret, http_key: secret }).info('c');
    log.info({ url: `postgresql://u:${secret}@h/d`, address: `u:${secret}@h/d` }, 'd');
    log.error({ err: new Error(`no answer from redis://:${secret}@h`) }, 'e');
    log.error({ err: Object.assign(new Error('x'), { parameters: [secret], config: { password: secret } }) }, 'f');
    expect(JSON.stringify(lines)).not.toContain(secret);
    expect(lines[1]).toMatchObject({ headers: { accept: 'x' } });
    expect(lines[3]).toMatchObject({ url: 'postgresql://u:REDACTED@h/d' });
  });
});

it('writes errors with their causes, and not without end', () => {
  const { log, lines } = capture();
  const loop: Error & { cause?: unknown } = new Error('loop');
  loop.cause = loop;
  log.error({ err: new AppError(Code.INTERNAL, 'outer', { cause: new TypeError('inner') }) }, 'a');
  log.error({ error: loop }, 'b');
  log.error({ err: 'plain' }, 'c');
  expect(lines[0]).toMatchObject({
    err: { type: 'AppError', message: 'outer', code: 13, stack: expect.any(String), cause: { type: 'TypeError' } },
  });
  expect(JSON.stringify(lines[1]).match(/"message":"loop"/g)).toHaveLength(6);
  expect(lines[2]).toMatchObject({ err: 'plain' });
});

describe('the log file', () => {
  it('is appended to', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-log-'));
    const file = join(folder, 'server.log');
    try {
      for (const text of ['first', 'second']) {
        const log = createLogger({ ...settings, file });
        log.info(text);
        // The line is written in the background, and `flush` may call back before it is.
        await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain(`"${text}"`));
      }
      expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('must be writable', () => {
    expect(() => createLogger({ ...settings, file: join(tmpdir(), 'no-such-folder', 'x.log') })).toThrow(/ENOENT/);
  });
});
