import { expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { bearer, claimsOf, serverKeyAuth } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

describeDoors('sign-in by custom id', {}, (at) => {
  const signInCustom = (id: string, more: object = {}) =>
    at.call('AuthenticateCustom', serverKeyAuth, { account: { id }, ...more });

  test.each([
    ['#32 five bytes', '12345'],
    ['129 bytes', 'c'.repeat(129)],
  ])('%s are refused', async (_, id) => {
    expect(await signInCustom(id)).toMatchObject({ code: 3, message: 'Custom ID invalid, must be 6-128 bytes.' });
  });

  test('#33 an empty id is refused', async () => {
    expect(await signInCustom('')).toMatchObject({ code: 3, message: 'Custom ID is required.' });
  });

  test.each(['abc def', 'abcdef\n', 'abcdef\0'])('%j is refused', async (id) => {
    expect(await signInCustom(id)).toMatchObject({
      code: 3,
      message: 'Custom ID invalid, no spaces or control characters allowed.',
    });
  });

  test('makes an account, and finds it again by the exact id', async () => {
    const id = unique('custom');
    const first = await signInCustom(id, { username: unique('name') });
    expect(first.response.created).toBe(true);
    const again = await signInCustom(id);
    expect(again.response).not.toHaveProperty('created');
    expect(claimsOf(again.response.token).uid).toBe(claimsOf(first.response.token).uid);
    expect((await at.ok('GetAccount', bearer(again.response.token))).custom_id).toBe(id);
    expect((await signInCustom(id.toUpperCase(), { create: false })).code).toBe(5);
  });

  test('six bytes and 128 bytes are custom ids', async () => {
    const short = `c${String(++shortIds).padStart(5, '0')}`;
    for (const id of [short, unique('custom').padEnd(128, 'c')]) {
      expect((await signInCustom(id)).response.created).toBe(true);
    }
  });

  test('a device id is no custom id', async () => {
    const id = unique('either');
    await at.ok('AuthenticateDevice', serverKeyAuth, { account: { id } });
    expect(await signInCustom(id, { create: false })).toMatchObject({ code: 5, message: 'User account not found.' });
  });
});

let shortIds = 0;
