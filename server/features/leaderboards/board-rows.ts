import type { Logger } from 'pino';
import { parseSchedule, type Schedule } from '../../platform/cron.ts';
import { instantParam } from '../../store/types.ts';
import type { Board, Operator } from './board.ts';
import type { BoardRow } from './board-queries.ts';
import { Resets } from './resets.ts';

export function toBoard(row: BoardRow, log: Logger): Board {
  const schedule = readSchedule(row, log);
  return {
    id: row.id,
    authoritative: row.authoritative,
    descending: row.sort_order === 1,
    operator: row.operator as Operator,
    resetSchedule: row.reset_schedule,
    schedule,
    resets: new Resets(schedule),
    metadata: row.metadata,
    createTime: row.create_time,
    createdAt: instantParam(row.create_time),
    enableRanks: row.enable_ranks !== false,
    category: row.category,
    title: row.title,
    description: row.description,
    startTime: row.start_time.seconds,
    endTime: row.end_time.seconds,
    duration: row.duration,
    maxSize: row.max_size,
    maxNumScore: row.max_num_score,
    joinRequired: row.join_required,
    closedTime: row.closed_time?.seconds ?? null,
  };
}

/** A board of another server's database may have a schedule that we do not take: then it is never reset. */
function readSchedule({ id, reset_schedule: text }: BoardRow, log: Logger): Schedule | null {
  if (text === null || text === '') return null;
  try {
    return parseSchedule(text);
  } catch (error) {
    log.warn({ err: error, leaderboard: id, schedule: text }, 'unreadable reset schedule: the board is not reset');
    return null;
  }
}
