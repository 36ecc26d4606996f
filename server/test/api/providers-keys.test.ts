import { beforeEach, describe, expect, test } from 'vitest';
import { request, serverKeyAuth } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { Signer } from '../../testing/signer.ts';
import { FakeProviders } from './providers-support.ts';

const minute = 60_000;
const hour = 60 * minute;

// The stand-in counts how often it is asked, and every node asks for itself: each test starts nodes of its own.
describe.each(serverKinds)('keys of providers on %s', (kind) => {
  let fake: FakeProviders;
  let server: TestServer;

  beforeEach(async () => {
    fake = await FakeProviders.start();
    server = await startTestServer({ kind, config: fake.config, clock: fake.clock });
    return async () => {
      await server.stop();
      await fake.web.stop();
    };
  });

  const signIn = async (path: string, body: object): Promise<number> =>
    (await request(server, 'POST', `/v2/account/authenticate/${path}`, { authorization: serverKeyAuth, body })).status;
  /** Signs in that way on every node. */
  const everywhere = async (path: string, makeBody: () => object): Promise<number[]> => {
    const statuses: number[] = [];
    for (const _ of server.nodes) statuses.push(await signIn(path, makeBody()));
    return [...new Set(statuses)];
  };
  const appleToken = (signer: Signer) => () => ({ token: signer.token(fake.appleClaims()) });

  const sets = [
    {
      name: 'Apple',
      path: 'apple',
      page: 'appleid.apple.com/auth/keys',
      signers: () => fake.apple,
      body: (signer: Signer) => ({ token: signer.token(fake.appleClaims()) }),
    },
    {
      name: 'Facebook',
      path: 'facebook',
      page: 'limited.facebook.com/',
      signers: () => fake.facebook,
      body: (signer: Signer) => ({ token: signer.token(fake.facebookClaims()) }),
    },
    {
      name: 'Google',
      path: 'google',
      page: 'www.googleapis.com/oauth2/v1/certs',
      signers: () => fake.google,
      body: (signer: Signer) => ({ token: signer.token(fake.googleClaims()) }),
    },
    {
      name: 'OpenID',
      path: 'oidc',
      page: 'id.example.com/realms/game/certs',
      signers: () => fake.keycloak,
      body: (signer: Signer) => ({ provider: 'keycloak', token: signer.token(fake.keycloakClaims()) }),
    },
  ];

  test.each(sets)('$name: one reading serves everybody', async ({ path, page, signers, body }) => {
    const bodies = Array.from({ length: 20 }, () => body(signers()[0]));
    const statuses = await Promise.all(bodies.map((each) => signIn(path, each)));
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(fake.web.calls(page)).toBe(server.nodes.length);
    await everywhere(path, () => body(signers()[0]));
    expect(fake.web.calls(page)).toBe(server.nodes.length);
  });

  test.each(sets)('$name: a new key is taken when it shows up, and one that is gone no longer', async (provider) => {
    const { path, page, signers, body } = provider;
    const [old] = signers();
    expect(await everywhere(path, () => body(old))).toEqual([200]);
    const next = new Signer('next');
    signers().splice(0, signers().length, next);
    // Right after a reading there is no other, however many tokens ask for one.
    for (let i = 0; i < 5; i++) expect(await everywhere(path, () => body(next))).toEqual([401]);
    expect(fake.web.calls(page)).toBe(server.nodes.length);
    fake.clock.advance(minute);
    expect(await everywhere(path, () => body(next))).toEqual([200]);
    expect(await everywhere(path, () => body(old))).toEqual([401]);
    expect(fake.web.calls(page)).toBe(2 * server.nodes.length);
  });

  test.each([
    ['Apple', hour],
    ['Facebook', hour],
    ['OpenID', hour],
    // An hour before the certificates expire, which they do in two days.
    ['Google', 47 * hour],
  ])('%s: is asked again after %d ms', async (name, freshMs) => {
    const provider = sets.find((each) => each.name === name);
    if (provider === undefined) throw new Error('no such provider');
    const { path, page, signers, body } = provider;
    const enter = () => everywhere(path, () => body(signers()[0]));
    await enter();
    fake.clock.advance(freshMs - minute);
    expect(await enter()).toEqual([200]);
    expect(fake.web.calls(page)).toBe(server.nodes.length);
    fake.clock.advance(minute + 1000);
    expect(await enter()).toEqual([200]);
    expect(fake.web.calls(page)).toBe(2 * server.nodes.length);
  });

  test('tokens that name keys at random make no calls of their own', async () => {
    const [apple] = fake.apple;
    expect(await everywhere('apple', appleToken(apple))).toEqual([200]);
    fake.clock.advance(minute);
    const stranger = new Signer('stranger');
    const tokens = Array.from({ length: 50 }, () => stranger.token(fake.appleClaims(), { kid: unique('kid') }));
    const statuses = await Promise.all(tokens.map((token) => signIn('apple', { token })));
    expect(new Set(statuses)).toEqual(new Set([401]));
    // One for the first of them, on each node.
    expect(fake.web.calls('appleid.apple.com/auth/keys')).toBe(2 * server.nodes.length);
  });

  test('keys serve on for a day while the provider is away', async () => {
    const [apple] = fake.apple;
    expect(await everywhere('apple', appleToken(apple))).toEqual([200]);
    fake.web.fault('appleid.apple.com', 500);
    for (const ms of [2 * hour, 20 * hour]) {
      fake.clock.advance(ms);
      expect(await everywhere('apple', appleToken(apple))).toEqual([200]);
    }
    fake.clock.advance(3 * hour);
    expect(await everywhere('apple', appleToken(apple))).toEqual([401]);
    fake.web.heal();
    expect(await everywhere('apple', appleToken(apple))).toEqual([200]);
  });

  test.each<[string, unknown]>([
    ['no keys', { keys: [] }],
    ['no list', { keys: 'x' }],
    ['a list in place of an object', []],
    ['too many keys', { keys: Array.from({ length: 65 }, () => ({ kty: 'RSA', kid: 'apple-1' })) }],
    ['a secret key', { keys: [{ kty: 'oct', kid: 'apple-1', k: 'c2VjcmV0' }] }],
    ['a key that is none', { keys: [{ kty: 'RSA', kid: 'apple-1', n: 'x', e: 'y' }] }],
  ])('a key set of %s signs nobody in, until it is right', async (_, json) => {
    const { apple } = fake;
    fake.web.serve('appleid.apple.com/auth/keys', () => ({ json }));
    expect(await everywhere('apple', appleToken(apple[0]))).toEqual([401]);
    fake.web.serve('appleid.apple.com/auth/keys', () => ({ json: { keys: apple.map(({ jwk }) => jwk) } }));
    fake.clock.advance(2 * hour);
    expect(await everywhere('apple', appleToken(apple[0]))).toEqual([200]);
  });

  test('a key that is for encryption signs nobody in', async () => {
    const [apple] = fake.apple;
    fake.web.serve('appleid.apple.com/auth/keys', () => ({
      json: { keys: fake.apple.map(({ jwk }) => ({ ...jwk, use: 'enc' })) },
    }));
    expect(await everywhere('apple', appleToken(apple))).toEqual([401]);
  });

  test('the certificate of Game Center is read once an hour', async () => {
    const enter = () => everywhere('gamecenter', () => fake.gameCenterPlayer(unique('player')));
    const page = 'static.gc.apple.com/';
    expect(await enter()).toEqual([200]);
    expect(await enter()).toEqual([200]);
    expect(fake.web.calls(page)).toBe(server.nodes.length);
    fake.clock.advance(hour);
    expect(await enter()).toEqual([200]);
    expect(fake.web.calls(page)).toBe(2 * server.nodes.length);
  });
});
