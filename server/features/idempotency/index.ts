import type { Feature, FeatureKit } from '../feature.ts';
import type { Jobs } from '../jobs/index.ts';
import { Idempotency } from './idempotency.ts';

export type { Idempotency, Operation } from './idempotency.ts';

const purgeIntervalSec = 60;

export interface IdempotencyFeature extends Feature {
  readonly idempotency: Idempotency;
}

/** Operations that may be repeated without harm. */
export function createIdempotency(kit: FeatureKit, { jobs }: { jobs: Jobs }): IdempotencyFeature {
  const idempotency = new Idempotency(kit.db, kit.config.database.idempotency_retention_sec);
  jobs.every({
    kind: 'idempotency_purge',
    everySec: purgeIntervalSec,
    async run(run) {
      const count = await idempotency.purge();
      await run.complete(JSON.stringify({ count }));
    },
  });
  return { name: 'idempotency', methods: [], idempotency };
}
