import { payload } from '../../wire/envelope.ts';
import { api, noReply, realtime } from '../../wire/method.ts';
import type { Feature } from '../feature.ts';

/** Signs of life: the liveness probe, and the socket's application heartbeat. */
export function createHealth(): Feature {
  return {
    name: 'health',
    methods: [
      api('Healthcheck', { auth: 'none' }, () => ({})),
      realtime('ping', () => payload('pong', {})),
      realtime('pong', () => noReply),
    ],
  };
}
