import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Groups, NewGroup, SearchRequest } from '../../features/groups/index.ts';
import { nilUuid } from '../../platform/ids.ts';
import { signIn } from '../../testing/http.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { GroupClient, newGroupName, overRest, State } from './groups-support.ts';

// Groups as game code and the console work with them (spec: social.md, sections 2.18 and 2.19).

const { SUPERADMIN, ADMIN, MEMBER, BANNED } = State;
const everything: SearchRequest = { name: '', langTag: '', open: null, members: null, limit: 100, cursor: '' };

describe.each(serverKinds)('groups for game code on %s', (kind) => {
  let server: TestServer;
  let groups: Groups;
  let a: GroupClient;
  let b: GroupClient;
  let c: GroupClient;

  beforeAll(async () => {
    server = await startTestServer({ kind });
  });
  afterAll(() => server?.stop());
  beforeEach(async () => {
    groups = server.features.groups.groups;
    const newClient = async () => new GroupClient(overRest(server), await signIn(server));
    [a, b, c] = await Promise.all([newClient(), newClient(), newClient()]);
  });

  const create = (fields: Partial<NewGroup> = {}) => groups.create({ userId: a.id, name: newGroupName(), ...fields });
  const refusedAs = (code: number, message: string) => expect.objectContaining({ code, message });
  const invalid = (message: string) => refusedAs(3, message);

  test('creates with what clients cannot set', async () => {
    const group = await create({ metadata: '{"n":9007199254740993}', maxCount: 3, open: true, creatorId: b.id });
    expect(group).toMatchObject({ metadata: '{"n": 9007199254740993}', max_count: 3, state: 0, creator_id: b.id });
    expect(await create()).toMatchObject({ creator_id: nilUuid, max_count: 100, state: 1, lang_tag: 'en' });
    expect(await a.users(group)).toEqual([[a.id, SUPERADMIN]]);
    const { name } = group;
    await expect(create({ name })).rejects.toEqual(refusedAs(6, 'group name in use'));
    for (const userId of [randomUUID(), nilUuid]) {
      await expect(create({ userId })).rejects.toEqual(refusedAs(5, 'user not found'));
    }
    for (const bad of [{ name: '' }, { maxCount: 0 }, { maxCount: 1.5 }, { metadata: '[]' }, { metadata: 'x' }]) {
      await expect(create(bad)).rejects.toMatchObject({ code: 3 });
    }
  });

  test('updates as the server, and as somebody', async () => {
    const group = await create({ open: true });
    await b.join(group);
    const name = newGroupName();
    await groups.update(group.id, null, { metadata: '{"a":1}', maxCount: 2, creatorId: b.id, name });
    expect(await groups.get([group.id])).toMatchObject([
      { metadata: '{"a": 1}', max_count: 2, creator_id: b.id, name },
    ]);
    // Metadata is replaced as a whole.
    await groups.update(group.id, a.id, { metadata: '{}' });
    expect(await groups.get([group.id])).toMatchObject([{ metadata: '{}' }]);
    await expect(groups.update(group.id, b.id, { name })).rejects.toEqual(refusedAs(7, 'group permission denied'));
    await expect(groups.update(group.id, null, {})).rejects.toEqual(invalid('no group updates'));
    await expect(groups.update(randomUUID(), null, { name })).rejects.toEqual(invalid('group not updated'));
    await expect(groups.update(group.id, null, { maxCount: 1 })).rejects.toEqual(
      invalid('Group has 2 members, max count cannot be less.'),
    );
    for (const bad of [{ maxCount: 0 }, { metadata: '1' }]) {
      await expect(groups.update(group.id, null, bad)).rejects.toMatchObject({ code: 3 });
    }
    const other = await create();
    await expect(groups.update(other.id, null, { name })).rejects.toEqual(refusedAs(6, 'group name in use'));
  });

  test('deletes; for the server it is no error when there is nothing', async () => {
    const group = await create();
    await expect(groups.delete(group.id, b.id)).rejects.toEqual(refusedAs(7, 'group permission denied'));
    await groups.delete(group.id, null);
    await groups.delete(group.id, null);
    expect(await groups.get([group.id])).toEqual([]);
  });

  test('joins and leaves in the name of users', async () => {
    const group = await create({ open: true, maxCount: 2 });
    await groups.join(group.id, { id: b.id, username: 'as told' });
    const { messages } = await b.ok('ListChannelMessages', { channel_id: `3.${group.id}..`, limit: 10 });
    expect(messages).toMatchObject([{ code: 3, sender_id: b.id, username: 'as told' }]);
    const join = (groupId: string, userId: string) => groups.join(groupId, { id: userId, username: 'x' });
    await expect(join(group.id, c.id)).rejects.toEqual(refusedAs(9, 'group is full'));
    await expect(join(randomUUID(), c.id)).rejects.toEqual(refusedAs(5, 'group not found'));
    await expect(groups.leave(group.id, { id: a.id, username: 'x' })).rejects.toEqual(
      refusedAs(9, 'user is last group superadmin'),
    );
    await groups.leave(group.id, { id: b.id, username: 'x' });
    await expect(join(group.id, randomUUID())).rejects.toEqual(refusedAs(5, 'user not found'));
  });

  test('social 2.4: the server does anything but leave a group without superadmin', async () => {
    const group = await create();
    expect(await groups.addUsers(group.id, [a.id, b.id, c.id], null)).toEqual([b.id, c.id]);
    expect(await b.notifications()).toMatchObject([{ code: -4, subject: `You've been added to group ${group.name}` }]);
    expect((await b.notifications())[0]).not.toHaveProperty('sender_id');
    await groups.promoteUsers(group.id, [b.id], null);
    expect(await groups.promoteUsers(group.id, [b.id], null)).toEqual([b.id]);
    expect(await groups.promoteUsers(group.id, [b.id], null)).toEqual([]);
    expect(await groups.demoteUsers(group.id, [a.id, b.id, c.id], null)).toEqual([a.id]);
    expect(await a.users(group)).toEqual([
      [b.id, SUPERADMIN],
      [a.id, ADMIN],
      [c.id, MEMBER],
    ]);
    expect(await groups.kickUsers(group.id, [b.id, a.id], null)).toEqual([a.id]);
    expect(await groups.banUsers(group.id, [b.id, c.id], null)).toEqual([c.id]);
    expect(await b.users(group)).toEqual([[b.id, SUPERADMIN]]);
    expect(await b.users(group, { state: BANNED })).toEqual([[c.id, BANNED]]);
    const codes = (await b.history(group)).map(([code]) => code);
    expect(codes).toEqual([4, 4, 7, 7, 9, 6, 8]);
  });

  test('in the name of somebody, what that user may do', async () => {
    const group = await create();
    await groups.addUsers(group.id, [b.id], a.id);
    expect((await b.notifications())[0].sender_id).toBe(a.id);
    const verbs = ['addUsers', 'kickUsers', 'banUsers', 'promoteUsers', 'demoteUsers'] as const;
    for (const verb of verbs) {
      await expect(groups[verb](group.id, [c.id], b.id)).rejects.toEqual(refusedAs(7, 'group permission denied'));
      await expect(groups[verb](randomUUID(), [c.id], null)).rejects.toEqual(refusedAs(5, 'group not found'));
      const word = verb.replace('Users', '');
      await expect(groups[verb](group.id, [c.id, nilUuid], null)).rejects.toEqual(
        invalid(`cannot ${word} the root user`),
      );
      await expect(groups[verb](group.id, Array(10_001).fill(c.id), null)).rejects.toEqual(
        invalid('Too many users, at most 10000 at once.'),
      );
      await groups[verb](group.id, [], null);
    }
    await expect(groups.addUsers(group.id, [c.id, randomUUID()], null)).rejects.toEqual(refusedAs(5, 'user not found'));
    expect(await a.users(group)).toEqual([
      [a.id, SUPERADMIN],
      [b.id, MEMBER],
    ]);
  });

  test('adds hundreds at once, each with a place of their own', async () => {
    const group = await create({ maxCount: 1000 });
    const players = await Promise.all(Array.from({ length: 120 }, () => signIn(server)));
    await groups.addUsers(
      group.id,
      players.map(({ id }) => id),
      null,
    );
    const page = await groups.listUsers(group.id, { limit: 10_000, state: null, cursor: '' });
    expect(page.items.map(({ user }) => user.id)).toEqual([a.id, ...players.map(({ id }) => id)]);
    const history = await groups.listUsers(group.id, { limit: 10_000, state: MEMBER, cursor: '' });
    expect(history.items).toHaveLength(120);
    await groups.kickUsers(
      group.id,
      players.map(({ id }) => id),
      a.id,
    );
    expect((await a.group(group)).edge_count).toBe(1);
  });

  test('lists with other bounds than clients have', async () => {
    const group = await create();
    const list = { limit: 10, state: null, cursor: '' };
    for (const limit of [0, 10_001, 1.5]) {
      await expect(groups.listUsers(group.id, { ...list, limit })).rejects.toEqual(
        invalid('expects limit to be 1-10000'),
      );
    }
    for (const limit of [0, 101]) {
      await expect(groups.listOfUser(a.id, { ...list, limit })).rejects.toEqual(invalid('expects limit to be 1-100'));
      await expect(groups.list({ ...everything, limit })).rejects.toEqual(invalid('expects limit to be 1-100'));
    }
    for (const state of [-1, 5]) {
      await expect(groups.listUsers(group.id, { ...list, state })).rejects.toEqual(invalid('expects state to be 0-4'));
    }
    const bad = { ...list, cursor: 'x' };
    await expect(groups.listUsers(group.id, bad)).rejects.toEqual(invalid('group user cursor invalid'));
    await expect(groups.listOfUser(a.id, bad)).rejects.toEqual(invalid('user group cursor invalid'));
    await expect(groups.list({ ...everything, cursor: 'x' })).rejects.toEqual(invalid('group cursor invalid'));
    expect((await groups.listOfUser(a.id, list)).items).toMatchObject([{ group: { id: group.id }, state: 0 }]);
    expect((await groups.list({ ...everything, name: `${group.name}%` })).items).toMatchObject([{ id: group.id }]);
  });

  test('finds by id and picks some', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => create()));
    const ids = made.map(({ id }) => id);
    expect((await groups.get([...ids, randomUUID()])).map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    expect(await groups.get([])).toEqual([]);
    const some = await groups.random(4);
    expect(new Set(some.map(({ id }) => id)).size).toBe(4);
    expect(await groups.random(0)).toEqual([]);
    const all = (await groups.random(1000)).map(({ id }) => id);
    expect(all).toEqual(expect.arrayContaining(ids));
    expect(new Set(all).size).toBe(all.length);
    for (const count of [-1, 1001, 0.5]) {
      await expect(groups.random(count)).rejects.toEqual(invalid('count must be 0-1000'));
    }
    const picks = await Promise.all(Array.from({ length: 20 }, () => groups.random(1)));
    expect(new Set(picks.flat().map(({ id }) => id)).size).toBeGreaterThan(1);
    await expect(groups.get(Array(10_001).fill(ids[0]))).rejects.toEqual(
      invalid('Too many groups, at most 10000 at once.'),
    );
  });

  describe('social 2.18: when an account is deleted', () => {
    const remove = async (client: GroupClient) => expect(await client.ok('DeleteAccount')).toEqual({});

    test('a group of which it was the only superadmin goes with it', async () => {
      const [alone, shared] = [await create(), await create()];
      await groups.addUsers(shared.id, [b.id, c.id], null);
      await groups.promoteUsers(shared.id, [b.id], null);
      await remove(a);
      expect(await groups.get([alone.id, shared.id])).toEqual([]);
      expect(await b.groupsOf(b)).toEqual([]);
      expect(await b.users(shared)).toEqual([]);
    });

    test('in others it is gone and not counted', async () => {
      const [beside, member, request, ban] = [
        await create({ userId: b.id }),
        await create({ userId: b.id }),
        await create({ userId: b.id }),
        await create({ userId: b.id }),
      ];
      for (const group of [beside, member, ban]) await groups.addUsers(group.id, [a.id], null);
      await groups.promoteUsers(beside.id, [a.id], null);
      await groups.promoteUsers(beside.id, [a.id], null);
      await a.join(request);
      await b.ban(ban, a);
      await remove(a);
      for (const group of [beside, member, request, ban]) {
        expect(await b.group(group)).toMatchObject({ edge_count: 1 });
        expect(await b.users(group)).toEqual([[b.id, SUPERADMIN]]);
        expect(await b.users(group, { state: BANNED })).toEqual([]);
        // Nobody is told, and what was told of the user is gone.
        expect((await b.history(group)).filter(([, id]) => id === a.id)).toEqual([]);
      }
      // The group still ends with its last member.
      await b.leave(beside);
      expect(await groups.get([beside.id])).toEqual([]);
    });

    test('together with all other admins at the same time, no group and no count goes wrong', async () => {
      for (let round = 0; round < 5; round++) {
        const clients = await Promise.all(
          Array.from({ length: 6 }, async () => new GroupClient(overRest(server), await signIn(server))),
        );
        const [first, ...others] = clients as [GroupClient, ...GroupClient[]];
        const shared = await Promise.all([1, 2, 3].map(() => create({ userId: first.id })));
        const ids = others.map(({ id }) => id);
        for (const group of shared) await groups.addUsers(group.id, ids, null);
        for (const group of shared) await groups.promoteUsers(group.id, ids.slice(0, 3), null);
        for (const group of shared) await groups.promoteUsers(group.id, ids.slice(0, 3), null);
        // Three of the four superadmins, while others come and go.
        await Promise.all([
          ...[first, ...others.slice(0, 2)].map(remove),
          ...shared.map((group) => groups.kickUsers(group.id, [others[3]?.id ?? ''], null)),
          ...shared.map((group) => groups.addUsers(group.id, [b.id], null)),
        ]);
        const left = others[2] as GroupClient;
        for (const group of shared) {
          expect(await left.users(group)).toEqual([
            [left.id, SUPERADMIN],
            [others[4]?.id, MEMBER],
            [b.id, MEMBER],
          ]);
          expect(await left.group(group)).toMatchObject({ edge_count: 3 });
        }
      }
    });

    test('its groups are in the export', async () => {
      const group = await create({ description: 'D', open: true });
      await b.join(group);
      let text = '';
      for await (const piece of server.features.erasure.exportAccount(b.id)) text += piece;
      expect(JSON.parse(text).groups).toEqual([await b.group(group)]);
    });
  });
});
