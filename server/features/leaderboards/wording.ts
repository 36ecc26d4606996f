/** What an operation says when it fails. */
export interface Wording {
  readonly notFound: string;
  /** For reasons that the caller cannot act on. */
  readonly failed: string;
}

export const badMetadata = {
  client: 'Metadata value must be JSON, if provided.',
  server: 'expects metadata to be an object',
};

/** To clients (spec: leaderboards-tournaments.md, sections 7, 10, 12 and 14) and to game code (section 18). */
export const wording = {
  client: {
    write: { notFound: 'Leaderboard not found.', failed: 'Error writing score to leaderboard.' },
    list: { notFound: 'Leaderboard not found.', failed: 'Error listing records from leaderboard.' },
    around: { notFound: 'Leaderboard not found.', failed: 'Error querying records from leaderboard.' },
    delete: { notFound: 'Leaderboard not found.', failed: 'Error deleting score from leaderboard.' },
  },
  server: {
    write: {
      notFound: 'error writing leaderboard record: leaderboard not found',
      failed: 'error writing leaderboard record',
    },
    list: {
      notFound: 'error listing leaderboard records: leaderboard not found',
      failed: 'error listing leaderboard records',
    },
    around: {
      notFound: 'error listing leaderboard records around owner: leaderboard not found',
      failed: 'error listing leaderboard records around owner',
    },
    delete: {
      notFound: 'error deleting leaderboard record: leaderboard not found',
      failed: 'error deleting leaderboard record',
    },
  },
} as const satisfies Record<'client' | 'server', Record<string, Wording>>;

/** Who asks: a player, or game code, which may do what boards keep players from. */
export type Asker = keyof typeof wording;
