import type { Option } from './config-option.ts';

/** Work that is done later, by whichever node comes first. */
export const jobOptions = [
  {
    key: 'jobs.workers',
    type: 'int',
    default: 8,
    min: 1,
    description:
      'Jobs that one node runs at a time: ends and resets of leaderboards and tournaments, notifications to everybody, purges.',
  },
  {
    key: 'jobs.poll_ms',
    type: 'int',
    default: 500,
    min: 20,
    description:
      'Longest pause between two looks for due jobs: how late a node may notice a job that is due at once and was added by another node.',
  },
  {
    key: 'jobs.lease_ms',
    type: 'int',
    default: 1000,
    min: 200,
    description:
      'How long a job stays with a node that does not answer; then another one takes it. Renewed four times as often.',
  },
  {
    key: 'jobs.drain_ms',
    type: 'int',
    default: 5000,
    min: 0,
    description: 'How long running jobs may take to end once the node stops; then another node takes them over.',
  },
  {
    key: 'jobs.retention_sec',
    type: 'int',
    default: 604800,
    min: 60,
    description: 'How long outcomes of jobs are kept. Until then a job of the same name is not done a second time.',
  },
] as const satisfies readonly Option[];
