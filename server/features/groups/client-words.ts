import { AppError, Code, internal, internalUnlessTransient } from '../../platform/errors.ts';
import { GroupRefused, type Refusal } from './refusals.ts';

// Clients know refusals by other texts than game code does, and by other codes from route to route (spec: social.md,
// section 2.5).

interface Words {
  /** For whatever the client can do nothing about. */
  readonly failed: string;
  readonly refusals: Partial<Readonly<Record<Refusal, readonly [Code, string]>>>;
}

const full = [Code.INVALID_ARGUMENT, 'Group is full.'] as const;
const badCursor = [Code.INVALID_ARGUMENT, 'Cursor is invalid.'] as const;

const managing = (failed: string): Words => ({
  failed,
  refusals: {
    denied: [Code.NOT_FOUND, 'Group not found or permission denied.'],
    full,
    userNotFound: [Code.INVALID_ARGUMENT, 'One or more users not found.'],
  },
});

export const clientWords = {
  create: {
    failed: 'Error while trying to create group.',
    refusals: { nameTaken: [Code.ALREADY_EXISTS, 'Group name is in use.'] },
  },
  update: {
    failed: 'Error while trying to update group.',
    refusals: {
      denied: [Code.NOT_FOUND, "Group not found or you're not allowed to update."],
      noChanges: [Code.INVALID_ARGUMENT, 'Specify at least one field to update.'],
      notChanged: [Code.INVALID_ARGUMENT, 'No new fields in group update.'],
      nameTaken: [Code.INVALID_ARGUMENT, 'Group name is in use.'],
    },
  },
  delete: {
    failed: 'Error while trying to delete group.',
    refusals: { denied: [Code.INVALID_ARGUMENT, "Group not found or you're not allowed to delete."] },
  },
  join: {
    failed: 'Error while trying to join group.',
    refusals: { notFound: [Code.NOT_FOUND, 'Group not found.'], full },
  },
  leave: {
    failed: 'Error while trying to leave group.',
    refusals: {
      lastSuperadmin: [Code.INVALID_ARGUMENT, 'Cannot leave group when you are the last superadmin.'],
    },
  },
  add: managing('Error while trying to add users to a group.'),
  kick: managing('Error while trying to kick users from a group.'),
  ban: managing('Error while trying to ban users from a group.'),
  promote: managing('Error while trying to promote users in a group.'),
  demote: managing('Error while trying to demote users in a group.'),
  // A bad cursor is an internal error here, by contract (section 2.16).
  list: { failed: 'Error while trying to list groups.', refusals: {} },
  listUsers: { failed: 'Error while trying to list users in a group.', refusals: { badUserCursor: badCursor } },
  listOfUser: { failed: 'Error while trying to list groups for a user.', refusals: { badGroupCursor: badCursor } },
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
  if (error instanceof GroupRefused) {
    const known = refusals[error.refusal];
    return known === undefined ? internal(failed, error) : new AppError(known[0], known[1], { cause: error });
  }
  // What is wrong with the request itself was said by whoever looked at it.
  if (error instanceof AppError && error.code === Code.INVALID_ARGUMENT) return error;
  return internalUnlessTransient(error, failed);
}
