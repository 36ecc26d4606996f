import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument } from '../../platform/errors.ts';
import { nilUuid, parseUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import { type Instant, instantParam } from '../../store/types.ts';
import { maxGroupsPage, type Page } from './listing.ts';
import {
  type GroupRow,
  groupsByName,
  groupsBySize,
  groupsByUpdate,
  groupsInLanguage,
  groupsInLanguageBySize,
  groupsInStateBySize,
} from './queries.ts';
import { GroupRefused } from './refusals.ts';

export interface SearchRequest {
  /** A pattern: `%` stands for anything, `_` for a character, upper and lower case are the same. '' for any name. */
  readonly name: string;
  /** '' for any language. */
  readonly langTag: string;
  /** Null for open and closed ones. */
  readonly open: boolean | null;
  /** At most that many members; null, or below zero, for any size. */
  readonly members: number | null;
  readonly limit: number;
  /** '' for the first page. */
  readonly cursor: string;
}

/** Where a page begins: just after this group. */
interface Position {
  readonly name: string;
  readonly langTag: string;
  readonly count: number;
  readonly updated: Instant;
  readonly id: string;
}

const cursorKind = 'groups';
const maxInt = 2_147_483_647;

/** Comes before all groups, in ascending order. */
const before: Position = {
  name: '',
  langTag: '',
  count: 0,
  updated: { seconds: Number.NEGATIVE_INFINITY, nanos: 0 },
  id: nilUuid,
};
/** Comes before all groups, in descending order: those begin with the count. */
const beyond: Position = {
  ...before,
  count: maxInt,
  updated: { seconds: Number.POSITIVE_INFINITY, nanos: 0 },
};

/**
 * A page of groups (spec: social.md, section 2.16). The order depends on the filters. A group moves in it when members
 * come and go, and may then be seen twice or not at all by somebody who goes through the pages. Throws INVALID_ARGUMENT
 * for bad bounds, cursors and combinations.
 */
export async function searchGroups(db: Database, request: SearchRequest): Promise<Page<GroupRow>> {
  const { limit, cursor } = request;
  if (!Number.isInteger(limit) || limit < 1 || limit > maxGroupsPage) {
    throw invalidArgument(`expects limit to be 1-${maxGroupsPage}`);
  }
  const { name, langTag, open, members } = request;
  if (name !== '' && (langTag !== '' || open !== null || members !== null)) {
    throw invalidArgument('name filter cannot be combined with any other filter');
  }
  const rows = await queryPage(db, request, cursor === '' ? null : parseCursor(cursor));
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, cursor: rows.length <= limit || last === undefined ? '' : writeCursor(last) };
}

async function queryPage(db: Database, request: SearchRequest, after: Position | null): Promise<GroupRow[]> {
  const { langTag, open } = request;
  const count = request.limit + 1;
  const size = request.members === null || request.members < 0 ? null : request.members;
  const states = open === null ? [0, 1] : [open ? 0 : 1];
  const name = toPattern(request.name);
  const up = after ?? before;
  const down = after ?? beyond;
  const updated = instantParam((after ?? (size === null ? before : beyond)).updated);
  if (name !== '') return db.query(groupsByName, [name, up.name, count]);
  if (langTag !== '') {
    if (size === null && open === null) return db.query(groupsInLanguage, [langTag, up.count, up.id, count]);
    return db.query(groupsInLanguageBySize, [states, langTag, size ?? maxInt, down.count, down.id, count]);
  }
  if (size === null) return db.query(groupsByUpdate, [states, updated, up.count, up.id, count]);
  if (open === null) return db.query(groupsBySize, [size, down.count, updated, down.id, count]);
  return db.query(groupsInStateBySize, [states, size, down.count, down.langTag, down.id, count]);
}

/** Names are not searched for their ends; a backslash at the end escapes nothing. */
function toPattern(name: string): string {
  const pattern = name.replace(/^[% ]+/, '');
  const isDangling = (/\\*$/.exec(pattern)?.[0].length ?? 0) % 2 === 1;
  return isDangling ? `${pattern}\\` : pattern;
}

const writeCursor = ({ name, lang_tag, edge_count, update_time, id }: GroupRow): string =>
  encodeCursor(cursorKind, [name, lang_tag, edge_count, update_time.seconds, update_time.nanos, id]);

function parseCursor(text: string): Position {
  const values = decodeCursor(cursorKind, text, [isText, isText, isCount, isSeconds, isNanos, isId]);
  if (values === null) throw new GroupRefused('badCursor');
  const [name, langTag, count, seconds, nanos, id] = values as [string, string, number, number, number, string];
  return { name, langTag, count, updated: { seconds, nanos }, id };
}

// Only what we write ourselves: the database would choke on anything else.
const isText = (value: CursorValue): boolean => typeof value === 'string' && !value.includes('\0');
const isWhole = (value: CursorValue, max: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
const isCount = (value: CursorValue): boolean => isWhole(value, maxInt);
const isSeconds = (value: CursorValue): boolean => isWhole(value, maxSeconds);
const isNanos = (value: CursorValue): boolean => isWhole(value, 999_999_999);
const isId = (value: CursorValue): boolean => typeof value === 'string' && parseUuid(value) === value;

/** The year 10,000. */
const maxSeconds = 253_402_300_800;
