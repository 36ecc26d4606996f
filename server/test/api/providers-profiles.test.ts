import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { FakeProviders, refused, userOf } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

const newEmail = () => `${unique('e')}@example.com`;
const avatar = 'https://example.com/a.png';

describeDoors('what providers say of players', { config: fake.config, clock: fake.clock }, (at) => {
  const call = (method: string, token: string, more: object = {}) =>
    at.call(method, serverKeyAuth, { account: { token }, ...more });
  const enter = async (method: string, token: string, more: object = {}) => {
    const outcome = await call(method, token, more);
    expect(outcome).toMatchObject({ code: 0 });
    return { ...outcome.response, account: await at.ok('GetAccount', bearer(outcome.response.token)) };
  };
  const isAnImage = { data: { url: avatar, width: 50, height: 50 } };

  describe('Facebook', () => {
    test('an access token is looked up in the Graph API', async () => {
      const id = unique('fb');
      const email = newEmail();
      const token = fake.facebookToken({ id, name: 'Ann', email, picture: isAnImage });
      const first = await enter('AuthenticateFacebook', token);
      expect(first.created).toBe(true);
      expect(first.account).toMatchObject({
        email,
        user: { facebook_id: id, display_name: 'Ann', avatar_url: avatar },
      });
      const again = await enter('AuthenticateFacebook', fake.facebookToken({ id, name: 'Anna' }), { create: false });
      expect(again.account.user).toMatchObject({ id: first.account.user.id, display_name: 'Ann' });
    });

    test('needs no key set for access tokens', async () => {
      const before = fake.web.calls('limited.facebook.com');
      await enter('AuthenticateFacebook', fake.facebookToken({ id: unique('fb') }));
      expect(fake.web.calls('limited.facebook.com')).toBe(before);
    });

    test('a limited login and the Graph API name the same player', async () => {
      const sub = unique('fb');
      const claims = { sub, name: 'Ann', email: newEmail(), picture: avatar };
      const first = await enter('AuthenticateFacebook', fake.facebook[0].token(fake.facebookClaims(claims)));
      expect(first.account).toMatchObject({
        email: claims.email,
        user: { facebook_id: sub, display_name: 'Ann', avatar_url: avatar },
      });
      const token = fake.facebookToken({ id: sub, name: 'Ann' });
      expect((await enter('AuthenticateFacebook', token)).account.user.id).toBe(first.account.user.id);
    });

    test('what nobody knows is refused', async () => {
      expect(await call('AuthenticateFacebook', 'EAAunknown')).toMatchObject(refused('Facebook'));
      expect(await call('AuthenticateFacebook', fake.facebookToken({ name: 'nobody' }))).toMatchObject(
        refused('Facebook'),
      );
    });
  });

  describe('Google', () => {
    const token = (claims: object) => fake.google[0].token(fake.googleClaims(claims));

    test('a new account takes over name, picture and address', async () => {
      const claims = { sub: unique('g'), name: 'Bo', picture: avatar, email: newEmail() };
      const { account } = await enter('AuthenticateGoogle', token(claims));
      expect(account).toMatchObject({
        email: claims.email,
        user: { google_id: claims.sub, display_name: 'Bo', avatar_url: avatar },
      });
    });

    test('an existing account takes over what is blank, and nothing else', async () => {
      const sub = unique('g');
      const first = await enter('AuthenticateGoogle', token({ sub }));
      expect(first.account.user).not.toHaveProperty('display_name');
      const second = await enter('AuthenticateGoogle', token({ sub, name: 'Bo' }));
      expect(second.account.user).toMatchObject({ id: first.account.user.id, display_name: 'Bo' });
      const claims = { sub, name: 'Other', picture: avatar, email: newEmail() };
      const third = await enter('AuthenticateGoogle', token(claims));
      expect(third.account.user).toMatchObject({ display_name: 'Bo', avatar_url: avatar });
      expect(third.account).not.toHaveProperty('email');
    });

    test('a login that changes nothing does not count as an update', async () => {
      const claims = { sub: unique('g'), name: 'Bo', picture: avatar };
      const { account } = await enter('AuthenticateGoogle', token(claims));
      const time = async () => {
        const { update_time } = await at.server.features.accounts.accounts.get(account.user.id);
        return update_time;
      };
      const before = await time();
      await enter('AuthenticateGoogle', token(claims));
      expect(await time()).toEqual(before);
    });

    test('a code of Play Games is exchanged', async () => {
      const player = { playerId: unique('pg'), displayName: 'Cy', avatarImageUrl: avatar };
      const first = await enter('AuthenticateGoogle', fake.playGamesCode(player));
      expect(first.account.user).toMatchObject({ google_id: player.playerId, display_name: 'Cy', avatar_url: avatar });
      const again = await enter('AuthenticateGoogle', fake.playGamesCode(player), { create: false });
      expect(again.account.user.id).toBe(first.account.user.id);
    });

    test('codes that Google does not know are refused, and tokens are not tried as codes', async () => {
      expect(await call('AuthenticateGoogle', '4/unknown')).toMatchObject(refused('Google'));
      expect(await call('AuthenticateGoogle', fake.playGamesCode({ displayName: 'no id' }))).toMatchObject(
        refused('Google'),
      );
      const before = fake.web.calls('oauth2.googleapis.com');
      expect(await call('AuthenticateGoogle', 'a.b.c')).toMatchObject(refused('Google'));
      expect(fake.web.calls('oauth2.googleapis.com')).toBe(before);
    });

    test('whoever had another id in Play Games is found by it, and has the new one from then on', async () => {
      const [former, id] = [unique('old'), unique('new')];
      const first = await enter('AuthenticateGoogle', fake.playGamesCode({ playerId: former }));
      const moved = { playerId: id, originalPlayerId: former };
      const second = await enter('AuthenticateGoogle', fake.playGamesCode(moved), { create: false });
      expect(second.account.user).toMatchObject({ id: first.account.user.id, google_id: id });
      expect(second).not.toHaveProperty('created');
      expect((await call('AuthenticateGoogle', fake.playGamesCode({ playerId: former }), { create: false })).code).toBe(
        5,
      );
    });

    test('the account with the new id stands before the one with the old', async () => {
      const [former, id] = [unique('old'), unique('new')];
      const old = await enter('AuthenticateGoogle', fake.playGamesCode({ playerId: former }));
      const now = await enter('AuthenticateGoogle', fake.playGamesCode({ playerId: id }));
      const moved = { playerId: id, originalPlayerId: former };
      const { account } = await enter('AuthenticateGoogle', fake.playGamesCode(moved));
      expect(account.user.id).toBe(now.account.user.id);
      expect((await at.ok('GetAccount', bearer(old.token))).user.google_id).toBe(former);
    });
  });

  describe('Apple', () => {
    test('a new account takes over the address, and nothing else', async () => {
      const claims = { sub: unique('a'), email: newEmail(), name: 'Di', picture: avatar };
      const { account } = await enter('AuthenticateApple', fake.apple[0].token(fake.appleClaims(claims)));
      expect(account).toMatchObject({ email: claims.email, user: { apple_id: claims.sub } });
      expect(account.user).not.toHaveProperty('display_name');
      expect(account.user).not.toHaveProperty('avatar_url');
    });
  });

  const withEmail = [
    ['AuthenticateApple', (claims: object) => fake.apple[0].token(fake.appleClaims(claims))],
    ['AuthenticateFacebook', (claims: object) => fake.facebook[0].token(fake.facebookClaims(claims))],
    ['AuthenticateGoogle', (claims: object) => fake.google[0].token(fake.googleClaims(claims))],
  ] as const;

  test.each(withEmail)('%s leaves an address to whoever has it', async (method, token) => {
    const [email, password] = [newEmail(), 'password1'];
    await at.ok('AuthenticateEmail', serverKeyAuth, { account: { email, password } });
    const { account } = await enter(method, token({ email }));
    expect(account).not.toHaveProperty('email');
    expect((await at.call('AuthenticateEmail', serverKeyAuth, { account: { email, password } })).code).toBe(0);
  });

  test.each(withEmail)('%s takes an address over as it is spelled, without a password', async (method, token) => {
    const email = `${unique('Mixed')}@Example.com`;
    expect((await enter(method, token({ email }))).account.email).toBe(email);
    const plain = newEmail();
    await enter(method, token({ email: plain }));
    const account = { email: plain, password: 'password1' };
    expect(await at.call('AuthenticateEmail', serverKeyAuth, { account })).toMatchObject({
      code: 16,
      message: 'Invalid credentials.',
    });
  });

  test.each(withEmail)('%s leaves out what is too long, and what is no text', async (method, token) => {
    const long = {
      name: 'n'.repeat(256),
      picture: `https://example.com/${'p'.repeat(500)}`,
      email: `${'e'.repeat(255)}@x.de`,
    };
    const odd = { name: 5, picture: ['x'], email: { a: 1 } };
    for (const claims of [long, odd, { name: 'a\0b', picture: '\0', email: 'a\0@example.com' }]) {
      const { account } = await enter(method, token(claims));
      expect(account).not.toHaveProperty('email');
      expect(account.user).not.toHaveProperty('display_name');
      expect(account.user).not.toHaveProperty('avatar_url');
    }
  });

  test('names and pictures of the longest sort are kept', async () => {
    const claims = { name: 'ü'.repeat(127), picture: `https://example.com/${'p'.repeat(492)}` };
    const { account } = await enter('AuthenticateGoogle', fake.google[0].token(fake.googleClaims(claims)));
    expect(account.user).toMatchObject({ display_name: claims.name, avatar_url: claims.picture });
  });

  describe('OpenID', () => {
    const open = (claims: object, more: object = {}) => {
      const account = { provider: 'keycloak', token: fake.keycloak[0].token(fake.keycloakClaims(claims)) };
      return at.call('AuthenticateOidc', serverKeyAuth, { account, ...more });
    };
    const accountOf = async (outcome: { response: { token: string } }) =>
      at.ok('GetAccount', bearer(outcome.response.token));

    test('a new account takes over what the claims are mapped to', async () => {
      const claims = {
        sub: unique('k'),
        preferred_username: unique('kc'),
        name: 'Ed',
        email: newEmail(),
        picture: avatar,
      };
      const account = await accountOf(await open(claims));
      expect(account).toMatchObject({
        email: claims.email,
        identities: [{ provider: 'keycloak', id: claims.sub }],
        user: { username: claims.preferred_username, display_name: 'Ed', avatar_url: avatar },
      });
    });

    test('a name that is taken, or none at all, is replaced; one that was asked for is not', async () => {
      const { username } = await signIn(at.server, { username: unique('taken') });
      for (const preferred_username of [username, 'x[]', '', 'u'.repeat(129), 5]) {
        const { user } = await accountOf(await open({ preferred_username }));
        expect(user.username).toMatch(/^[a-zA-Z]{10}$/);
      }
      const mine = unique('mine');
      expect(
        (await accountOf(await open({ preferred_username: unique('kc') }, { username: mine }))).user.username,
      ).toBe(mine);
      expect(await open({}, { username })).toMatchObject({ code: 6, message: 'Username is already in use.' });
    });

    test('an address that the provider has not verified is left out', async () => {
      const email = newEmail();
      expect(await accountOf(await open({ email, email_verified: false }))).not.toHaveProperty('email');
      expect(await accountOf(await open({ email, email_verified: true }))).toMatchObject({ email });
    });

    test.each<[string, object]>([
      ['another audience', { aud: 'another-game' }],
      ['no audience', { aud: undefined }],
      ['audiences without ours', { aud: ['a', 'b'] }],
    ])('%s is refused', async (_, claims) => {
      expect(await open(claims)).toMatchObject(refused('OpenID'));
    });

    test('ours may be one of several audiences', async () => {
      expect((await open({ aud: ['a', 'game-web'] })).code).toBe(0);
    });

    test('an elliptic key will do', async () => {
      const account = { provider: 'keycloak', token: fake.keycloak[1]?.token(fake.keycloakClaims()) };
      expect((await at.call('AuthenticateOidc', serverKeyAuth, { account })).code).toBe(0);
    });

    test('a provider with one key that has no name, at an address of its own, and other claims', async () => {
      const claims = {
        ...fake.keycloakClaims({ iss: 'https://sole.example.com/', sub: 'x', uid: unique('uid') }),
        nick: 'Fi',
      };
      const token = fake.sole.token({ ...claims, email: newEmail() }, { kid: undefined });
      const outcome = await at.call('AuthenticateOidc', serverKeyAuth, { account: { provider: 'sole', token } });
      const account = await accountOf(outcome);
      expect(account).toMatchObject({ identities: [{ provider: 'sole' }], user: { display_name: 'Fi' } });
      expect(account).not.toHaveProperty('email');
      const other = { provider: 'sole', token: fake.sole.token({ ...claims, uid: unique('uid') }, { kid: undefined }) };
      const second = await at.call('AuthenticateOidc', serverKeyAuth, { account: other });
      expect(userOf(second)).not.toBe(account.user.id);
    });

    test('one subject at two providers is two players', async () => {
      const sub = unique('same');
      const first = await open({ sub });
      const claims = fake.keycloakClaims({ iss: 'https://sole.example.com/', uid: sub });
      const account = { provider: 'sole', token: fake.sole.token(claims, { kid: undefined }) };
      const second = await at.call('AuthenticateOidc', serverKeyAuth, { account });
      expect(second.response.created).toBe(true);
      expect(userOf(second)).not.toBe(userOf(first));
    });

    test('a token of one provider is none of another, and an unknown one takes none', async () => {
      const token = fake.keycloak[0].token(fake.keycloakClaims());
      const enterAs = (provider: string) =>
        at.call('AuthenticateOidc', serverKeyAuth, { account: { provider, token } });
      expect(await enterAs('sole')).toMatchObject(refused('OpenID'));
      for (const name of ['other', '__proto__']) {
        expect(await enterAs(name)).toMatchObject({ code: 9, message: 'OpenID authentication is not configured.' });
      }
      expect(await enterAs('')).toMatchObject({ code: 3, message: 'OpenID provider is required.' });
      const account = { provider: 'keycloak', token: '' };
      expect(await at.call('AuthenticateOidc', serverKeyAuth, { account })).toMatchObject({
        code: 3,
        message: 'OpenID token is required.',
      });
    });
  });
});
