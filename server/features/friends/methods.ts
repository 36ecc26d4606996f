import { api, type Method } from '../../wire/method.ts';
import type { FriendChanges } from './changes.ts';
import type { FriendLists } from './listing.ts';
import type { Targets } from './targets.ts';
import { toFriend, toFriendOfFriend } from './wire.ts';
import { changeWordsForClients, friendsForClients, friendsOfFriendsForClients } from './words.ts';

const defaultFriends = 1000;
const defaultFriendsOfFriends = 10;

export function friendMethods(changes: FriendChanges, lists: FriendLists): Method[] {
  return [
    api('AddFriends', { auth: 'session' }, async ({ user }, request) => {
      if (!isEmpty(request)) await changes.add(user, request, request.metadata, changeWordsForClients.add);
      return {};
    }),

    api('DeleteFriends', { auth: 'session' }, async ({ user }, request) => {
      if (!isEmpty(request)) await changes.delete(user, request, changeWordsForClients.delete);
      return {};
    }),

    api('BlockFriends', { auth: 'session' }, async ({ user }, request) => {
      if (!isEmpty(request)) await changes.block(user, request, changeWordsForClients.block);
      return {};
    }),

    api('ListFriends', { auth: 'session' }, async ({ user }, { limit, state, cursor }) => {
      const request = { limit: limit?.value ?? defaultFriends, state: state?.value ?? null, cursor };
      const page = await lists.friends(user.id, request, friendsForClients);
      return { friends: page.items.map(toFriend), cursor: page.cursor };
    }),

    api('ListFriendsOfFriends', { auth: 'session' }, async ({ user }, { limit, cursor }) => {
      const request = { limit: limit?.value ?? defaultFriendsOfFriends, cursor };
      const page = await lists.friendsOfFriends(user.id, request, friendsOfFriendsForClients);
      return { friends_of_friends: page.items.map(toFriendOfFriend), cursor: page.cursor };
    }),
  ];
}

const isEmpty = ({ ids, usernames }: Targets): boolean => ids.length + usernames.length === 0;
