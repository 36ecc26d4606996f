import { describe, expect, test } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const lastLink = {
  code: 7,
  message: 'Cannot unlink last account identifier. Check profile exists and is not last link.',
};
const password = 'password1';

describeDoors('links', { clock: new TestClock() }, (at) => {
  const get = (authorization: string) => at.ok('GetAccount', authorization);
  const newEmail = () => `${unique('e')}@example.com`;
  const signInCustom = async () => {
    const id = unique('custom');
    const { token } = await at.ok('AuthenticateCustom', serverKeyAuth, { account: { id } });
    return { customId: id, authorization: `Bearer ${token}`, id: claimsOf(token).uid };
  };

  describe('custom id', () => {
    test.each([
      ['none', '', 'Custom ID is required.'],
      ['#84 too short', '12345', 'Invalid custom ID, must be 6-128 bytes.'],
      ['too long', 'c'.repeat(129), 'Invalid custom ID, must be 6-128 bytes.'],
      ['a space', 'abc def', 'Invalid custom ID, no spaces or control characters allowed.'],
    ])('%s', async (_, id, message) => {
      const { authorization } = await signIn(at.server);
      expect(await at.call('LinkCustom', authorization, { id })).toMatchObject({ code: 3, message });
    });

    test('is linked, again, and replaced', async () => {
      const { authorization, id: userId } = await signIn(at.server);
      const [first, second] = [unique('custom'), unique('custom')];
      for (const id of [first, first, second]) {
        expect(await at.call('LinkCustom', authorization, { id })).toMatchObject({ code: 0, response: {} });
      }
      expect((await get(authorization)).custom_id).toBe(second);
      const { token } = await at.ok('AuthenticateCustom', serverKeyAuth, { account: { id: second } });
      expect(claimsOf(token).uid).toBe(userId);
      expect((await at.call('AuthenticateCustom', serverKeyAuth, { account: { id: first }, create: false })).code).toBe(
        5,
      );
    });

    test('of another user', async () => {
      const [{ customId }, { authorization }] = [await signInCustom(), await signIn(at.server)];
      expect(await at.call('LinkCustom', authorization, { id: customId })).toMatchObject({
        code: 6,
        message: 'Custom ID is already in use.',
      });
    });
  });

  describe('device', () => {
    test.each([
      ['none', '', 'Device ID is required.'],
      ['too short', '123456789', 'Device ID invalid, must be 10-128 bytes.'],
      ['a space', 'abc def ghij', 'Device ID invalid, no spaces or control characters allowed.'],
    ])('%s', async (_, id, message) => {
      const { authorization } = await signIn(at.server);
      expect(await at.call('LinkDevice', authorization, { id })).toMatchObject({ code: 3, message });
    });

    test('#85 of another user', async () => {
      const [{ deviceId }, { authorization }] = [await signIn(at.server), await signIn(at.server)];
      expect(await at.call('LinkDevice', authorization, { id: deviceId })).toMatchObject({
        code: 6,
        message: 'Device ID already in use.',
      });
    });

    test('#86 of one’s own', async () => {
      const { authorization, deviceId } = await signIn(at.server);
      expect(await at.call('LinkDevice', authorization, { id: deviceId })).toMatchObject({ code: 0, response: {} });
      expect((await get(authorization)).devices).toEqual([{ id: deviceId }]);
    });

    test('joins those there are, and opens the same account', async () => {
      const { authorization, deviceId, id: userId } = await signIn(at.server);
      const id = unique('device');
      await at.ok('LinkDevice', authorization, { id, vars: { ignored: 'yes' } });
      const { devices } = await get(authorization);
      expect(devices.map((device: { id: string }) => device.id).sort()).toEqual([deviceId, id].sort());
      expect((await signIn(at.server, { deviceId: id })).id).toBe(userId);
    });
  });

  describe('email', () => {
    test.each([
      ['#87 no password', { email: 'x@example.com' }, 'Email address and password is required.'],
      ['no address', { password }, 'Email address and password is required.'],
      ['nothing', {}, 'Email address and password is required.'],
      [
        'a space, a short password, no shape',
        { email: 'a b', password: 'x' },
        'Invalid email address, no spaces or control characters allowed.',
      ],
      [
        'a short password, no shape',
        { email: 'ab', password: '1234567' },
        'Password must be at least 8 characters long.',
      ],
      ['no shape', { email: 'ab', password }, 'Invalid email address format.'],
      ['too short', { email: 'a@b.c', password }, 'Invalid email address, must be 10-255 bytes.'],
      ['73 bytes', { email: 'x@example.com', password: 'p'.repeat(73) }, 'Password must be at most 72 bytes long.'],
    ])('%s', async (_, message, text) => {
      const { authorization } = await signIn(at.server);
      expect(await at.call('LinkEmail', authorization, message)).toMatchObject({ code: 3, message: text });
    });

    test('#88 of another user', async () => {
      const email = newEmail();
      await at.ok('AuthenticateEmail', serverKeyAuth, { account: { email, password } });
      const { authorization } = await signIn(at.server);
      for (const spelling of [email, email.toUpperCase()]) {
        expect(await at.call('LinkEmail', authorization, { email: spelling, password })).toMatchObject({
          code: 6,
          message: 'Email is already in use.',
        });
      }
    });

    test('is linked in lower case; linked again, the password is new', async () => {
      const { authorization, id } = await signIn(at.server);
      const email = newEmail();
      await at.ok('LinkEmail', authorization, { email: email.toUpperCase(), password });
      expect((await get(authorization)).email).toBe(email);
      await at.ok('LinkEmail', authorization, { email, password: 'password2' });
      const signInEmail = (secret: string) =>
        at.call('AuthenticateEmail', serverKeyAuth, { account: { email, password: secret } });
      expect((await signInEmail(password)).code).toBe(16);
      expect(claimsOf((await signInEmail('password2')).response.token).uid).toBe(id);
    });
  });

  describe('unlink', () => {
    test('#89 the only device', async () => {
      const { authorization, deviceId } = await signIn(at.server);
      expect(await at.call('UnlinkDevice', authorization, { id: deviceId })).toMatchObject(lastLink);
    });

    test('#90 no device', async () => {
      const { authorization } = await signIn(at.server);
      expect(await at.call('UnlinkDevice', authorization, {})).toMatchObject({
        code: 3,
        message: 'A device ID must be supplied.',
      });
    });

    test('a device of another user, or of nobody', async () => {
      const [own, other] = [await signIn(at.server), await signIn(at.server)];
      await at.ok('LinkCustom', own.authorization, { id: unique('custom') });
      for (const id of [other.deviceId, unique('device')]) {
        expect(await at.call('UnlinkDevice', own.authorization, { id })).toMatchObject(lastLink);
      }
      expect((await get(other.authorization)).devices).toHaveLength(1);
    });

    test('one device of two', async () => {
      const { authorization, deviceId } = await signIn(at.server);
      const id = unique('device');
      await at.ok('LinkDevice', authorization, { id });
      await at.ok('UnlinkDevice', authorization, { id: deviceId });
      expect((await get(authorization)).devices).toEqual([{ id }]);
      expect(await at.call('UnlinkDevice', authorization, { id })).toMatchObject(lastLink);
    });

    test('#91 the custom id, when there is a device', async () => {
      const { authorization, id: userId } = await signInCustom();
      const id = unique('device');
      await at.ok('LinkDevice', authorization, { id });
      expect(await at.call('UnlinkCustom', authorization, {})).toMatchObject({ code: 0, response: {} });
      expect(await get(authorization)).not.toHaveProperty('custom_id');
      expect((await signIn(at.server, { deviceId: id })).id).toBe(userId);
    });

    test('#92 what was never linked, when there is something else', async () => {
      const { authorization } = await signIn(at.server);
      for (const method of ['UnlinkCustom', 'UnlinkEmail']) {
        expect(await at.call(method, authorization, {})).toMatchObject({ code: 0, response: {} });
      }
    });

    test('#93 a custom id that is another', async () => {
      const { authorization, customId } = await signInCustom();
      await at.ok('LinkDevice', authorization, { id: unique('device') });
      for (const id of [unique('custom'), customId.toUpperCase()]) {
        expect(await at.call('UnlinkCustom', authorization, { id })).toMatchObject(lastLink);
      }
      expect(await at.call('UnlinkCustom', authorization, { id: customId })).toMatchObject({ code: 0 });
    });

    test('the only custom id, the only address', async () => {
      const { authorization } = await signInCustom();
      expect(await at.call('UnlinkCustom', authorization, {})).toMatchObject(lastLink);
      const account = { email: newEmail(), password };
      const { token } = await at.ok('AuthenticateEmail', serverKeyAuth, { account });
      expect(await at.call('UnlinkEmail', `Bearer ${token}`, {})).toMatchObject(lastLink);
    });

    test('#94 the address: the password goes with it', async () => {
      const { authorization, username } = await signIn(at.server);
      const email = newEmail();
      await at.ok('LinkEmail', authorization, { email, password });
      expect(await at.call('UnlinkEmail', authorization, { email: newEmail() })).toMatchObject(lastLink);
      expect(await at.call('UnlinkEmail', authorization, { email: email.toUpperCase() })).toMatchObject({ code: 0 });
      expect(await get(authorization)).not.toHaveProperty('email');
      const account = { email, password };
      expect(await at.call('AuthenticateEmail', serverKeyAuth, { account, create: false })).toMatchObject({
        code: 5,
        message: 'User account not found.',
      });
      expect(await at.call('AuthenticateEmail', serverKeyAuth, { account: { password }, username })).toMatchObject({
        code: 16,
        message: 'Invalid credentials.',
      });
    });

    test('the address, when only it and a custom id are there, and then that', async () => {
      const { authorization } = await signInCustom();
      await at.ok('LinkEmail', authorization, { email: newEmail(), password });
      await at.ok('UnlinkEmail', authorization, {});
      expect(await at.call('UnlinkCustom', authorization, {})).toMatchObject(lastLink);
    });
  });

  test('every link and unlink shows in update_time', async () => {
    const { authorization, id } = await signIn(at.server);
    const time = async () => JSON.stringify((await at.server.features.accounts.accounts.get(id)).update_time);
    let before = await time();
    const device = { id: unique('device') };
    for (const [method, message] of [
      ['LinkDevice', device],
      ['LinkCustom', { id: unique('custom') }],
      ['LinkEmail', { email: newEmail(), password }],
      ['UnlinkDevice', device],
      ['UnlinkCustom', {}],
      ['UnlinkEmail', {}],
    ] as const) {
      await at.ok(method, authorization, message);
      const after = await time();
      expect(after, method).not.toBe(before);
      before = after;
    }
  });

  describe('of an account that is gone', () => {
    test.each([
      ['LinkDevice', () => ({ id: unique('device') }), { code: 13, message: 'Error linking Device ID.' }],
      ['LinkCustom', () => ({ id: unique('custom') }), { code: 6, message: 'Custom ID is already in use.' }],
      ['LinkEmail', () => ({ email: newEmail(), password }), { code: 6, message: 'Email is already in use.' }],
      ['UnlinkDevice', () => ({ id: unique('device') }), lastLink],
      ['UnlinkCustom', () => ({}), lastLink],
      ['UnlinkEmail', () => ({}), lastLink],
    ])('%s', async (method, message, expected) => {
      const { authorization } = await signIn(at.server);
      await at.ok('DeleteAccount', authorization);
      // In the second in which it was made, the token outlives the account.
      expect(await at.call(method, authorization, message())).toMatchObject(expected);
    });
  });
});
