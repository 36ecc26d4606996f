import type { Option } from './config-option.ts';

/** Sign-in providers (spec: http-auth-accounts.md, section 7.4). */
export const socialOptions = [
  {
    key: 'social.steam.publisher_key',
    type: 'string',
    default: '',
    secret: true,
    description: 'Publisher key of the Steam Web API. Without it, or without social.steam.app_id, Steam is off.',
  },
  {
    key: 'social.steam.app_id',
    type: 'int',
    default: 0,
    min: 0,
    description: 'The game’s Steam application.',
  },
  {
    key: 'social.facebook_instant_game.app_secret',
    type: 'string',
    default: '',
    secret: true,
    description: 'Secret that signs the players of Facebook Instant Games. Without it none of them can sign in.',
  },
  {
    key: 'social.facebook_limited_login.app_id',
    type: 'string',
    default: '',
    description: 'Accepted as in Nakama, which does not enforce it; see social.facebook_limited_login.audiences.',
  },
  {
    key: 'social.facebook_limited_login.audiences',
    type: 'string[]',
    default: [],
    description: 'Facebook applications whose limited login tokens are taken; none means those of all, as in Nakama.',
  },
  {
    key: 'social.apple.bundle_id',
    type: 'string',
    default: '',
    description: 'The game’s bundle id. Without it Apple is off.',
  },
  {
    key: 'social.apple.audiences',
    type: 'string[]',
    default: [],
    description:
      'Bundle and service ids whose Apple tokens are taken; none means those of all, as in Nakama. Players of the web and of Android have another one than those of iOS.',
  },
  {
    key: 'social.google.audiences',
    type: 'string[]',
    default: [],
    description: 'OAuth client ids whose Google tokens are taken; none means those of all, as in Nakama.',
  },
  {
    key: 'social.oidc_providers',
    type: 'json',
    default: '',
    description:
      'OpenID Connect providers, as a list of `{name, issuer, audiences, jwks_uri, claims: {id, username, display_name, avatar_url, email}}`. Clients name one of them when they sign in. The key set is found through the issuer unless `jwks_uri` says where it is; `claims` says which claims are read where they are not `sub`, none, `name`, `picture` and `email`.',
  },
  {
    key: 'google_auth.credentials_json',
    type: 'json',
    default: '',
    secret: true,
    description: 'OAuth client of the Google Cloud console, for the server auth codes of Play Games.',
  },
] as const satisfies readonly Option[];
