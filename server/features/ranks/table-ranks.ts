import type { Logger } from 'pino';
import type { Standings } from '../../cluster/rank-index.ts';
import type { DatabaseTime } from '../../store/database-time.ts';
import type { RankedRecord, RankPeriod, Ranks } from './period.ts';
import type { SqlRanks } from './sql-ranks.ts';

/** Ranks of a node without Redis: the table alone tells them. A period that is over has none. */
export class TableRanks implements Ranks {
  readonly #sql: SqlRanks;
  readonly #time: DatabaseTime;
  readonly #log: Logger;

  constructor({ sql, time, log }: { sql: SqlRanks; time: DatabaseTime; log: Logger }) {
    this.#sql = sql;
    this.#time = time;
    this.#log = log;
  }

  async announce(): Promise<void> {}

  async changed(period: RankPeriod, { owner }: RankedRecord): Promise<bigint> {
    if (isOver(period, this.#time)) return 0n;
    try {
      return (await this.#sql.of(period, [owner])).get(owner) ?? 0n;
    } catch (error) {
      this.#log.warn({ err: error, board: period.board }, 'a rank cannot be told');
      return 0n;
    }
  }

  async noted(): Promise<void> {}

  async removed(): Promise<void> {}

  async of(period: RankPeriod, owners: readonly string[]): Promise<Map<string, bigint>> {
    return isOver(period, this.#time) ? new Map() : this.#sql.of(period, owners);
  }

  async count(period: RankPeriod): Promise<bigint> {
    return isOver(period, this.#time) ? 0n : this.#sql.count(period);
  }

  async standings(period: RankPeriod, owners: readonly string[]): Promise<Standings> {
    const [ranks, count] = await Promise.all([this.of(period, owners), this.count(period)]);
    return { ranks, count };
  }

  async at(period: RankPeriod, rank: bigint): Promise<string | null> {
    return isOver(period, this.#time) ? null : this.#sql.at(period, rank);
  }

  async drop(): Promise<void> {}
}

/** Ranks of a period end with it (spec: leaderboards-tournaments.md, section 13). */
export const isOver = ({ expiry }: Pick<RankPeriod, 'expiry'>, time: DatabaseTime): boolean =>
  expiry !== 0 && expiry * 1000 <= time.now();
