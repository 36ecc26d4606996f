/** What somebody is to a group (spec: social.md, section 2.3). */
export const GroupState = { SUPERADMIN: 0, ADMIN: 1, MEMBER: 2, JOIN_REQUEST: 3, BANNED: 4 } as const;

const { SUPERADMIN, ADMIN, MEMBER, BANNED } = GroupState;

/** Who is counted, and may chat; undefined and null stand for strangers. */
export const isMember = (state: number | undefined | null): boolean =>
  state !== undefined && state !== null && state <= MEMBER;

/** Who may change the group and its members. */
export const isManager = (state: number | undefined): boolean => state !== undefined && state <= ADMIN;

/** What an admin does to others who have to do with the group. */
export type RoleAction = 'kick' | 'ban' | 'promote' | 'demote';

export interface RoleChange {
  readonly userId: string;
  readonly from: number;
  /** Null: nothing any more. */
  readonly to: number | null;
}

export interface Roster {
  /** States of those concerned; strangers are not in it. */
  readonly states: ReadonlyMap<string, number>;
  readonly superadmins: number;
  readonly members: number;
}

/**
 * What becomes of the targets, one after the other; those who stay as they are, are left out (spec: section 2.4). A
 * group keeps a superadmin and a member, whoever acts.
 * @param actorState SUPERADMIN for the server
 */
export function changesOf(
  action: RoleAction,
  actorState: number,
  targetIds: readonly string[],
  { states, ...counts }: Roster,
): RoleChange[] {
  let { superadmins, members } = counts;
  const changes: RoleChange[] = [];
  for (const userId of targetIds) {
    const from = states.get(userId);
    const to = from === undefined ? undefined : outcomeOf(action, actorState, from);
    if (from === undefined || to === undefined) continue;
    const otherSuperadmins = superadmins - (from === SUPERADMIN ? 1 : 0);
    if (otherSuperadmins === 0 && (from === SUPERADMIN || action === 'demote')) continue;
    const leaves = isMember(from) && !isMember(to);
    if (leaves && members === 1) continue;
    if (from === SUPERADMIN) superadmins--;
    if (to === SUPERADMIN) superadmins++;
    if (leaves) members--;
    changes.push({ userId, from, to });
  }
  return changes;
}

/** What the action makes of a state, null for nothing; undefined where it does nothing. */
function outcomeOf(action: RoleAction, actorState: number, state: number): number | null | undefined {
  const isSuperadmin = actorState === SUPERADMIN;
  switch (action) {
    case 'kick':
      return isSuperadmin || state >= MEMBER ? null : undefined;
    case 'ban':
      return isSuperadmin || state >= MEMBER ? BANNED : undefined;
    case 'promote':
      return state === MEMBER || (state === ADMIN && isSuperadmin) ? state - 1 : undefined;
    case 'demote':
      return state === ADMIN || (state === SUPERADMIN && isSuperadmin) ? state + 1 : undefined;
  }
}
