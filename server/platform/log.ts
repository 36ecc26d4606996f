import { openSync } from 'node:fs';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { redacted, redactText, redactUrl } from './redact.ts';

export type { Logger } from 'pino';
export { redactUrl } from './redact.ts';

export interface LogSettings {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'stackdriver';
  readonly stdout: boolean;
  /** Path of a file to append to; empty for none. */
  readonly file: string;
}

/** Bytes of log that may wait for a slow disk or terminal; further lines are dropped rather than held in memory. */
const maxPendingBytes = 16 * 1024 * 1024;

/** Fields that never reach the log, at the top of a line or inside its `headers`. */
const secretFields = [
  'authorization',
  'cookie',
  'encryption_key',
  'http_key',
  'password',
  'refresh_token',
  'refreshToken',
  'server_key',
  'token',
];

/** Deepest chain of causes that is written with an error. */
const maxCauses = 5;

const severities: Readonly<Record<string, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

/**
 * The node's root logger: one JSON object per line (spec: console-metrics.md, section 12). Throws when the log file
 * cannot be opened. Lines are written in the background, and flushed when the process exits.
 * @param destination takes the lines in place of standard output and file.
 */
export function createLogger(settings: LogSettings, destination?: DestinationStream): Logger {
  const options: LoggerOptions = {
    level: settings.level,
    base: null,
    ...layouts[settings.format],
    serializers: { err: errorFields, error: errorFields, url: hidePassword, address: hidePassword },
    redact: { paths: [...secretFields, ...secretFields.map((field) => `headers.${field}`)], censor: redacted },
  };
  return pino(options, destination ?? openDestination(settings));
}

/** The logger of one part of the server; its lines carry `logger`. */
export function subsystem(log: Logger, name: string): Logger {
  return log.child({ logger: name });
}

const layouts: Readonly<Record<LogSettings['format'], LoggerOptions>> = {
  json: {
    messageKey: 'msg',
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (level) => ({ level }) },
  },
  stackdriver: {
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level) => ({ severity: severities[level] ?? 'DEFAULT' }) },
  },
};

function openDestination({ stdout, file }: LogSettings): DestinationStream {
  const streams: BackgroundStream[] = [];
  if (stdout) streams.push(writeInBackground(1));
  // By descriptor and in append mode, so that a bad path fails the start and logrotate's copytruncate works.
  if (file !== '') streams.push(writeInBackground(openSync(file, 'a')));
  const [only] = streams;
  return streams.length === 1 && only !== undefined ? only : tee(streams);
}

type BackgroundStream = ReturnType<typeof pino.destination>;

function writeInBackground(fd: number): BackgroundStream {
  const stream = pino.destination({ dest: fd, sync: false, maxLength: maxPendingBytes });
  // A full disk must not end the server. The lines stay queued, up to the limit.
  stream.on('error', () => undefined);
  return stream;
}

function tee(streams: readonly BackgroundStream[]): DestinationStream & { flushSync(): void } {
  return {
    write(line) {
      for (const stream of streams) stream.write(line);
    },
    flushSync() {
      for (const stream of streams) stream.flushSync();
    },
  };
}

const hidePassword = (value: unknown): unknown => (typeof value === 'string' ? redactUrl(value) : value);

/**
 * What the log says of an error. Only these fields: errors of libraries also carry requests, parameters and rows.
 */
function errorFields(error: unknown, depth = 0): unknown {
  if (typeof error === 'string') return redactText(error);
  if (!(error instanceof Error)) return error;
  const { code, constraint, table } = error as { code?: unknown; constraint?: unknown; table?: unknown };
  const { cause } = error;
  return {
    type: error.name,
    message: redactText(error.message),
    ...(isPlain(code) ? { code } : {}),
    ...(isPlain(constraint) ? { constraint } : {}),
    ...(isPlain(table) ? { table } : {}),
    stack: redactText(error.stack ?? ''),
    ...(cause === undefined || depth >= maxCauses ? {} : { cause: errorFields(cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < maxCauses
      ? { errors: error.errors.slice(0, maxCauses).map((each) => errorFields(each, depth + 1)) }
      : {}),
  };
}

const isPlain = (value: unknown): boolean => typeof value === 'string' || typeof value === 'number';
