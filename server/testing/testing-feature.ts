import type { Feature } from '../features/feature.ts';
import { payload } from '../wire/envelope.ts';
import { api, realtime } from '../wire/method.ts';

/**
 * A feature for tests alone: `TestingEcho` answers its request, and `match_data_send` comes back as `match_data`, so
 * that every kind of field can be sent through every door.
 */
export function createTestingFeature(): Feature {
  return {
    name: 'testing',
    methods: [
      api('TestingEcho', { auth: 'session' }, (_ctx, request) => request),
      realtime('match_data_send', (_ctx, { match_id, op_code, data, reliable }) =>
        payload('match_data', { match_id, op_code, data, reliable }),
      ),
    ],
  };
}
