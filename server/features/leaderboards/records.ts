import type { Logger } from 'pino';
import { invalidArgument } from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { Queryable, Transaction } from '../../store/transaction.ts';
import type { Instant } from '../../store/types.ts';
import type { RankedRecord, RankPeriod, Ranks, RecordVersion, RemovedRecord, Standings } from '../ranks/index.ts';
import type { Board } from './board.ts';
import { staleBoard } from './boards.ts';
import { ListedRecord } from './listed-record.ts';
import { type Neighbours, pageAround, readNeighbours } from './neighbours.ts';
import { readCursor, writeCursor } from './record-cursor.ts';
import {
  type DeletedRow,
  deleteRecord,
  eraseRecordsOf,
  firstRecords,
  type RecordRow,
  recordOf,
  recordsAfter,
  recordsOf,
} from './record-queries.ts';

/** Records of one board and period, in the board's order. */
export interface RecordPage {
  readonly board: Board;
  /** Unix seconds, 0: never. */
  readonly expiry: number;
  readonly records: readonly ListedRecord[];
  /** Rank of the first of them, which the others follow; 0: not known. */
  readonly firstRank: number;
  /** Those of the owners that were asked for. */
  readonly ownerRecords: readonly ListedRecord[];
  /** Ranks of these, as far as they are known. */
  readonly ownerRanks: ReadonlyMap<string, bigint>;
  /** '' where there is nothing more. */
  readonly nextCursor: string;
  readonly prevCursor: string;
  /** How many records the period has; 0: not known. */
  readonly rankCount: bigint;
}

export interface ListRequest {
  /** Canonical UUIDs. */
  readonly ownerIds: readonly string[];
  /** Records on the page; null for no page at all. */
  readonly limit: number | null;
  /** '' for the first page. */
  readonly cursor: string;
}

interface Dependencies {
  readonly db: Database;
  readonly ranks: Ranks;
  readonly time: DatabaseTime;
  readonly log: Logger;
  /** Ids of boards without ranks; `*`: all of them. */
  readonly unranked: readonly string[];
}

/** What the database can tell an expiry from: the years 1 to 9999. Beyond there are no records. */
const minExpiry = -62_135_596_800;
const maxExpiry = 253_402_300_799;

/**
 * The records of leaderboards and tournaments alike, by board and period (spec: leaderboards-tournaments.md, sections
 * 10 to 14). An expiry is in unix seconds, 0 for a period that never ends; which one is meant is up to the caller.
 */
export class Records {
  readonly #deps: Dependencies;
  readonly #unranked: ReadonlySet<string>;
  readonly #noRanks: boolean;
  /** First pages that are to be read at the end of this turn. */
  readonly #firstPages = new Map<string, Promise<RecordPage>>();

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#unranked = new Set(deps.unranked);
    this.#noRanks = this.#unranked.has('*');
  }

  /** Unix seconds of now, by which periods go. */
  now(): number {
    return Math.floor(this.#deps.time.now() / 1000);
  }

  /** Are there ranks for the period? Never for one that is over (spec: section 13). */
  isRanked(board: Pick<Board, 'id' | 'enableRanks'>, expiry: number): boolean {
    if (!board.enableRanks || this.#noRanks || this.#unranked.has(board.id)) return false;
    return expiry === 0 || expiry > this.now();
  }

  /**
   * To be awaited before a change of records of the period commits; then `changed`, `noted` or `removed`. All of them
   * do nothing where there are no ranks.
   */
  announce(board: Board, expiry: number): Promise<void> | undefined {
    return this.isRanked(board, expiry) ? this.#deps.ranks.announce(periodOf(board, expiry)) : undefined;
  }

  /** A record was written, and that is committed. Answers its rank, 0 if that is not known. */
  async changed(board: Board, expiry: number, row: RecordRow): Promise<bigint> {
    if (!this.isRanked(board, expiry)) return 0n;
    return await this.#deps.ranks.changed(periodOf(board, expiry), toRanked(row));
  }

  /** As `changed`, for whoever does not need the rank. */
  async noted(board: Board, expiry: number, row: RecordRow): Promise<void> {
    if (this.isRanked(board, expiry)) await this.#deps.ranks.noted(periodOf(board, expiry), toRanked(row));
  }

  /** Records were deleted, and that is committed. */
  async removed(board: Board, expiry: number, records: readonly RemovedRecord[]): Promise<void> {
    if (records.length > 0 && this.isRanked(board, expiry)) {
      await this.#deps.ranks.removed(periodOf(board, expiry), records);
    }
  }

  /** The rank of an owner, 0 if it is not known or there is no record. */
  async rankOf(board: Board, expiry: number, ownerId: string): Promise<bigint> {
    if (!this.isRanked(board, expiry)) return 0n;
    try {
      return (await this.#deps.ranks.of(periodOf(board, expiry), [ownerId])).get(ownerId) ?? 0n;
    } catch (error) {
      this.#deps.log.debug({ err: error, leaderboard: board.id }, 'no rank');
      return 0n;
    }
  }

  /** The record of an owner, or null. */
  async get(board: Board, expiry: number, ownerId: string, from: Queryable = this.#deps.db): Promise<RecordRow | null> {
    const [row] = await from.query(recordOf, [board.id, expiry, ownerId]);
    return row ?? null;
  }

  /**
   * Deletes the record of an owner. Answers what it was, null when there was none, or `staleBoard` when the board is
   * another one by now. Inside a transaction the caller goes on to call `removed` once that is committed.
   */
  async delete(
    board: Board,
    expiry: number,
    ownerId: string,
    tx?: Transaction,
  ): Promise<RemovedRecord | null | typeof staleBoard> {
    await this.announce(board, expiry);
    const [row] = await (tx ?? this.#deps.db).query(deleteRecord, [board.id, expiry, ownerId, board.createdAt]);
    if (row === undefined) return staleBoard;
    if (row.create_time === null) return null;
    const removed = { owner: ownerId, version: versionOf(row) };
    if (tx === undefined) await this.removed(board, expiry, [removed]);
    return removed;
  }

  /** A page of a period, and the records of some owners. Throws INVALID_ARGUMENT for a cursor that is not of it. */
  async list(board: Board, expiry: number, { ownerIds, limit, cursor }: ListRequest): Promise<RecordPage> {
    const after = cursor === '' ? null : readCursor(cursor, board.id, expiry);
    if (cursor !== '' && after === null) throw invalidArgument(badCursor);
    if (expiry < minExpiry || expiry > maxExpiry) return emptyPage(board, expiry);
    if (cursor === '' && ownerIds.length === 0 && limit !== null) return await this.#firstPage(board, expiry, limit);
    return await this.#readPage(board, expiry, ownerIds, limit, after);
  }

  /**
   * What most who look at a board look at. Those who ask in the same turn of the event loop share one answer, which is read
   * after the last of them has asked.
   */
  #firstPage(board: Board, expiry: number, limit: number): Promise<RecordPage> {
    const key = `${limit} ${expiry} ${board.createdAt} ${board.id}`;
    let page = this.#firstPages.get(key);
    if (page === undefined) {
      page = new Promise((resolve) => {
        setImmediate(() => {
          this.#firstPages.delete(key);
          resolve(this.#readPage(board, expiry, [], limit, null));
        });
      });
      this.#firstPages.set(key, page);
    }
    return page;
  }

  async #readPage(
    board: Board,
    expiry: number,
    ownerIds: readonly string[],
    limit: number | null,
    after: ReturnType<typeof readCursor>,
  ): Promise<RecordPage> {
    const [page, ownerRecords, standings] = await Promise.all([
      limit === null ? emptySlice : this.#slice(board, expiry, limit, after),
      ownerIds.length === 0 ? [] : this.#ownerRecords(board, expiry, ownerIds),
      this.#standings(board, expiry, ownerIds),
    ]);
    return { board, expiry, ...page, ownerRecords, ownerRanks: standings.ranks, rankCount: standings.count };
  }

  /**
   * The record of an owner among its neighbours (spec: section 12), or the page of a cursor. Ranks are exact at the top
   * of the board, and else relative to the owner's.
   */
  async around(board: Board, expiry: number, ownerId: string, limit: number, cursor: string): Promise<RecordPage> {
    if (cursor !== '') return await this.list(board, expiry, { ownerIds: [], limit, cursor });
    if (expiry < minExpiry || expiry > maxExpiry) return emptyPage(board, expiry);
    const [neighbours, { ranks, count }] = await Promise.all([
      readNeighbours(this.#deps.db, board, expiry, ownerId, limit),
      this.#standings(board, expiry, [ownerId]),
    ]);
    if (neighbours === null) return { ...emptyPage(board, expiry), rankCount: count };
    const slice = sliceAround(board, expiry, neighbours, limit, Number(ranks.get(ownerId) ?? 0n));
    return { board, expiry, ...slice, ownerRecords: [], ownerRanks: noRanks, rankCount: count };
  }

  /** A cursor whose page begins at a rank from 2 on; null when the board does not go so far, or has no ranks. */
  async cursorAtRank(board: Board, expiry: number, rank: bigint): Promise<string | null> {
    if (!this.isRanked(board, expiry)) return null;
    const ownerId = await this.#deps.ranks.at(periodOf(board, expiry), rank - 1n);
    const row = ownerId === null ? null : await this.get(board, expiry, ownerId);
    return row === null ? null : writeCursor('next', board.id, expiry, row, Number(rank - 1n));
  }

  /** Deletes all records of a user; their ranks go after the commit. */
  async erase(tx: Transaction, userId: string): Promise<void> {
    const rows = await tx.query(eraseRecordsOf, [userId]);
    const gone = rows.map((row) => ({
      board: { id: row.leaderboard_id, enableRanks: true, descending: row.sort_order === 1 },
      expiry: row.expiry_time.seconds,
      record: { owner: userId, version: versionOf(row) },
    }));
    const ranked = gone.filter(({ board, expiry }) => this.isRanked(board, expiry));
    const { ranks } = this.#deps;
    // At once: the transaction stands still meanwhile.
    await Promise.all(ranked.map(({ board, expiry }) => ranks.announce(periodOf(board, expiry))));
    tx.afterCommit(async () => {
      for (const { board, expiry, record } of ranked) await ranks.removed(periodOf(board, expiry), [record]);
    });
  }

  async #slice(board: Board, expiry: number, limit: number, after: ReturnType<typeof readCursor>): Promise<Slice> {
    const { db } = this.#deps;
    const isBack = after?.direction === 'prev';
    // Back from there, and turned around at the end.
    const direction = board.descending === isBack ? 'up' : 'down';
    const rows =
      after === null
        ? await db.query(firstRecords[direction], [board.id, expiry, limit + 1])
        : await db.query(recordsAfter[direction], [
            board.id,
            expiry,
            limit + 1,
            after.score,
            after.subscore,
            after.ownerId,
          ]);
    const hasMore = rows.length > limit;
    if (hasMore) rows.length = limit;
    if (isBack) rows.reverse();
    const records = rows.map((row) => new ListedRecord(row));
    const firstRank = after === null ? 1 : rankAt(after, rows.length, hasMore);
    const next = isBack || hasMore;
    const prev = after !== null && (!isBack || hasMore);
    return { records, firstRank, ...cursorsOf(board, expiry, records, firstRank, next, prev) };
  }

  /** Ranks that cannot be told at present are left out: the records are there all the same. */
  async #standings(board: Board, expiry: number, ownerIds: readonly string[]): Promise<Standings> {
    if (!this.isRanked(board, expiry)) return noStandings;
    try {
      return await this.#deps.ranks.standings(periodOf(board, expiry), ownerIds);
    } catch (error) {
      this.#deps.log.debug({ err: error, leaderboard: board.id }, 'no ranks');
      return noStandings;
    }
  }

  async #ownerRecords(board: Board, expiry: number, ownerIds: readonly string[]): Promise<ListedRecord[]> {
    const rows = await this.#deps.db.query(recordsOf, [board.id, expiry, ownerIds]);
    return (board.descending ? rows.reverse() : rows).map((row) => new ListedRecord(row));
  }
}

type Slice = Pick<RecordPage, 'records' | 'firstRank' | 'nextCursor' | 'prevCursor'>;

const badCursor = 'Cursor is invalid or expired.';
const noRanks: ReadonlyMap<string, bigint> = new Map();
const noStandings: Standings = { ranks: noRanks, count: 0n };
const emptySlice: Slice = { records: [], firstRank: 0, nextCursor: '', prevCursor: '' };

/** What a list of a period shows that has no records. */
export function emptyPage(board: Board, expiry: number): RecordPage {
  return { board, expiry, ...emptySlice, records: [], ownerRecords: [], ownerRanks: noRanks, rankCount: 0n };
}

function cursorsOf(
  { id }: Board,
  expiry: number,
  rows: readonly ListedRecord[],
  firstRank: number,
  next: boolean,
  prev: boolean,
): Pick<Slice, 'nextCursor' | 'prevCursor'> {
  const [first, last] = [rows[0], rows.at(-1)];
  const lastRank = firstRank === 0 ? 0 : firstRank + rows.length - 1;
  return {
    nextCursor: next && last !== undefined ? writeCursor('next', id, expiry, last, lastRank) : '',
    prevCursor: prev && first !== undefined ? writeCursor('prev', id, expiry, first, firstRank) : '',
  };
}

/** Rank of the first row of a page that a cursor leads to. Scores change, so it may be off; the top is always 1. */
function rankAt({ direction, rank }: { direction: string; rank: number }, count: number, hasMore: boolean): number {
  if (direction === 'prev' && !hasMore) return 1;
  if (rank === 0) return 0;
  return direction === 'next' ? rank + 1 : Math.max(2, rank - count);
}

/** @param ownerRank as the index has it; 0: not known */
function sliceAround(board: Board, expiry: number, neighbours: Neighbours, limit: number, ownerRank: number): Slice {
  const { rows, shownAbove, prev, next } = pageAround(neighbours, limit);
  const records = rows.map((row) => new ListedRecord(row));
  const { above, most } = neighbours;
  const rank = above.length < most ? above.length + 1 : ownerRank;
  const firstRank = rank === 0 ? 0 : Math.max(1, rank - shownAbove);
  return { records, firstRank, ...cursorsOf(board, expiry, records, firstRank, next, prev) };
}

function periodOf({ id, descending }: Pick<Board, 'id' | 'descending'>, expiry: number): RankPeriod {
  return { board: id, expiry, descending };
}

function toRanked(row: RecordRow): RankedRecord {
  return { owner: row.owner_id, score: row.score, subscore: row.subscore, version: versionOf(row) };
}

/** Tells this state of a record from others. */
export function versionOf({ create_time, num_score }: DeletedRow): RecordVersion {
  return { created: microsecondsOf(create_time), writes: num_score };
}

const microsecondsOf = ({ seconds, nanos }: Instant): bigint => BigInt(seconds) * 1_000_000n + BigInt(nanos / 1000);
