import { randomBytes } from 'node:crypto';
import { type Config, type ConfigOverrides, longestName } from '../platform/config.ts';

/** What a worker is told when it is started; all else it reads from the same sources as its supervisor. */
export type Assignment = ConfigOverrides & { readonly name: string };

/** What a supervisor says to a worker: end in order, and later: do not wait any longer. */
export type Order = 'stop' | 'hurry';

/** What a worker says to its supervisor: that it serves, or why it cannot. */
export type Report = { readonly up: true } | { readonly failed: string };

/** Carries the assignment. The database's password may be in it, so it is no argument. */
const variable = 'MUSTER_WORKER_ASSIGNMENT';

/** One assignment for each worker: nodes of different names on one database and one port. */
export function assignWorkers(config: Config, count: number, databaseUrl: string, port: number): Assignment[] {
  const { prometheus_port: metricsPort } = config.metrics;
  // As for every node, a name that was not given is made up: others on the same Redis have the same default.
  const isNamed = config.source('name').kind !== 'default';
  const base = isNamed ? config.name : `node-${randomBytes(8).toString('hex')}`.slice(0, longestName(count));
  return Array.from({ length: count }, (_, index) => ({
    name: `${base}-${index}`,
    workers: 1,
    'database.url': databaseUrl,
    'database.auto_migrate': false,
    'socket.port': port,
    'metrics.prometheus_port': metricsPort === 0 ? 0 : metricsPort + index,
  }));
}

/** The environment of a worker, besides that of its supervisor. */
export function assignmentEnvironment(assignment: Assignment): Record<string, string> {
  return { [variable]: JSON.stringify(assignment) };
}

/** The assignment in a worker's environment; undefined in a process that was not started by a supervisor. */
export function readAssignment(env: Readonly<Record<string, string | undefined>>): Assignment | undefined {
  const text = env[variable];
  return text === undefined ? undefined : (JSON.parse(text) as Assignment);
}

export function isReport(message: unknown): message is Report {
  return typeof message === 'object' && message !== null && ('up' in message || 'failed' in message);
}

/** Beyond what a node takes to end in order when all its parts are well. */
const orderlyStopMs = 30_000;

/** How long a worker may take to stop, whoever it is that waits: its supervisor, or itself when that one is gone. */
export function stopLimitMs(config: Config): number {
  return orderlyStopMs + config.shutdown_grace_sec * 1000;
}
