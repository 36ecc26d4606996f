// Clients and game code know refusals by different texts (spec: social.md, sections 1.4, 1.6, 1.7 and 1.9).

export type ChangeVerb = 'add' | 'delete' | 'block';

/** Texts around changes. */
export interface ChangeWords {
  readonly self: string;
  readonly badId: (id: string) => string;
  readonly noUsername: string;
  /** Null where it is no error that there is nobody to act on. */
  readonly nobody: string | null;
  readonly failed: string;
}

const clientWords = (self: string, nobody: string | null, failed: string): ChangeWords => ({
  self,
  badId: (id) => `Invalid user ID '${id}'.`,
  noUsername: 'Username must not be empty.',
  nobody,
  failed,
});

const nobody = 'No valid ID or username was provided.';

export const changeWordsForClients: Readonly<Record<ChangeVerb, ChangeWords>> = {
  add: clientWords('Cannot add self as friend.', nobody, 'Error while trying to add friends.'),
  delete: clientWords('Cannot delete self.', null, 'Error while trying to delete friends.'),
  block: clientWords('Cannot block self.', nobody, 'Error while trying to block friends.'),
};

const serverWords = (self: string, failed: string): ChangeWords => ({
  self,
  badId: (id) => `invalid user ID '${id}'`,
  noUsername: 'username must not be empty',
  nobody: 'no valid ID or username was provided',
  failed,
});

export const changeWordsForServer: Readonly<Record<ChangeVerb, ChangeWords>> = {
  add: serverWords('cannot add self as friend', 'error while trying to add friends'),
  delete: serverWords('cannot delete self', 'error while trying to delete friends'),
  block: serverWords('cannot block self', 'error while trying to block friends'),
};

/** Bounds of lists, and texts around them. */
export interface ListWords {
  readonly maxLimit: number;
  readonly badLimit: string;
  readonly badState: string;
  readonly badCursor: string;
  readonly failed: string;
}

const listWordsForClients = (maxLimit: number): ListWords => ({
  maxLimit,
  badLimit: `Invalid limit - limit must be between 1 and ${maxLimit}.`,
  badState: 'Invalid state - state must be between 0 and 3.',
  badCursor: 'Cursor is invalid.',
  failed: 'Error while trying to list friends.',
});

export const friendsForClients = listWordsForClients(1000);
export const friendsOfFriendsForClients = listWordsForClients(100);

export const listsForServer: ListWords = {
  maxLimit: 1000,
  badLimit: 'expects limit to be 1-1000',
  badState: 'expects state to be 0-3',
  badCursor: 'friend cursor invalid',
  failed: 'error while trying to list friends',
};
