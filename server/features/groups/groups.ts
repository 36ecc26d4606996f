import { invalidArgument } from '../../platform/errors.ts';
import { isNil, newId, nilUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import type { Database } from '../../store/database.ts';
import { violatedConstraint } from '../../store/pg-errors.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { Departures } from './departures.ts';
import { deleteGroupsIn, lockGroupWith, placeOffset } from './edges.ts';
import type { EdgeListRequest, MemberItem, MembershipItem, MembershipLists, Page } from './listing.ts';
import type { Membership, Person } from './membership.ts';
import {
  deleteBans,
  deleteEdgesBackTo,
  deleteEdgesOf,
  findMember,
  forgetCreator,
  type GroupRow,
  groupsAround,
  groupsById,
  groupsEndingWith,
  insertGroup,
  lockGroupsOf,
  lockUser,
  uncountMember,
  updateGroup,
} from './queries.ts';
import { GroupRefused } from './refusals.ts';
import { GroupState, isManager } from './roles.ts';
import { type SearchRequest, searchGroups } from './search.ts';

export interface NewGroup {
  /** The first superadmin. */
  readonly userId: string;
  /** Whom the group names as its creator; nobody when undefined. */
  readonly creatorId?: string | undefined;
  readonly name: string;
  readonly description?: string | undefined;
  /** Default `en`. */
  readonly langTag?: string | undefined;
  readonly avatarUrl?: string | undefined;
  /** Users may join without being asked; otherwise they send requests. Default false. */
  readonly open?: boolean | undefined;
  /** Text of a JSON object. */
  readonly metadata?: string | undefined;
  /** Default 100. */
  readonly maxCount?: number | undefined;
}

/** What an update may change; undefined leaves alone, '' clears description and avatar. */
export interface GroupUpdate {
  readonly name?: string | undefined;
  readonly creatorId?: string | undefined;
  readonly description?: string | undefined;
  readonly langTag?: string | undefined;
  readonly avatarUrl?: string | undefined;
  readonly open?: boolean | undefined;
  /** Text of a JSON object. */
  readonly metadata?: string | undefined;
  readonly maxCount?: number | undefined;
}

interface Dependencies {
  readonly db: Database;
  readonly membership: Membership;
  readonly lists: MembershipLists;
  readonly departures: Departures;
}

const defaultMaxCount = 100;
const maxRandomGroups = 1000;
/** Most groups that are asked for at once. */
const maxIds = 10_000;

/**
 * Groups as clients, game code and the console work with them (spec: social.md, section 2). `actorId` is the user in
 * whose name something is done and whose role it takes; null stands for the server, which may do anything. Ids are
 * canonical. What is refused throws GroupRefused, besides what is said here.
 */
export class Groups {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Throws INVALID_ARGUMENT for an empty name, metadata that is no JSON object, and room for nobody. */
  async create(group: NewGroup): Promise<GroupRow> {
    const { userId, creatorId = nilUuid, name, description = '', langTag, avatarUrl = '', open = false } = group;
    const { metadata = '{}', maxCount = defaultMaxCount } = group;
    if (name === '') throw invalidArgument('Group name must be set.');
    checkMaxCount(maxCount);
    checkMetadata(metadata);
    if (isNil(userId)) throw new GroupRefused('userNotFound');
    const values = [name, description, avatarUrl, langTag || 'en', metadata, toState(open), maxCount];
    const rows = await this.#deps.db
      .query(insertGroup, [newId(), userId, creatorId, ...values, placeOffset(0)])
      .catch(refuseTakenName);
    const [created] = rows;
    if (created === undefined) throw new GroupRefused('userNotFound');
    return created;
  }

  /**
   * Throws INVALID_ARGUMENT for empty names and languages, metadata that is no JSON object, and less room than there
   * are members.
   */
  async update(groupId: string, actorId: string | null, changes: GroupUpdate): Promise<void> {
    const { name, creatorId, description, langTag, avatarUrl, open, metadata, maxCount } = changes;
    if (name === '') throw invalidArgument('Group name cannot be empty.');
    if (langTag === '') throw invalidArgument('Group language cannot be empty.');
    if (maxCount !== undefined) checkMaxCount(maxCount);
    if (metadata !== undefined) checkMetadata(metadata);
    const state = open === undefined ? undefined : toState(open);
    const values = [name, description, avatarUrl, langTag, metadata, state, maxCount, creatorId];
    await this.#deps.db.transaction(async (tx) => {
      const { group, states } = await lockGroupWith(tx, groupId, actorId === null ? [] : [actorId]);
      if (actorId !== null && !isManager(states.get(actorId))) throw new GroupRefused('denied');
      if (values.every((value) => value === undefined)) throw new GroupRefused('noChanges');
      if (!group?.enabled) throw new GroupRefused('notChanged');
      if (maxCount !== undefined && maxCount < group.edge_count) {
        throw invalidArgument(`Group has ${group.edge_count} members, max count cannot be less.`);
      }
      await tx.execute(updateGroup, [groupId, ...values.map((value) => value ?? null)]).catch(refuseTakenName);
    });
  }

  /** Its chat messages stay. For the server it is no error when there is no such group. */
  async delete(groupId: string, actorId: string | null): Promise<void> {
    const { db, departures } = this.#deps;
    await db.transaction(async (tx) => {
      const { states } = await lockGroupWith(tx, groupId, actorId === null ? [] : [actorId]);
      if (actorId !== null && states.get(actorId) !== GroupState.SUPERADMIN) throw new GroupRefused('denied');
      await deleteGroupsIn(tx, [groupId]);
    });
    await departures.end(groupId);
  }

  /** Makes the user a member of an open group; in a closed one, a request of it, of which its admins are notified. */
  async join(groupId: string, person: Person): Promise<void> {
    await this.#deps.membership.join(groupId, person);
  }

  /**
   * Ends what the user is to the group, but for a ban. With its last member a group is deleted; the last superadmin
   * cannot leave others behind.
   */
  async leave(groupId: string, person: Person): Promise<void> {
    await this.#deps.membership.leave(groupId, person);
  }

  /**
   * Makes members of users, and of their requests; those who are banned stay so. All of them or none: it is refused
   * when one does not exist, or there is not room for all. They are notified. Answers who became a member.
   */
  async addUsers(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    return this.#deps.membership.add(groupId, userIds, actorId);
  }

  /**
   * Ends memberships, requests and bans. Here and in the following those stay as they are to whom the actor may not do
   * it; the others are answered.
   */
  async kickUsers(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    return this.#deps.membership.act('kick', groupId, userIds, actorId);
  }

  /** As `kickUsers`, and they cannot join again until they are kicked. Strangers cannot be banned. */
  async banUsers(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    return this.#deps.membership.act('ban', groupId, userIds, actorId);
  }

  /** One step up, from member to admin to superadmin. */
  async promoteUsers(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    return this.#deps.membership.act('promote', groupId, userIds, actorId);
  }

  /** One step down, from superadmin to admin to member; the last superadmin remains. */
  async demoteUsers(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    return this.#deps.membership.act('demote', groupId, userIds, actorId);
  }

  /** See `searchGroups`. */
  async list(request: SearchRequest): Promise<Page<GroupRow>> {
    return searchGroups(this.#deps.db, request);
  }

  /** See `MembershipLists`. */
  async listUsers(groupId: string, request: EdgeListRequest): Promise<Page<MemberItem>> {
    return this.#deps.lists.members(groupId, request);
  }

  /** See `MembershipLists`. */
  async listOfUser(userId: string, request: EdgeListRequest): Promise<Page<MembershipItem>> {
    return this.#deps.lists.memberships(userId, request);
  }

  /** In no particular order; unknown ones are left out. */
  async get(ids: readonly string[]): Promise<GroupRow[]> {
    if (ids.length > maxIds) throw invalidArgument(`Too many groups, at most ${maxIds} at once.`);
    return ids.length === 0 ? [] : this.#deps.db.query(groupsById, [ids]);
  }

  /** Some groups, fewer when there are not so many. Throws INVALID_ARGUMENT for a count outside 0-1000. */
  async random(count: number): Promise<GroupRow[]> {
    if (!Number.isInteger(count) || count < 0 || count > maxRandomGroups) {
      throw invalidArgument(`count must be 0-${maxRandomGroups}`);
    }
    return count === 0 ? [] : this.#deps.db.query(groupsAround, [newId(), count]);
  }

  /** Is the user superadmin, admin or member? */
  async hasMember(groupId: string, userId: string): Promise<boolean> {
    return (await this.#deps.db.query(findMember, [groupId, userId])).length > 0;
  }

  /**
   * Takes a user out of all groups before the account is deleted; groups of which it is the only superadmin are
   * deleted, even if others belong to them (spec: section 2.18). Nobody is told.
   */
  async erase(tx: Transaction, userId: string): Promise<void> {
    await tx.execute(lockUser, [userId]);
    await tx.execute(lockGroupsOf, [userId]);
    const ending = await tx.query(groupsEndingWith, [userId]);
    const endingIds = ending.map(({ id }) => id);
    if (endingIds.length > 0) await deleteGroupsIn(tx, endingIds);
    // Sent together and run one after the other.
    await Promise.all([
      tx.execute(uncountMember, [userId]),
      tx.execute(deleteEdgesBackTo, [[userId]]),
      tx.execute(deleteEdgesOf, [[userId]]),
      tx.execute(deleteBans, [userId]),
      tx.execute(forgetCreator, [userId]),
    ]);
    tx.afterCommit(async () => {
      for (const id of endingIds) await this.#deps.departures.end(id);
    });
  }
}

const toState = (open: boolean): number => (open ? 0 : 1);

function checkMaxCount(maxCount: number): void {
  if (!Number.isInteger(maxCount) || maxCount < 1) {
    throw invalidArgument('Group max count must be >= 1 when set.');
  }
}

function checkMetadata(text: string): void {
  if (!isJsonObject(text)) throw invalidArgument('Metadata must be a JSON object.');
}

function refuseTakenName(error: unknown): never {
  throw violatedConstraint(error) === 'groups_name_key' ? new GroupRefused('nameTaken') : error;
}
