/** Canonical RPC codes; the number is what clients see in error bodies. */
export const Code = {
  OK: 0,
  CANCELED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

export const codeNames = Object.fromEntries(Object.entries(Code).map(([name, code]) => [code, name])) as Record<
  Code,
  keyof typeof Code
>;

/** May a failed call be sent again? `unknown`: it may or may not have had its effect. */
export type Retry = 'no' | 'safe' | 'unknown';

/** Codes of the realtime `error` envelope (spec: realtime.md, section 5). */
export const RealtimeCode = {
  RUNTIME_EXCEPTION: 0,
  UNRECOGNIZED_PAYLOAD: 1,
  MISSING_PAYLOAD: 2,
  BAD_INPUT: 3,
  MATCH_NOT_FOUND: 4,
  MATCH_JOIN_REJECTED: 5,
  RUNTIME_FUNCTION_NOT_FOUND: 6,
  RUNTIME_FUNCTION_EXCEPTION: 7,
} as const;
export type RealtimeCode = (typeof RealtimeCode)[keyof typeof RealtimeCode];

interface AppErrorOptions {
  retry?: Retry;
  cause?: unknown;
  realtimeCode?: RealtimeCode;
}

/** The one error of the server: a code, and a message that is safe to show to the caller. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: Code;
  readonly retry: Retry;
  readonly #realtimeCode: RealtimeCode | undefined;

  constructor(code: Code, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? (code === Code.UNAVAILABLE || code === Code.RESOURCE_EXHAUSTED ? 'safe' : 'no');
    this.#realtimeCode = options.realtimeCode;
  }

  /**
   * The server's fault, worth an error line in the log; everything else is the caller's mistake. DATA_LOSS is what a
   * sign-in with a forged credential has to answer (Facebook Instant Games).
   */
  get isServerFault(): boolean {
    return this.code === Code.INTERNAL || this.code === Code.UNKNOWN;
  }

  get realtimeCode(): RealtimeCode {
    return this.#realtimeCode ?? realtimeCodes[this.code];
  }
}

export const invalidArgument = (message: string): AppError => new AppError(Code.INVALID_ARGUMENT, message);
export const notFound = (message: string): AppError => new AppError(Code.NOT_FOUND, message);
export const alreadyExists = (message: string): AppError => new AppError(Code.ALREADY_EXISTS, message);
export const permissionDenied = (message: string): AppError => new AppError(Code.PERMISSION_DENIED, message);
export const unauthenticated = (message: string): AppError => new AppError(Code.UNAUTHENTICATED, message);
export const resourceExhausted = (message: string): AppError => new AppError(Code.RESOURCE_EXHAUSTED, message);
export const unavailable = (message: string, cause?: unknown): AppError =>
  new AppError(Code.UNAVAILABLE, message, { cause });
export const internal = (message: string, cause?: unknown): AppError => new AppError(Code.INTERNAL, message, { cause });

/**
 * What a feature answers when its work failed for a reason the caller cannot act on: errors that already say what to
 * do (a lost database, a deadline) pass, anything else becomes INTERNAL with the feature's own text.
 */
export function internalUnlessTransient(error: unknown, message: string): AppError {
  return isTransient(error) ? error : internal(message, error);
}

/** Did something fail for a reason that passes, such as a database that did not answer in time? */
export function isTransient(error: unknown): error is AppError {
  return error instanceof AppError && transientCodes.has(error.code);
}

const transientCodes: ReadonlySet<Code> = new Set([
  Code.UNAVAILABLE,
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
  Code.ABORTED,
]);

/** HTTP status by RPC code (spec: http-auth-accounts.md, section 1.7). */
export const httpStatuses: Readonly<Record<Code, number>> = {
  0: 200,
  1: 499,
  2: 500,
  3: 400,
  4: 504,
  5: 404,
  6: 409,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  11: 400,
  12: 501,
  13: 500,
  14: 503,
  15: 500,
  16: 401,
};

const realtimeCodes: Readonly<Record<Code, RealtimeCode>> = {
  0: RealtimeCode.RUNTIME_EXCEPTION,
  1: RealtimeCode.RUNTIME_EXCEPTION,
  2: RealtimeCode.RUNTIME_EXCEPTION,
  3: RealtimeCode.BAD_INPUT,
  4: RealtimeCode.RUNTIME_EXCEPTION,
  5: RealtimeCode.BAD_INPUT,
  6: RealtimeCode.BAD_INPUT,
  7: RealtimeCode.BAD_INPUT,
  8: RealtimeCode.RUNTIME_EXCEPTION,
  9: RealtimeCode.BAD_INPUT,
  10: RealtimeCode.RUNTIME_EXCEPTION,
  11: RealtimeCode.BAD_INPUT,
  12: RealtimeCode.RUNTIME_EXCEPTION,
  13: RealtimeCode.RUNTIME_EXCEPTION,
  14: RealtimeCode.RUNTIME_EXCEPTION,
  15: RealtimeCode.RUNTIME_EXCEPTION,
  16: RealtimeCode.BAD_INPUT,
};

/** Why the server ends a socket. Never answers a call. */
export interface CloseReason {
  /** WebSocket close code. */
  readonly code: number;
  /** At most 123 bytes. */
  readonly text: string;
  /** What a client should do; also the metric label's meaning. */
  readonly reconnect: 'now' | 'later' | 'never';
}

/** Every close the server decides on (spec: realtime.md, section 7.1; application closes use code 1000). */
export const CloseReasons = {
  wrongFrameType: { code: 1000, text: 'received unexpected WebSocket message type', reconnect: 'never' },
  malformed: { code: 1000, text: 'received malformed payload', reconnect: 'never' },
  processing: { code: 1000, text: 'error processing message', reconnect: 'never' },
  queueFull: { code: 1000, text: 'session outgoing queue full', reconnect: 'later' },
  inboundFull: { code: 1000, text: 'session incoming queue full', reconnect: 'later' },
  disconnected: { code: 1000, text: 'server-side session disconnect', reconnect: 'never' },
  pongTimeout: { code: 1000, text: 'pong timeout', reconnect: 'now' },
  writeTimeout: { code: 1000, text: 'write timeout', reconnect: 'now' },
  tooBig: { code: 1009, text: '', reconnect: 'never' },
  unavailable: { code: 1013, text: 'service unavailable', reconnect: 'later' },
  goingAway: { code: 1001, text: 'server shutting down', reconnect: 'now' },
} as const satisfies Record<string, CloseReason>;
