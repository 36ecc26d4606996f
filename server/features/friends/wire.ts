import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import { toUser } from '../accounts/index.ts';
import type { FriendItem, FriendOfFriendItem } from './listing.ts';

/** How many edges others have is not shown here (spec: social.md, section 1.6). */
export function toFriend({ friend, online }: FriendItem): Init<nakama.api.Friend> {
  return {
    user: { ...toUser(friend, online), edge_count: 0 },
    state: { value: friend.state },
    update_time: truncateToSeconds(friend.edge_update_time),
    metadata: friend.edge_metadata,
  };
}

export function toFriendOfFriend({
  referrer,
  user,
  online,
}: FriendOfFriendItem): Init<nakama.api.FriendsOfFriendsList.FriendOfFriend> {
  return { referrer, user: toUser(user, online) };
}
