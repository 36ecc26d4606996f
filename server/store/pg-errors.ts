import { AppError, Code, type Retry } from '../platform/errors.ts';

/**
 * What was going on when a database error struck; decides whether the effect may have happened.
 *
 * - `connect`: nothing had been sent yet
 * - `statement-read`: an autocommit statement without an effect, or any statement of a transaction before its COMMIT
 * - `statement-write`: an autocommit statement with an effect
 * - `commit`: COMMIT was on its way
 */
export type Phase = 'connect' | 'statement-read' | 'statement-write' | 'commit';

/** A statement went unanswered for too long and its connection was given up. */
export class StatementTimeout extends Error {
  override readonly name = 'StatementTimeout';
}

/** No connection was to be had in time; `cause` is why the last attempt to connect failed, if one did. */
export class ConnectionUnavailable extends Error {
  override readonly name = 'ConnectionUnavailable';
}

interface Meaning {
  readonly code: Code;
  readonly message: string;
  /** When the server answered with this error: the statement had no effect. `unknown` if not even the server knows. */
  readonly retry: Retry;
}

const unavailable: Meaning = { code: Code.UNAVAILABLE, message: 'Database unavailable.', retry: 'safe' };
const ambiguous: Meaning = { code: Code.UNAVAILABLE, message: 'Database unavailable.', retry: 'unknown' };
const conflict: Meaning = { code: Code.ABORTED, message: 'Transaction conflict.', retry: 'safe' };
const precondition: Meaning = { code: Code.FAILED_PRECONDITION, message: 'Database constraint violated.', retry: 'no' };
const badText: Meaning = { code: Code.INVALID_ARGUMENT, message: 'Invalid character in text.', retry: 'no' };
const timeout: Meaning = { code: Code.DEADLINE_EXCEEDED, message: 'Database deadline exceeded.', retry: 'safe' };
const fault: Meaning = { code: Code.INTERNAL, message: 'Database error.', retry: 'no' };

/** SQLSTATE, or its class of two characters, to meaning; the longer key wins. */
const meanings: Readonly<Record<string, Meaning>> = {
  '08': unavailable,
  '08007': ambiguous,
  '22021': badText,
  '22P05': badText,
  '23502': precondition,
  '23503': precondition,
  '23505': { code: Code.ALREADY_EXISTS, message: 'Already exists.', retry: 'no' },
  '23514': precondition,
  // Written to a server that has become a standby: after a failover this passes.
  '25006': unavailable,
  '25P03': unavailable,
  '25P04': timeout,
  '40': conflict,
  '40003': ambiguous,
  '53': unavailable,
  '55P03': conflict,
  '57014': timeout,
  '57P01': unavailable,
  '57P02': unavailable,
  '57P03': unavailable,
  '57P05': unavailable,
};

/** Error codes of Node.js that mean the connection could not be made or is gone. */
const socketCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'ENOENT',
  'EACCES',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EMFILE',
  'ENFILE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
]);

/** `pg` has no codes for these. The last two are said before anything is sent. */
const connectionTexts = [
  'Connection terminated',
  'timeout expired',
  'The server does not support SSL connections',
  'There was an error establishing an SSL connection',
];
const unsentTexts = ['Client has encountered a connection error', 'Client was closed'];

/**
 * Turns whatever a database call failed with into the server's one error. The original stays as `cause`, so that
 * `sqlState` and `violatedConstraint` work on the result. An AppError passes through.
 */
export function translate(error: unknown, phase: Phase): AppError {
  if (error instanceof AppError) return error;
  const state = sqlState(error);
  const lost = isConnectionLost(error);
  const unsent = phase === 'connect' || isUnsent(error);
  // Whatever keeps us from connecting, be it a wrong password, may be mended while we run.
  const { code, message, retry } = phase === 'connect' ? unavailable : meaningOf(error, state, lost);
  if (phase === 'statement-write' || phase === 'commit') {
    // No answer from the server: it may have done the work and died before it could say so.
    if (!unsent && (lost || state === undefined))
      return new AppError(code, message, { retry: 'unknown', cause: error });
  } else if (retry === 'unknown') {
    return new AppError(code, message, { retry: 'safe', cause: error });
  }
  return new AppError(code, message, { retry, cause: error });
}

function meaningOf(error: unknown, state: string | undefined, lost: boolean): Meaning {
  if (state !== undefined) return meanings[state] ?? meanings[state.slice(0, 2)] ?? fault;
  if (error instanceof StatementTimeout) return timeout;
  return lost || error instanceof ConnectionUnavailable || isUnsent(error) ? unavailable : fault;
}

/** The five characters of the SQLSTATE that the server answered with, looked up through the chain of causes. */
export function sqlState(error: unknown): string | undefined {
  return serverError(error)?.code;
}

/** Name of the violated constraint or unique index, looked up through the chain of causes. */
export function violatedConstraint(error: unknown): string | undefined {
  return serverError(error)?.constraint;
}

/**
 * May a transaction or an autocommit statement simply run again, as it had no effect? Class 40 says so, except 40003:
 * there the server itself does not know, which before COMMIT does not matter.
 */
export function isRetryable(error: unknown, phase: Phase): boolean {
  if (isUnprepared(error) || isStalePlan(error)) return true;
  const state = sqlState(error);
  if (state === undefined || !state.startsWith('40')) return false;
  return state !== '40003' || phase === 'statement-read';
}

/** The session and we disagree about what is prepared; the statement was not run. */
export function isUnprepared(error: unknown): boolean {
  const state = serverError(error)?.code;
  return state === '26000' || state === '42P05';
}

/** A migration has changed the type of a result column; this session's prepared statement will never work again. */
export function isStalePlan(error: unknown): boolean {
  const found = serverError(error);
  return found?.code === '0A000' && found.message.includes('cached plan must not change result type');
}

/** The connection is gone, with or without last words of the server. */
export function isConnectionLost(error: unknown): boolean {
  for (const link of chain(error)) {
    const found = asServerError(link);
    if (found !== undefined) {
      if (found.severity === 'FATAL' || found.severity === 'PANIC') return true;
      return found.code.startsWith('08') || found.code.startsWith('57P');
    }
    if (link instanceof Error) {
      const { code } = link as NodeJS.ErrnoException;
      if (typeof code === 'string' && socketCodes.has(code)) return true;
      if (link instanceof StatementTimeout) return true;
      if (connectionTexts.some((text) => link.message.startsWith(text))) return true;
    }
  }
  return false;
}

/** The statement never left this process. */
export function isUnsent(error: unknown): boolean {
  for (const link of chain(error)) {
    if (link instanceof ConnectionUnavailable) return true;
    if (link instanceof Error && unsentTexts.some((text) => link.message.startsWith(text))) return true;
  }
  return false;
}

interface ServerError {
  readonly code: string;
  readonly message: string;
  readonly severity: string;
  readonly constraint?: string;
}

function serverError(error: unknown): ServerError | undefined {
  for (const link of chain(error)) {
    const found = asServerError(link);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Node's codes can look like a SQLSTATE ("EPIPE"); only the server's errors carry a severity. */
function asServerError(error: unknown): ServerError | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, severity } = error as Partial<ServerError>;
  return typeof code === 'string' && typeof severity === 'string' && code.length === 5
    ? (error as ServerError)
    : undefined;
}

/** Longest chain of causes that is followed, in case one bites its tail. */
const maxCauses = 8;

function* chain(error: unknown): Generator<unknown> {
  let link = error;
  for (let depth = 0; depth < maxCauses && link !== undefined && link !== null; depth++) {
    yield link;
    link = link instanceof Error ? link.cause : undefined;
  }
}
