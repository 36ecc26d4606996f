import { subsystem } from '../../platform/log.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import { bannedNotice, type Sessions, type Sockets } from '../sessions/index.ts';
import { Accounts } from './accounts.ts';
import { Links } from './links.ts';
import { accountMethods } from './methods.ts';
import { Passwords } from './passwords.ts';
import { SignUp } from './sign-up.ts';

export type { AccountChanges, Accounts, AccountUpdate } from './accounts.ts';
export {
  checkCustomId,
  checkDeviceId,
  checkEmailCharacters,
  checkEmailShape,
  checkPassword,
  checkUsername,
  isPasswordTooLong,
} from './identifiers.ts';
export { type Identity, type Profile, type Provider, providerLabel } from './identities.ts';
export type { Links } from './links.ts';
export { onlineFlags } from './online.ts';
export type { Passwords } from './passwords.ts';
export { type UserRow, userColumns } from './queries.ts';
export type { SignInAccount, SignInOptions, SignUp } from './sign-up.ts';
export { toAccount, toUser } from './wire.ts';

export interface AccountsFeature extends Feature {
  readonly accounts: Accounts;
  readonly signUp: SignUp;
  readonly passwords: Passwords;
  readonly links: Links;
}

/** Accounts, users, and what they sign in with. */
export function createAccounts(
  kit: FeatureKit,
  { sessions, sockets }: { sessions: Sessions; sockets: Sockets },
): AccountsFeature {
  const { auth, limits } = kit.config;
  const passwords = new Passwords({
    cost: auth.bcrypt_cost,
    concurrent: limits.password_checks_concurrent,
    queued: limits.password_checks_queued,
  });
  const accounts = new Accounts({
    db: kit.db,
    sessions,
    sockets,
    bannedNotice: () => bannedNotice(kit.clock.now()),
    log: subsystem(kit.log, 'accounts'),
  });
  const links = new Links(kit.db, passwords);
  return {
    name: 'accounts',
    methods: accountMethods(accounts, links, kit.presence),
    accounts,
    links,
    signUp: new SignUp(kit.db),
    passwords,
  };
}
