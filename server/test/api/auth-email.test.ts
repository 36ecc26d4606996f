import { describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const password = 'password1';
const invalidCredentials = { code: 16, message: 'Invalid credentials.' };

describeDoors('sign-in by email', {}, (at) => {
  const signInEmail = (account: object, more: object = {}) =>
    at.call('AuthenticateEmail', serverKeyAuth, { account, ...more });
  const newEmail = () => `${unique('user')}@example.com`;
  const signUp = async (more: object = {}) => {
    const email = newEmail();
    const { token } = (await signInEmail({ email, password }, more)).response;
    return { email, ...(claimsOf(token) as { uid: string; usn: string }) };
  };

  test('#34 creates, and stores the address in lower case', async () => {
    const local = unique('User');
    const outcome = await signInEmail({ email: `${local}@Example.COM`, password });
    expect(outcome.response.created).toBe(true);
    const account = await at.ok('GetAccount', bearer(outcome.response.token));
    expect(account.email).toBe(`${local}@example.com`.toLowerCase());
  });

  test('#35 finds the account whatever the case of the address', async () => {
    const { email, uid } = await signUp();
    for (const spelling of [email, email.toUpperCase()]) {
      const { response } = await signInEmail({ email: spelling, password });
      expect(response).not.toHaveProperty('created');
      expect(claimsOf(response.token).uid).toBe(uid);
    }
  });

  test('#36 a wrong password', async () => {
    const { email } = await signUp();
    for (const wrong of ['password2', 'Password1', 'password1 ', 'password1\0', 'p'.repeat(100)]) {
      expect(await signInEmail({ email, password: wrong })).toMatchObject(invalidCredentials);
    }
  });

  test('a wrong password never makes an account, nor does create=false', async () => {
    const email = newEmail();
    expect(await signInEmail({ email, password }, { create: false })).toMatchObject({
      code: 5,
      message: 'User account not found.',
    });
    expect((await signInEmail({ email, password }, { create: true })).response.created).toBe(true);
  });

  describe('refuses', () => {
    test.each([
      ['#37 a password of 7 bytes', { email: 'someone@example.com', password: '1234567' }],
      ['#44 nothing at all', {}],
      ['an address without password', { email: 'someone@example.com' }],
    ])('%s', async (_, account) => {
      const message = 'Password must be at least 8 characters long.';
      expect(await signInEmail(account)).toMatchObject({ code: 3, message });
    });

    test.each([
      ['#38 five bytes', 'a@b.c'],
      ['nine bytes', 'ab@cde.fg'],
      ['256 bytes', `${'a'.repeat(244)}@example.com`],
    ])('an address of %s', async (_, email) => {
      expect(await signInEmail({ email, password })).toMatchObject({
        code: 3,
        message: 'Invalid email address, must be 10-255 bytes.',
      });
    });

    test.each([
      '#39 notanemail',
      '@example.com',
      'someone@.com',
      'someone@example',
      'someone@example.',
      'some.one@example',
    ])('%s', async (text) => {
      expect(await signInEmail({ email: text.replace('#39 ', ''), password })).toMatchObject({
        code: 3,
        message: 'Invalid email address format.',
      });
    });

    test.each(['some one@example.com', 'someone@example.com\n', 'someone@example.com\0'])('%j', async (email) => {
      expect(await signInEmail({ email, password })).toMatchObject({
        code: 3,
        message: 'Invalid email address, no spaces or control characters allowed.',
      });
    });

    test('the first fault in order: characters, shape, length, password, username', async () => {
      const bad = { username: 'x[]' };
      const message = async (account: object) => (await signInEmail(account, bad)).message;
      expect(await message({ email: 'a b', password: 'x' })).toMatch(/no spaces or control/);
      expect(await message({ email: 'ab', password: 'x' })).toMatch(/format/);
      expect(await message({ email: 'a@b.c', password: 'x' })).toMatch(/10-255/);
      expect(await message({ email: newEmail(), password: 'x' })).toMatch(/Password must/);
      expect(await message({ email: newEmail(), password })).toMatch(/Username invalid/);
    });
  });

  test.each(['a@@@@@@b.c', 'a@b@c..de', 'ä@ö.ü1234', '"x"@[1.2.3.4]'])('%s is an address', async (shape) => {
    const email = `${unique('u')}${shape}`;
    expect((await signInEmail({ email, password })).code).toBe(0);
  });

  describe('with the username alone', () => {
    test('#40 needs one', async () => {
      expect(await signInEmail({ password })).toMatchObject({
        code: 3,
        message: 'Username is required when email address is not supplied.',
      });
    });

    test('#41 finds the account', async () => {
      const { uid, usn } = await signUp();
      const { response } = await signInEmail({ password }, { username: usn });
      expect(claimsOf(response.token).uid).toBe(uid);
      expect(await signInEmail({ password: 'password2' }, { username: usn })).toMatchObject(invalidCredentials);
    });

    test('#42 never makes one', async () => {
      expect(await signInEmail({ password }, { username: unique('nobody'), create: true })).toMatchObject({
        code: 5,
        message: 'User account not found.',
      });
    });

    test('#43 does not open an account without password', async () => {
      const { username } = await signIn(at.server);
      expect(await signInEmail({ password }, { username })).toMatchObject(invalidCredentials);
    });

    test('tells names apart by case', async () => {
      const { usn } = await signUp({ username: unique('Named') });
      expect((await signInEmail({ password }, { username: usn.toLowerCase() })).code).toBe(5);
    });
  });

  test('#45 a password over 72 bytes makes no account', async () => {
    const email = newEmail();
    expect(await signInEmail({ email, password: 'p'.repeat(73) })).toMatchObject({
      code: 13,
      message: 'Error finding or creating user account.',
    });
    expect((await signInEmail({ email, password }, { create: false })).code).toBe(5);
  });

  test('72 bytes are all that a check looks at', async () => {
    const email = newEmail();
    const long = 'ä'.repeat(36);
    expect((await signInEmail({ email, password: long })).response.created).toBe(true);
    expect((await signInEmail({ email, password: `${long}and more` })).code).toBe(0);
    expect(await signInEmail({ email, password: `${'ä'.repeat(35)}aa` })).toMatchObject(invalidCredentials);
  });

  test('a username taken by another', async () => {
    const { username } = await signIn(at.server);
    expect(await signInEmail({ email: newEmail(), password }, { username })).toMatchObject({
      code: 6,
      message: 'Username is already in use.',
    });
  });
});
