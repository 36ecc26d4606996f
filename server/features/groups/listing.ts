import type { PresenceTracker } from '../../cluster/presence.ts';
import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { onlineFlags, type UserRow } from '../accounts/index.ts';
import {
  type EdgePlace,
  type GroupRow,
  type MemberRow,
  type MembershipRow,
  membersFrom,
  membershipsFrom,
} from './queries.ts';
import { GroupRefused, type Refusal } from './refusals.ts';
import { GroupState } from './roles.ts';

export interface EdgeListRequest {
  readonly limit: number;
  /** Only edges in this state; null for all but bans. */
  readonly state: number | null;
  /** '' for the first page. */
  readonly cursor: string;
}

/** Somebody who has to do with a group. */
export interface MemberItem {
  readonly user: UserRow;
  readonly state: number;
  readonly online: boolean;
}

/** A group that a user has to do with. */
export interface MembershipItem {
  readonly group: GroupRow;
  readonly state: number;
}

/** Items, and where the next page begins: '' on the last one. */
export interface Page<Item> {
  readonly items: Item[];
  readonly cursor: string;
}

const memberCursor = 'group_user';
const membershipCursor = 'user_group';

/** Most users on one page. */
export const maxMembersPage = 10_000;
/** Most groups on one page. */
export const maxGroupsPage = 100;

/**
 * Who belongs to a group and which groups a user belongs to (spec: social.md, section 2.17): by state, in each from the
 * oldest on. Whoever goes through all pages gets everything that keeps its state meanwhile exactly once, however many
 * others come, go or change; what changes its state may be seen in both or in neither, and what comes meanwhile may be
 * seen or not.
 */
export class MembershipLists {
  readonly #db: Database;
  readonly #presence: PresenceTracker;

  constructor(db: Database, presence: PresenceTracker) {
    this.#db = db;
    this.#presence = presence;
  }

  /** Throws INVALID_ARGUMENT for bad bounds and cursors. */
  async members(groupId: string, request: EdgeListRequest): Promise<Page<MemberItem>> {
    checkBounds(request, maxMembersPage);
    const from = parseStart(memberCursor, request, 'badUserCursor');
    const rows = await this.#db.query(membersFrom, [groupId, ...from, request.limit + 1]);
    const { shown, cursor } = pageOf(memberCursor, rows, request.limit);
    // What has no user is an edge to an account that other software has deleted.
    const users = shown.filter(hasUser);
    const flags = await onlineFlags(
      this.#presence,
      users.map(({ id }) => id),
    );
    const items = users.map((user, index) => ({ user, state: user.edge_state, online: flags[index] === true }));
    return { items, cursor };
  }

  /** Throws INVALID_ARGUMENT for bad bounds and cursors. */
  async memberships(userId: string, request: EdgeListRequest): Promise<Page<MembershipItem>> {
    checkBounds(request, maxGroupsPage);
    const from = parseStart(membershipCursor, request, 'badGroupCursor');
    const rows = await this.#db.query(membershipsFrom, [userId, ...from, request.limit + 1]);
    const { shown, cursor } = pageOf(membershipCursor, rows, request.limit);
    return { items: shown.filter(hasGroup).map((group) => ({ group, state: group.edge_state })), cursor };
  }
}

const hasUser = (row: MemberRow): row is EdgePlace & UserRow => row.id !== null;
const hasGroup = (row: MembershipRow): row is EdgePlace & GroupRow => row.id !== null;

function checkBounds({ limit, state }: EdgeListRequest, maxLimit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxLimit) {
    throw invalidArgument(`expects limit to be 1-${maxLimit}`);
  }
  if (state !== null && !isState(state)) throw invalidArgument('expects state to be 0-4');
}

/** State and position to begin with, and the last state to list. */
function parseStart(kind: string, { state, cursor }: EdgeListRequest, refusal: Refusal): [number, bigint, number] {
  const last = state ?? GroupState.JOIN_REQUEST;
  if (cursor === '') return [state ?? GroupState.SUPERADMIN, 0n, last];
  const [first, position] = decodeCursor(kind, cursor, [isState, isPosition]) ?? [];
  const isUsable = typeof first === 'number' && (state === null || first === state);
  if (!isUsable || typeof position !== 'string') throw new GroupRefused(refusal);
  return [first, BigInt(position), last];
}

function pageOf<Row extends EdgePlace>(kind: string, rows: Row[], limit: number): { shown: Row[]; cursor: string } {
  const next = rows[limit];
  const cursor = next === undefined ? '' : encodeCursor(kind, [next.edge_state, String(next.edge_position)]);
  return { shown: rows.slice(0, limit), cursor };
}

const isState = (value: CursorValue): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= GroupState.SUPERADMIN && value <= GroupState.BANNED;
const isPosition = (value: CursorValue): boolean =>
  typeof value === 'string' && /^\d{1,19}$/.test(value) && BigInt(value) <= maxPosition;

/** The column is a bigint. */
const maxPosition = 2n ** 63n - 1n;
