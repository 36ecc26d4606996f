// A node with jobs of the tests: node --import tsx jobs-node.ts start --dev [options of the server]
import { App } from '../../app/app.ts';
import type { Features } from '../../app/features.ts';
import { listenForStop } from '../../app/stop-signals.ts';
import type { Feature, FeatureKit } from '../../features/feature.ts';
import { loadConfig } from '../../platform/config.ts';
import { createLogger } from '../../platform/log.ts';
import { sql } from '../../store/sql.ts';
import { sleep } from '../../testing/wait.ts';

const begin = sql<never>('test_job_begin', 'INSERT INTO job_begin (subject, node) VALUES ($1, $2)', 'write');
const isOpen = sql<{ one: number }>('test_job_gate', 'SELECT 1 AS one FROM job_gate LIMIT 1', 'read');
const mark = sql<never>('test_job_mark', 'INSERT INTO job_mark (subject, node) VALUES ($1, $2)', 'write');

/** `work` says that it began, waits for a row in `job_gate`, and leaves one mark. `shout` notifies everybody. */
function createWork(
  { config, db }: FeatureKit,
  { jobs: { jobs }, notifications: { notifications } }: Features,
): Feature {
  jobs.define({
    kind: 'work',
    async run(run) {
      await db.execute(begin, [run.subject, config.name]);
      while ((await db.query(isOpen)).length === 0) await sleep(20);
      await run.complete('1', async (tx) => void (await tx.execute(mark, [run.subject, config.name])));
    },
  });
  jobs.define({
    kind: 'shout',
    run: (run) =>
      notifications.sendAll({ subject: run.subject, content: '{}', code: 1, senderId: '', persistent: true }),
  });
  return { name: 'work', methods: [] };
}

const { config } = loadConfig({ argv: process.argv.slice(3), env: process.env });
const stop = listenForStop();
const app = await App.start({
  config,
  log: createLogger(config.logger),
  extraFeatures: (kit, features) => [createWork(kit, features)],
});
await stop.requested;
await app.stop(stop.insisted);
