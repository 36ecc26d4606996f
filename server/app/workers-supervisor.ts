import cluster from 'node:cluster';
import type { Config } from '../platform/config.ts';
import { Disposer } from '../platform/dispose.ts';
import { type Logger, subsystem } from '../platform/log.ts';
import { findSharedPort } from '../transports/listener-port.ts';
import { openDatabaseUrl, prepareSchema } from './database.ts';
import type { StopSignals } from './stop-signals.ts';
import { assignWorkers, stopLimitMs } from './workers.ts';
import { WorkerSlot } from './workers-slot.ts';

export interface SupervisorOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly stop: StopSignals;
  readonly count: number;
  /** Called once, when all workers serve. */
  readonly onUp: (port: number) => void;
}

/**
 * Runs `count` workers on one port and one database until told to stop; answers the exit code. It serves nobody itself.
 * Rejects, with everything ended again, when a worker cannot start for the first time: then no other could.
 */
export async function superviseWorkers({ config, log, stop, count, onUp }: SupervisorOptions): Promise<number> {
  const disposer = new Disposer(log);
  log.info({ workers: count, dev: config.dev }, 'starting');
  try {
    const url = await openDatabaseUrl(config, log, disposer);
    await prepareSchema(config, url, log);
    const port = await findSharedPort(config.socket);
    // The workers take connections from one socket. Handing them out here would be more even, but Node loses the one
    // that is on its way to a worker that dies: its client waits for ever.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    const assignments = assignWorkers(config, count, url, port);
    const slots = assignments.map((assignment) => new WorkerSlot(assignment, subsystem(log, 'supervisor')));
    if (await startAll(slots, stop.requested, stopLimitMs(config))) {
      const metricsPorts = assignments.map((each) => each['metrics.prometheus_port']).filter((each) => each !== 0);
      log.info({ port, workers: count, metrics_ports: metricsPorts }, 'All workers are up');
      onUp(port);
      await stop.requested;
    }
    return (await stopAll(slots, stop.insisted, stopLimitMs(config))) ? 0 : 1;
  } finally {
    await disposer.dispose();
    log.info('Shutdown complete');
  }
}

/** Resolves with true when all serve, and with false when they shall stop before. */
async function startAll(slots: readonly WorkerSlot[], stop: Promise<void>, limitMs: number): Promise<boolean> {
  const starting = Promise.all(slots.map((slot) => slot.start()));
  try {
    return await Promise.race([starting.then(() => true), stop.then(() => false)]);
  } catch (error) {
    await stopAll(slots, AbortSignal.abort(), limitMs);
    throw error;
  }
}

/** Resolves when all have ended: with false if one had to be killed. */
async function stopAll(slots: readonly WorkerSlot[], hurry: AbortSignal, limitMs: number): Promise<boolean> {
  const killAll = (): void => {
    for (const slot of slots) slot.kill();
  };
  const hurryAll = (): void => {
    for (const slot of slots) slot.hurry();
  };
  // A third signal ends this process on the spot.
  process.once('exit', killAll);
  const ended = Promise.all(slots.map((slot) => slot.stop(limitMs)));
  if (hurry.aborted) hurryAll();
  else hurry.addEventListener('abort', hurryAll, { once: true });
  const areClean = (await ended).every(Boolean);
  process.off('exit', killAll);
  return areClean;
}
