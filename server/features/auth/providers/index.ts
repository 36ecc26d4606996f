import type { Logger } from 'pino';
import { googleCredentials, oidcProviders } from '../../../platform/config-social.ts';
import type { FeatureKit } from '../../feature.ts';
import { Apple } from './apple.ts';
import { Facebook } from './facebook.ts';
import { FacebookInstant } from './facebook-instant.ts';
import { GameCenter } from './game-center.ts';
import { Google } from './google.ts';
import { OpenId } from './openid.ts';
import { Steam } from './steam.ts';

export { type Credential, type FriendSource, verified } from './provider.ts';

/** All that players can sign in with through third parties. */
export interface Providers {
  readonly apple: Apple;
  readonly facebook: Facebook;
  readonly facebookInstant: FacebookInstant;
  readonly gameCenter: GameCenter;
  readonly google: Google;
  readonly openId: OpenId;
  readonly steam: Steam;
}

export function createProviders({ config, clock, outbound }: FeatureKit, log: Logger): Providers {
  const kit = { outbound, clock, log };
  const { social, google_auth } = config;
  return {
    apple: new Apple(kit, social.apple),
    facebook: new Facebook(kit, social.facebook_limited_login),
    facebookInstant: new FacebookInstant(social.facebook_instant_game.app_secret),
    gameCenter: new GameCenter(kit),
    google: new Google(kit, {
      audiences: social.google.audiences,
      credentials: googleCredentials(google_auth.credentials_json),
    }),
    openId: new OpenId(kit, oidcProviders(social.oidc_providers), config.dev),
    steam: new Steam(kit, social.steam),
  };
}
