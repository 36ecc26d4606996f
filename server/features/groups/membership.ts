import { invalidArgument } from '../../platform/errors.ts';
import { isNil } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import { groupChannel, MessageCode, type StoredMessage, type SystemMessages } from '../chat/index.ts';
import type { NewNotification, Notifications } from '../notifications/index.ts';
import type { Departures } from './departures.ts';
import { deleteGroupsIn, EdgeChanges, type GroupView, lockGroupWith } from './edges.ts';
import { addedNotice, requestNotice } from './notices.ts';
import { adminsOf, countSuperadmins, firstMembers, type LockedGroup } from './queries.ts';
import { GroupRefused } from './refusals.ts';
import { changesOf, GroupState, isManager, isMember, type RoleAction } from './roles.ts';

/** A user who acts for themselves. */
export interface Person {
  /** Canonical UUID. */
  readonly id: string;
  /** As messages and notifications are to name the user. */
  readonly username: string;
}

interface Dependencies {
  readonly db: Database;
  readonly messages: SystemMessages;
  readonly notifications: Notifications;
  readonly departures: Departures;
}

/** What came of a change, and what is to be done once it is committed. */
interface Outcome {
  /** Whom it was done to. */
  readonly changed: readonly string[];
  /** Stored in the group's channel. */
  readonly messages: readonly StoredMessage[];
  /** Who does not belong to it any more. */
  readonly left: readonly string[];
  readonly notices: readonly NewNotification[];
  readonly hasEnded: boolean;
}

const nothing: Outcome = { changed: [], messages: [], left: [], notices: [], hasEnded: false };

/** What the channel is told of whom. */
type News = readonly (readonly [userId: string, code: number])[];

/** Most users in one call. */
const maxTargets = 10_000;
/** Admins who are told of a request to join: the first so many. */
const maxNotifiedAdmins = 1000;

const messageCodes: Readonly<Record<RoleAction, number>> = {
  kick: MessageCode.GROUP_KICK,
  ban: MessageCode.GROUP_BAN,
  promote: MessageCode.GROUP_PROMOTE,
  demote: MessageCode.GROUP_DEMOTE,
};

/**
 * Changes of who belongs to a group, and as what (spec: social.md, sections 2.9 to 2.15). Each is one transaction, with
 * the messages about it in the group's channel; listeners and those concerned hear of it once it has committed.
 */
export class Membership {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async join(groupId: string, person: Person): Promise<void> {
    await this.#change(groupId, (tx) => this.#joinIn(tx, groupId, person));
  }

  async leave(groupId: string, person: Person): Promise<void> {
    await this.#change(groupId, (tx) => this.#leaveIn(tx, groupId, person));
  }

  /** Answers those who were added. @param actorId null for the server */
  async add(groupId: string, userIds: readonly string[], actorId: string | null): Promise<readonly string[]> {
    const targets = toTargets('add', userIds, actorId);
    return this.#change(groupId, (tx) => this.#addIn(tx, groupId, targets, actorId));
  }

  /** Answers those whom it was done to. @param actorId null for the server */
  async act(
    action: RoleAction,
    groupId: string,
    userIds: readonly string[],
    actorId: string | null,
  ): Promise<readonly string[]> {
    const targets = toTargets(action, userIds, actorId);
    return this.#change(groupId, (tx) => this.#actIn(tx, groupId, action, targets, actorId));
  }

  async #change(groupId: string, work: (tx: Transaction) => Promise<Outcome>): Promise<readonly string[]> {
    const { db, messages, notifications, departures } = this.#deps;
    const { changed, left, hasEnded, notices, ...outcome } = await db.transaction(work);
    // Whoever has to go hears why.
    await messages.publish(groupChannel(groupId), outcome.messages);
    await departures.leave(groupId, left);
    if (hasEnded) await departures.end(groupId);
    await notifications.sendBestEffort(notices);
    return changed;
  }

  async #joinIn(tx: Transaction, groupId: string, person: Person): Promise<Outcome> {
    const { group, usernames, states } = await lockGroupWith(tx, groupId, [person.id]);
    if (!group?.enabled) throw new GroupRefused('notFound');
    if (group.edge_count >= group.max_count) throw new GroupRefused('full');
    if (!usernames.has(person.id)) throw new GroupRefused('userNotFound');
    if (states.has(person.id)) return nothing;
    const changes = new EdgeChanges(groupId);
    if (group.state === 0) {
      changes.add(person.id, undefined, GroupState.MEMBER);
      return this.#write(tx, groupId, changes, [[person.id, MessageCode.GROUP_JOIN]], namedAs(person));
    }
    changes.add(person.id, undefined, GroupState.JOIN_REQUEST);
    const [admins] = await Promise.all([tx.query(adminsOf, [groupId, maxNotifiedAdmins]), changes.write(tx)]);
    return { ...nothing, notices: admins.map(({ id }) => requestNotice(id, groupId, person)) };
  }

  async #leaveIn(tx: Transaction, groupId: string, person: Person): Promise<Outcome> {
    const { states, usernames } = await lockGroupWith(tx, groupId, [person.id]);
    const state = states.get(person.id);
    if (state === undefined || state === GroupState.BANNED) return nothing;
    if (isMember(state)) {
      const [, second] = await tx.query(firstMembers, [groupId]);
      if (second === undefined) {
        await deleteGroupsIn(tx, [groupId]);
        return { ...nothing, hasEnded: true };
      }
      if (state === GroupState.SUPERADMIN && second.state !== GroupState.SUPERADMIN) {
        throw new GroupRefused('lastSuperadmin');
      }
    }
    const changes = new EdgeChanges(groupId);
    changes.add(person.id, state, null);
    const names = usernames.has(person.id) ? namedAs(person) : usernames;
    const outcome = await this.#write(tx, groupId, changes, [[person.id, MessageCode.GROUP_LEAVE]], names);
    return { ...outcome, left: [person.id] };
  }

  async #addIn(tx: Transaction, groupId: string, targets: string[], actorId: string | null): Promise<Outcome> {
    const view = await lockGroupWith(tx, groupId, withActor(targets, actorId));
    const { group } = requireManager(view, actorId);
    const changes = new EdgeChanges(groupId);
    const added: string[] = [];
    for (const userId of targets) {
      if (!view.usernames.has(userId)) throw new GroupRefused('userNotFound');
      const state = view.states.get(userId);
      if (state !== undefined && state !== GroupState.JOIN_REQUEST) continue;
      if (group.edge_count + added.length >= group.max_count) throw new GroupRefused('full');
      changes.add(userId, state, GroupState.MEMBER);
      added.push(userId);
    }
    const news = added.map((userId) => [userId, MessageCode.GROUP_ADD] as const);
    const outcome = await this.#write(tx, groupId, changes, news, view.usernames);
    const notices = added.map((userId) => addedNotice(userId, group, actorId ?? ''));
    return { ...outcome, changed: added, notices };
  }

  async #actIn(
    tx: Transaction,
    groupId: string,
    action: RoleAction,
    targets: string[],
    actorId: string | null,
  ): Promise<Outcome> {
    const [view, superadmins] = await Promise.all([
      lockGroupWith(tx, groupId, withActor(targets, actorId)),
      tx.query(countSuperadmins, [groupId]),
    ]);
    const { group, actorState } = requireManager(view, actorId);
    const made = changesOf(action, actorState, targets, {
      states: view.states,
      superadmins: superadmins[0]?.count ?? 0,
      members: group.edge_count,
    });
    const changes = new EdgeChanges(groupId);
    for (const { userId, from, to } of made) changes.add(userId, from, to);
    // Whoever was no member leaves quietly.
    const members = made.filter(({ from }) => isMember(from));
    const news = members.map(({ userId }) => [userId, messageCodes[action]] as const);
    const outcome = await this.#write(tx, groupId, changes, news, view.usernames);
    const left = members.flatMap(({ userId, to }) => (isMember(to) ? [] : [userId]));
    return { ...outcome, changed: made.map(({ userId }) => userId), left };
  }

  // What there is to be said about users who do not exist any more cannot be stored.
  async #write(
    tx: Transaction,
    groupId: string,
    changes: EdgeChanges,
    news: News,
    usernames: ReadonlyMap<string, string>,
  ): Promise<Outcome> {
    const about = news.flatMap(([userId, code]) => {
      const username = usernames.get(userId);
      return username === undefined ? [] : [{ code, userId, username }];
    });
    // Sent together and run one after the other.
    const [, messages] = await Promise.all([
      changes.write(tx),
      this.#deps.messages.storeIn(tx, groupChannel(groupId), about),
    ]);
    return { ...nothing, messages };
  }
}

/** Each once, without the actor: nobody does these things to themselves. */
function toTargets(verb: 'add' | RoleAction, userIds: readonly string[], actorId: string | null): string[] {
  if (userIds.length > maxTargets) throw invalidArgument(`Too many users, at most ${maxTargets} at once.`);
  if (userIds.some(isNil)) throw invalidArgument(`cannot ${verb} the root user`);
  return [...new Set(userIds)].filter((userId) => userId !== actorId);
}

const withActor = (userIds: readonly string[], actorId: string | null): readonly string[] =>
  actorId === null ? userIds : [actorId, ...userIds];

const namedAs = ({ id, username }: Person): ReadonlyMap<string, string> => new Map([[id, username]]);

/** The group, and what the actor may do in it; the server may do anything. */
function requireManager(
  { group, states }: GroupView,
  actorId: string | null,
): { readonly group: LockedGroup; readonly actorState: number } {
  const actorState = actorId === null ? GroupState.SUPERADMIN : states.get(actorId);
  if (!group?.enabled) throw new GroupRefused(actorId === null ? 'notFound' : 'denied');
  if (actorState === undefined || !isManager(actorState)) throw new GroupRefused('denied');
  return { group, actorState };
}
