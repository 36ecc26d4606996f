import { describe, expect, test } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const tokenInvalid = { code: 16, message: 'Auth token invalid' };
const banned = { code: 7, message: 'User account banned.' };
const clock = new TestClock();

describeDoors('the end of an account', { clock }, (at) => {
  const signedIn = async () => {
    const player = await signIn(at.server);
    clock.advance(1000);
    return player;
  };
  const signInAgain = (id: string) => at.call('AuthenticateDevice', serverKeyAuth, { account: { id } });
  const refresh = (token: string) => at.call('SessionRefresh', serverKeyAuth, { token });
  const ban = (...ids: string[]) => at.server.features.accounts.accounts.ban(ids);
  const unban = (...ids: string[]) => at.server.features.accounts.accounts.unban(ids);

  describe('deletion', () => {
    test('#95 ends the tokens and frees the device', async () => {
      const player = await signedIn();
      expect(await at.call('DeleteAccount', player.authorization)).toMatchObject({ code: 0, response: {} });
      expect(await at.call('GetAccount', player.authorization)).toMatchObject(tokenInvalid);
      expect((await refresh(player.refreshToken)).code).toBe(16);
      const { response } = await signInAgain(player.deviceId);
      expect(response.created).toBe(true);
      expect(claimsOf(response.token).uid).not.toBe(player.id);
    });

    test('frees everything else that is unique', async () => {
      const player = await signedIn();
      const [custom, email, device] = [unique('custom'), `${unique('e')}@example.com`, unique('device')];
      await at.ok('LinkCustom', player.authorization, { id: custom });
      await at.ok('LinkEmail', player.authorization, { email, password: 'password1' });
      await at.ok('LinkDevice', player.authorization, { id: device });
      await at.ok('DeleteAccount', player.authorization);

      const other = await signIn(at.server, { username: player.username });
      expect(other.id).not.toBe(player.id);
      await at.ok('LinkCustom', other.authorization, { id: custom });
      await at.ok('LinkEmail', other.authorization, { email, password: 'password2' });
      await at.ok('LinkDevice', other.authorization, { id: device });
    });

    test('leaves other users alone', async () => {
      const [player, other] = [await signedIn(), await signedIn()];
      await at.ok('DeleteAccount', player.authorization);
      expect((await at.call('GetAccount', other.authorization)).code).toBe(0);
    });
  });

  describe('ban', () => {
    test('#96 ends the tokens and refuses to sign in', async () => {
      const player = await signedIn();
      await ban(player.id);
      expect(await at.call('GetAccount', player.authorization)).toMatchObject(tokenInvalid);
      expect(await signInAgain(player.deviceId)).toMatchObject(banned);
      expect(await refresh(player.refreshToken)).toMatchObject({
        code: 16,
        message: 'Refresh token invalid or expired.',
      });
    });

    test('in the second of the login: the refresh is refused by the account', async () => {
      const player = await signIn(at.server);
      await ban(player.id);
      expect((await at.call('GetAccount', player.authorization)).code).toBe(0);
      expect(await refresh(player.refreshToken)).toMatchObject(banned);
    });

    test('refuses every way to sign in, before it looks at the password', async () => {
      const player = await signedIn();
      const [id, email] = [unique('custom'), `${unique('e')}@example.com`];
      await at.ok('LinkCustom', player.authorization, { id });
      await at.ok('LinkEmail', player.authorization, { email, password: 'password1' });
      await ban(player.id);
      const password = 'wrong password';
      for (const [method, message] of [
        ['AuthenticateCustom', { account: { id } }],
        ['AuthenticateEmail', { account: { email, password } }],
        ['AuthenticateEmail', { account: { password }, username: player.username }],
        ['AuthenticateDevice', { account: { id: player.deviceId }, create: false }],
      ] as const) {
        expect(await at.call(method, serverKeyAuth, message)).toMatchObject(banned);
      }
    });

    test('lifted: signing in works, old tokens stay dead', async () => {
      const player = await signedIn();
      await ban(player.id);
      await unban(player.id);
      const { response } = await signInAgain(player.deviceId);
      expect(response).not.toHaveProperty('created');
      expect((await at.call('GetAccount', bearer(response.token))).code).toBe(0);
      expect(await at.call('GetAccount', player.authorization)).toMatchObject(tokenInvalid);
    });

    test('of several, of unknown ones, of banned ones', async () => {
      const [a, b] = [await signedIn(), await signedIn()];
      await ban(a.id);
      await ban(a.id, b.id, crypto.randomUUID());
      for (const { deviceId } of [a, b]) expect(await signInAgain(deviceId)).toMatchObject(banned);
    });

    test('of the system user is refused, and with it of all others', async () => {
      const player = await signedIn();
      await expect(ban(player.id, '00000000-0000-0000-0000-000000000000')).rejects.toMatchObject({
        code: 3,
        message: 'Cannot ban the system user.',
      });
      expect((await at.call('GetAccount', player.authorization)).code).toBe(0);
    });

    test('never shows in the account', async () => {
      const player = await signedIn();
      await ban(player.id);
      await unban(player.id);
      const { response } = await signInAgain(player.deviceId);
      const account = await at.ok('GetAccount', bearer(response.token));
      expect(account).not.toHaveProperty('disable_time');
      expect(account).not.toHaveProperty('verify_time');
    });
  });
});
