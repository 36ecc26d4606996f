import { describe, expect, test } from 'vitest';
import { TestClock } from '../../testing/clock.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';
import { TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

describeDoors('the own account', { clock: new TestClock() }, (at) => {
  const get = (authorization: string) => at.ok('GetAccount', authorization);
  const update = (authorization: string, changes: object) => at.call('UpdateAccount', authorization, changes);

  test('#65 of a fresh custom user holds what is set, and nothing else', async () => {
    const id = unique('custom');
    const { token } = await at.ok('AuthenticateCustom', serverKeyAuth, { account: { id } });
    const { uid, usn } = claimsOf(token);
    const account = await get(bearer(token));
    expect(account).toEqual({
      user: {
        id: uid,
        username: usn,
        lang_tag: 'en',
        metadata: '{}',
        create_time: expect.anything(),
        update_time: expect.anything(),
      },
      wallet: '{}',
      custom_id: id,
    });
  });

  test('#66 times are whole seconds in UTC', async () => {
    const { user } = await get((await signIn(at.server)).authorization);
    for (const time of [user.create_time, user.update_time]) {
      expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
    }
  });

  test('appears online with a status, not with a socket alone', async () => {
    const { token, authorization } = await signIn(at.server);
    const quiet = await TestSocket.connect(at.server, token);
    await quiet.settle();
    expect((await get(authorization)).user).not.toHaveProperty('online');
    const shown = await TestSocket.connect(at.server, token, { query: { status: 'true' } });
    await shown.settle();
    expect((await get(authorization)).user.online).toBe(true);
    await shown.close();
    await waitFor('the user to go offline', async () => !('online' in (await get(authorization)).user));
    await quiet.close();
  });

  test('that is gone', async () => {
    const { authorization } = await signIn(at.server);
    await at.ok('DeleteAccount', authorization);
    // In the second in which it was made, the token outlives the account.
    expect(await at.call('GetAccount', authorization)).toMatchObject({ code: 5, message: 'Account not found.' });
    expect(await update(authorization, { location: 'l' })).toMatchObject({ code: 0, response: {} });
    expect(await at.call('DeleteAccount', authorization)).toMatchObject({ code: 0, response: {} });
  });

  describe('update', () => {
    test('#67 sets fields', async () => {
      const { authorization } = await signIn(at.server);
      const changes = {
        username: unique('name'),
        display_name: 'Zoë 🎮',
        avatar_url: 'not a URL',
        lang_tag: 'xx-anything',
        location: 'l',
        timezone: 'Nowhere',
      };
      expect(await update(authorization, changes)).toMatchObject({ code: 0, response: {} });
      expect((await get(authorization)).user).toMatchObject(changes);
    });

    test('sets one field and leaves the others', async () => {
      const { authorization, username } = await signIn(at.server);
      await update(authorization, { display_name: 'd', location: 'l' });
      await update(authorization, { location: 'm' });
      expect((await get(authorization)).user).toMatchObject({ username, display_name: 'd', location: 'm' });
    });

    test.each(['display_name', 'timezone', 'location', 'avatar_url'])('#69 clears %s', async (field) => {
      const { authorization } = await signIn(at.server);
      await update(authorization, { [field]: 'x' });
      expect((await get(authorization)).user).toHaveProperty(field, 'x');
      expect((await update(authorization, { [field]: '' })).code).toBe(0);
      expect((await get(authorization)).user).not.toHaveProperty(field);
    });

    test.each([
      ['#70 nothing', {}],
      ['#71 null', { display_name: null }],
      ['#72 metadata, which is not for clients', { metadata: '{}' }],
    ])('of %s is refused', async (_, changes) => {
      const { authorization } = await signIn(at.server);
      expect(await update(authorization, changes)).toMatchObject({ code: 3, message: 'No fields to update.' });
    });

    test.each([
      ['#73 an empty username', '', 'Username invalid, must be 1-128 bytes.'],
      ['129 bytes', 'u'.repeat(129), 'Username invalid, must be 1-128 bytes.'],
      ['129 bytes with a bad one', `${'u'.repeat(128)}\n`, 'Username invalid, must be 1-128 bytes.'],
      ['a control character', 'a\nb', 'Username invalid, no spaces or control characters allowed.'],
      ['a pair of brackets', 'a[]', 'Username invalid, no spaces or control characters allowed.'],
    ])('refuses %s', async (_, username, message) => {
      const { authorization } = await signIn(at.server);
      expect(await update(authorization, { username })).toMatchObject({ code: 3, message });
    });

    test('#74 refuses a username that another has', async () => {
      const [own, other] = await Promise.all([signIn(at.server), signIn(at.server)]);
      expect(await update(own.authorization, { username: other.username, location: 'l' })).toMatchObject({
        code: 3,
        message: 'rpc error: code = AlreadyExists desc = Username is already in use.',
      });
      expect((await get(own.authorization)).user).not.toHaveProperty('location');
    });

    test('#75 of the same values changes nothing, not even update_time', async () => {
      const { authorization, username, id } = await signIn(at.server);
      await update(authorization, { location: 'l' });
      const times = () => at.server.features.accounts.accounts.get(id).then((row) => JSON.stringify(row.update_time));
      const before = await times();
      expect((await update(authorization, { username, location: 'l', timezone: '' })).code).toBe(0);
      expect(await times()).toBe(before);
      expect((await update(authorization, { username, location: 'm' })).code).toBe(0);
      expect(await times()).not.toBe(before);
    });

    test.each([
      ['#76 an empty language', { lang_tag: '' }],
      ['#77 a display name of 256 characters', { display_name: 'd'.repeat(256) }],
      ['a location of 256 characters', { location: 'l'.repeat(256) }],
      ['a time zone of 256 characters', { timezone: 't'.repeat(256) }],
      ['an avatar address of 513 characters', { avatar_url: 'a'.repeat(513) }],
      ['a language of 19 characters', { lang_tag: 'l'.repeat(19) }],
      ['a NUL', { location: 'a\0b' }],
    ])('fails on %s', async (_, changes) => {
      const { authorization } = await signIn(at.server);
      expect(await update(authorization, changes)).toMatchObject({
        code: 13,
        message: 'Error while trying to update account.',
      });
    });

    test('counts characters, not bytes, in everything but the username', async () => {
      const { authorization } = await signIn(at.server);
      const display_name = 'ä'.repeat(255);
      expect((await update(authorization, { display_name, avatar_url: '🎮'.repeat(512) })).code).toBe(0);
      expect((await get(authorization)).user.display_name).toBe(display_name);
    });
  });
});
