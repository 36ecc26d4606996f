import { defineConfig } from 'vitest/config';
import { redisAvailable } from './server/testing/redis.ts';

const common = { pool: 'forks', testTimeout: 60_000, hookTimeout: 120_000 } as const;

/** Everything, with servers of one node. */
const single = {
  ...common,
  name: 'single',
  include: ['server/**/*.test.ts', 'loadtest/**/*.test.js'],
  env: redisAvailable ? { MUSTER_TEST_TWO_NODES: '1' } : {},
};

/** What the server does, once more on two nodes (server/testing/server.ts). */
const cluster = {
  ...common,
  name: 'cluster',
  include: ['server/test/api/**/*.test.ts', 'server/test/hostile/frames.test.ts'],
  env: { MUSTER_TEST_TOPOLOGY: 'cluster' },
};

export default defineConfig({
  test: {
    // Tests share one database server and, in CI, two cores.
    maxWorkers: 2,
    globalSetup: ['server/testing/global-setup.ts'],
    projects: (redisAvailable ? [single, cluster] : [single]).map((test) => ({ test })),
  },
});
