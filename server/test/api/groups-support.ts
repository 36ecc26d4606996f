import { expect } from 'vitest';
import type { Doorway } from '../../testing/door-suite.ts';
import { restDoor } from '../../testing/doors.ts';
import type { Player } from '../../testing/http.ts';
import type { Target } from '../../testing/server.ts';
import type { Envelope } from '../../testing/socket.ts';

type Calls = Pick<Doorway, 'ok' | 'call'>;

/** Calls over HTTP only, for suites that are not about the doors. */
export function overRest(target: Target): Calls {
  const door = restDoor(target);
  return {
    call: (method, authorization, message) => door.call(method, authorization, message),
    async ok(method, authorization, message) {
      const { code, message: text, response } = await door.call(method, authorization, message);
      if (code !== 0) throw new Error(`${method} failed with ${code}: ${text}`);
      return response;
    },
  };
}

type Someone = { readonly id: string };

let names = 0;
/** The name of a group that no other test uses. */
export const newGroupName = (): string => `group-${process.pid}-${Date.now().toString(36)}-${++names}`;

export const channelOf = (groupId: string): string => `3.${groupId}..`;

export const State = { SUPERADMIN: 0, ADMIN: 1, MEMBER: 2, JOIN_REQUEST: 3, BANNED: 4 } as const;

/** What one player does and sees, through whichever door. */
export class GroupClient {
  readonly player: Player;
  readonly #calls: Calls;

  constructor(calls: Calls, player: Player) {
    this.#calls = calls;
    this.player = player;
  }

  get id(): string {
    return this.player.id;
  }

  get username(): string {
    return this.player.username;
  }

  /** Makes a group and answers it; an open one with any name unless told otherwise. */
  create(fields: object = {}): Promise<Envelope> {
    return this.ok('CreateGroup', { name: newGroupName(), open: true, ...fields });
  }

  update(group: Someone, changes: object): Promise<Envelope> {
    return this.ok('UpdateGroup', { group_id: group.id, ...changes });
  }

  join(group: Someone): Promise<Envelope> {
    return this.ok('JoinGroup', { group_id: group.id });
  }

  leave(group: Someone): Promise<Envelope> {
    return this.ok('LeaveGroup', { group_id: group.id });
  }

  async add(group: Someone, ...others: Someone[]): Promise<void> {
    expect(await this.ok('AddGroupUsers', toTargets(group, others))).toEqual({});
  }

  async kick(group: Someone, ...others: Someone[]): Promise<void> {
    expect(await this.ok('KickGroupUsers', toTargets(group, others))).toEqual({});
  }

  async ban(group: Someone, ...others: Someone[]): Promise<void> {
    expect(await this.ok('BanGroupUsers', toTargets(group, others))).toEqual({});
  }

  async promote(group: Someone, ...others: Someone[]): Promise<void> {
    expect(await this.ok('PromoteGroupUsers', toTargets(group, others))).toEqual({});
  }

  async demote(group: Someone, ...others: Someone[]): Promise<void> {
    expect(await this.ok('DemoteGroupUsers', toTargets(group, others))).toEqual({});
  }

  /** Users of a group with their states, in the order of the list. */
  async users(group: Someone, query: object = {}): Promise<[id: string, state: number][]> {
    const { group_users: users = [] } = await this.ok('ListGroupUsers', { group_id: group.id, ...query });
    return users.map(({ user, state }: Envelope) => [user.id, state]);
  }

  /** What somebody is to a group; undefined for strangers. */
  async stateOf(group: Someone, other: Someone): Promise<number | undefined> {
    const all = [...(await this.users(group)), ...(await this.users(group, { state: State.BANNED }))];
    return all.find(([id]) => id === other.id)?.[1];
  }

  /** The groups of a user, as the list has them. */
  async groupsOf(user: Someone, query: object = {}): Promise<Envelope[]> {
    return (await this.ok('ListUserGroups', { user_id: user.id, ...query })).user_groups ?? [];
  }

  /** One's own group as it is now. */
  async group(group: Someone): Promise<Envelope> {
    return (await this.groupsOf(this)).find((each) => each.group.id === group.id)?.group;
  }

  /** What happened in the group, as its channel has it: codes with whom they are about. */
  async history(group: Someone): Promise<[code: number, senderId: string][]> {
    const query = { channel_id: channelOf(group.id), limit: 100 };
    const { messages = [] } = await this.ok('ListChannelMessages', query);
    return messages.map(({ code, sender_id }: Envelope) => [code, sender_id]);
  }

  /** What the server has told the player, oldest first. */
  async notifications(): Promise<Envelope[]> {
    return (await this.ok('ListNotifications', { limit: 100 })).notifications ?? [];
  }

  /** The call has to fail like this. */
  async refused(method: string, message: object, code: number, text: string): Promise<void> {
    const outcome = await this.#calls.call(method, this.player.authorization, message);
    expect({ code: outcome.code, message: outcome.message }).toEqual({ code, message: text });
  }

  ok(method: string, message?: object): Promise<Envelope> {
    return this.#calls.ok(method, this.player.authorization, message);
  }
}

export const toTargets = (group: Someone, others: readonly Someone[]): object => ({
  group_id: group.id,
  user_ids: others.map(({ id }) => id),
});
