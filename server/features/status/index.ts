import type { Accounts } from '../accounts/index.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Streams } from '../streams/index.ts';
import { statusMethods } from './methods.ts';
import { Statuses } from './status.ts';

/** Who is online, and saying so to those who follow them. */
export function createStatus(
  kit: FeatureKit,
  { streams, accounts }: { streams: Streams; accounts: Accounts },
): Feature {
  const statuses = new Statuses(streams, accounts, kit.config.limits.status_follows);
  return {
    name: 'status',
    methods: statusMethods(statuses),
    async socketOpened(session, { appearOnline }) {
      await statuses.opened(session, appearOnline);
    },
    async socketClosed(session) {
      statuses.closed(session);
    },
  };
}
