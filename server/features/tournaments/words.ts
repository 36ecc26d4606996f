import { AppError, Code, internal, internalUnlessTransient } from '../../platform/errors.ts';
import { type Refusal, refusalText, TournamentRefused } from './refusals.ts';

// Clients know refusals by other texts and codes than game code does (spec: leaderboards-tournaments.md, sections 8 to 14
// and 18).

/** In whose name something is done. A client may not do what only the server may, and has to be a user. */
export type Actor = 'client' | 'server';

interface Words {
  readonly client: {
    /** For whatever the client can do nothing about. */
    readonly failed: string;
    readonly refusals: Partial<Readonly<Record<Refusal, readonly [Code, string]>>>;
  };
  readonly server: {
    /** What game code reads before the reason. */
    readonly failed: string;
    readonly reasons?: Partial<Readonly<Record<Refusal, string>>>;
  };
}

const notFound = [Code.NOT_FOUND, 'Tournament not found.'] as const;
/** The account was deleted a moment ago. */
const userNotFound = [Code.UNAUTHENTICATED, 'Auth token invalid'] as const;
const ended = [Code.NOT_FOUND, 'Tournament has ended.'] as const;

const words = {
  write: {
    client: {
      failed: 'Error writing score to tournament.',
      refusals: {
        notFound,
        userNotFound,
        ended: [Code.NOT_FOUND, 'Tournament not found or has ended.'],
        authoritative: [Code.PERMISSION_DENIED, 'Tournament only allows authoritative score submissions.'],
        outsideDuration: [Code.FAILED_PRECONDITION, 'Tournament is not active and cannot accept new scores.'],
        notJoined: [Code.FAILED_PRECONDITION, 'Must join tournament before attempting to write value.'],
        noAttempts: [Code.FAILED_PRECONDITION, 'Reached allowed max number of score attempts.'],
        full: [Code.FAILED_PRECONDITION, 'Tournament has reached max size.'],
        badMetadata: [Code.INVALID_ARGUMENT, 'Metadata value must be JSON, if provided.'],
      },
    },
    server: { failed: 'error writing tournament record' },
  },
  join: {
    client: {
      failed: 'Error while trying to join tournament.',
      refusals: {
        notFound,
        userNotFound,
        outsideDuration: [Code.INVALID_ARGUMENT, 'Tournament is not active and cannot accept new joins.'],
        full: [Code.INVALID_ARGUMENT, 'Tournament cannot be joined as it has reached its max size.'],
      },
    },
    server: { failed: 'error joining tournament' },
  },
  delete: {
    client: {
      failed: 'Error deleting score from tournament.',
      refusals: {
        notFound,
        authoritative: [Code.PERMISSION_DENIED, 'Tournament only allows authoritative score deletions.'],
      },
    },
    server: { failed: 'error deleting tournament record' },
  },
  listRecords: {
    client: { failed: 'Error listing records from tournament.', refusals: { notFound, ended } },
    server: { failed: 'error listing tournament records' },
  },
  listAround: {
    client: { failed: 'Error querying records from tournament.', refusals: { notFound, ended } },
    server: {
      failed: 'error listing tournament records haystack',
      // As game code knows it.
      reasons: { notFound: 'leaderboard not found' },
    },
  },
  create: {
    client: { failed: 'Error creating tournament.', refusals: {} },
    server: { failed: 'error creating tournament' },
  },
  addAttempts: {
    client: { failed: 'Error adding tournament attempts.', refusals: {} },
    server: { failed: 'error adding tournament attempts' },
  },
} as const satisfies Record<string, Words>;

/** Does something in somebody's name, and says in the words of that one what went wrong. */
export async function inWords<T>(actor: Actor, operation: keyof typeof words, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { client, server }: Words = words[operation];
    throw actor === 'client' ? toClient(client, error) : toServer(server, error);
  }
}

function toClient({ refusals, failed }: Words['client'], error: unknown): AppError {
  if (error instanceof TournamentRefused) {
    const known = refusals[error.refusal];
    if (known === undefined) return internal(failed, error);
    const [code, text] = known;
    return new TournamentRefused(error.refusal, text, code);
  }
  // What is wrong with the request itself was said by whoever looked at it.
  if (error instanceof AppError && error.code === Code.INVALID_ARGUMENT) return error;
  return internalUnlessTransient(error, failed);
}

function toServer({ failed, reasons }: Words['server'], error: unknown): unknown {
  if (!(error instanceof TournamentRefused)) return error;
  return new TournamentRefused(error.refusal, `${failed}: ${reasons?.[error.refusal] ?? refusalText(error.refusal)}`);
}
