import { invalidArgument } from '../../platform/errors.ts';
import { isNil, parseUuid } from '../../platform/ids.ts';
import { api, type Method } from '../../wire/method.ts';
import { clientWords, inClientWords } from './client-words.ts';
import type { Groups } from './groups.ts';
import type { EdgeListRequest } from './listing.ts';
import { GroupState } from './roles.ts';
import { toGroup, toGroupUser, toUserGroup } from './wire.ts';

const maxLimit = 100;
const defaultSearchLimit = 1;
const defaultListLimit = 100;

export function groupMethods(groups: Groups): Method[] {
  return [...groupItself(groups), ...ownMembership(groups), ...members(groups), ...lists(groups)];
}

function groupItself(groups: Groups): Method[] {
  return [
    api('CreateGroup', { auth: 'session' }, async ({ user }, request) => {
      const created = groups.create({
        userId: user.id,
        creatorId: user.id,
        name: request.name,
        description: request.description,
        langTag: request.lang_tag,
        avatarUrl: request.avatar_url,
        open: request.open,
        maxCount: request.max_count === 0 ? undefined : request.max_count,
      });
      return toGroup(await inClientWords(clientWords.create, created));
    }),

    api('UpdateGroup', { auth: 'session' }, async ({ user }, request) => {
      const updated = groups.update(parseGroupId(request.group_id), user.id, {
        name: request.name?.value,
        description: request.description?.value,
        langTag: request.lang_tag?.value,
        avatarUrl: request.avatar_url?.value,
        open: request.open?.value,
      });
      await inClientWords(clientWords.update, updated);
      return {};
    }),

    api('DeleteGroup', { auth: 'session' }, async ({ user }, { group_id }) => {
      await inClientWords(clientWords.delete, groups.delete(parseGroupId(group_id), user.id));
      return {};
    }),
  ];
}

function ownMembership(groups: Groups): Method[] {
  return [
    api('JoinGroup', { auth: 'session' }, async ({ user }, { group_id }) => {
      await inClientWords(clientWords.join, groups.join(parseGroupId(group_id), user));
      return {};
    }),

    api('LeaveGroup', { auth: 'session' }, async ({ user }, { group_id }) => {
      await inClientWords(clientWords.leave, groups.leave(parseGroupId(group_id), user));
      return {};
    }),
  ];
}

function members(groups: Groups): Method[] {
  return [
    api('AddGroupUsers', { auth: 'session' }, async ({ user }, request) => {
      const { groupId, userIds } = parseTargets(request);
      if (userIds.length > 0) await inClientWords(clientWords.add, groups.addUsers(groupId, userIds, user.id));
      return {};
    }),

    api('KickGroupUsers', { auth: 'session' }, async ({ user }, request) => {
      const { groupId, userIds } = parseTargets(request);
      if (userIds.length > 0) await inClientWords(clientWords.kick, groups.kickUsers(groupId, userIds, user.id));
      return {};
    }),

    api('BanGroupUsers', { auth: 'session' }, async ({ user }, request) => {
      const { groupId, userIds } = parseTargets(request);
      if (userIds.length > 0) await inClientWords(clientWords.ban, groups.banUsers(groupId, userIds, user.id));
      return {};
    }),

    api('PromoteGroupUsers', { auth: 'session' }, async ({ user }, request) => {
      const { groupId, userIds } = parseTargets(request);
      if (userIds.length > 0) {
        await inClientWords(clientWords.promote, groups.promoteUsers(groupId, userIds, user.id));
      }
      return {};
    }),

    api('DemoteGroupUsers', { auth: 'session' }, async ({ user }, request) => {
      const { groupId, userIds } = parseTargets(request);
      // Only here, by contract (spec: social.md, section 2.5).
      if (userIds.length === 0) throw invalidArgument('User IDs must be set.');
      await inClientWords(clientWords.demote, groups.demoteUsers(groupId, userIds, user.id));
      return {};
    }),
  ];
}

function lists(groups: Groups): Method[] {
  return [
    api('ListGroups', { auth: 'session' }, async (_ctx, request) => {
      const found = groups.list({
        name: request.name,
        langTag: request.lang_tag,
        open: request.open?.value ?? null,
        members: request.members?.value ?? null,
        limit: checkLimit(request.limit?.value ?? defaultSearchLimit),
        cursor: request.cursor,
      });
      const { items, cursor } = await inClientWords(clientWords.list, found);
      return { groups: items.map(toGroup), cursor };
    }),

    api('ListGroupUsers', { auth: 'session' }, async (_ctx, request) => {
      const listed = groups.listUsers(parseGroupId(request.group_id), toEdgeList(request));
      const { items, cursor } = await inClientWords(clientWords.listUsers, listed);
      return { group_users: items.map(toGroupUser), cursor };
    }),

    api('ListUserGroups', { auth: 'session' }, async (_ctx, request) => {
      if (request.user_id === '') throw invalidArgument('User ID must be set.');
      // The reference's own words.
      const userId = parseId(request.user_id, 'Group ID must be a valid ID.');
      const listed = groups.listOfUser(userId, toEdgeList(request));
      const { items, cursor } = await inClientWords(clientWords.listOfUser, listed);
      return { user_groups: items.map(toUserGroup), cursor };
    }),
  ];
}

interface TargetsRequest {
  readonly group_id: string;
  readonly user_ids: readonly string[];
}

function parseTargets({ group_id, user_ids }: TargetsRequest): { groupId: string; userIds: string[] } {
  const groupId = parseGroupId(group_id);
  const refused = 'User ID must be a valid ID.';
  const userIds = user_ids.map((text) => {
    const id = parseId(text, refused);
    if (isNil(id)) throw invalidArgument(refused);
    return id;
  });
  return { groupId, userIds };
}

function parseGroupId(text: string): string {
  if (text === '') throw invalidArgument('Group ID must be set.');
  return parseId(text, 'Group ID must be a valid ID.');
}

function parseId(text: string, refused: string): string {
  const id = parseUuid(text);
  if (id === null) throw invalidArgument(refused);
  return id;
}

interface ListRequest {
  readonly limit: { readonly value: number } | null;
  readonly state: { readonly value: number } | null;
  readonly cursor: string;
}

function toEdgeList({ limit, state, cursor }: ListRequest): EdgeListRequest {
  const wanted = state?.value ?? null;
  if (wanted !== null && (wanted < GroupState.SUPERADMIN || wanted > GroupState.BANNED)) {
    throw invalidArgument(`Invalid state - state must be between ${GroupState.SUPERADMIN} and ${GroupState.BANNED}.`);
  }
  return { limit: checkLimit(limit?.value ?? defaultListLimit), state: wanted, cursor };
}

function checkLimit(limit: number): number {
  if (limit < 1 || limit > maxLimit) {
    throw invalidArgument(`Invalid limit - limit must be between 1 and ${maxLimit}.`);
  }
  return limit;
}
