import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { FakeProviders, newSteamId } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());

const parallel = 20;

/** Paths of the API, and as many credentials as wanted for one player. */
const kinds: readonly [path: string, player: () => () => object][] = [
  ['apple', () => repeated((sub) => ({ token: fake.apple[0].token(fake.appleClaims({ sub })) }))],
  ['facebook', () => repeated((sub) => ({ token: fake.facebook[0].token(fake.facebookClaims({ sub })) }))],
  ['facebookinstantgame', () => repeated((id) => ({ signed_player_info: instant(id) }))],
  ['gamecenter', () => repeated((id) => fake.gameCenterPlayer(id))],
  ['google', () => repeated((sub) => ({ token: fake.google[0].token(fake.googleClaims({ sub, name: sub })) }))],
  [
    'oidc',
    () =>
      repeated((sub) => ({
        provider: 'keycloak',
        token: fake.keycloak[0].token(fake.keycloakClaims({ sub, preferred_username: sub })),
      })),
  ],
  ['steam', () => repeated((id) => ({ token: fake.steamTicket(id) }), newSteamId())],
];

const repeated = (make: (id: string) => object, id = unique('p')) => {
  return () => make(id);
};
const instant = (player_id: string): string => fake.instantPlayer({ algorithm: 'HMAC-SHA256', player_id });

describe.each(serverKinds)('at the same time on %s', (kind) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ kind, config: fake.config, clock: fake.clock });
  });
  afterAll(() => server?.stop());

  const post = (path: string, authorization: string, body: object) =>
    request(server, 'POST', `/v2/account/${path}`, { authorization, body });
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
  const linkBody = (path: string, account: object) => (path === 'steam' ? { account } : account);

  test.each(kinds)('first sign-ins by %s: all succeed as one user, made once', async (path, player) => {
    for (const query of ['', `?username=${unique('name')}`]) {
      const account = player();
      const replies = await Promise.all(
        times(parallel, () => post(`authenticate/${path}${query}`, serverKeyAuth, account())),
      );
      expect(replies.map(({ status, text }) => (status === 200 ? '' : text)).filter((text) => text !== '')).toEqual([]);
      expect(new Set(replies.map(({ body }) => claimsOf(body.token).uid)).size).toBe(1);
      expect(replies.filter(({ body }) => body.created === true)).toHaveLength(1);
    }
  });

  test.each(kinds)('links of one %s player to two users: one gets it', async (path, player) => {
    for (let round = 0; round < 5; round++) {
      const account = player();
      const users = await Promise.all([signIn(server), signIn(server)]);
      const replies = await Promise.all(
        users.map(({ authorization }) => post(`link/${path}`, authorization, linkBody(path, account()))),
      );
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 409]);
    }
  });

  test.each(kinds)('links of one %s player to one user, many times: all succeed', async (path, player) => {
    const { authorization } = await signIn(server);
    const account = player();
    const replies = await Promise.all(
      times(parallel, () => post(`link/${path}`, authorization, linkBody(path, account()))),
    );
    expect(replies.map(({ text }) => text)).toEqual(times(parallel, () => '{}'));
  });

  test.each(kinds)('a link and a first sign-in by %s: the player is one of the two', async (path, player) => {
    for (let round = 0; round < 5; round++) {
      const account = player();
      const user = await signIn(server);
      const [linked, signedIn] = await Promise.all([
        post(`link/${path}`, user.authorization, linkBody(path, account())),
        post(`authenticate/${path}`, serverKeyAuth, account()),
      ]);
      expect(signedIn.status).toBe(200);
      const owner = claimsOf(signedIn.body.token).uid;
      expect(linked.status).toBe(owner === user.id ? 200 : 409);
      const again = await post(`authenticate/${path}`, serverKeyAuth, account());
      expect(claimsOf(again.body.token).uid).toBe(owner);
    }
  });

  test.each(kinds)('unlinks of %s and of a device, the last two: one stays', async (path, player) => {
    for (let round = 0; round < 5; round++) {
      const { authorization, deviceId } = await signIn(server);
      await post(`link/${path}`, authorization, linkBody(path, player()()));
      const replies = await Promise.all([
        post('unlink/device', authorization, { id: deviceId }),
        post(`unlink/${path}`, authorization, path === 'oidc' ? { provider: 'keycloak' } : {}),
      ]);
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 403]);
    }
  });

  test('new players with one address: one gets it', async () => {
    const email = `${unique('e')}@example.com`;
    const replies = await Promise.all(
      times(parallel, () =>
        post('authenticate/google', serverKeyAuth, { token: fake.google[0].token(fake.googleClaims({ email })) }),
      ),
    );
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    const accounts = await Promise.all(
      replies.map(({ body }) => request(server, 'GET', '/v2/account', { authorization: `Bearer ${body.token}` })),
    );
    expect(accounts.filter(({ body }) => body.email === email)).toHaveLength(1);
  });

  test('players whose provider suggests one name: one gets it, the others another', async () => {
    const preferred_username = unique('wanted');
    const replies = await Promise.all(
      times(parallel, () => {
        const token = fake.keycloak[0].token(fake.keycloakClaims({ preferred_username }));
        return post('authenticate/oidc', serverKeyAuth, { provider: 'keycloak', token });
      }),
    );
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    const names = replies.map(({ body }) => claimsOf(body.token).usn);
    expect(new Set(names).size).toBe(parallel);
    expect(names).toContain(preferred_username);
  });

  test('moves of one former id of Play Games: all find the account', async () => {
    const [former, id] = [unique('old'), unique('new')];
    const first = await post('authenticate/google', serverKeyAuth, { token: fake.playGamesCode({ playerId: former }) });
    const replies = await Promise.all(
      times(parallel, () => {
        const token = fake.playGamesCode({ playerId: id, originalPlayerId: former });
        return post('authenticate/google?create=false', serverKeyAuth, { token });
      }),
    );
    const users = new Set(replies.map(({ body }) => claimsOf(body.token).uid));
    expect(users).toEqual(new Set([claimsOf(first.body.token).uid]));
  });

  test('nothing of it was worth an error line', () => {
    expect(server.errors).toEqual([]);
  });
});
