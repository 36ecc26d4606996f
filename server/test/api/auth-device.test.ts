import { describe, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { basic, bearer, claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const jwtShape = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describeDoors('sign-in by device', {}, (at) => {
  const signInDevice = (message: object, authorization = serverKeyAuth) =>
    at.call('AuthenticateDevice', authorization, message);
  const signedIn = (message: object) => at.ok('AuthenticateDevice', serverKeyAuth, message);

  test('#11 without a key is refused', async () => {
    const player = await signIn(at.server);
    // A call without credentials is one of its socket, which is no server key either.
    expect(await signInDevice({ account: { id: player.deviceId } }, '')).toMatchObject({
      code: 16,
      message: 'Server key required',
    });
  });

  test.each([
    ['#12 another key', basic('wrong')],
    ['an empty key', basic('')],
    ['the key in another case', basic('DefaultKey')],
    ['the key with something before it', basic('xdefaultkey')],
    ['a scheme in lower case', serverKeyAuth.replace('Basic', 'basic')],
    ['two spaces', serverKeyAuth.replace(' ', '  ')],
    ['no colon', `Basic ${Buffer.from('defaultkey').toString('base64')}`],
    ['base64url', `Basic ${Buffer.from('\xff\xff\xff:').toString('base64url')}`],
    ['base64 without padding', serverKeyAuth.replaceAll('=', '')],
    ['nothing after the scheme', 'Basic'],
    ['no base64 at all', 'Basic defaultkey:'],
  ])('%s is refused', async (_, authorization) => {
    expect(await signInDevice({ account: { id: unique('device') } }, authorization)).toMatchObject({
      code: 16,
      message: 'Server key invalid',
    });
  });

  test('#13 a session token is no server key', async () => {
    const { authorization } = await signIn(at.server);
    expect(await signInDevice({ account: { id: unique('device') } }, authorization)).toMatchObject({
      code: 16,
      message: 'Server key invalid',
    });
  });

  test('the password of the Basic credential does not matter', async () => {
    const authorization = `Basic ${Buffer.from('defaultkey:any:thing').toString('base64')}`;
    expect(await signInDevice({ account: { id: unique('device') } }, authorization)).toMatchObject({ code: 0 });
  });

  test('#15 first sign-in creates', async () => {
    const session = await signedIn({ account: { id: unique('device') } });
    expect(Object.keys(session).sort()).toEqual(['created', 'refresh_token', 'token']);
    expect(session.created).toBe(true);
    expect(session.token).toMatch(jwtShape);
    expect(session.refresh_token).toMatch(jwtShape);
  });

  test('#16 the second sign-in finds the same user', async () => {
    const account = { id: unique('device') };
    const [first, second] = [await signedIn({ account }), await signedIn({ account })];
    expect(second).not.toHaveProperty('created');
    expect(claimsOf(second.token).uid).toBe(claimsOf(first.token).uid);
    expect(claimsOf(second.token).tid).not.toBe(claimsOf(first.token).tid);
  });

  test('#17 both tokens say who, since when and until when', async () => {
    const { token, refresh_token } = await signedIn({ account: { id: unique('device') } });
    for (const jwt of [token, refresh_token]) {
      const header = JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url').toString());
      expect(header).toEqual({ alg: 'HS256', typ: 'JWT' });
      expect(Object.keys(claimsOf(jwt)).sort()).toEqual(['exp', 'iat', 'tid', 'uid', 'usn']);
    }
    const [session, refresh] = [claimsOf(token), claimsOf(refresh_token)];
    expect(session).toMatchObject({
      tid: expect.stringMatching(uuid),
      uid: expect.stringMatching(uuid),
      usn: expect.stringMatching(/^[a-zA-Z]{10}$/),
    });
    expect(refresh).toMatchObject({ tid: session.tid, uid: session.uid, usn: session.usn, iat: session.iat });
    expect(session.exp - session.iat).toBe(7200);
    expect(refresh.exp - refresh.iat).toBe(14_400);
    expect(Math.abs(session.iat - Date.now() / 1000)).toBeLessThan(5);
  });

  test('#18 session variables go into both tokens', async () => {
    const vars = { k: 'v', '': 'empty', ключ: 'значение', constructor: 'c', toString: 't' };
    const { token, refresh_token } = await signedIn({ account: { id: unique('device'), vars } });
    expect(claimsOf(token).vrs).toEqual(vars);
    expect(claimsOf(refresh_token).vrs).toEqual(vars);
  });

  test('a session variable named __proto__ is one like any other', async () => {
    const account = JSON.parse(`{"id":"${unique('device')}","vars":{"__proto__":"p","a":"b"}}`);
    const { token, refresh_token } = await signedIn({ account });
    for (const jwt of [token, refresh_token]) {
      expect(Object.entries(claimsOf(jwt).vrs).sort()).toEqual([
        ['__proto__', 'p'],
        ['a', 'b'],
      ]);
      // Nothing got into the server's own objects by it.
      expect(({} as Record<string, unknown>)['a']).toBeUndefined();
    }
    const renewed = await at.ok('SessionRefresh', serverKeyAuth, { token: refresh_token });
    expect(Object.keys(claimsOf(renewed.token).vrs).sort()).toEqual(['__proto__', 'a']);
  });

  test('#20 no id', async () => {
    expect(await signInDevice({})).toMatchObject({ code: 3, message: 'Device ID is required.' });
    expect(await signInDevice({ account: {} })).toMatchObject({ code: 3, message: 'Device ID is required.' });
  });

  test.each([
    ['#21 nine bytes', '123456789'],
    ['129 bytes', 'd'.repeat(129)],
    ['65 characters of two bytes', 'ä'.repeat(65)],
  ])('%s are no device id', async (_, id) => {
    expect(await signInDevice({ account: { id } })).toMatchObject({
      code: 3,
      message: 'Device ID invalid, must be 10-128 bytes.',
    });
  });

  test.each([
    ['#22 a space', 'abc def ghij'],
    ['a leading space', ' abcdefghij'],
    ['a newline', 'abcdefghij\n'],
    ['a tab', 'abc\tdefghij'],
    ['a NUL', 'abc\0defghij'],
    ['DEL', 'abcdefghij\x7f'],
    ['a space in a short id', 'a b'],
  ])('%s is refused', async (_, id) => {
    expect(await signInDevice({ account: { id } })).toMatchObject({
      code: 3,
      message: 'Device ID invalid, no spaces or control characters allowed.',
    });
  });

  test.each([
    ['#23 five characters of two bytes', () => ['ä', 'ö', 'ü', 'ß', nextLetter()].join('')],
    ['128 bytes', () => unique('device').padEnd(128, 'x')],
    ['a no-break space', () => `${unique('device')}\u00a0`],
    ['an emoji', () => `${unique('device')}🎮`],
  ])('%s is a device id', async (_, makeId) => {
    const id = makeId();
    const { token } = await signedIn({ account: { id } });
    const account = await at.ok('GetAccount', bearer(token));
    expect(account.devices).toEqual([{ id }]);
  });

  test('device ids are told apart by case', async () => {
    const id = unique('device');
    const lower = await signedIn({ account: { id } });
    const upper = await signedIn({ account: { id: id.toUpperCase() } });
    expect(upper.created).toBe(true);
    expect(claimsOf(upper.token).uid).not.toBe(claimsOf(lower.token).uid);
  });

  test('#24 create=false refuses an unknown id, and finds a known one', async () => {
    const account = { id: unique('device') };
    expect(await signInDevice({ account, create: false })).toMatchObject({
      code: 5,
      message: 'User account not found.',
    });
    await signedIn({ account, create: true });
    expect(await signInDevice({ account, create: false })).toMatchObject({ code: 0 });
  });

  describe('username', () => {
    test('#27 taken by another', async () => {
      const { username } = await signIn(at.server);
      expect(await signInDevice({ account: { id: unique('device') }, username })).toMatchObject({
        code: 6,
        message: 'Username is already in use.',
      });
    });

    test('#28 of an existing user counts, not the given one', async () => {
      const { deviceId, username } = await signIn(at.server);
      const { token } = await signedIn({ account: { id: deviceId }, username: unique('other') });
      expect(claimsOf(token).usn).toBe(username);
    });

    test('of an existing user is checked all the same', async () => {
      const { deviceId } = await signIn(at.server);
      expect(await signInDevice({ account: { id: deviceId }, username: 'x[]' })).toMatchObject({ code: 3 });
    });

    test.each([
      ['#29 a space inside', 'a b'],
      ['spaces around', ' a '],
      ['other scripts', 'Пётр 名前'],
      ['brackets apart', '[x]'],
    ])('%s is taken as it is', async (_, name) => {
      const username = `${name}${unique('')}${name}`;
      const { token } = await signedIn({ account: { id: unique('device') }, username });
      expect(claimsOf(token).usn).toBe(username);
    });

    test('is told apart by case', async () => {
      const username = unique('Name');
      await signedIn({ account: { id: unique('device') }, username });
      const other = await signedIn({ account: { id: unique('device') }, username: username.toLowerCase() });
      expect(other.created).toBe(true);
    });

    test.each([
      ['#30 a pair of brackets', 'x[]'],
      ['a newline', 'x\n'],
      ['a NUL', 'x\0y'],
      ['DEL', 'x\x7f'],
      ['a bad character in an overlong name', `${'x'.repeat(200)}\t`],
    ])('%s is refused', async (_, username) => {
      expect(await signInDevice({ account: { id: unique('device') }, username })).toMatchObject({
        code: 3,
        message: 'Username invalid, no spaces or control characters allowed.',
      });
    });

    test('#31 129 bytes are too many, 128 are not', async () => {
      const account = { id: unique('device') };
      for (const username of ['u'.repeat(129), 'ä'.repeat(65)]) {
        expect(await signInDevice({ account, username })).toMatchObject({
          code: 3,
          message: 'Username invalid, must be 1-128 bytes.',
        });
      }
      const { token } = await signedIn({ account, username: unique('u').padEnd(128, 'u') });
      expect(claimsOf(token).usn).toHaveLength(128);
    });
  });

  test('a refused username makes no account', async () => {
    const account = { id: unique('device') };
    const { username } = await signIn(at.server);
    await signInDevice({ account, username });
    expect(await signInDevice({ account, create: false })).toMatchObject({ code: 5 });
  });
});

let letters = 0;
const nextLetter = () => String.fromCodePoint(0x100 + letters++);
