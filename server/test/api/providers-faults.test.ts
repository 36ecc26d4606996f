import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { request, serverKeyAuth } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import type { Fault } from '../../testing/stand-in.ts';
import { waitFor } from '../../testing/wait.ts';
import { FakeProviders, newSteamId, refused } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());
afterEach(() => fake.web.heal());

const day = 86_400_000;
const timeoutMs = 700;

/** Every sort of call to a provider: what fails, and a sign-in that needs it. Key sets are read anew each time. */
const calls: readonly [name: string, label: string, host: string, method: string, account: () => object][] = [
  [
    'keys of Apple',
    'Apple',
    'appleid.apple.com',
    'AuthenticateApple',
    () => ({ token: fake.apple[0].token(fake.appleClaims()) }),
  ],
  [
    'certificates of Google',
    'Google',
    'www.googleapis.com/oauth2',
    'AuthenticateGoogle',
    () => ({ token: fake.google[0].token(fake.googleClaims()) }),
  ],
  [
    'codes of Google',
    'Google',
    'oauth2.googleapis.com',
    'AuthenticateGoogle',
    () => ({ token: fake.playGamesCode({ playerId: unique('pg') }) }),
  ],
  [
    'players of Google',
    'Google',
    'www.googleapis.com/games',
    'AuthenticateGoogle',
    () => ({ token: fake.playGamesCode({ playerId: unique('pg') }) }),
  ],
  [
    'keys of Facebook',
    'Facebook',
    'limited.facebook.com',
    'AuthenticateFacebook',
    () => ({ token: fake.facebook[0].token(fake.facebookClaims()) }),
  ],
  [
    'players of Facebook',
    'Facebook',
    'graph.facebook.com',
    'AuthenticateFacebook',
    () => ({ token: fake.facebookToken({ id: unique('fb') }) }),
  ],
  ['Steam', 'Steam', 'partner.steam-api.com', 'AuthenticateSteam', () => ({ token: fake.steamTicket(newSteamId()) })],
  [
    'certificates of Game Center',
    'GameCenter',
    'static.gc.apple.com',
    'AuthenticateGameCenter',
    () => fake.gameCenterPlayer(unique('G:')),
  ],
  [
    'an OpenID configuration',
    'OpenID',
    'id.example.com/realms/game/.well-known',
    'AuthenticateOidc',
    () => ({ provider: 'keycloak', token: fake.keycloak[0].token(fake.keycloakClaims()) }),
  ],
  [
    'an OpenID key set',
    'OpenID',
    'id.example.com/realms/game/certs',
    'AuthenticateOidc',
    () => ({ provider: 'keycloak', token: fake.keycloak[0].token(fake.keycloakClaims()) }),
  ],
];

const patient = { ...fake.config, 'outbound.timeout_ms': timeoutMs, 'outbound.breaker_failures': 0 };

describeDoors('providers that fail', { config: patient, clock: fake.clock }, (at) => {
  const signIn = (method: string, account: object) => at.call(method, serverKeyAuth, { account });

  test.each<Fault>(['drop', 'garbage', 'huge', 'redirect', 500, 503, 429, 404, 204])('with %s', async (fault) => {
    // What was read before is of no use by then.
    fake.clock.advance(3 * day);
    for (const [, , host] of calls) fake.web.fault(host, fault);
    const outcomes = await Promise.all(calls.map(([, , , method, account]) => signIn(method, account())));
    expect(outcomes).toMatchObject(calls.map(([, label]) => refused(label)));
  });

  test.each<Fault>(['silent', 'slow'])('with %s, in time', async (fault) => {
    fake.web.fault('partner.steam-api.com', fault);
    const began = performance.now();
    expect(await signIn('AuthenticateSteam', { token: fake.steamTicket(newSteamId()) })).toMatchObject(
      refused('Steam'),
    );
    expectTimely(performance.now() - began);
  });

  test.each(calls)('%s: nobody who failed is remembered', async (_, label, host, method, account) => {
    fake.clock.advance(3 * day);
    fake.web.fault(host, 500);
    expect(await signIn(method, account())).toMatchObject(refused(label));
    fake.web.heal();
    expect((await signIn(method, account())).code).toBe(0);
  });

  test('no redirect is followed', async () => {
    fake.web.fault('partner.steam-api.com', 'redirect');
    const before = fake.web.calls('partner.steam-api.com');
    await signIn('AuthenticateSteam', { token: fake.steamTicket(newSteamId()) });
    expect(fake.web.calls('partner.steam-api.com')).toBe(before + 1);
  });

  test('limited logins of Facebook need no Graph API, and access tokens no keys', async () => {
    fake.clock.advance(3 * day);
    fake.web.fault('graph.facebook.com', 'silent');
    expect((await signIn('AuthenticateFacebook', { token: fake.facebook[0].token(fake.facebookClaims()) })).code).toBe(
      0,
    );
    fake.web.heal();
    fake.web.fault('limited.facebook.com', 'silent');
    fake.clock.advance(3 * day);
    expect((await signIn('AuthenticateFacebook', { token: fake.facebookToken({ id: unique('fb') }) })).code).toBe(0);
  });

  test('Facebook is not asked once more when the time is over', async () => {
    fake.clock.advance(3 * day);
    fake.web.fault('limited.facebook.com', 'silent');
    const before = fake.web.calls('graph.facebook.com');
    const account = { token: fake.facebook[0].token(fake.facebookClaims()) };
    expect(await signIn('AuthenticateFacebook', account)).toMatchObject(refused('Facebook'));
    expect(fake.web.calls('graph.facebook.com')).toBe(before);
  });

  test.each([
    [
      'another issuer',
      { issuer: 'https://id.example.com/realms/other', jwks_uri: 'https://id.example.com/realms/game/certs' },
    ],
    ['no issuer', { jwks_uri: 'https://id.example.com/realms/game/certs' }],
    ['no key set', { issuer: 'https://id.example.com/realms/game' }],
    ['a key set in a file', { issuer: 'https://id.example.com/realms/game', jwks_uri: 'file:///etc/passwd' }],
  ])('an OpenID configuration of %s is none', async (_, json) => {
    fake.clock.advance(3 * day);
    const page = 'id.example.com/realms/game/.well-known/openid-configuration';
    const usual = fake.web.page(page);
    fake.web.serve(page, () => ({ json }));
    try {
      const account = { provider: 'keycloak', token: fake.keycloak[0].token(fake.keycloakClaims()) };
      expect(await signIn('AuthenticateOidc', account)).toMatchObject(refused('OpenID'));
    } finally {
      fake.web.serve(page, usual);
    }
  });

  test('nothing of it was worth an error line', () => {
    expect(at.server.errors).toEqual([]);
  });
});

describe.each(serverKinds)('providers that do not answer, on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind, config: patient, clock: fake.clock });
  });
  afterAll(() => server?.stop());

  const paths: Record<string, string> = {
    AuthenticateApple: 'apple',
    AuthenticateFacebook: 'facebook',
    AuthenticateGameCenter: 'gamecenter',
    AuthenticateGoogle: 'google',
    AuthenticateOidc: 'oidc',
    AuthenticateSteam: 'steam',
  };

  test.each<Fault>(['silent', 'slow'])('with %s: all calls of a sign-in together have that time', async (fault) => {
    fake.clock.advance(3 * day);
    for (const [, , host] of calls) fake.web.fault(host, fault);
    const work = calls.map(async ([, label, , method, account]) => {
      const began = performance.now();
      const { body } = await request(server, 'POST', `/v2/account/authenticate/${paths[method]}`, {
        authorization: serverKeyAuth,
        body: account(),
      });
      expect(body).toEqual(refused(label));
      expectTimely(performance.now() - began);
    });
    await Promise.all(work);
  });
});

/** Given up when the time was over, and not some multiple of it later. */
function expectTimely(tookMs: number): void {
  expect(tookMs).toBeGreaterThan(timeoutMs / 2);
  expect(tookMs).toBeLessThan(5000);
}

const openMs = 1500;
const brittle = {
  ...fake.config,
  'outbound.timeout_ms': 5000,
  'outbound.breaker_failures': 3,
  'outbound.breaker_open_ms': openMs,
};

describe.each(serverKinds)('a provider that fails again and again, on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind, config: brittle, clock: fake.clock });
  });
  afterAll(() => server?.stop());

  const page = 'partner.steam-api.com/';
  const signIn = async (): Promise<number> => {
    const body = { token: fake.steamTicket(newSteamId()) };
    const { status } = await request(server, 'POST', '/v2/account/authenticate/steam', {
      authorization: serverKeyAuth,
      body,
    });
    return status;
  };

  test.each<Fault>([500, 'drop'])('with %s is left alone, refused at once, and tried again', async (fault) => {
    expect(await signIn()).toBe(200);
    expect(await signIn()).toBe(200);
    fake.web.fault(page, fault);
    const nodes = server.nodes.length;
    for (let i = 0; i < 3 * nodes; i++) expect(await signIn()).toBe(401);
    const before = fake.web.calls(page);
    const began = performance.now();
    for (let i = 0; i < 60; i++) expect(await signIn()).toBe(401);
    // At most one try of each node for each time that the breaker was open.
    const tries = nodes * Math.ceil((performance.now() - began) / openMs);
    expect(fake.web.calls(page) - before).toBeLessThanOrEqual(tries);
    expect(tries).toBeLessThan(60);

    // Others are as well as ever.
    const body = { token: fake.apple[0].token(fake.appleClaims()) };
    const apple = await request(server, 'POST', '/v2/account/authenticate/apple', {
      authorization: serverKeyAuth,
      body,
    });
    expect(apple.status).toBe(200);

    fake.web.heal();
    for (let i = 0; i < nodes; i++)
      await waitFor('the provider to be tried again', async () => (await signIn()) === 200);
    for (let i = 0; i < 2 * nodes; i++) expect(await signIn()).toBe(200);
  });

  test('refusing players is no failure', async () => {
    for (let i = 0; i < 20; i++) {
      const body = { token: 'UNKNOWN' };
      await request(server, 'POST', '/v2/account/authenticate/steam', { authorization: serverKeyAuth, body });
      await request(server, 'POST', '/v2/account/authenticate/facebook', { authorization: serverKeyAuth, body });
    }
    expect(await signIn()).toBe(200);
    const body = { token: fake.facebookToken({ id: unique('fb') }) };
    const reply = await request(server, 'POST', '/v2/account/authenticate/facebook', {
      authorization: serverKeyAuth,
      body,
    });
    expect(reply.status).toBe(200);
  });
});
