import bcrypt from 'bcrypt';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { claimsOf, serverKeyAuth, signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

// What an existing database may hold, and no client of ours could have written.
describeDoors('stored accounts', {}, (at) => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client(at.server.databaseUrl);
    await client.connect();
  });
  afterAll(() => client?.end());

  const set = (id: string, assignments: string, ...values: unknown[]) =>
    client.query(`UPDATE users SET ${assignments} WHERE id = $1`, [id, ...values]);

  test('metadata and wallet are the text that PostgreSQL makes of them', async () => {
    const { id, authorization } = await signIn(at.server);
    const written = '{"longer":9007199254740993,"b":1.50,"a":{"y":[1,2],"x":null},"b":2.50}';
    const read = '{"a": {"x": null, "y": [1, 2]}, "b": 2.50, "longer": 9007199254740993}';
    await set(id, 'metadata = $2, wallet = $2', written);
    const account = await at.ok('GetAccount', authorization);
    expect([account.user.metadata, account.wallet]).toEqual([read, read]);
    expect((await at.ok('GetUsers', authorization, { ids: [id] })).users[0].metadata).toBe(read);
  });

  test('every identifier shows where it may', async () => {
    const { id, authorization } = await signIn(at.server);
    const names = ['apple_id', 'facebook_id', 'facebook_instant_game_id', 'google_id', 'gamecenter_id', 'steam_id'];
    const identifiers = Object.fromEntries(names.map((name) => [name, unique(name)]));
    await set(
      id,
      `${names.map((name, index) => `${name} = $${index + 2}`).join(', ')}, edge_count = 7`,
      ...Object.values(identifiers),
    );
    const { user } = await at.ok('GetAccount', authorization);
    expect(user).toMatchObject({ ...identifiers, edge_count: 7 });
    const filter = { facebook_ids: [identifiers['facebook_id']] };
    expect((await at.ok('GetUsers', authorization, filter)).users).toEqual([user]);
  });

  test('an identifier of a provider is one to sign in with', async () => {
    const { id, authorization, deviceId } = await signIn(at.server);
    await set(id, 'steam_id = $2', unique('steam'));
    expect(await at.call('UnlinkDevice', authorization, { id: deviceId })).toMatchObject({ code: 0 });
    expect(await at.ok('GetAccount', authorization)).not.toHaveProperty('devices');
  });

  test('verify_time shows once it is set, disable_time never', async () => {
    const { id, authorization } = await signIn(at.server);
    await set(id, "verify_time = '2024-02-29T12:00:00.75Z', disable_time = now()");
    const account = await at.ok('GetAccount', authorization);
    expect(account.verify_time).toBe('2024-02-29T12:00:00Z');
    expect(account).not.toHaveProperty('disable_time');
  });

  test('disabled without a word to the tokens: they live, but neither login nor refresh', async () => {
    const { id, authorization, deviceId, refreshToken } = await signIn(at.server);
    await set(id, 'disable_time = now()');
    const banned = { code: 7, message: 'User account banned.' };
    expect((await at.call('GetAccount', authorization)).code).toBe(0);
    expect(await at.call('AuthenticateDevice', serverKeyAuth, { account: { id: deviceId } })).toMatchObject(banned);
    expect(await at.call('SessionRefresh', serverKeyAuth, { token: refreshToken })).toMatchObject(banned);
  });

  test.each(['2a', '2b'])('a password hashed as %s elsewhere opens the account', async (version) => {
    const { id } = await signIn(at.server);
    const email = `${unique('stored')}@example.com`;
    const hash = (await bcrypt.hash('password1', 5)).replace(/^\$2.\$/, `$${version}$`);
    await set(id, 'email = $2, password = $3', email, Buffer.from(hash));
    const account = { email, password: 'password1' };
    const { token } = await at.ok('AuthenticateEmail', serverKeyAuth, { account });
    expect(claimsOf(token).uid).toBe(id);
    const wrong = { email, password: 'password2' };
    expect((await at.call('AuthenticateEmail', serverKeyAuth, { account: wrong })).code).toBe(16);
  });

  test.each([
    ['none', null],
    ['an empty one', Buffer.alloc(0)],
    ['one that is no hash', Buffer.from('password1')],
  ])('with %s for a password, an address opens nothing', async (_, password) => {
    const { id } = await signIn(at.server);
    const email = `${unique('stored')}@example.com`;
    await set(id, 'email = $2, password = $3', email, password);
    expect(
      await at.call('AuthenticateEmail', serverKeyAuth, { account: { email, password: 'password1' } }),
    ).toMatchObject({ code: 16, message: 'Invalid credentials.' });
  });

  test('an address in capitals, as providers gave it, is never found', async () => {
    const { id } = await signIn(at.server);
    const email = `${unique('Stored')}@Example.com`;
    await set(id, 'email = $2', email);
    const account = { email, password: 'password1' };
    expect((await at.call('AuthenticateEmail', serverKeyAuth, { account, create: false })).code).toBe(5);
  });

  test('users by a name with a NUL fail as the database does', async () => {
    const { authorization } = await signIn(at.server);
    expect(await at.call('GetUsers', authorization, { usernames: ['a\0b'] })).toMatchObject({
      code: 13,
      message: 'Error retrieving user accounts.',
    });
  });
});
