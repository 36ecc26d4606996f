import { createAccounts } from '../features/accounts/index.ts';
import { createAuth } from '../features/auth/index.ts';
import { createChat } from '../features/chat/index.ts';
import type { Feature, FeatureKit } from '../features/feature.ts';
import { createHealth } from '../features/health/index.ts';
import { createSessions } from '../features/sessions/index.ts';
import { createStatus } from '../features/status/index.ts';
import { createStorage } from '../features/storage/index.ts';
import { createStreams } from '../features/streams/index.ts';

/** All features of a node, each with those it builds on. They start in this order and stop in reverse. */
export function buildFeatures(kit: FeatureKit) {
  const sessions = createSessions(kit);
  const accounts = createAccounts(kit, sessions);
  const streams = createStreams(kit);
  const storage = createStorage(kit);
  const all: Feature[] = [
    createHealth(),
    sessions,
    accounts,
    createAuth(kit, { sessions: sessions.sessions, accounts }),
    storage,
    streams,
    createStatus(kit, { streams: streams.streams, accounts: accounts.accounts }),
    createChat(kit, { streams: streams.streams }),
  ];
  return { all, sessions, accounts, storage, streams };
}

export type Features = ReturnType<typeof buildFeatures>;
