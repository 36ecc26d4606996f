import type { Accounts } from '../accounts/index.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Notifications } from '../notifications/index.ts';
import type { Streams } from '../streams/index.ts';
import { FriendChanges } from './changes.ts';
import { eraseFriends, exportFriends } from './erasure.ts';
import { Friends } from './friends.ts';
import { FriendLists } from './listing.ts';
import { friendMethods } from './methods.ts';

export type { FriendProvider } from './changes.ts';
export type { Friends } from './friends.ts';
export type { FriendItem, FriendListRequest, FriendOfFriendItem, ListRequest, Page } from './listing.ts';
export type { FriendRow } from './queries.ts';
export type { Actor, Targets } from './targets.ts';
export { FriendState } from './transitions.ts';

export interface FriendsFeature extends Feature {
  /**
   * nk: friendsAdd, friendsDelete, friendsBlock, friendsList, friendsOfFriendsList, friendMetadataUpdate,
   * usersGetFriendStatus.
   */
  readonly friends: Friends;
}

/** Friends, invites and blocks. */
export function createFriends(
  kit: FeatureKit,
  others: { accounts: Accounts; streams: Streams; notifications: Notifications },
): FriendsFeature {
  const changes = new FriendChanges({ db: kit.db, ...others });
  const lists = new FriendLists(kit.db, kit.presence);
  return {
    name: 'friends',
    methods: friendMethods(changes, lists),
    userData: { erase: eraseFriends, lists: [{ key: 'friends', items: (userId) => exportFriends(kit.db, userId) }] },
    friends: new Friends(kit.db, changes, lists),
  };
}
