import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, request, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { serverKinds, startTestServer } from '../../testing/server.ts';
import { waitFor } from '../../testing/wait.ts';
import { FakeProviders, newSteamId, refused } from './providers-support.ts';

const fake = await FakeProviders.start();
afterAll(() => fake.web.stop());
afterEach(() => fake.web.heal());

interface Kind {
  readonly name: 'Facebook' | 'Steam';
  readonly list: string;
  readonly newId: () => string;
  /** A credential of the player who has these friends; null for friends that are nobody's business. */
  readonly token: (id: string, friends?: string[] | null) => string;
}

const kinds: readonly Kind[] = [
  {
    name: 'Facebook',
    list: 'graph.facebook.com/v22.0/me/friends',
    newId: () => unique('fb'),
    token: (id, friends) => fake.facebookToken({ id, name: id }, friends ?? []),
  },
  {
    name: 'Steam',
    list: 'partner.steam-api.com/ISteamUser/GetFriendList',
    newId: newSteamId,
    token: (id, friends = []) => fake.steamTicket(id, friends),
  },
];

describeDoors('friends from providers', { config: fake.config, clock: fake.clock }, (at) => {
  const enter = async ({ name }: Kind, token: string, more: object = {}) => {
    const reply = await at.ok(`Authenticate${name}`, serverKeyAuth, { account: { token }, ...more });
    return { id: claimsOf(reply.token).uid as string, authorization: bearer(reply.token) };
  };
  const friendsOf = async (
    authorization: string,
  ): Promise<{ user: { id: string }; state: number; metadata: string }[]> =>
    (await at.ok('ListFriends', authorization)).friends ?? [];
  const statesOf = async (authorization: string) =>
    Object.fromEntries((await friendsOf(authorization)).map(({ user, state }) => [user.id, state]));
  /** Players of that provider, with their ids there. */
  const players = async (kind: Kind, count: number) => {
    const ids = Array.from({ length: count }, kind.newId);
    return Promise.all(ids.map(async (id) => ({ ...(await enter(kind, kind.token(id))), providerId: id })));
  };

  describe.each(kinds)('$name', (kind) => {
    const importing = (authorization: string, token: string, more: object = {}) =>
      at.call(`Import${kind.name}Friends`, authorization, { account: { token }, ...more });

    test('are imported when asked for, over all pages, and told', async () => {
      const others = await players(kind, 5);
      const ids = others.map(({ providerId }) => providerId);
      const { authorization, id } = await signIn(at.server);
      const token = kind.token(kind.newId(), [...ids, kind.newId()]);
      expect(await importing(authorization, token)).toMatchObject({ code: 0, response: {} });
      expect(await statesOf(authorization)).toEqual(Object.fromEntries(others.map((other) => [other.id, 0])));
      for (const other of others) {
        const [own] = await friendsOf(other.authorization);
        expect(own).toMatchObject({ user: { id }, state: 0, metadata: `{"provider": "${kind.name.toLowerCase()}"}` });
        const { notifications } = await at.ok('ListNotifications', other.authorization, { limit: 10 });
        expect(notifications).toMatchObject([{ code: -6, sender_id: id, persistent: true }]);
      }
    });

    test('end all others when that is asked for, also when there are none', async () => {
      const [old, next] = await players(kind, 2);
      const { authorization } = await signIn(at.server);
      const tokenFor = (...friends: (typeof old)[]) =>
        kind.token(
          kind.newId(),
          friends.map((friend) => friend?.providerId ?? ''),
        );
      await importing(authorization, tokenFor(old));
      await importing(authorization, tokenFor(next));
      expect(Object.keys(await statesOf(authorization)).sort()).toEqual([old?.id, next?.id].sort());
      await importing(authorization, tokenFor(next), { reset: true });
      expect(await statesOf(authorization)).toEqual({ [next?.id ?? '']: 0 });
      await importing(authorization, tokenFor());
      expect(await statesOf(authorization)).toEqual({ [next?.id ?? '']: 0 });
      await importing(authorization, tokenFor(), { reset: true });
      expect(await statesOf(authorization)).toEqual({});
    });

    test('social #25 need a token, and one that the provider takes', async () => {
      const { authorization } = await signIn(at.server);
      const message = `${kind.name} token is required.`;
      expect(await importing(authorization, '')).toMatchObject({ code: 3, message });
      expect(await at.call(`Import${kind.name}Friends`, authorization, {})).toMatchObject({ code: 3, message });
      expect(await importing(authorization, 'UNKNOWN')).toMatchObject(refused(kind.name));
      expect(await importing(authorization, 'x'.repeat(20_000))).toMatchObject(refused(kind.name));
    });

    test('are left as they are when the provider fails', async () => {
      const [old] = await players(kind, 1);
      const { authorization } = await signIn(at.server);
      await importing(authorization, kind.token(kind.newId(), [old?.providerId ?? '']));
      const token = kind.token(kind.newId(), []);
      for (const fault of ['garbage', 500, 'drop'] as const) {
        fake.web.heal();
        fake.web.fault(kind.list, fault);
        expect(await importing(authorization, token, { reset: true })).toMatchObject(refused(kind.name));
      }
      expect(await statesOf(authorization)).toEqual({ [old?.id ?? '']: 0 });
    });

    test('come with a login when it says so', async () => {
      const [other] = await players(kind, 1);
      const token = () => kind.token(kind.newId(), [other?.providerId ?? '']);
      const before = fake.web.calls(kind.list);
      for (const more of [{}, { sync: false }]) await enter(kind, token(), more);
      expect(fake.web.calls(kind.list)).toBe(before);
      const { authorization } = await enter(kind, token(), { sync: true });
      await waitFor('the friend', async () => (await statesOf(authorization))[other?.id ?? ''] === 0);
    });

    test('come with a link unless it says otherwise', async () => {
      const [other] = await players(kind, 1);
      const link = async (more: object) => {
        const { authorization } = await signIn(at.server);
        const account = { token: kind.token(kind.newId(), [other?.providerId ?? '']) };
        await at.ok(`Link${kind.name}`, authorization, { account, ...more });
        return authorization;
      };
      // LinkSteam has `sync` in its body, which tells it from no value at all.
      const before = fake.web.calls(kind.list);
      const without = await link({ sync: false });
      expect(fake.web.calls(kind.list)).toBe(before);
      const authorization = await link({});
      await waitFor('the friend', async () => (await statesOf(authorization))[other?.id ?? ''] === 0);
      expect(await statesOf(without)).toEqual({});
    });

    test('keep no login and no link waiting', async () => {
      fake.web.fault(kind.list, 'silent');
      const began = performance.now();
      await enter(kind, kind.token(kind.newId(), []), { sync: true });
      const { authorization } = await signIn(at.server);
      await at.ok(`Link${kind.name}`, authorization, { account: { token: kind.token(kind.newId(), []) } });
      // A provider may take five seconds.
      expect(performance.now() - began).toBeLessThan(4500);
      await waitFor('both lists to be asked for', () => fake.web.calls(kind.list) >= 2);
    });

    test('fail no login', async () => {
      for (const fault of ['garbage', 500] as const) {
        fake.web.heal();
        fake.web.fault(kind.list, fault);
        await enter(kind, kind.token(kind.newId(), []), { sync: true });
      }
    });
  });

  const [facebook, steam] = kinds as [Kind, Kind];

  test('a limited login of Facebook tells no friends', async () => {
    const before = fake.web.calls(facebook.list);
    const token = () => fake.facebook[0].token(fake.facebookClaims());
    await enter(facebook, token(), { sync: true });
    const { authorization } = await signIn(at.server);
    await at.ok('LinkFacebook', authorization, { account: { token: token() } });
    expect(fake.web.calls(facebook.list)).toBe(before);
  });

  test('friends on Steam that are private are none', async () => {
    const [old] = await players(steam, 1);
    const { authorization } = await signIn(at.server);
    const importing = (friends: string[] | null, more: object = {}) =>
      at.ok('ImportSteamFriends', authorization, { account: { token: steam.token(newSteamId(), friends) }, ...more });
    await importing([old?.providerId ?? '']);
    await importing(null);
    expect(await statesOf(authorization)).toEqual({ [old?.id ?? '']: 0 });
    await importing(null, { reset: true });
    expect(await statesOf(authorization)).toEqual({});
  });

  test('whoever blocked the other is left out', async () => {
    const [blocked, blocking] = await players(steam, 2);
    const { authorization, id } = await signIn(at.server);
    await at.ok('BlockFriends', authorization, { ids: [blocked?.id] });
    await at.ok('BlockFriends', blocking?.authorization ?? '', { ids: [id] });
    const token = steam.token(newSteamId(), [blocked?.providerId ?? '', blocking?.providerId ?? '']);
    await at.ok('ImportSteamFriends', authorization, { account: { token } });
    expect(await statesOf(authorization)).toEqual({ [blocked?.id ?? '']: 3 });
  });

  test('#113 a body that says `sync` is not refused', async () => {
    const account = { token: steam.token(newSteamId()), sync: true };
    const reply = await request(at.server, 'POST', '/v2/account/authenticate/steam', {
      authorization: serverKeyAuth,
      body: account,
    });
    expect(reply.status).toBe(200);
  });

  test('nothing of it was worth an error line', () => {
    expect(at.server.errors).toEqual([]);
  });
});

describeDoors('friends from providers that are not set up', {}, (at) => {
  test('social #25 Steam', async () => {
    const { authorization } = await signIn(at.server);
    expect(await at.call('ImportSteamFriends', authorization, {})).toMatchObject({
      code: 9,
      message: 'Steam authentication is not configured.',
    });
  });
});

describe.each(serverKinds)('many imports on %s', (kind) => {
  const config = {
    ...fake.config,
    'limits.friend_imports_concurrent': 1,
    'limits.friend_imports_queued': 1,
    'outbound.timeout_ms': 2000,
    'outbound.breaker_failures': 0,
  };
  const [, steam] = kinds as [Kind, Kind];

  test('wait for each other, up to a limit, and hold up neither logins nor the end', async () => {
    const server = await startTestServer({ kind, config, clock: fake.clock });
    const enter = async (friends: string[]) => {
      const { status, body } = await request(server, 'POST', '/v2/account/authenticate/steam?sync=true', {
        authorization: serverKeyAuth,
        body: { token: steam.token(newSteamId(), friends) },
      });
      expect(status).toBe(200);
      return bearer(body.token);
    };
    const other = newSteamId();
    await request(server, 'POST', '/v2/account/authenticate/steam', {
      authorization: serverKeyAuth,
      body: { token: steam.token(other) },
    });
    const before = fake.web.calls(steam.list);
    fake.web.fault(steam.list, 'silent');
    for (let i = 0; i < 6 * server.nodes.length; i++) await enter([]);
    fake.web.heal();
    // Soon there is room again.
    const isFriend = async (): Promise<boolean> => {
      const authorization = await enter([other]);
      const { body } = await request(server, 'GET', '/v2/friend', { authorization });
      return body.friends?.length === 1;
    };
    await waitFor('an import to get its turn', isFriend);
    expect(fake.web.calls(steam.list) - before).toBeGreaterThanOrEqual(2);
    fake.web.fault(steam.list, 'silent');
    await enter([]);
    const began = performance.now();
    await server.stop();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(server.errors).toEqual([]);
  });
});
