import { subsystem } from '../../platform/log.ts';
import type { ChannelAccesses, SystemMessages } from '../chat/index.ts';
import { exportRows } from '../export-items.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Notifications } from '../notifications/index.ts';
import type { Streams } from '../streams/index.ts';
import { GroupChannels } from './channels.ts';
import { Departures } from './departures.ts';
import { Groups } from './groups.ts';
import { MembershipLists } from './listing.ts';
import { Membership } from './membership.ts';
import { groupMethods } from './methods.ts';
import { allGroupsOf } from './queries.ts';
import { toGroup } from './wire.ts';

export type { Groups, GroupUpdate, NewGroup } from './groups.ts';
export type { EdgeListRequest, MemberItem, MembershipItem, Page } from './listing.ts';
export type { Person } from './membership.ts';
export type { GroupRow } from './queries.ts';
export { GroupRefused, type Refusal } from './refusals.ts';
export { GroupState } from './roles.ts';
export type { SearchRequest } from './search.ts';

export interface GroupsFeature extends Feature {
  /**
   * nk: groupCreate, groupUpdate, groupDelete, groupUserJoin, groupUserLeave, groupUsersAdd, groupUsersKick,
   * groupUsersBan, groupUsersPromote, groupUsersDemote, groupUsersList, userGroupsList, groupsList, groupsGetId,
   * groupsGetRandom.
   */
  readonly groups: Groups;
}

interface Others {
  readonly streams: Streams;
  readonly notifications: Notifications;
  readonly channels: ChannelAccesses;
  readonly messages: SystemMessages;
}

/** Groups of users, and who may use their chat channels. */
export function createGroups(kit: FeatureKit, { streams, channels, ...others }: Others): GroupsFeature {
  const { db } = kit;
  const departures = new Departures({ db, streams, log: subsystem(kit.log, 'groups') });
  const groups = new Groups({
    db,
    departures,
    membership: new Membership({ db, departures, ...others }),
    lists: new MembershipLists(db, kit.presence),
  });
  channels.set('group', new GroupChannels(groups));
  return {
    name: 'groups',
    methods: groupMethods(groups),
    groups,
    userData: {
      erase: (tx, userId) => groups.erase(tx, userId),
      lists: [{ key: 'groups', items: (userId) => exportRows(db, allGroupsOf, userId, 'nakama.api.Group', toGroup) }],
    },
    async stop() {
      departures.close();
    },
  };
}
