import { invalidArgument } from '../../platform/errors.ts';
import type { nakama } from '../../wire/generated/messages.js';
import { type ApiMethodOptions, api, type Method } from '../../wire/method.ts';
import type { Authentication } from './authenticate.ts';
import type { FriendImports } from './friend-imports.ts';
import { toSession, toSignIn } from './methods.ts';
import type { ProviderLinks } from './provider-links.ts';
import type { GameCenterPlayer } from './providers/game-center.ts';
import type { Credential, Providers } from './providers/index.ts';

interface Dependencies {
  readonly providers: Providers;
  readonly auth: Authentication;
  readonly links: ProviderLinks;
  readonly imports: FriendImports;
}

// Each may make the server call a third party, which has limits of its own.
const perAddress = { perSecond: 50, burst: 500 };
const signIn: ApiMethodOptions = { auth: 'server_key', perAddress };
const ofUser = { auth: 'session', perAddress } as const;

/** Sign-in through third parties, and what goes with it. */
export function providerMethods(dependencies: Dependencies): Method[] {
  return [
    ...signInMethods(dependencies),
    ...linkMethods(dependencies),
    ...unlinkMethods(dependencies),
    ...importMethods(dependencies),
  ];
}

function signInMethods({ auth, providers }: Dependencies): Method[] {
  const { apple, facebook, facebookInstant, gameCenter, google, openId, steam } = providers;
  return [
    api('AuthenticateApple', signIn, async (_ctx, request) =>
      toSession(await auth.withProvider(apple.credential(tokenOf(request.account)), toSignIn(request))),
    ),
    api('AuthenticateFacebook', signIn, async (_ctx, request) => {
      const credential = facebook.credential(tokenOf(request.account));
      return toSession(await auth.withProvider(credential, toSignIn(request), request.sync?.value ?? false));
    }),
    api('AuthenticateFacebookInstantGame', signIn, async (_ctx, request) => {
      const credential = facebookInstant.credential(request.account?.signed_player_info ?? '', 'sign-in');
      return toSession(await auth.withProvider(credential, toSignIn(request)));
    }),
    api('AuthenticateGameCenter', signIn, async (_ctx, request) => {
      const credential = gameCenter.credential(request.account === null ? null : toPlayer(request.account));
      return toSession(await auth.withProvider(credential, toSignIn(request)));
    }),
    api('AuthenticateGoogle', signIn, async (_ctx, request) =>
      toSession(await auth.withProvider(google.credential(tokenOf(request.account)), toSignIn(request))),
    ),
    api('AuthenticateOidc', signIn, async (_ctx, request) => {
      const { provider = '', token = '' } = request.account ?? {};
      return toSession(await auth.withProvider(openId.credential(provider, token), toSignIn(request)));
    }),
    api('AuthenticateSteam', signIn, async (_ctx, request) => {
      const credential = steam.credential(tokenOf(request.account));
      return toSession(await auth.withProvider(credential, toSignIn(request), request.sync?.value ?? false));
    }),
  ];
}

function linkMethods({ links, providers }: Dependencies): Method[] {
  const { apple, facebook, facebookInstant, gameCenter, google, openId, steam } = providers;
  return [
    api('LinkApple', ofUser, async ({ user }, { token }) => {
      await links.link(user, apple.credential(token));
      return {};
    }),
    api('LinkFacebook', ofUser, async ({ user }, { account, sync }) => {
      await links.link(user, facebook.credential(tokenOf(account)), sync?.value ?? true);
      return {};
    }),
    api('LinkFacebookInstantGame', ofUser, async ({ user }, { signed_player_info }) => {
      await links.link(user, facebookInstant.credential(signed_player_info, 'link'));
      return {};
    }),
    api('LinkGameCenter', ofUser, async ({ user }, account) => {
      await links.link(user, gameCenter.credential(toPlayer(account)));
      return {};
    }),
    api('LinkGoogle', ofUser, async ({ user }, { token }) => {
      await links.link(user, google.credential(token));
      return {};
    }),
    api('LinkOidc', ofUser, async ({ user }, { provider, token }) => {
      await links.link(user, openId.credential(provider, token));
      return {};
    }),
    api('LinkSteam', ofUser, async ({ user }, { account, sync }) => {
      await links.link(user, steam.credential(tokenOf(account), { first: 'token' }), sync?.value ?? true);
      return {};
    }),
  ];
}

// A credential in the request has to be the linked one; without one, whatever is linked goes.
function unlinkMethods({ links, providers }: Dependencies): Method[] {
  const { apple, facebook, facebookInstant, gameCenter, google, openId, steam } = providers;
  const given = (token: string, credential: () => Credential): Credential | null =>
    token === '' ? null : credential();
  return [
    api('UnlinkApple', ofUser, async ({ user }, { token }) => {
      await links.unlink(
        user.id,
        'apple',
        given(token, () => apple.credential(token)),
      );
      return {};
    }),
    api('UnlinkFacebook', ofUser, async ({ user }, { token }) => {
      await links.unlink(
        user.id,
        'facebook',
        given(token, () => facebook.credential(token)),
      );
      return {};
    }),
    api('UnlinkFacebookInstantGame', ofUser, async ({ user }, { signed_player_info: info }) => {
      const credential = given(info, () => facebookInstant.credential(info, 'link'));
      await links.unlink(user.id, 'facebook_instant_game', credential);
      return {};
    }),
    api('UnlinkGameCenter', ofUser, async ({ user }, account) => {
      const player = toPlayer(account);
      await links.unlink(user.id, 'gamecenter', isWhole(player) ? gameCenter.credential(player) : null);
      return {};
    }),
    api('UnlinkGoogle', ofUser, async ({ user }, { token }) => {
      await links.unlink(
        user.id,
        'google',
        given(token, () => google.credential(token)),
      );
      return {};
    }),
    api('UnlinkOidc', ofUser, async ({ user }, { provider, token }) => {
      const credential = given(token, () => openId.credential(provider, token));
      await links.unlink(user.id, openId.provider(provider), credential);
      return {};
    }),
    api('UnlinkSteam', ofUser, async ({ user }, { token }) => {
      await links.unlink(
        user.id,
        'steam',
        given(token, () => steam.credential(token)),
      );
      return {};
    }),
  ];
}

function importMethods({ imports, providers }: Dependencies): Method[] {
  return [
    api('ImportFacebookFriends', ofUser, async ({ user }, { account, reset }) => {
      const token = tokenOf(account);
      if (token === '') throw invalidArgument('Facebook token is required.');
      await imports.now(user, { provider: 'facebook', token }, reset?.value ?? false);
      return {};
    }),
    api('ImportSteamFriends', ofUser, async ({ user }, { account, reset }) => {
      const verify = providers.steam.credential(tokenOf(account), { missing: 'Steam token is required.' });
      const { friends } = await verify();
      if (friends !== null) await imports.now(user, friends, reset?.value ?? false);
      return {};
    }),
  ];
}

const tokenOf = (account: { readonly token: string } | null): string => account?.token ?? '';

function toPlayer(account: nakama.api.AccountGameCenter): GameCenterPlayer {
  const { player_id, bundle_id, salt, signature, public_key_url } = account;
  const timestamp_seconds = BigInt(account.timestamp_seconds.toString());
  return { player_id, bundle_id, timestamp_seconds, salt, signature, public_key_url };
}

function isWhole({
  player_id,
  bundle_id,
  timestamp_seconds,
  salt,
  signature,
  public_key_url,
}: GameCenterPlayer): boolean {
  return (
    [player_id, bundle_id, salt, signature, public_key_url].every((text) => text !== '') && timestamp_seconds !== 0n
  );
}
