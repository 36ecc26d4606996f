import { type CursorValue, decodeCursor, encodeCursor } from '../../platform/cursor.ts';
import { invalidArgument, notFound } from '../../platform/errors.ts';
import { parseUuid } from '../../platform/ids.ts';
import { isJsonObject } from '../../platform/json-object.ts';
import { instantParam, parseInstant } from '../../store/types.ts';
import { type Board, isTournament } from './board.ts';
import type { Boards } from './boards.ts';
import { checkedLeaderboard, type NewLeaderboard, parseOperator } from './creation.ts';
import type { LeaderboardRecords, WrittenRecord } from './leaderboard-records.ts';
import { maxAround } from './record-queries.ts';
import type { RecordPage, Records } from './records.ts';
import type { ResetHandler, ResetJobs } from './reset-jobs.ts';
import { badMetadata } from './wording.ts';

/** What game code writes; defaults as its function has them. */
export interface ServerWrite {
  readonly ownerId: string;
  /** Not given, the record keeps the one it has. */
  readonly username?: string | null;
  readonly score?: bigint;
  readonly subscore?: bigint;
  /** The text of a JSON object; not given, the record keeps what it has. */
  readonly metadata?: string | null;
  /** `best`, `set`, `incr`, `decr`, in place of the board's operator. */
  readonly operator?: string | null;
}

export interface ServerList {
  readonly ownerIds?: readonly string[];
  /** 0 or not given: no page, only the owners' records. */
  readonly limit?: number;
  readonly cursor?: string;
  /** Unix seconds; 0 or not given: the current period. */
  readonly expiry?: number;
}

interface Dependencies {
  readonly boards: Boards;
  readonly records: Records;
  readonly leaderboardRecords: LeaderboardRecords;
  readonly resets: ResetJobs;
}

const cursorKind = 'leaderboard';
const maxPageOfBoards = 100;
const maxPageOfRecords = 10_000;

/**
 * What game code does with leaderboards (spec: leaderboards-tournaments.md, sections 6 and 18). Failures carry the texts
 * that it knows.
 */
export class Leaderboards {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Creates a leaderboard; one that is there under that id, a tournament even, stays as it is. */
  async create(given: NewLeaderboard): Promise<void> {
    const { boards, resets } = this.#deps;
    await boards.create(checkedLeaderboard(given), (tx, board) => resets.plan(tx, board));
  }

  /** Deletes a board of either kind, if there is one. */
  async delete(id: string): Promise<void> {
    await this.#deps.boards.delete(id);
  }

  /** Ends the ranks of a leaderboard for good. Throws NOT_FOUND. */
  async disableRanks(id: string): Promise<void> {
    if (!(await this.#deps.boards.disableRanks(id, 'leaderboard'))) throw notFound('leaderboard not found');
  }

  /** Leaderboards without tournaments, oldest first; the cursor is '' on the last page. */
  async list(limit = 10, cursor = ''): Promise<{ leaderboards: Board[]; cursor: string }> {
    checkLimit(limit, maxPageOfBoards);
    const found = await this.#deps.boards.plainAfter(readPosition(cursor), limit + 1);
    const leaderboards = found.slice(0, limit);
    const last = leaderboards.at(-1);
    if (found.length <= limit || last === undefined) return { leaderboards, cursor: '' };
    return { leaderboards, cursor: encodeCursor(cursorKind, [last.createdAt, last.id]) };
  }

  /** Those of them that there are, without tournaments. */
  async find(ids: readonly string[]): Promise<Board[]> {
    return (await this.#deps.boards.find(ids)).filter((board) => !isTournament(board));
  }

  /** Writes a record, also where players may not. The owner need not be a user. */
  async writeRecord(id: string, write: ServerWrite): Promise<WrittenRecord> {
    requireId(id);
    const { username = null, score = 0n, subscore = 0n, metadata = null, operator = null } = write;
    if (metadata !== null && !isJsonObject(metadata)) throw invalidArgument(badMetadata.server);
    const record = {
      ownerId: parseOwner(write.ownerId),
      username,
      score,
      subscore,
      metadata,
      operator: operator === null ? null : parseOperator(operator),
    };
    return await this.#deps.leaderboardRecords.write(id, record, 'server');
  }

  async deleteRecord(id: string, ownerId: string): Promise<void> {
    requireId(id);
    await this.#deps.leaderboardRecords.delete(id, parseOwner(ownerId), 'server');
  }

  async listRecords(
    id: string,
    { ownerIds = [], limit = 0, cursor = '', expiry = 0 }: ServerList,
  ): Promise<RecordPage> {
    requireId(id);
    if (!Number.isInteger(limit) || limit < 0 || limit > maxPageOfRecords) {
      throw invalidArgument(`expects limit to be 0-${maxPageOfRecords}`);
    }
    const owners = [...new Set(ownerIds.map(parseOwner))];
    const request = { ownerIds: owners, limit: limit === 0 ? null : limit, cursor, expiry };
    return await this.#deps.leaderboardRecords.list(id, request, 'server');
  }

  async listRecordsAround(
    id: string,
    ownerId: string,
    { limit = 10, cursor = '', expiry = 0 }: Omit<ServerList, 'ownerIds'> = {},
  ): Promise<RecordPage> {
    requireId(id);
    checkLimit(limit, maxAround);
    const request = { ownerId: parseOwner(ownerId), limit, cursor, expiry };
    return await this.#deps.leaderboardRecords.around(id, request, 'server');
  }

  /** A cursor with which a list begins at that rank; '' for the first. Works for tournaments, too. */
  async cursorFromRank(id: string, rank: bigint, expiry = 0): Promise<string> {
    requireId(id);
    if (rank < 1n) throw invalidArgument('invalid rank - must be > 1');
    const period = await this.#deps.leaderboardRecords.period(id, expiry);
    if (period === null) throw notFound('leaderboard not found');
    if (rank === 1n) return '';
    const cursor = await this.#deps.records.cursorAtRank(period.board, period.expiry, rank);
    if (cursor !== null) return cursor;
    const which = `leaderboard "${id}" with expiry ${period.expiry}`;
    throw notFound(`failed to get cursor from rank: rank cache for ${which} not found`);
  }

  /**
   * What is called at each reset of a leaderboard, on one of the nodes: once, or again with the same key when a node
   * dies meanwhile. Takes the place of the handler before it; to be set on all nodes.
   */
  onReset(handler: ResetHandler): void {
    this.#deps.resets.onReset(handler);
  }
}

function requireId(id: string): void {
  if (id === '') throw invalidArgument('expects a leaderboard ID string');
}

function parseOwner(text: string): string {
  const id = parseUuid(text);
  if (id === null) throw invalidArgument('expects owner ID to be a valid identifier');
  return id;
}

function checkLimit(limit: number, max: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > max) throw invalidArgument(`limit must be 1-${max}`);
}

type Position = Pick<Board, 'createTime' | 'id'>;
const beginning: Position = { createTime: { seconds: Number.NEGATIVE_INFINITY, nanos: 0 }, id: '' };

function readPosition(cursor: string): Position {
  if (cursor === '') return beginning;
  const values = decodeCursor(cursorKind, cursor, [
    isTime,
    (value) => typeof value === 'string' && !value.includes('\0'),
  ]);
  if (values === null) throw invalidArgument('expects cursor to be a valid cursor');
  const [time, id] = values as [string, string];
  return { createTime: parseInstant(time), id };
}

const timePattern = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00$/;
/** A time as we write it, and not merely one that looks like it. */
const isTime = (value: CursorValue): boolean =>
  typeof value === 'string' && timePattern.test(value) && instantParam(parseInstant(value)) === value;
