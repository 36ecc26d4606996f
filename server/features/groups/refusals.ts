import { AppError, Code } from '../../platform/errors.ts';

/** Why an operation on groups is refused; texts are those that game code knows (spec: social.md, section 2.5). */
const refusals = {
  nameTaken: [Code.ALREADY_EXISTS, 'group name in use'],
  denied: [Code.PERMISSION_DENIED, 'group permission denied'],
  noChanges: [Code.INVALID_ARGUMENT, 'no group updates'],
  notChanged: [Code.INVALID_ARGUMENT, 'group not updated'],
  notFound: [Code.NOT_FOUND, 'group not found'],
  full: [Code.FAILED_PRECONDITION, 'group is full'],
  userNotFound: [Code.NOT_FOUND, 'user not found'],
  lastSuperadmin: [Code.FAILED_PRECONDITION, 'user is last group superadmin'],
  badCursor: [Code.INVALID_ARGUMENT, 'group cursor invalid'],
  badUserCursor: [Code.INVALID_ARGUMENT, 'group user cursor invalid'],
  badGroupCursor: [Code.INVALID_ARGUMENT, 'user group cursor invalid'],
} as const;

export type Refusal = keyof typeof refusals;

/** An operation was refused, and nothing has changed. */
export class GroupRefused extends AppError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    const [code, text] = refusals[refusal];
    super(code, text);
    this.refusal = refusal;
  }
}
