import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { AppError, Code, internal, type Retry } from '../platform/errors.ts';
import {
  ConnectionUnavailable,
  isConnectionLost,
  isRetryable,
  type Phase,
  StatementTimeout,
  sqlState,
  translate,
  violatedConstraint,
} from './pg-errors.ts';

function fromServer(code: string, severity = 'ERROR', constraint?: string): pg.DatabaseError {
  const error = new pg.DatabaseError(`server says ${code}`, 0, 'error');
  Object.assign(error, { code, severity, constraint });
  return error;
}

const fromSocket = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

describe('answers of the server', () => {
  test.each<[string, Code, Retry]>([
    ['23505', Code.ALREADY_EXISTS, 'no'],
    ['23503', Code.FAILED_PRECONDITION, 'no'],
    ['23514', Code.FAILED_PRECONDITION, 'no'],
    ['23502', Code.FAILED_PRECONDITION, 'no'],
    ['40001', Code.ABORTED, 'safe'],
    ['40P01', Code.ABORTED, 'safe'],
    ['55P03', Code.ABORTED, 'safe'],
    ['57014', Code.DEADLINE_EXCEEDED, 'safe'],
    ['22021', Code.INVALID_ARGUMENT, 'no'],
    ['22P05', Code.INVALID_ARGUMENT, 'no'],
    ['53300', Code.UNAVAILABLE, 'safe'],
    ['25006', Code.UNAVAILABLE, 'safe'],
    ['22001', Code.INTERNAL, 'no'],
    ['42P01', Code.INTERNAL, 'no'],
    ['XX000', Code.INTERNAL, 'no'],
  ])('%s', (state, code, retry) => {
    // Answered is answered: the phase changes nothing.
    for (const phase of ['statement-read', 'statement-write', 'commit'] as const) {
      expect(translate(fromServer(state), phase)).toMatchObject({ code, retry });
    }
  });

  test('the server itself does not know', () => {
    expect(translate(fromServer('40003'), 'statement-write')).toMatchObject({
      code: Code.UNAVAILABLE,
      retry: 'unknown',
    });
    expect(translate(fromServer('40003'), 'commit')).toMatchObject({ code: Code.UNAVAILABLE, retry: 'unknown' });
    expect(translate(fromServer('40003'), 'statement-read')).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
    expect(isRetryable(fromServer('40003'), 'commit')).toBe(false);
    expect(isRetryable(fromServer('40003'), 'statement-read')).toBe(true);
    expect(isRetryable(fromServer('40001'), 'statement-write')).toBe(true);
    expect(isRetryable(fromServer('23505'), 'statement-read')).toBe(false);
  });

  test('state and constraint are found through causes', () => {
    const error = internal(
      'Error doing something.',
      translate(fromServer('23505', 'ERROR', 'users_email_key'), 'commit'),
    );
    expect(sqlState(error)).toBe('23505');
    expect(violatedConstraint(error)).toBe('users_email_key');
    expect(violatedConstraint(translate(fromServer('40001'), 'commit'))).toBeUndefined();
    expect(sqlState(fromSocket('EPIPE'))).toBeUndefined();
    expect(sqlState(undefined)).toBeUndefined();
    const loop = new Error('bites its tail');
    loop.cause = loop;
    expect(sqlState(loop)).toBeUndefined();
  });
});

describe('lost connections', () => {
  const losses: [string, Error][] = [
    ['ECONNRESET', fromSocket('ECONNRESET')],
    ['ETIMEDOUT', fromSocket('ETIMEDOUT')],
    ['ECONNREFUSED', fromSocket('ECONNREFUSED')],
    ['EPIPE', fromSocket('EPIPE')],
    ['terminated', new Error('Connection terminated unexpectedly')],
    ['timeout expired', new Error('timeout expired')],
    ['57P01', fromServer('57P01', 'FATAL')],
    ['57P02', fromServer('57P02', 'FATAL')],
    ['57P03', fromServer('57P03', 'FATAL')],
    ['08006', fromServer('08006')],
    ['25P03', fromServer('25P03', 'FATAL')],
  ];
  const expected: [Phase, Retry][] = [
    ['connect', 'safe'],
    ['statement-read', 'safe'],
    ['statement-write', 'unknown'],
    ['commit', 'unknown'],
  ];
  test.each(losses)('%s', (_, error) => {
    expect(isConnectionLost(error)).toBe(true);
    for (const [phase, retry] of expected) {
      expect(translate(error, phase)).toMatchObject({
        code: Code.UNAVAILABLE,
        message: 'Database unavailable.',
        retry,
      });
    }
  });

  test('a timeout of ours', () => {
    const error = new StatementTimeout('too slow');
    expect(translate(error, 'statement-read')).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'safe' });
    expect(translate(error, 'statement-write')).toMatchObject({ code: Code.DEADLINE_EXCEEDED, retry: 'unknown' });
  });

  test('never sent', () => {
    const late = new Error('Client has encountered a connection error and is not queryable');
    expect(translate(late, 'statement-write')).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
    const none = new ConnectionUnavailable('none', { cause: fromSocket('ECONNREFUSED') });
    expect(translate(none, 'statement-write')).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
  });

  test('whatever keeps us from connecting is UNAVAILABLE', () => {
    expect(translate(fromServer('28P01', 'FATAL'), 'connect')).toMatchObject({ code: Code.UNAVAILABLE, retry: 'safe' });
    expect(translate(new Error('self-signed certificate'), 'connect')).toMatchObject({ code: Code.UNAVAILABLE });
  });
});

test('an unknown failure of a write may have happened', () => {
  expect(translate(new TypeError('bad row'), 'statement-write')).toMatchObject({
    code: Code.INTERNAL,
    retry: 'unknown',
  });
  expect(translate(new TypeError('bad row'), 'statement-read')).toMatchObject({ code: Code.INTERNAL, retry: 'no' });
});

test('an AppError passes through', () => {
  const error = new AppError(Code.NOT_FOUND, 'gone');
  expect(translate(error, 'commit')).toBe(error);
});
