import { describe, expect, test } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, type Player, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const tokenInvalid = { code: 16, message: 'Auth token invalid' };
const refreshInvalid = { code: 16, message: 'Refresh token invalid or expired.' };
const second = 1000;

const clock = new TestClock();

describeDoors('tokens', { clock }, (at) => {
  const refresh = (token: string, vars?: object) =>
    at.call('SessionRefresh', serverKeyAuth, { token, ...(vars && { vars }) });
  const logout = (player: Player, message: object) => at.call('SessionLogout', player.authorization, message);
  const getAccount = (token: string) => at.call('GetAccount', bearer(token));
  const signInWithVars = async (vars: object) => {
    const session = await at.ok('AuthenticateDevice', serverKeyAuth, { account: { id: unique('device'), vars } });
    return session as { token: string; refresh_token: string };
  };

  describe('refresh', () => {
    test('#54 does not take a session token', async () => {
      const { token } = await signIn(at.server);
      expect(await refresh(token)).toMatchObject(refreshInvalid);
    });

    test('#55 needs a token', async () => {
      expect(await at.call('SessionRefresh', serverKeyAuth, {})).toMatchObject({
        code: 3,
        message: 'Refresh token is required.',
      });
    });

    test('needs the server key, not a session', async () => {
      const { authorization, refreshToken } = await signIn(at.server);
      expect(await at.call('SessionRefresh', authorization, { token: refreshToken })).toMatchObject({
        code: 16,
        message: 'Server key invalid',
      });
    });

    test('#56 continues the login: same id, login time and variables, later expiry', async () => {
      const { token, refresh_token } = await signInWithVars({ k: 'v' });
      clock.advance(5 * second);
      for (const vars of [undefined, {}]) {
        const { response } = await refresh(refresh_token, vars);
        expect(Object.keys(response).sort()).toEqual(['refresh_token', 'token']);
        const [before, session, renewed] = [token, response.token, response.refresh_token].map(claimsOf);
        const { tid, iat, uid, usn } = before;
        expect(session).toMatchObject({ tid, iat, uid, usn, vrs: { k: 'v' } });
        expect(renewed).toMatchObject({ tid, iat, uid, usn, vrs: { k: 'v' } });
        expect(session.exp).toBeGreaterThanOrEqual(before.exp + 5);
        expect(renewed.exp - session.exp).toBe(14_400 - 7200);
        expect((await getAccount(response.token)).code).toBe(0);
      }
    });

    test('#57 puts new variables in the place of all old ones', async () => {
      const { refresh_token } = await signInWithVars({ k: 'v', a: 'old' });
      const { response } = await refresh(refresh_token, { a: 'b' });
      expect(claimsOf(response.token).vrs).toEqual({ a: 'b' });
      expect(claimsOf(response.refresh_token).vrs).toEqual({ a: 'b' });
    });

    test('#58 reads the username again; the old token keeps the old one and stays valid', async () => {
      const player = await signIn(at.server);
      const username = unique('renamed');
      await at.ok('UpdateAccount', player.authorization, { username });
      const { response } = await refresh(player.refreshToken);
      expect(claimsOf(response.token).usn).toBe(username);
      expect((await getAccount(player.token)).response.user.username).toBe(username);
    });

    test('leaves the old tokens alone', async () => {
      const { token, refreshToken } = await signIn(at.server);
      await refresh(refreshToken);
      expect((await refresh(refreshToken)).code).toBe(0);
      expect((await getAccount(token)).code).toBe(0);
    });

    test('works after the session token expired, and ends when the refresh token does', async () => {
      const { refreshToken } = await signIn(at.server);
      clock.advance(14_390 * second);
      expect((await refresh(refreshToken)).code).toBe(0);
      clock.advance(11 * second);
      expect(await refresh(refreshToken)).toMatchObject(refreshInvalid);
    });

    test('of an account that was deleted in the second of the login', async () => {
      const player = await signIn(at.server);
      await at.ok('DeleteAccount', player.authorization);
      expect(await refresh(player.refreshToken)).toMatchObject({ code: 5, message: 'User account not found.' });
    });

    test('within the second of the login gives the very same tokens', async () => {
      const player = await signIn(at.server);
      const { token, refreshToken: refresh_token } = player;
      expect((await refresh(refresh_token)).response).toEqual({ token, refresh_token });
    });
  });

  describe('expiry', () => {
    test('#64 an expired token is refused', async () => {
      const { token } = await signIn(at.server);
      clock.advance(7195 * second);
      expect((await getAccount(token)).code).toBe(0);
      clock.advance(6 * second);
      expect(await getAccount(token)).toMatchObject(tokenInvalid);
    });
  });

  describe('logout', () => {
    test('#59 of both tokens ends both', async () => {
      const player = await signIn(at.server);
      const { token, refreshToken } = player;
      expect(await logout(player, { token, refresh_token: refreshToken })).toMatchObject({ code: 0, response: {} });
      expect(await getAccount(token)).toMatchObject(tokenInvalid);
      expect(await refresh(refreshToken)).toMatchObject(refreshInvalid);
    });

    test('of one login leaves the others alone', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server, player);
      await logout(player, { token: player.token, refresh_token: player.refreshToken });
      expect((await getAccount(other.token)).code).toBe(0);
      expect((await refresh(other.refreshToken)).code).toBe(0);
    });

    test('of another login of the same user', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server, player);
      await logout(player, { token: other.token });
      expect(await getAccount(other.token)).toMatchObject(tokenInvalid);
      expect((await getAccount(player.token)).code).toBe(0);
    });

    test('of the session token alone: a refresh works, but its session tokens share the dead id', async () => {
      const player = await signIn(at.server);
      await logout(player, { token: player.token });
      const { code, response } = await refresh(player.refreshToken);
      expect(code).toBe(0);
      expect(await getAccount(response.token)).toMatchObject(tokenInvalid);
    });

    test('of the refresh token alone: the session token lives on', async () => {
      const player = await signIn(at.server);
      await logout(player, { refresh_token: player.refreshToken });
      expect((await getAccount(player.token)).code).toBe(0);
      expect(await refresh(player.refreshToken)).toMatchObject(refreshInvalid);
    });

    test('#60 without tokens ends every login of the user', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server, player);
      const stranger = await signIn(at.server);
      clock.advance(second);
      expect(await logout(player, {})).toMatchObject({ code: 0 });
      for (const { token, refreshToken } of [player, other]) {
        expect(await getAccount(token)).toMatchObject(tokenInvalid);
        expect(await refresh(refreshToken)).toMatchObject(refreshInvalid);
      }
      expect((await getAccount(stranger.token)).code).toBe(0);
      const again = await signIn(at.server, player);
      expect((await getAccount(again.token)).code).toBe(0);
      expect((await refresh(again.refreshToken)).code).toBe(0);
    });

    test('#61 of a token that is none', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server);
      for (const token of ['junk', player.refreshToken, other.token]) {
        expect(await logout(player, { token })).toMatchObject({ code: 3, message: 'Session token invalid.' });
      }
    });

    test('#62 of a refresh token that is not the user’s', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server);
      for (const refresh_token of [other.refreshToken, 'junk', player.token]) {
        const outcome = await logout(player, { token: player.token, refresh_token });
        expect(outcome).toMatchObject({ code: 3, message: 'Refresh token invalid.' });
      }
      // Nothing was revoked: both are checked first.
      expect((await getAccount(player.token)).code).toBe(0);
      expect((await refresh(other.refreshToken)).code).toBe(0);
    });

    test('of a token that is logged out already', async () => {
      const player = await signIn(at.server);
      const other = await signIn(at.server, player);
      await logout(player, { token: other.token });
      expect(await logout(player, { token: other.token })).toMatchObject({
        code: 3,
        message: 'Session token invalid.',
      });
    });
  });
});

describeDoors('session.single_session', { clock, config: { 'session.single_session': true } }, (at) => {
  test('#63 a new login ends the older ones, a refresh does not', async () => {
    const first = await signIn(at.server);
    clock.advance(second);
    expect((await at.ok('SessionRefresh', serverKeyAuth, { token: first.refreshToken })).token).toBeTruthy();
    expect((await at.call('GetAccount', first.authorization)).code).toBe(0);

    const account = { id: first.deviceId };
    const { token } = await at.ok('AuthenticateDevice', serverKeyAuth, { account });
    expect(await at.call('GetAccount', first.authorization)).toMatchObject(tokenInvalid);
    const outcome = await at.call('SessionRefresh', serverKeyAuth, { token: first.refreshToken });
    expect(outcome).toMatchObject(refreshInvalid);
    expect((await at.call('GetAccount', bearer(token))).code).toBe(0);
  });
});
