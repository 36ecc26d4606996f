import type { Option } from './config-option.ts';

/** Leaderboards and tournaments. */
export const leaderboardOptions = [
  {
    key: 'leaderboard.blacklist_rank_cache',
    type: 'string[]',
    default: [],
    description: 'Ids of leaderboards and tournaments without ranks; the single value * leaves them out everywhere.',
  },
  {
    key: 'leaderboard.rank_cache_workers',
    type: 'int',
    default: 1,
    min: 1,
    max: 64,
    description:
      'Boards whose ranks one node puts into Redis at a time. That happens when ranks are asked for; until it is done they are counted in the database. Each takes a connection of the pool meanwhile.',
  },
  {
    key: 'leaderboard.catch_up',
    type: 'bool',
    default: true,
    description:
      'When no node was running at the end or the reset of a board, its game code is called late, for the latest such time of each board. Otherwise what was missed stays missed.',
  },
] as const satisfies readonly Option[];
