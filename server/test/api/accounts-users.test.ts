import { expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import { unique } from '../../testing/names.ts';

const systemUser = '00000000-0000-0000-0000-000000000000';

describeDoors('other users', {}, (at) => {
  const find = async (filter: object) => {
    const { authorization } = await signIn(at.server);
    return at.call('GetUsers', authorization, filter);
  };
  const ids = async (filter: object) =>
    ((await find(filter)).response.users ?? []).map((user: { id: string }) => user.id);

  test('#79 none are asked for', async () => {
    expect(await find({})).toMatchObject({ code: 0, response: {} });
    expect((await find({})).response).toEqual({});
  });

  test.each(['#80 x', '', ' ', `${systemUser}0`, `{${systemUser}`, 'g'.repeat(32), `${systemUser} `])(
    'the id %j is refused',
    async (text) => {
      const id = text.replace('#80 ', '');
      expect(await find({ ids: [systemUser, id] })).toMatchObject({
        code: 3,
        message: `ID '${id}' is not a valid system ID.`,
      });
    },
  );

  test('#81 found twice is listed once', async () => {
    const { id, username } = await signIn(at.server);
    expect(await ids({ ids: [id, id], usernames: [username, username] })).toEqual([id]);
  });

  test('#82 that do not exist are left out', async () => {
    const { id } = await signIn(at.server);
    expect((await find({ ids: [crypto.randomUUID()] })).response).toEqual({});
    expect(await ids({ ids: [crypto.randomUUID(), id], usernames: [unique('nobody')] })).toEqual([id]);
  });

  test('#83 are found by any spelling of their id', async () => {
    const { id } = await signIn(at.server);
    const hex = id.replaceAll('-', '');
    for (const spelling of [id.toUpperCase(), hex, hex.toUpperCase(), `{${id}}`, `{${hex}}`, `urn:uuid:${id}`]) {
      expect(await ids({ ids: [spelling] })).toEqual([id]);
    }
  });

  test('are the union of all filters', async () => {
    const [a, b] = await Promise.all([signIn(at.server), signIn(at.server)]);
    expect((await ids({ ids: [a.id], usernames: [b.username], facebook_ids: ['none'] })).sort()).toEqual(
      [a.id, b.id].sort(),
    );
  });

  test('are found by the exact username', async () => {
    const username = unique('Exact ü+&=%');
    const { id } = await signIn(at.server, { username });
    expect(await ids({ usernames: [username] })).toEqual([id]);
    expect(await ids({ usernames: [username.toLowerCase(), `${username} `] })).toEqual([]);
  });

  test('show their public side only', async () => {
    const { id, authorization, username } = await signIn(at.server);
    await at.ok('LinkCustom', authorization, { id: unique('custom') });
    await at.ok('LinkEmail', authorization, { email: `${unique('e')}@example.com`, password: 'password1' });
    const { response } = await find({ ids: [id] });
    expect(response.users).toEqual([
      {
        id,
        username,
        lang_tag: 'en',
        metadata: '{}',
        create_time: expect.stringMatching(/Z$/),
        update_time: expect.stringMatching(/Z$/),
      },
    ]);
  });

  test('include banned ones', async () => {
    const { id } = await signIn(at.server);
    await at.server.features.accounts.accounts.ban([id]);
    expect(await ids({ ids: [id] })).toEqual([id]);
  });

  test('include the system user', async () => {
    const { response } = await find({ ids: [systemUser] });
    expect(response.users).toHaveLength(1);
    expect(response.users[0]).not.toHaveProperty('username');
  });

  test('by the hundred', async () => {
    const { id } = await signIn(at.server);
    const unknown = Array.from({ length: 80 }, () => crypto.randomUUID());
    expect(await ids({ ids: [...unknown, id] })).toEqual([id]);
  });
});
