import type { Redis } from 'ioredis';
import { AppError, Code, unavailable } from '../platform/errors.ts';

/** Turns what ioredis and Redis say into what callers can act on. */
export function translateRedisError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const text = error instanceof Error ? error.message : String(error);
  // The error itself holds the command's arguments, which belong in no log.
  const cause = new Error(text);
  if (error instanceof Error && error.name === 'ReplyError') {
    if (refusals.test(text)) return unavailable('Redis refuses commands at the moment', cause);
    return new AppError(Code.INTERNAL, 'Redis did not understand a command', { cause });
  }
  // ioredis tells by this text alone that a command never left.
  if (text.startsWith("Stream isn't writeable")) return unavailable('Redis is out of reach', cause);
  return new AppError(Code.UNAVAILABLE, 'Redis did not answer', { retry: 'unknown', cause });
}

/**
 * Replies by which Redis says, before it has done anything, that it cannot at present; '-' before it in a script's. A
 * Redis Cluster says MOVED, ASK and TRYAGAIN while keys go to another server, and EXECABORT when it has said one of
 * these within a transaction.
 */
const refusals =
  /(^|-)(OOM|READONLY|LOADING|MASTERDOWN|NOREPLICAS|MISCONF|BUSY|TRYAGAIN|CLUSTERDOWN|MOVED|ASK|EXECABORT|NOAUTH|WRONGPASS|NOPERM|ERR max number of clients)\b/;

/** The server is none, or none any more, that takes writes to these keys: the right one is elsewhere. */
export const isElsewhere = (error: Error): boolean => /(^|-)(READONLY|MOVED)\b/.test(error.message);

/** Not every account may ask. */
export const serverInfo = (redis: Redis): Promise<string> =>
  redis.info('server').catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith('NOPERM')) return '';
    throw error;
  });
