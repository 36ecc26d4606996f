import { availableParallelism } from 'node:os';
import type { ConfigValues } from './config-options.ts';
import { namesRedis } from './config-options-redis.ts';

export const maxWorkers = 128;

/** How many processes the option `workers` asks for on this machine. */
export function workerCount(workers: number): number {
  return workers === 0 ? Math.min(availableParallelism(), maxWorkers) : workers;
}

/** What the name of a node may have (spec: http-auth-accounts.md, section 7.1). */
const maxNameLength = 16;

/** Longest name to which `-0` up to the number of the last worker can be added. */
export function longestName(count: number): number {
  return maxNameLength - `-${count - 1}`.length;
}

/** What more than one worker needs. */
export const workerRules: readonly ((values: ConfigValues) => string | null)[] = [
  ({ workers, redis }) =>
    workerCount(workers) > 1 && !namesRedis({ redis })
      ? `--workers ${workers} needs Redis, over which the workers see each other: set redis.url, redis.sentinels or redis.cluster`
      : null,
  ({ workers, name }) => {
    const longest = longestName(workerCount(workers));
    return workerCount(workers) > 1 && name.length > longest
      ? `name must have at most ${longest} characters with --workers ${workers}: each worker adds its number`
      : null;
  },
  ({ workers, metrics, socket }) => {
    const [first, last] = [metrics.prometheus_port, metrics.prometheus_port + workerCount(workers) - 1];
    if (workerCount(workers) === 1 || first === 0) return null;
    if (last > 65_535) return `metrics.prometheus_port leaves too few ports for --workers ${workers}`;
    return socket.port >= first && socket.port <= last
      ? `socket.port must not be one of the workers' metrics ports, ${first}-${last}`
      : null;
  },
];
