import {
  AppError,
  internalUnlessTransient,
  invalidArgument,
  notFound,
  permissionDenied,
  unauthenticated,
} from '../../platform/errors.ts';
import type { Database } from '../../store/database.ts';
import { sqlState } from '../../store/pg-errors.ts';
import { type Board, isTournament, type Operator } from './board.ts';
import { type Boards, staleBoard } from './boards.ts';
import type { RecordRow } from './record-queries.ts';
import { emptyPage, type ListRequest, type RecordPage, type Records } from './records.ts';
import { type Asker, badMetadata, type Wording, wording } from './wording.ts';
import { applies, statementOf, userExists, type WriteRow } from './write-queries.ts';

export interface RecordWrite {
  /** Canonical UUID. */
  readonly ownerId: string;
  /** Null keeps the one that the record has. */
  readonly username: string | null;
  readonly score: bigint;
  readonly subscore: bigint;
  /** The text of a JSON object; null keeps what the record has. */
  readonly metadata: string | null;
  /** Null: the board's own. */
  readonly operator: Operator | null;
}

/** A record after a write, whether that changed it or not. */
export interface WrittenRecord {
  readonly board: Board;
  /** Unix seconds, 0: never. */
  readonly expiry: number;
  readonly row: RecordRow;
  /** 0: not known. */
  readonly rank: bigint;
}

interface Dependencies {
  readonly db: Database;
  readonly boards: Boards;
  readonly records: Records;
}

/** How often a write begins again when another of the same scores came in between. */
const maxTries = 5;

/** What PostgreSQL says of JSON text that it cannot keep though it is JSON: characters, numbers, nesting. */
const unkeepableStates = new Set(['22021', '22P02', '22P05', '54001']);

/** Records of plain leaderboards, for players and game code (spec: leaderboards-tournaments.md, sections 7 to 14). */
export class LeaderboardRecords {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Throws NOT_FOUND, PERMISSION_DENIED for players where the board is authoritative, INVALID_ARGUMENT, INTERNAL. */
  async write(id: string, write: RecordWrite, asker: Asker): Promise<WrittenRecord> {
    const says = wording[asker].write;
    if (write.score < 0n || write.subscore < 0n) throw invalidArgument('Score and subscore must not be negative.');
    return await this.#deps.boards.use(id, async (board) => {
      const leaderboard = this.#check(board, asker, says, 'submissions');
      return await this.#write(leaderboard, write, asker);
    });
  }

  /** A page of records, and those of some owners. An expiry of 0 means the current period. */
  async list(id: string, request: ListRequest & { expiry: number }, asker: Asker): Promise<RecordPage> {
    const says = wording[asker].list;
    const { board, expiry } = await this.#find(id, request.expiry, says);
    if (expiry === null) return emptyPage(board, request.expiry);
    return await this.#deps.records.list(board, expiry, request).catch((error) => fail(error, says));
  }

  /** The record of an owner among its neighbours, or the page of a cursor. */
  async around(
    id: string,
    request: { ownerId: string; limit: number; cursor: string; expiry: number },
    asker: Asker,
  ): Promise<RecordPage> {
    const says = wording[asker].around;
    const { board, expiry } = await this.#find(id, request.expiry, says);
    if (expiry === null) return emptyPage(board, request.expiry);
    const { ownerId, limit, cursor } = request;
    return await this.#deps.records.around(board, expiry, ownerId, limit, cursor).catch((error) => fail(error, says));
  }

  /** Deletes the record that an owner has in the current period, if there is one. */
  async delete(id: string, ownerId: string, asker: Asker): Promise<void> {
    const says = wording[asker].delete;
    const { boards, records } = this.#deps;
    await boards.use(id, async (board) => {
      const leaderboard = this.#check(board, asker, says, 'deletions');
      const expiry = leaderboard.resets.next(records.now());
      return await records.delete(leaderboard, expiry, ownerId).catch((error) => fail(error, says));
    });
  }

  /** The board, of either kind, with the expiry that is meant; null when there is no board of that id. */
  async period(id: string, given: number): Promise<{ board: Board; expiry: number } | null> {
    const { boards, records } = this.#deps;
    const board = await boards.get(id);
    if (board === null) return null;
    return { board, expiry: given === 0 ? boards.expiryAt(board, records.now()) : given };
  }

  /** As `period`; an expiry of null when a tournament is over and nobody asked for its records all the same. */
  async #find(id: string, given: number, says: Wording): Promise<{ board: Board; expiry: number | null }> {
    const period = await this.period(id, given);
    if (period === null) throw notFound(says.notFound);
    const { board, expiry } = period;
    return { board, expiry: given === 0 && expiry !== 0 && expiry <= this.#deps.records.now() ? null : expiry };
  }

  #check(board: Board | null, asker: Asker, says: Wording, what: 'submissions' | 'deletions'): Board {
    if (board === null || isTournament(board)) throw notFound(says.notFound);
    if (asker === 'client' && board.authoritative) {
      throw permissionDenied(`Leaderboard only allows authoritative score ${what}.`);
    }
    return board;
  }

  async #write(board: Board, write: RecordWrite, asker: Asker): Promise<WrittenRecord | typeof staleBoard> {
    const { records } = this.#deps;
    const expiry = board.resets.next(records.now());
    await records.announce(board, expiry);
    const row = await this.#writeRow(board, expiry, write, asker);
    if (row === undefined) {
      await this.#checkOwner(write, asker);
      return staleBoard;
    }
    if (row.applied) return { board, expiry, row, rank: await records.changed(board, expiry, row) };
    // What kept the write from being applied may be newer than the row that was read beside it.
    const isSeen = !applies(board, write.operator ?? board.operator, row, write);
    const stored = isSeen ? row : await records.get(board, expiry, write.ownerId);
    if (stored === null) return staleBoard;
    return { board, expiry, row: stored, rank: await records.rankOf(board, expiry, write.ownerId) };
  }

  async #writeRow(board: Board, expiry: number, write: RecordWrite, asker: Asker): Promise<WriteRow | undefined> {
    const { ownerId, username, score, subscore, metadata } = write;
    const statement = statementOf(board, write.operator ?? board.operator, asker === 'client' ? 'user' : 'any');
    const params = [board.id, expiry, ownerId, username, score, subscore, metadata, board.createdAt];
    for (let tries = 1; ; tries++) {
      try {
        return (await this.#deps.db.query(statement, params))[0];
      } catch (error) {
        const state = sqlState(error) ?? '';
        // The first record of this owner came in with these scores at the same moment: now there is one to update.
        if (state === '23505' && tries < maxTries) continue;
        if (metadata !== null && unkeepableStates.has(state)) throw invalidArgument(badMetadata[asker]);
        throw internalUnlessTransient(error, wording[asker].write.failed);
      }
    }
  }

  /** A player whose account was deleted a moment ago writes nothing any more. */
  async #checkOwner({ ownerId }: RecordWrite, asker: Asker): Promise<void> {
    if (asker !== 'client') return;
    const users = await this.#deps.db.query(userExists, [ownerId]);
    if (users.length === 0) throw unauthenticated('Auth token invalid');
  }
}

function fail(error: unknown, says: Wording): never {
  if (error instanceof AppError && !error.isServerFault) throw error;
  throw internalUnlessTransient(error, says.failed);
}
