import { subsystem } from '../../platform/log.ts';
import type { AccountsFeature } from '../accounts/index.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Friends } from '../friends/index.ts';
import type { Sessions } from '../sessions/index.ts';
import { Authentication } from './authenticate.ts';
import { FriendImports } from './friend-imports.ts';
import { LoginGuard } from './login-guard.ts';
import { authMethods } from './methods.ts';
import { ProviderLinks } from './provider-links.ts';
import { providerMethods } from './provider-methods.ts';
import { createProviders } from './providers/index.ts';

export interface AuthFeature extends Feature {
  readonly auth: Authentication;
  readonly providerLinks: ProviderLinks;
}

interface Others {
  readonly sessions: Sessions;
  readonly accounts: AccountsFeature;
  readonly friends: Friends;
}

/** Sign-in, by whatever players have, refresh and logout. */
export function createAuth(kit: FeatureKit, { sessions, accounts, friends }: Others): AuthFeature {
  const { config, clock } = kit;
  const log = subsystem(kit.log, 'auth');
  const providers = createProviders(kit, log);
  const imports = new FriendImports({
    providers,
    friends,
    clock,
    log,
    concurrent: config.limits.friend_imports_concurrent,
    queued: config.limits.friend_imports_queued,
  });
  const guard = new LoginGuard(kit.counters, config.limits);
  const auth = new Authentication({
    signUp: accounts.signUp,
    passwords: accounts.passwords,
    guard,
    sessions,
    imports,
    singleSession: config.session.single_session,
  });
  const providerLinks = new ProviderLinks(accounts.links, imports);
  return {
    name: 'auth',
    methods: [...authMethods(auth), ...providerMethods({ providers, auth, links: providerLinks, imports })],
    userData: {
      async erase(tx, userId) {
        // Its counters name the user.
        tx.afterCommit(() => guard.forget(userId));
      },
    },
    stop: () => imports.close(),
    auth,
    providerLinks,
  };
}
