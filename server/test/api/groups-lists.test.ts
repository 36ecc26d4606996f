import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeCursor } from '../../platform/cursor.ts';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';
import { GroupClient, newGroupName, State } from './groups-support.ts';

// Lists of groups, of their users and of a user's groups (spec: social.md, sections 2.16 and 2.17, cases 51 to 57).

const badLimit = 'Invalid limit - limit must be between 1 and 100.';
const listFailed = 'Error while trying to list groups.';

describeDoors('lists of groups', {}, (doorway) => {
  const newClient = async (): Promise<GroupClient> => new GroupClient(doorway, await signIn(doorway.server));
  let a: GroupClient;
  let b: GroupClient;

  beforeEach(async () => {
    [a, b] = await Promise.all([newClient(), newClient()]);
  });

  /** All pages of a search, and how many there were. */
  const search = async (filter: object, limit = 100): Promise<Envelope[][]> => {
    const pages: Envelope[][] = [];
    for (let cursor = ''; ; ) {
      const query = { limit, ...filter, ...(cursor === '' ? {} : { cursor }) };
      const { groups = [], cursor: next } = await a.ok('ListGroups', query);
      pages.push(groups);
      if (next === undefined) return pages;
      cursor = next;
    }
  };
  const namesOf = (groups: Envelope[]): string[] => groups.map(({ name }) => name);

  describe('of some', () => {
    /** All of one language that no other test uses, with their sizes. */
    let language: string;
    let prefix: string;
    const sizes = [1, 3, 2, 1, 3, 2];

    beforeAll(async () => {
      language = randomUUID().slice(0, 18);
      prefix = newGroupName();
      const [owner, ...others] = await Promise.all([newClient(), newClient(), newClient()]);
      for (const [index, size] of sizes.entries()) {
        const group = await owner?.create({ name: `${prefix}_${index}`, lang_tag: language, open: index % 2 === 0 });
        await owner?.add(group, ...others.slice(0, size - 1));
      }
    });

    const ours = (groups: Envelope[]): Envelope[] => groups.filter(({ lang_tag }) => lang_tag === language);
    const indexes = (groups: Envelope[]): number[] => ours(groups).map(({ name }) => Number(name.split('_').at(-1)));
    const keys = (groups: Envelope[]) => groups.map(({ edge_count, id }) => [edge_count, id]);
    const sorted = (groups: Envelope[], way: 1 | -1) =>
      keys(groups).toSorted(([m, x], [n, y]) => way * (m === n ? (x < y ? -1 : 1) : m - n));

    test('social #51: one without a limit, and names by pattern', async () => {
      expect((await a.ok('ListGroups')).groups).toHaveLength(1);
      const [found = []] = await search({ name: `${prefix}%` });
      expect(indexes(found)).toEqual([0, 1, 2, 3, 4, 5]);
      for (const name of [
        `${prefix.toUpperCase()}%`,
        `%  % ${prefix}\\__`,
        `${prefix.slice(0, 5)}%${prefix.slice(7)}%`,
      ]) {
        expect([name, indexes((await search({ name })).flat())]).toEqual([name, [0, 1, 2, 3, 4, 5]]);
      }
      expect(namesOf((await search({ name: `${prefix}_3`.toUpperCase() })).flat())).toEqual([`${prefix}_3`]);
      for (const name of [`${prefix}`, `x${prefix}%`, `${prefix}_3\\`]) {
        expect([name, await search({ name })]).toEqual([name, [[]]]);
      }
      // No suffix search; nothing but wildcards is no filter.
      expect((await search({ name: `%${prefix.slice(-3)}_3` })).flat()).toEqual([]);
      expect((await a.ok('ListGroups', { name: ' %% ' })).groups).toHaveLength(1);
      const pages = await search({ name: `${prefix}%` }, 2);
      expect(pages.map(indexes)).toEqual([
        [0, 1],
        [2, 3],
        [4, 5],
      ]);
    });

    test('social #52: a name goes with no other filter', async () => {
      const refused = 'name filter cannot be combined with any other filter';
      for (const filter of [{ open: true }, { open: false }, { members: 5 }, { lang_tag: 'en' }]) {
        await a.refused('ListGroups', { name: 'g', ...filter }, 3, refused);
      }
    });

    test('social #53: by size, the largest first', async () => {
      for (const members of [3, 2]) {
        const groups = (await search({ members, lang_tag: language }, 2)).flat();
        expect(keys(groups)).toEqual(sorted(groups, -1));
        expect(indexes(groups).toSorted()).toEqual(
          [0, 1, 2, 3, 4, 5].filter((index) => (sizes[index] ?? 0) <= members),
        );
        const all = (await search({ members })).flat();
        expect(all.every(({ edge_count }) => edge_count <= members)).toBe(true);
        const counts = all.map(({ edge_count }) => edge_count);
        expect(counts).toEqual(counts.toSorted((m, n) => n - m));
        expect(indexes(all).toSorted()).toEqual(indexes(groups).toSorted());
      }
      expect(await search({ members: 0, lang_tag: language })).toEqual([[]]);
      expect((await search({ members: -1, lang_tag: language })).flat()).toHaveLength(6);
    });

    test('by language, by openness and by both, each once over all pages', async () => {
      const all = [0, 1, 2, 3, 4, 5];
      const expected: [filter: object, indexes: number[]][] = [
        [{ lang_tag: language }, all],
        [{ lang_tag: language, open: true }, [0, 2, 4]],
        [{ lang_tag: language, open: false }, [1, 3, 5]],
        [{ lang_tag: language, open: true, members: 2 }, [0, 2]],
        [{ open: true, members: 2 }, [0, 2]],
        [{ open: false, members: 3 }, [1, 3, 5]],
        [{ members: 3 }, all],
        [{ open: true }, [0, 2, 4]],
        [{}, all],
      ];
      for (const [filter, want] of expected) {
        for (const limit of [2, 100]) {
          const pages = await search(filter, limit);
          expect([filter, limit, indexes(pages.flat()).toSorted()]).toEqual([filter, limit, want]);
          expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true);
        }
      }
      const [ascending = []] = await search({ lang_tag: language });
      expect(keys(ascending)).toEqual(sorted(ascending, 1));
      const [descending = []] = await search({ lang_tag: language, open: true });
      expect(keys(descending)).toEqual(sorted(descending, -1));
    });

    test('without filters the least recently changed come first', async () => {
      const [first, second] = [await a.create({ lang_tag: language }), await a.create({ lang_tag: language })];
      const order = async (): Promise<string[]> =>
        (await search({})).flat().flatMap(({ id }) => ([first.id, second.id].includes(id) ? [id] : []));
      expect(await order()).toEqual([first.id, second.id]);
      await b.join(first);
      expect(await order()).toEqual([second.id, first.id]);
      await a.ok('DeleteGroup', { group_id: first.id });
      await a.ok('DeleteGroup', { group_id: second.id });
    });
  });

  test('social #54: bounds and cursors of a search', async () => {
    for (const limit of [0, 101, -1]) await a.refused('ListGroups', { limit }, 3, badLimit);
    const forged = (values: (string | number)[]): string => encodeCursor('groups', values);
    const id = randomUUID();
    const bad = ['###', 'abc', forged(['x']), encodeCursor('friend', ['n', 'en', 1, 1, 0, id])];
    bad.push(forged(['\0', 'en', 1, 1, 0, id]), forged(['n', 'en', -1, 1, 0, id]), forged(['n', 'en', 1, 1, 0, 'x']));
    bad.push(forged(['n', 'en', 1, 1e300, 0, id]), forged(['n', 'en', 2 ** 31, 1, 0, id]));
    for (const cursor of bad) await a.refused('ListGroups', { limit: 10, cursor }, 13, listFailed);
    expect(await a.ok('ListGroups', { cursor: forged(['n', 'en', 1, 250_000_000_000, 0, id]) })).toEqual({});
  });

  test('social #55: unknown groups have no users; bounds of the list', async () => {
    expect(await a.ok('ListGroupUsers', { group_id: randomUUID() })).toEqual({});
    expect(await a.ok('ListUserGroups', { user_id: randomUUID() })).toEqual({});
    // The id of a user is not one of a group, nor the other way round.
    const group = await a.create();
    expect(await a.ok('ListGroupUsers', { group_id: a.id })).toEqual({});
    expect(await a.ok('ListUserGroups', { user_id: group.id })).toEqual({});
    const badState = 'Invalid state - state must be between 0 and 4.';
    for (const [method, id] of [
      ['ListGroupUsers', { group_id: group.id }],
      ['ListUserGroups', { user_id: a.id }],
    ] as const) {
      for (const state of [5, -1]) await a.refused(method, { ...id, state }, 3, badState);
      for (const limit of [0, 101]) await a.refused(method, { ...id, limit }, 3, badLimit);
      for (const cursor of ['###', encodeCursor('friend', [0, '0']), encodeCursor('groups', [0, '0'])]) {
        await a.refused(method, { ...id, cursor }, 3, 'Cursor is invalid.');
      }
      const kind = method === 'ListGroupUsers' ? 'group_user' : 'user_group';
      for (const values of [[5, '0'], [0, 0], [0, '9223372036854775808'], [0, '-1'], [0.5, '1'], [0]]) {
        await a.refused(method, { ...id, cursor: encodeCursor(kind, values) }, 3, 'Cursor is invalid.');
      }
      const elsewhere = encodeCursor(kind, [1, '0']);
      await a.refused(method, { ...id, state: 0, cursor: elsewhere }, 3, 'Cursor is invalid.');
      expect(await a.ok(method, { ...id, cursor: elsewhere })).toEqual({});
    }
  });

  test('social #56: ids of users', async () => {
    await a.refused('ListUserGroups', { user_id: 'abc' }, 3, 'Group ID must be a valid ID.');
  });

  test('social #57: users by what they are, then by when they came', async () => {
    const others = await Promise.all(Array.from({ length: 6 }, newClient));
    const [c, d, e, f, g, h] = others as [GroupClient, GroupClient, GroupClient, GroupClient, GroupClient, GroupClient];
    const group = await a.create({ open: false });
    for (const client of [h, g]) await client.join(group);
    for (const client of [f, e, d, c]) await a.add(group, client);
    await a.promote(group, d);
    await a.promote(group, e);
    await a.promote(group, d);
    await b.join(group);
    await a.ban(group, b);
    const expected = [
      ...[a, d].map(({ id }) => [id, State.SUPERADMIN]),
      [e.id, State.ADMIN],
      ...[f, c].map(({ id }) => [id, State.MEMBER]),
      ...[h, g].map(({ id }) => [id, State.JOIN_REQUEST]),
    ];
    expect(await a.users(group)).toEqual(expected);
    expect(await b.users(group, { state: State.MEMBER })).toEqual(expected.slice(3, 5));
    const { group_users: first } = await a.ok('ListGroupUsers', { group_id: group.id, limit: 1 });
    const { user } = (await b.ok('GetUsers', { ids: [a.id] })).users.map((found: Envelope) => ({ user: found }))[0];
    expect(first).toEqual([{ user, state: State.SUPERADMIN }]);

    for (const limit of [1, 2, 3, 7]) {
      const seen: [string, number][] = [];
      for (let cursor = ''; ; ) {
        const page = await a.ok('ListGroupUsers', { group_id: group.id, limit, ...(cursor === '' ? {} : { cursor }) });
        seen.push(...page.group_users.map((item: Envelope) => [item.user.id, item.state]));
        if (page.cursor === undefined) break;
        cursor = page.cursor;
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
      }
      expect(seen).toEqual(expected);
    }
  });

  test("a user's groups by what the user is there, then by when", async () => {
    const groups = [];
    for (const open of [true, false, true, true, true]) groups.push(await a.create({ open }));
    const [first, closed, third, fourth, fifth] = groups as [Envelope, Envelope, Envelope, Envelope, Envelope];
    for (const group of [fourth, closed, third, first, fifth]) await b.join(group);
    await a.promote(third, b);
    await a.ban(fifth, b);
    const expected = [
      [third.id, State.ADMIN],
      [fourth.id, State.MEMBER],
      [first.id, State.MEMBER],
      [closed.id, State.JOIN_REQUEST],
    ];
    const listed = (items: Envelope[]) => items.map(({ group, state }) => [group.id, state]);
    expect(listed(await a.groupsOf(b))).toEqual(expected);
    expect(listed(await a.groupsOf(b, { state: State.MEMBER }))).toEqual(expected.slice(1, 3));
    const page = await a.ok('ListUserGroups', { user_id: b.id, limit: 2 });
    expect(listed(page.user_groups)).toEqual(expected.slice(0, 2));
    const rest = await a.ok('ListUserGroups', { user_id: b.id, limit: 2, cursor: page.cursor });
    expect(listed(rest.user_groups)).toEqual(expected.slice(2));
    expect(rest.cursor).toBeUndefined();
    const wrongState = { user_id: b.id, state: State.MEMBER, cursor: page.cursor };
    expect(listed((await a.ok('ListUserGroups', wrongState)).user_groups)).toEqual([expected[2]]);
  });
});
