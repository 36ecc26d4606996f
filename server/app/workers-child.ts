import type { Worker } from 'node:cluster';
import { type Config, loadConfig } from '../platform/config.ts';
import { createLogger, type Logger } from '../platform/log.ts';
import { App } from './app.ts';
import { failureText } from './failure.ts';
import { eitherStop, listenForStop, type StopSignals } from './stop-signals.ts';
import { type Assignment, type Report, stopLimitMs } from './workers.ts';

/** Runs a node as a worker, until it or its supervisor is told to stop, or the supervisor is gone. Answers the exit code. */
export async function runWorker(
  worker: Worker,
  assignment: Assignment,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  // Node would end a worker on the spot when its supervisor is gone.
  worker.exitedAfterDisconnect = true;
  try {
    // The warnings are the supervisor's to log.
    const { config } = loadConfig({ argv, env, overrides: assignment });
    const log = createLogger(config.logger).child({ worker: config.name });
    const stop = eitherStop(listenForStop(), listenToSupervisor(worker, config, log));
    process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'));

    const app = await App.start({ config, log, sharesPort: true });
    await report(worker, { up: true });
    await stop.requested;
    await app.stop(stop.insisted);
    return 0;
  } catch (error) {
    if (!worker.isConnected()) throw error;
    await report(worker, { failed: failureText(error) });
    return 1;
  } finally {
    // An open channel keeps the process alive.
    worker.process.channel?.unref();
  }
}

function listenToSupervisor(worker: Worker, config: Config, log: Logger): StopSignals {
  const insistence = new AbortController();
  const requested = new Promise<void>((resolve) => {
    worker.on('message', (order: unknown) => {
      if (order === 'stop') resolve();
      else if (order === 'hurry') insistence.abort();
    });
    worker.on('disconnect', () => {
      log.warn('the supervisor is gone, stopping');
      // Nobody is left who would kill it.
      setTimeout(() => process.exit(1), stopLimitMs(config)).unref();
      resolve();
    });
  });
  return { requested, insisted: insistence.signal };
}

/** Resolves once the supervisor has it; what cannot reach it has nobody to hear it. */
function report(worker: Worker, message: Report): Promise<void> {
  return new Promise((resolve) => {
    if (worker.isConnected()) worker.send(message, () => resolve());
    else resolve();
  });
}
