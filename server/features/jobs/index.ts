export type { JobId, JobKind, JobReport, JobRun, JobState, Jobs, NewJob, RecurringJob } from './job.ts';
