import { AppError, Code } from '../../platform/errors.ts';

/** Why an operation on tournaments is refused, in words for game code. */
const refusals = {
  notFound: [Code.NOT_FOUND, 'tournament not found'],
  ended: [Code.NOT_FOUND, 'tournament not found or has ended'],
  authoritative: [Code.PERMISSION_DENIED, 'tournament is authoritative'],
  outsideDuration: [Code.FAILED_PRECONDITION, 'tournament outside of duration'],
  notJoined: [Code.FAILED_PRECONDITION, 'required to join before writing tournament record'],
  noAttempts: [Code.FAILED_PRECONDITION, 'max number score count reached'],
  full: [Code.FAILED_PRECONDITION, 'tournament max size reached'],
  badMetadata: [Code.INVALID_ARGUMENT, 'expects metadata to be an object'],
  userNotFound: [Code.NOT_FOUND, 'user not found'],
  inUse: [Code.ALREADY_EXISTS, 'cannot create tournament as leaderboard is already in use'],
} as const;

export type Refusal = keyof typeof refusals;

export const refusalText = (refusal: Refusal): string => refusals[refusal][1];

/** An operation was refused, and nothing has changed. */
export class TournamentRefused extends AppError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, text = refusalText(refusal), code: Code = refusals[refusal][0]) {
    super(code, text);
    this.refusal = refusal;
  }
}
