import type { AccountsFeature } from '../accounts/index.ts';
import type { Feature, FeatureKit } from '../feature.ts';
import type { Sessions } from '../sessions/index.ts';
import { Authentication } from './authenticate.ts';
import { LoginGuard } from './login-guard.ts';
import { authMethods } from './methods.ts';

/** Sign-in, refresh and logout. */
export function createAuth(
  kit: FeatureKit,
  { sessions, accounts }: { sessions: Sessions; accounts: AccountsFeature },
): Feature {
  const auth = new Authentication({
    signUp: accounts.signUp,
    passwords: accounts.passwords,
    guard: new LoginGuard(kit.counters, kit.config.limits),
    sessions,
    singleSession: kit.config.session.single_session,
  });
  return { name: 'auth', methods: authMethods(auth) };
}
