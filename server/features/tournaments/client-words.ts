import { AppError, Code, internal, internalUnlessTransient } from '../../platform/errors.ts';
import { type Refusal, TournamentRefused } from './refusals.ts';

// Clients know refusals by other texts than game code does (spec: leaderboards-tournaments.md, sections 8 to 14).

interface Words {
  /** For whatever the client can do nothing about. */
  readonly failed: string;
  readonly refusals: Partial<Readonly<Record<Refusal, readonly [Code, string]>>>;
}

const notFound = [Code.NOT_FOUND, 'Tournament not found.'] as const;

export const clientWords = {
  write: {
    failed: 'Error writing score to tournament.',
    refusals: {
      notFound,
      ended: [Code.NOT_FOUND, 'Tournament not found or has ended.'],
      authoritative: [Code.PERMISSION_DENIED, 'Tournament only allows authoritative score submissions.'],
      outsideDuration: [Code.FAILED_PRECONDITION, 'Tournament is not active and cannot accept new scores.'],
      notJoined: [Code.FAILED_PRECONDITION, 'Must join tournament before attempting to write value.'],
      noAttempts: [Code.FAILED_PRECONDITION, 'Reached allowed max number of score attempts.'],
      full: [Code.FAILED_PRECONDITION, 'Tournament has reached max size.'],
    },
  },
  join: {
    failed: 'Error while trying to join tournament.',
    refusals: {
      notFound,
      outsideDuration: [Code.INVALID_ARGUMENT, 'Tournament is not active and cannot accept new joins.'],
      full: [Code.INVALID_ARGUMENT, 'Tournament cannot be joined as it has reached its max size.'],
    },
  },
  delete: {
    failed: 'Error deleting score from tournament.',
    refusals: {
      notFound,
      authoritative: [Code.PERMISSION_DENIED, 'Tournament only allows authoritative score deletions.'],
    },
  },
  listRecords: {
    failed: 'Error listing records from tournament.',
    refusals: { notFound, ended: [Code.NOT_FOUND, 'Tournament has ended.'] },
  },
  listAround: {
    failed: 'Error querying records from tournament.',
    refusals: { notFound, ended: [Code.NOT_FOUND, 'Tournament has ended.'] },
  },
  list: { failed: 'Error listing tournaments.', refusals: {} },
} as const satisfies Record<string, Words>;

/** Does something for a client, and says in its words what went wrong. */
export async function inClientWords<T>(words: Words, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toClient(words, error);
  }
}

function toClient({ refusals, failed }: Words, error: unknown): AppError {
  if (error instanceof TournamentRefused) {
    const known = refusals[error.refusal];
    return known === undefined ? internal(failed, error) : new AppError(known[0], known[1], { cause: error });
  }
  // What is wrong with the request itself was said by whoever looked at it.
  if (error instanceof AppError && error.code === Code.INVALID_ARGUMENT) return error;
  return internalUnlessTransient(error, failed);
}
