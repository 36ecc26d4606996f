import { createHmac } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, serverKeyAuth } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { Signer, tampered, unsignedToken } from '../../testing/signer.ts';
import { FakeProviders, issuers, refused, userOf } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

const strangers = { RSA: new Signer('stranger'), EC: new Signer('stranger', 'ES256') };

/** Providers whose tokens the server verifies itself. */
const kinds = [
  {
    name: 'Apple',
    method: 'AuthenticateApple',
    more: {},
    signers: fake.apple,
    claims: (more: object = {}) => fake.appleClaims(more),
    otherIssuer: 'https://accounts.google.com',
    needsExpiry: false,
  },
  {
    name: 'Facebook',
    method: 'AuthenticateFacebook',
    more: {},
    signers: fake.facebook,
    claims: (more: object = {}) => fake.facebookClaims(more),
    otherIssuer: 'https://limited.facebook.com',
    needsExpiry: false,
  },
  {
    name: 'Google',
    method: 'AuthenticateGoogle',
    more: {},
    signers: fake.google,
    claims: (more: object = {}) => fake.googleClaims(more),
    otherIssuer: 'accounts.google.com.example.com',
    needsExpiry: true,
  },
  {
    name: 'OpenID',
    method: 'AuthenticateOidc',
    more: { provider: 'keycloak' },
    signers: fake.keycloak,
    claims: (more: object = {}) => fake.keycloakClaims(more),
    otherIssuer: `${issuers.keycloak}/`,
    needsExpiry: true,
  },
] as const;

describeDoors('sign-in by token', { config: fake.config, clock: fake.clock }, (at) => {
  describe.each(kinds)('of $name', ({ name, method, more, signers, claims, otherIssuer, needsExpiry }) => {
    const [signer] = signers;
    const signIn = (token: string, rest: object = {}) =>
      at.call(method, serverKeyAuth, { account: { token, ...more }, ...rest });

    test('makes an account, and finds it again', async () => {
      const sub = unique('sub');
      const [vars, username] = [{ k: 'v' }, unique('name')];
      const account = { token: signer.token(claims({ sub })), ...more, vars };
      const first = await at.call(method, serverKeyAuth, { account, username });
      expect(first.response).toMatchObject({
        created: true,
        token: expect.any(String),
        refresh_token: expect.any(String),
      });
      expect(claimsOf(first.response.token)).toMatchObject({ usn: username, vrs: vars });
      const { user } = await at.ok('GetAccount', bearer(first.response.token));
      expect(user.username).toBe(username);
      const again = await signIn(signer.token(claims({ sub })), { username: 'ignored', create: false });
      expect(again.response).not.toHaveProperty('created');
      expect(userOf(again)).toBe(user.id);
    });

    test('finds nobody when none is to be made', async () => {
      expect(await signIn(signer.token(claims()), { create: false })).toMatchObject({
        code: 5,
        message: 'User account not found.',
      });
    });

    test('takes every key of the provider', async () => {
      for (const each of signers) expect((await signIn(each.token(claims()))).code).toBe(0);
    });

    test('refuses a username that is taken, before and after the token', async () => {
      const username = unique('taken');
      await signIn(signer.token(claims()), { username });
      expect(await signIn(signer.token(claims()), { username })).toMatchObject({
        code: 6,
        message: 'Username is already in use.',
      });
      expect(await signIn('a.b.c', { username: 'x[]' })).toMatchObject({
        code: 3,
        message: 'Username invalid, no spaces or control characters allowed.',
      });
    });

    test.each<[string, () => string]>([
      ['no token at all', () => 'nonsense'],
      ['three empty parts', () => '..'],
      ['parts that are no JSON', () => 'a.b.c'],
      ['a payload that was changed', () => tampered(signer.token(claims()), { sub: unique('other') })],
      ['a key of somebody else', () => strangers.RSA.token(claims(), { kid: signer.kid })],
      ['a key of another kind', () => strangers.EC.token(claims(), { kid: signer.kid })],
      ['a key that is unknown', () => strangers.RSA.token(claims())],
      ['no signature', () => unsignedToken({ alg: 'none', kid: signer.kid }, claims(), () => '')],
      ['a signature by the public key', () => confused(signer, claims(), 'pem')],
      ['a signature by the key set’s text', () => confused(signer, claims(), 'jwk')],
      ['an algorithm that the key is not for', () => signer.token(claims(), { alg: 'PS256' })],
      ['a critical header that nobody knows', () => signer.token(claims(), { crit: ['x'], x: 1 })],
      ['another issuer', () => signer.token(claims({ iss: otherIssuer }))],
      ['no issuer', () => signer.token(claims({ iss: undefined }))],
      ['an end that is over', () => signer.token(claims({ exp: fake.now - 60 }))],
      ['an end that is no time', () => signer.token(claims({ exp: 'tomorrow' }))],
      ['a beginning that is to come', () => signer.token(claims({ nbf: fake.now + 60 }))],
      ['no player', () => signer.token(claims({ sub: undefined }))],
      ['an empty player', () => signer.token(claims({ sub: '' }))],
      ['a player that is a number', () => signer.token(claims({ sub: 5 }))],
      ['a player that cannot be kept', () => signer.token(claims({ sub: 'x'.repeat(256) }))],
      ['a player with a NUL', () => signer.token(claims({ sub: 'a\0b' }))],
      ['more than any provider says', () => signer.token(claims({ padding: 'x'.repeat(20_000) }))],
    ])('refuses %s', async (_, token) => {
      expect(await signIn(token())).toMatchObject(refused(name));
    });

    test(needsExpiry ? 'refuses a token without an end' : 'takes a token without an end', async () => {
      const outcome = await signIn(signer.token(claims({ exp: undefined })));
      expect(outcome.code).toBe(needsExpiry ? 16 : 0);
    });

    test('refuses who is banned', async () => {
      const sub = unique('sub');
      const userId = userOf(await signIn(signer.token(claims({ sub }))));
      await at.server.features.accounts.accounts.ban([userId]);
      expect(await signIn(signer.token(claims({ sub })))).toMatchObject({ code: 7, message: 'User account banned.' });
    });
  });

  test.each(['AuthenticateApple', 'AuthenticateFacebook', 'AuthenticateGoogle'])(
    '%s takes tokens for any audience unless told otherwise',
    async (method) => {
      const kind = kinds.find((each) => each.method === method);
      const token = kind?.signers[0].token(kind.claims({ aud: 'another-game' }));
      expect((await at.call(method, serverKeyAuth, { account: { token } })).code).toBe(0);
    },
  );

  test.each([
    [
      'accounts.google.com',
      'AuthenticateGoogle',
      () => fake.google[0].token(fake.googleClaims({ iss: 'accounts.google.com' })),
    ],
    [
      'https://facebook.com',
      'AuthenticateFacebook',
      () => fake.facebook[0].token(fake.facebookClaims({ iss: 'https://facebook.com' })),
    ],
  ])('%s is an issuer, too', async (_, method, token) => {
    expect((await at.call(method, serverKeyAuth, { account: { token: token() } })).code).toBe(0);
  });

  test.each(['azp', 'aud', 'sub'])('Google tokens have to say %s, in text', async (claim) => {
    for (const value of [undefined, ['x'], 5]) {
      const token = fake.google[0].token(fake.googleClaims({ [claim]: value }));
      expect(await at.call('AuthenticateGoogle', serverKeyAuth, { account: { token } })).toMatchObject(
        refused('Google'),
      );
    }
  });

  test('any certificate of Google may have signed, whichever the token names', async () => {
    const [first, second] = fake.google;
    const token = second?.token(fake.googleClaims(), { kid: first.kid });
    expect((await at.call('AuthenticateGoogle', serverKeyAuth, { account: { token } })).code).toBe(0);
  });

  test.each([
    ['AuthenticateApple', 'Apple ID token is required.'],
    ['AuthenticateFacebook', 'Facebook access token is required.'],
    ['AuthenticateGoogle', 'Google access token is required.'],
  ])('#48 %s without a token', async (method, message) => {
    for (const request of [{ account: { token: '' } }, { account: {}, username: 'x[]' }]) {
      expect(await at.call(method, serverKeyAuth, request)).toMatchObject({ code: 3, message });
    }
  });

  test('nobody signs in with one provider’s player at another', async () => {
    const sub = unique('sub');
    await at.ok('AuthenticateApple', serverKeyAuth, {
      account: { token: fake.apple[0].token(fake.appleClaims({ sub })) },
    });
    const account = { token: fake.google[0].token(fake.googleClaims({ sub })) };
    expect((await at.call('AuthenticateGoogle', serverKeyAuth, { account, create: false })).code).toBe(5);
  });
});

const strict = {
  ...fake.config,
  'social.apple.audiences': ['com.example.game', 'com.example.web'],
  'social.facebook_limited_login.audiences': ['1234567890'],
  'social.google.audiences': ['web-client'],
};

describeDoors('sign-in by token, of certain audiences only', { config: strict, clock: fake.clock }, (at) => {
  test.each(kinds.slice(0, 3))('$name', async ({ name, method, signers, claims }) => {
    const signIn = (more: object = {}) =>
      at.call(method, serverKeyAuth, { account: { token: signers[0].token(claims(more)) } });
    expect((await signIn()).code).toBe(0);
    expect(await signIn({ aud: 'another-game' })).toMatchObject(refused(name));
    expect(await signIn({ aud: undefined })).toMatchObject(refused(name));
  });
});

const single = { ...fake.config, 'session.single_session': true };

describeDoors('sign-in by token, one session each', { config: single, clock: fake.clock }, (at) => {
  test.each(kinds)('#63 $name ends the session before', async ({ method, more, signers, claims }) => {
    const sub = unique('sub');
    const signIn = async () => {
      const account = { token: signers[0].token(claims({ sub })), ...more };
      return bearer((await at.ok(method, serverKeyAuth, { account })).token);
    };
    const first = await signIn();
    fake.clock.advance(1000);
    const second = await signIn();
    expect(await at.call('GetAccount', first)).toMatchObject({ code: 16, message: 'Auth token invalid' });
    expect((await at.call('GetAccount', second)).code).toBe(0);
  });
});

/** Signed with HMAC and what everybody knows as the secret. */
function confused(signer: Signer, claims: object, secret: 'pem' | 'jwk'): string {
  const key = secret === 'pem' ? signer.publicKey.export({ type: 'spki', format: 'pem' }) : JSON.stringify(signer.jwk);
  return unsignedToken({ alg: 'HS256', kid: signer.kid, typ: 'JWT' }, claims, (text) =>
    createHmac('sha256', key).update(text).digest('base64url'),
  );
}
