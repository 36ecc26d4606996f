import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { Idempotency } from './idempotency.ts';

export type { Idempotency, Operation } from './idempotency.ts';

const purgeIntervalMs = 60_000;

export interface IdempotencyFeature extends Feature {
  readonly idempotency: Idempotency;
}

/** Operations that may be repeated without harm. */
export function createIdempotency(kit: FeatureKit): IdempotencyFeature {
  const idempotency = new Idempotency(kit.db, kit.config.database.idempotency_retention_sec);
  const log = subsystem(kit.log, 'idempotency');
  let timer: NodeJS.Timeout | undefined;
  let purging: Promise<void> = Promise.resolve();
  return {
    name: 'idempotency',
    methods: [],
    idempotency,
    async start() {
      timer = setInterval(() => {
        purging = idempotency.purge().then(
          (count) => log.debug({ count }, 'forgot outcomes'),
          (error) => log.warn({ err: error }, 'could not forget outcomes'),
        );
      }, purgeIntervalMs);
      timer.unref();
    },
    async stop() {
      clearInterval(timer);
      await purging;
    },
  };
}
