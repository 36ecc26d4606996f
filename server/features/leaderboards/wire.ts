import { truncateToSeconds } from '../../store/types.ts';
import type { Init, nakama } from '../../wire/generated/messages.js';
import type { Board } from './board.ts';
import type { ListedRecord } from './listed-record.ts';
import type { RecordRow } from './record-queries.ts';
import type { RecordPage } from './records.ts';

type RecordMessage = Init<nakama.api.LeaderboardRecord>;

/**
 * A record as the API shows it (spec: leaderboards-tournaments.md, section 3.4).
 * @param expiry unix seconds, 0: never
 * @param rank 0: not known
 */
export function toRecord(boardId: string, expiry: number, row: RecordRow, rank: bigint | number): RecordMessage {
  return {
    leaderboard_id: boardId,
    owner_id: row.owner_id,
    username: row.username === null ? null : { value: row.username },
    score: toInt64(row.score),
    subscore: toInt64(row.subscore),
    num_score: row.num_score,
    metadata: row.metadata,
    create_time: truncateToSeconds(row.create_time),
    update_time: truncateToSeconds(row.update_time),
    expiry_time: toExpiry(expiry),
    rank: Number(rank),
    max_num_score: row.max_num_score,
  };
}

/** A list of records; the tournaments' list has the same fields. */
export function toRecordList(page: RecordPage): Init<nakama.api.LeaderboardRecordList> {
  const { board, firstRank, ownerRanks } = page;
  const expiry = toExpiry(page.expiry);
  return {
    records: page.records.map((record, index) =>
      toListMessage(board.id, expiry, record, firstRank === 0 ? 0 : firstRank + index),
    ),
    owner_records: page.ownerRecords.map((record) =>
      toListMessage(board.id, expiry, record, Number(ownerRanks.get(record.owner_id) ?? 0n)),
    ),
    next_cursor: page.nextCursor,
    prev_cursor: page.prevCursor,
    rank_count: Number(page.rankCount),
  };
}

function toListMessage(
  boardId: string,
  expiry: RecordMessage['expiry_time'],
  record: ListedRecord,
  rank: number,
): RecordMessage {
  return {
    leaderboard_id: boardId,
    owner_id: record.owner_id,
    username: record.username === null ? null : { value: record.username },
    score: record.scoreOut,
    subscore: record.subscoreOut,
    num_score: record.num_score,
    metadata: record.metadata,
    create_time: { seconds: record.created },
    update_time: { seconds: record.updated },
    expiry_time: expiry,
    rank,
    max_num_score: record.max_num_score,
  };
}

const toExpiry = (seconds: number): RecordMessage['expiry_time'] => (seconds === 0 ? null : { seconds });

/** Codecs take numbers several times faster than anything else. */
function toInt64(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** A plain leaderboard as game code sees it at a time (unix seconds; spec: section 5.1). */
export function toLeaderboard(board: Board, now: number): Init<nakama.api.Leaderboard> {
  return {
    id: board.id,
    sort_order: board.descending ? 1 : 0,
    operator: board.operator + 1,
    prev_reset: board.createTime.seconds > now ? 0 : board.resets.prev(now),
    next_reset: board.resets.next(now),
    metadata: board.metadata,
    create_time: truncateToSeconds(board.createTime),
    authoritative: board.authoritative,
  };
}
