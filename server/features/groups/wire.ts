import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import { toUser } from '../accounts/index.ts';
import type { MemberItem, MembershipItem } from './listing.ts';
import type { GroupRow } from './queries.ts';

/** A group as the API shows it; times are whole seconds there. */
export function toGroup(row: GroupRow): Init<nakama.api.Group> {
  return {
    id: row.id,
    creator_id: row.creator_id,
    name: row.name,
    description: row.description,
    lang_tag: row.lang_tag,
    metadata: row.metadata,
    avatar_url: row.avatar_url,
    open: { value: row.state === 0 },
    edge_count: row.edge_count,
    max_count: row.max_count,
    create_time: truncateToSeconds(row.create_time),
    update_time: truncateToSeconds(row.update_time),
  };
}

export function toGroupUser({ user, state, online }: MemberItem): Init<nakama.api.GroupUserList.GroupUser> {
  return { user: toUser(user, online), state: { value: state } };
}

export function toUserGroup({ group, state }: MembershipItem): Init<nakama.api.UserGroupList.UserGroup> {
  return { group: toGroup(group), state: { value: state } };
}
