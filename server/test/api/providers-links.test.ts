import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { FakeProviders, newSteamId, refused, userOf } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

const lastLink = {
  code: 7,
  message: 'Cannot unlink last account identifier. Check profile exists and is not last link.',
};

interface Kind {
  /** As in the names of methods. */
  readonly name: string;
  /** As in texts about ids. */
  readonly label: string;
  /** As in texts about profiles. */
  readonly profile: string;
  readonly newId: () => string;
  /** What identifies that player, anew each time; with what the provider says of them. */
  readonly account: (id: string, claims?: object) => Record<string, unknown>;
  /** An account like it that the provider refuses. */
  readonly bad: Record<string, unknown>;
  /** Where the id shows in the account. */
  readonly shown: (id: string) => object;
  /** Is the account a part of the link request? */
  readonly nested?: true;
}

const instant = (player_id: string) => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id });

const kinds: readonly Kind[] = [
  {
    name: 'Apple',
    label: 'Apple',
    profile: 'Apple',
    newId: () => unique('a'),
    account: (sub, claims) => ({ token: fake.apple[0].token(fake.appleClaims({ sub, ...claims })) }),
    bad: { token: 'a.b.c' },
    shown: (apple_id) => ({ user: { apple_id } }),
  },
  {
    name: 'Facebook',
    label: 'Facebook',
    profile: 'Facebook',
    newId: () => unique('f'),
    account: (sub, claims) => ({ token: fake.facebook[0].token(fake.facebookClaims({ sub, ...claims })) }),
    bad: { token: 'EAAunknown' },
    shown: (facebook_id) => ({ user: { facebook_id } }),
    nested: true,
  },
  {
    name: 'FacebookInstantGame',
    label: 'Facebook Instant Game',
    profile: 'Facebook Instant Game',
    newId: () => unique('i'),
    account: (id) => ({ signed_player_info: instant(id) }),
    bad: { signed_player_info: 'garbage' },
    shown: (facebook_instant_game_id) => ({ user: { facebook_instant_game_id } }),
  },
  {
    name: 'GameCenter',
    label: 'GameCenter',
    profile: 'GameCenter',
    newId: () => unique('G:'),
    account: (id) => fake.gameCenterPlayer(id),
    bad: fake.gameCenterPlayer('G:1', { player_id: 'G:2' }),
    shown: (gamecenter_id) => ({ user: { gamecenter_id } }),
  },
  {
    name: 'Google',
    label: 'Google',
    profile: 'Google',
    newId: () => unique('g'),
    account: (sub, claims) => ({ token: fake.google[0].token(fake.googleClaims({ sub, ...claims })) }),
    bad: { token: 'a.b.c' },
    shown: (google_id) => ({ user: { google_id } }),
  },
  {
    name: 'Oidc',
    label: 'OpenID',
    profile: 'OpenID',
    newId: () => unique('k'),
    account: (sub, claims) => ({
      provider: 'keycloak',
      token: fake.keycloak[0].token(fake.keycloakClaims({ sub, ...claims })),
    }),
    bad: { provider: 'keycloak', token: 'a.b.c' },
    shown: (id) => ({ identities: [{ provider: 'keycloak', id }] }),
  },
  {
    name: 'Steam',
    label: 'Steam',
    profile: 'Steam',
    newId: newSteamId,
    account: (id) => ({ token: fake.steamTicket(id) }),
    bad: { token: 'UNKNOWN' },
    shown: (steam_id) => ({ user: { steam_id } }),
    nested: true,
  },
];

describeDoors('links to providers', { config: fake.config, clock: fake.clock }, (at) => {
  const get = (authorization: string) => at.ok('GetAccount', authorization);
  const enter = async ({ name }: Kind, account: object) => {
    const { token } = await at.ok(`Authenticate${name}`, serverKeyAuth, { account });
    return { id: userOf({ response: { token } }), authorization: bearer(token) };
  };
  const link = ({ name, nested }: Kind, authorization: string, account: object) =>
    at.call(`Link${name}`, authorization, nested ? { account } : account);
  /** @param account null for whichever is linked. */
  const unlink = ({ name }: Kind, authorization: string, account: object | null = null) =>
    at.call(`Unlink${name}`, authorization, account ?? (name === 'Oidc' ? { provider: 'keycloak' } : {}));

  describe.each(kinds)('$name', (kind) => {
    test('is linked, again, and replaced, and opens the account', async () => {
      const player = await signIn(at.server);
      const [first, second] = [kind.newId(), kind.newId()];
      for (const id of [first, first, second]) {
        const outcome = await link(kind, player.authorization, kind.account(id));
        expect(outcome).toMatchObject({ code: 0, response: {} });
        expect(await get(player.authorization)).toMatchObject(kind.shown(id));
      }
      expect((await enter(kind, kind.account(second))).id).toBe(player.id);
      const gone = { account: kind.account(first), create: false };
      expect((await at.call(`Authenticate${kind.name}`, serverKeyAuth, gone)).code).toBe(5);
    });

    test('of another user is in use', async () => {
      const id = kind.newId();
      const other = await enter(kind, kind.account(id));
      const { authorization } = await signIn(at.server);
      expect(await link(kind, authorization, kind.account(id))).toMatchObject({
        code: 6,
        message: `${kind.label} ID is already in use.`,
      });
      expect((await enter(kind, kind.account(id))).id).toBe(other.id);
    });

    test('is refused when the provider refuses it, linking as well as unlinking', async () => {
      const { authorization } = await signIn(at.server);
      expect(await link(kind, authorization, kind.bad)).toMatchObject(refused(kind.profile));
      expect(await unlink(kind, authorization, kind.bad)).toMatchObject(refused(kind.profile));
    });

    test('is unlinked by its credential, but not by another’s', async () => {
      const { authorization } = await signIn(at.server);
      const id = kind.newId();
      await link(kind, authorization, kind.account(id));
      expect(await unlink(kind, authorization, kind.account(kind.newId()))).toMatchObject(lastLink);
      expect(await get(authorization)).toMatchObject(kind.shown(id));
      expect(await unlink(kind, authorization, kind.account(id))).toMatchObject({ code: 0, response: {} });
      expect(JSON.stringify(await get(authorization))).not.toContain(id);
      expect(await unlink(kind, authorization, kind.account(id))).toMatchObject(lastLink);
    });

    test('#92 is unlinked without a credential, whether it is linked or not', async () => {
      const { authorization } = await signIn(at.server);
      const id = kind.newId();
      await link(kind, authorization, kind.account(id));
      for (let i = 0; i < 2; i++) expect(await unlink(kind, authorization)).toMatchObject({ code: 0, response: {} });
      expect(JSON.stringify(await get(authorization))).not.toContain(id);
      expect((await enter(kind, kind.account(id))).authorization).not.toBe(authorization);
    });

    test('#89 stays when it is the last', async () => {
      const id = kind.newId();
      const { authorization } = await enter(kind, kind.account(id));
      expect(await unlink(kind, authorization)).toMatchObject(lastLink);
      expect(await unlink(kind, authorization, kind.account(id))).toMatchObject(lastLink);
      await at.ok('LinkCustom', authorization, { id: unique('custom') });
      expect((await unlink(kind, authorization)).code).toBe(0);
      expect(await at.call('UnlinkCustom', authorization, {})).toMatchObject(lastLink);
    });

    test('lets everything else go', async () => {
      const { authorization, deviceId } = await signIn(at.server);
      await link(kind, authorization, kind.account(kind.newId()));
      expect((await at.call('UnlinkDevice', authorization, { id: deviceId })).code).toBe(0);
      expect(await unlink(kind, authorization)).toMatchObject(lastLink);
    });

    test('shows in update_time', async () => {
      const { authorization, id } = await signIn(at.server);
      const time = async () => JSON.stringify((await at.server.features.accounts.accounts.get(id)).update_time);
      const before = await time();
      await link(kind, authorization, kind.account(kind.newId()));
      const linked = await time();
      expect(linked).not.toBe(before);
      await unlink(kind, authorization);
      expect(await time()).not.toBe(linked);
    });

    test('of an account that is gone', async () => {
      const { authorization } = await signIn(at.server);
      await at.ok('DeleteAccount', authorization);
      // In the second in which it was made, the token outlives the account.
      const outcome = await link(kind, authorization, kind.account(kind.newId()));
      expect(outcome).toMatchObject({ code: 6, message: `${kind.label} ID is already in use.` });
      expect(await unlink(kind, authorization)).toMatchObject(lastLink);
    });

    test('is free again when the account is deleted', async () => {
      const id = kind.newId();
      const old = await enter(kind, kind.account(id));
      await at.server.features.erasure.erasure.deleteAccount(old.id);
      expect((await enter(kind, kind.account(id))).id).not.toBe(old.id);
    });
  });

  const withProfile = kinds.filter(({ name }) => ['Apple', 'Facebook', 'Google', 'Oidc'].includes(name));

  test.each(withProfile)('$name replaces the address, unless another user has it', async (kind) => {
    const { authorization } = await signIn(at.server);
    const [email, taken] = [`${unique('e')}@example.com`, `${unique('e')}@example.com`];
    await at.ok('AuthenticateEmail', serverKeyAuth, { account: { email: taken, password: 'password1' } });
    await at.ok('LinkEmail', authorization, { email: `${unique('e')}@example.com`, password: 'password1' });
    await link(kind, authorization, kind.account(kind.newId(), { email }));
    expect((await get(authorization)).email).toBe(email);
    expect((await link(kind, authorization, kind.account(kind.newId(), { email: taken }))).code).toBe(0);
    expect((await get(authorization)).email).toBe(email);
    await unlink(kind, authorization);
    expect((await get(authorization)).email).toBe(email);
  });

  test('an address that a provider brought is unlinked in any spelling, and counts as an identifier', async () => {
    const [apple] = kinds as [Kind];
    const email = `${unique('Mixed')}@Example.com`;
    const { authorization } = await enter(apple, apple.account(apple.newId(), { email }));
    expect((await unlink(apple, authorization)).code).toBe(0);
    expect(await at.call('UnlinkEmail', authorization, { email: email.toLowerCase() })).toMatchObject(lastLink);
    await link(apple, authorization, apple.account(apple.newId()));
    expect((await at.call('UnlinkEmail', authorization, { email: email.toLowerCase() })).code).toBe(0);
  });

  test.each(withProfile.slice(1))('$name fills in what is blank', async (kind) => {
    const { authorization } = await signIn(at.server);
    await at.ok('UpdateAccount', authorization, { display_name: 'Mine' });
    const claims = { name: 'Theirs', picture: 'https://example.com/p.png' };
    await link(kind, authorization, kind.account(kind.newId(), claims));
    const { user } = await get(authorization);
    expect(user).toMatchObject({ display_name: 'Mine', avatar_url: claims.picture });
    await unlink(kind, authorization);
    expect((await get(authorization)).user.avatar_url).toBe(claims.picture);
  });

  test('a former id of Play Games is linked as the one that it is now', async () => {
    const [former, id] = [unique('old'), unique('new')];
    const { authorization, id: userId } = await signIn(at.server);
    await at.ok('LinkGoogle', authorization, { token: fake.playGamesCode({ playerId: former }) });
    const moved = { playerId: id, originalPlayerId: former };
    const stranger = await signIn(at.server);
    expect(await at.call('LinkGoogle', stranger.authorization, { token: fake.playGamesCode(moved) })).toMatchObject({
      code: 6,
      message: 'Google ID is already in use.',
    });
    expect((await get(authorization)).user.google_id).toBe(id);
    const account = { token: fake.playGamesCode(moved) };
    const { token } = await at.ok('AuthenticateGoogle', serverKeyAuth, { account, create: false });
    expect(userOf({ response: { token } })).toBe(userId);
  });

  test('two OpenID providers stand side by side', async () => {
    const { authorization, deviceId } = await signIn(at.server);
    const claims = fake.keycloakClaims({ iss: 'https://sole.example.com/', uid: unique('uid') });
    const sole = { provider: 'sole', token: fake.sole.token(claims, { kid: undefined }) };
    const keycloak = { provider: 'keycloak', token: fake.keycloak[0].token(fake.keycloakClaims()) };
    for (const account of [keycloak, sole]) await at.ok('LinkOidc', authorization, account);
    expect((await get(authorization)).identities).toMatchObject([{ provider: 'keycloak' }, { provider: 'sole' }]);
    await at.ok('UnlinkDevice', authorization, { id: deviceId });
    await at.ok('UnlinkOidc', authorization, { provider: 'keycloak' });
    expect(await at.call('UnlinkOidc', authorization, { provider: 'sole' })).toMatchObject(lastLink);
    expect((await get(authorization)).identities).toMatchObject([{ provider: 'sole' }]);
  });

  test.each([
    ['LinkApple', {}, 'Apple ID token is required.'],
    ['LinkFacebook', {}, 'Facebook access token is required.'],
    ['LinkFacebook', { account: {} }, 'Facebook access token is required.'],
    ['LinkFacebookInstantGame', {}, 'Signed Player Info for a Facebook Instant Game is required.'],
    ['LinkGameCenter', {}, 'GameCenter bundle ID is required.'],
    ['LinkGoogle', {}, 'Google access token is required.'],
    ['LinkOidc', { provider: 'keycloak' }, 'OpenID token is required.'],
    ['LinkOidc', { token: 't' }, 'OpenID provider is required.'],
    ['UnlinkOidc', {}, 'OpenID provider is required.'],
    ['LinkSteam', {}, 'Steam access token is required.'],
    ['LinkSteam', { account: {} }, 'Steam access token is required.'],
  ])('%s %j', async (method, message, text) => {
    const { authorization } = await signIn(at.server);
    expect(await at.call(method, authorization, message)).toMatchObject({ code: 3, message: text });
  });

  test('a part of a Game Center player unlinks like none at all', async () => {
    const { authorization } = await signIn(at.server);
    await at.ok('LinkGameCenter', authorization, fake.gameCenterPlayer(unique('G:')));
    expect((await at.call('UnlinkGameCenter', authorization, { player_id: 'G:other', salt: 'x' })).code).toBe(0);
    expect((await get(authorization)).user).not.toHaveProperty('gamecenter_id');
  });
});

describeDoors('links to providers that are not set up', {}, (at) => {
  test.each([
    ['LinkApple', {}, 9, 'Apple authentication is not configured.'],
    ['UnlinkApple', { token: 't' }, 9, 'Apple authentication is not configured.'],
    ['LinkSteam', { account: { token: '' } }, 3, 'Steam access token is required.'],
    ['LinkSteam', { account: { token: 't' } }, 9, 'Steam authentication is not configured.'],
    ['UnlinkSteam', { token: 't' }, 9, 'Steam authentication is not configured.'],
    ['LinkOidc', { provider: 'x', token: '' }, 9, 'OpenID authentication is not configured.'],
    [
      '#50 LinkFacebookInstantGame',
      { signed_player_info: 'x' },
      16,
      'Could not authenticate Facebook Instant Game profile.',
    ],
  ])('%s %j', async (title, message, code, text) => {
    const { authorization } = await signIn(at.server);
    const method = title.replace(/^#\d+ /, '');
    expect(await at.call(method, authorization, message)).toMatchObject({ code, message: text });
  });

  test.each(['UnlinkApple', 'UnlinkSteam', 'UnlinkFacebook', 'UnlinkGoogle', 'UnlinkGameCenter'])(
    '%s without a credential clears what was linked when it still was set up',
    async (method) => {
      const { authorization } = await signIn(at.server);
      expect(await at.call(method, authorization, {})).toMatchObject({ code: 0, response: {} });
    },
  );

  test('an OpenID provider that is no longer set up is unlinked without a credential', async () => {
    const { authorization } = await signIn(at.server);
    expect(await at.call('UnlinkOidc', authorization, { provider: 'gone' })).toMatchObject({ code: 0, response: {} });
  });
});
