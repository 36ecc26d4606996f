import { createAccounts } from '../features/accounts/index.ts';
import { createAuth } from '../features/auth/index.ts';
import { createChat } from '../features/chat/index.ts';
import { createErasure } from '../features/erasure/index.ts';
import { createEvents } from '../features/events/index.ts';
import type { Feature, FeatureKit } from '../features/feature.ts';
import { createFriends } from '../features/friends/index.ts';
import { createGroups } from '../features/groups/index.ts';
import { createHealth } from '../features/health/index.ts';
import { createIdempotency } from '../features/idempotency/index.ts';
import { createJobs } from '../features/jobs/index.ts';
import { createLeaderboards } from '../features/leaderboards/index.ts';
import { createMultiUpdate } from '../features/multi-update/index.ts';
import { createNotifications } from '../features/notifications/index.ts';
import { createPurchases } from '../features/purchases/index.ts';
import { createRanks } from '../features/ranks/index.ts';
import { createSessions } from '../features/sessions/index.ts';
import { createStatus } from '../features/status/index.ts';
import { createStorage } from '../features/storage/index.ts';
import { createStorageIndex } from '../features/storage-index/index.ts';
import { createStreams } from '../features/streams/index.ts';
import { createTournaments, periodAt } from '../features/tournaments/index.ts';
import { createWallet } from '../features/wallet/index.ts';

/**
 * All features of a node, each with those it builds on. They start in this order and stop in reverse; jobs start after
 * all of them, further ones included, and stop first.
 */
export function buildFeatures(kit: FeatureKit) {
  const jobs = createJobs(kit);
  const sessions = createSessions(kit, jobs);
  const accounts = createAccounts(kit, sessions);
  const streams = createStreams(kit);
  const notifications = createNotifications(kit, {
    streams: streams.streams,
    sockets: sessions.sockets,
    jobs: jobs.jobs,
  });
  const friends = createFriends(kit, {
    accounts: accounts.accounts,
    streams: streams.streams,
    notifications: notifications.notifications,
  });
  const chat = createChat(kit, {
    accounts: accounts.accounts,
    streams: streams.streams,
    friends: friends.friends,
    notifications: notifications.notifications,
  });
  const groups = createGroups(kit, {
    streams: streams.streams,
    notifications: notifications.notifications,
    channels: chat.channels,
    messages: chat.messages,
  });
  const storage = createStorage(kit);
  const storageIndex = createStorageIndex(kit, storage);
  const idempotency = createIdempotency(kit, jobs);
  const wallet = createWallet(kit, idempotency);
  const multiUpdate = createMultiUpdate({
    idempotency: idempotency.idempotency,
    accounts: accounts.accounts,
    storage: storage.storage,
    wallets: wallet.wallets,
  });
  const purchases = createPurchases(kit);
  const events = createEvents(kit);
  const ranks = createRanks(kit, { jobs: jobs.jobs });
  const leaderboards = createLeaderboards(kit, {
    ranks: ranks.ranks,
    jobs: jobs.jobs,
    tournamentExpiry: (board, now) => periodAt(board, now).expiry,
  });
  const tournaments = createTournaments(kit, { ...leaderboards, jobs: jobs.jobs });
  const features: Feature[] = [
    // Sockets leave the features in reverse: this one is last.
    events.ends,
    createHealth(),
    sessions,
    accounts,
    // Before all others that erase users: it locks the rows of other users, in the order of their ids.
    friends,
    // Next: it locks the user against whatever refers to it, as those do who write into channels that chat then locks.
    groups,
    createAuth(kit, { sessions: sessions.sessions, accounts, friends: friends.friends }),
    storage,
    storageIndex,
    idempotency,
    wallet,
    multiUpdate,
    purchases,
    ranks,
    streams,
    notifications,
    createStatus(kit, { streams: streams.streams, accounts: accounts.accounts }),
    chat,
    leaderboards,
    tournaments,
    events,
  ];
  const userData = features.flatMap((feature) => feature.userData ?? []);
  const erasure = createErasure(kit, { ...sessions, accounts: accounts.accounts, userData });
  const all = [...features, erasure];
  return {
    all,
    sessions,
    accounts,
    storage,
    storageIndex,
    wallet,
    multiUpdate,
    purchases,
    ranks,
    streams,
    notifications,
    friends,
    chat,
    groups,
    events,
    erasure,
    jobs,
    leaderboards,
    tournaments,
  };
}

export type Features = ReturnType<typeof buildFeatures>;
