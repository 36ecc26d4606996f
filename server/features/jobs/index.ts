import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from './job.ts';
import { JobRunner } from './runner.ts';
import { StoredJobs } from './stored-jobs.ts';

export type { JobId, JobKind, JobReport, JobRun, JobState, Jobs, NewJob, RecurringJob } from './job.ts';

const purgeIntervalSec = 60;

export interface JobsFeature extends Feature {
  readonly jobs: Jobs;
}

/** What is to be done at some time by one of the nodes. Starts after all features that have kinds of jobs. */
export function createJobs(kit: Pick<FeatureKit, 'config' | 'log' | 'clock' | 'metrics' | 'db'>): JobsFeature {
  const { config, clock, metrics, db } = kit;
  const log = subsystem(kit.log, 'jobs');
  const jobs = new StoredJobs(db);
  const { workers, poll_ms: pollMs, lease_ms: leaseMs, drain_ms: drainMs, retention_sec: retentionSec } = config.jobs;
  const settings = { workers, pollMs, leaseMs, drainMs };
  const runner = new JobRunner({ db, clock, log, metrics, node: config.name, settings }, jobs.definitions);
  jobs.onScheduled = () => runner.poke();
  jobs.every({
    kind: 'jobs_purge',
    everySec: purgeIntervalSec,
    async run(run) {
      const count = await jobs.purge(retentionSec);
      await run.complete(JSON.stringify({ count }));
    },
  });
  return {
    name: 'jobs',
    methods: [],
    jobs,
    async start() {
      jobs.isStarted = true;
      runner.start();
    },
    async stop() {
      await runner.stop();
    },
  };
}
