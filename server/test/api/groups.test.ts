import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import { channelOf, GroupClient, newGroupName, State } from './groups-support.ts';

// Groups, and coming and going (spec: social.md, sections 2.6 to 2.10, cases 26 to 36 and 47 to 50).

const nilUuid = '00000000-0000-0000-0000-000000000000';

describeDoors('groups', {}, (doorway) => {
  const newClient = async (): Promise<GroupClient> => new GroupClient(doorway, await signIn(doorway.server));
  let a: GroupClient;
  let b: GroupClient;
  let c: GroupClient;

  beforeEach(async () => {
    [a, b, c] = await Promise.all([newClient(), newClient(), newClient()]);
  });

  test('social #26: a new group has its creator and the defaults', async () => {
    const name = newGroupName();
    const seconds = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const group = await a.create({ name, open: false });
    expect(group).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      creator_id: a.id,
      name,
      lang_tag: 'en',
      metadata: '{}',
      open: false,
      edge_count: 1,
      max_count: 100,
      create_time: seconds,
      update_time: seconds,
    });
    expect(await a.users(group)).toEqual([[a.id, State.SUPERADMIN]]);
    expect(await a.groupsOf(a)).toEqual([{ group, state: State.SUPERADMIN }]);
    expect(await a.history(group)).toEqual([]);
    expect(await a.notifications()).toEqual([]);

    const all = { description: 'D', lang_tag: 'fr', avatar_url: 'https://example.com/a.png', open: true, max_count: 7 };
    expect(await a.create(all)).toMatchObject(all);
    expect(await a.create({ name: ` ${newGroupName()}  ` })).toMatchObject({
      name: expect.stringMatching(/^ .* {2}$/),
    });
  });

  test('social #27: names are taken once, and must be there', async () => {
    const { name } = await a.create();
    await b.refused('CreateGroup', { name }, 6, 'Group name is in use.');
    expect((await b.create({ name: name.toUpperCase() })).name).toBe(name.toUpperCase());
    await a.refused('CreateGroup', { name: '' }, 3, 'Group name must be set.');
    const tooSmall = { name: newGroupName(), max_count: -1 };
    await a.refused('CreateGroup', tooSmall, 3, 'Group max count must be >= 1 when set.');
    const tooLong = { name: 'n'.repeat(256) };
    await a.refused('CreateGroup', tooLong, 13, 'Error while trying to create group.');
    await a.refused('CreateGroup', { name: 'a\0b' }, 3, 'Invalid character in text.');
  });

  test('social #28: who may update a group, and to what', async () => {
    const group = await a.create({ open: false });
    const denied = "Group not found or you're not allowed to update.";
    const change = { group_id: group.id, description: 'New' };
    await b.refused('UpdateGroup', change, 5, denied);
    await a.refused('UpdateGroup', { ...change, group_id: randomUUID() }, 5, denied);
    await b.join(group);
    await b.refused('UpdateGroup', change, 5, denied);
    await a.add(group, b);
    await b.refused('UpdateGroup', change, 5, denied);
    // Who may not, is not told what is missing.
    await b.refused('UpdateGroup', { group_id: group.id }, 5, denied);
    await a.promote(group, b);
    expect(await b.update(group, { description: 'New' })).toEqual({});
    expect(await a.group(group)).toMatchObject({ description: 'New', name: group.name, open: false });

    await a.refused('UpdateGroup', { group_id: group.id }, 3, 'Specify at least one field to update.');
    await a.refused('UpdateGroup', { group_id: group.id, name: '' }, 3, 'Group name cannot be empty.');
    await a.refused('UpdateGroup', { group_id: group.id, lang_tag: '' }, 3, 'Group language cannot be empty.');
    const other = await c.create();
    await a.refused('UpdateGroup', { group_id: group.id, name: other.name }, 3, 'Group name is in use.');
    await a.refused(
      'UpdateGroup',
      { group_id: group.id, lang_tag: 'x'.repeat(19) },
      13,
      'Error while trying to update group.',
    );
    const name = newGroupName();
    await a.update(group, { name, lang_tag: 'de', open: true, avatar_url: 'u' });
    expect(await a.group(group)).toMatchObject({ name, lang_tag: 'de', open: true, avatar_url: 'u', max_count: 100 });
    // A name that is given up is free.
    await c.update(other, { name: group.name });
  });

  test('social #29: what is cleared is gone, and an update with the same values is one', async () => {
    const group = await a.create({ description: 'D', avatar_url: 'u' });
    await a.update(group, { description: '', avatar_url: '' });
    const cleared = await a.group(group);
    expect(cleared).not.toHaveProperty('description');
    expect(cleared).not.toHaveProperty('avatar_url');
    await a.update(group, { description: '' });
  });

  test('social #30, #31: joining an open group', async () => {
    const group = await a.create();
    expect(await b.join(group)).toEqual({});
    expect(await b.group(group)).toMatchObject({ edge_count: 2 });
    expect(await a.stateOf(group, b)).toBe(State.MEMBER);
    expect(await b.history(group)).toEqual([[3, b.id]]);
    expect(await b.join(group)).toEqual({});
    expect(await a.group(group)).toMatchObject({ edge_count: 2 });
    expect(await b.history(group)).toEqual([[3, b.id]]);
    expect(await a.notifications()).toEqual([]);
    const { messages } = await b.ok('ListChannelMessages', { channel_id: channelOf(group.id), limit: 10 });
    expect(messages).toEqual([
      {
        channel_id: channelOf(group.id),
        message_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4/),
        code: 3,
        sender_id: b.id,
        username: b.username,
        content: '{}',
        create_time: expect.any(String),
        update_time: messages[0].create_time,
        persistent: true,
        group_id: group.id,
      },
    ]);
  });

  test('social #32: joining a closed group sends a request, of which its admins hear', async () => {
    const group = await a.create({ open: false });
    await a.add(group, b);
    await a.promote(group, b);
    await a.add(group, c);
    const d = await newClient();
    expect(await d.join(group)).toEqual({});
    expect(await a.stateOf(group, d)).toBe(State.JOIN_REQUEST);
    expect(await d.groupsOf(d)).toMatchObject([{ state: State.JOIN_REQUEST, group: { edge_count: 3 } }]);
    await d.join(group);
    for (const admin of [a, b]) {
      const notices = (await admin.notifications()).filter(({ code }) => code === -5);
      expect(notices).toMatchObject([
        {
          subject: `User ${d.username} wants to join your group`,
          sender_id: d.id,
          persistent: true,
        },
      ]);
      expect(JSON.parse(notices[0].content)).toEqual({ group_id: group.id, username: d.username });
    }
    expect((await c.notifications()).map(({ code }) => code)).toEqual([-4]);
    expect((await a.history(group)).filter(([, id]) => id === d.id)).toEqual([]);
    // A request stays one when the group opens.
    await a.update(group, { open: true });
    await d.join(group);
    expect(await a.stateOf(group, d)).toBe(State.JOIN_REQUEST);
  });

  test('social #35: a full group', async () => {
    const group = await a.create({ max_count: 2 });
    await b.join(group);
    for (const client of [c, b]) await client.refused('JoinGroup', { group_id: group.id }, 3, 'Group is full.');
    await a.refused('AddGroupUsers', { group_id: group.id, user_ids: [c.id] }, 3, 'Group is full.');
    await a.add(group, b);
    await b.leave(group);
    await c.join(group);
    expect(await a.group(group)).toMatchObject({ edge_count: 2 });
    const closed = await a.create({ max_count: 1, open: false });
    await b.refused('JoinGroup', { group_id: closed.id }, 3, 'Group is full.');
  });

  test('social #36: ids of groups', async () => {
    const methods = ['JoinGroup', 'LeaveGroup', 'DeleteGroup', 'UpdateGroup', 'AddGroupUsers', 'KickGroupUsers'];
    methods.push('BanGroupUsers', 'PromoteGroupUsers', 'DemoteGroupUsers', 'ListGroupUsers');
    for (const method of methods) await a.refused(method, { group_id: 'x' }, 3, 'Group ID must be a valid ID.');
    await a.refused('JoinGroup', { group_id: randomUUID() }, 5, 'Group not found.');
    await a.refused('JoinGroup', { group_id: nilUuid }, 5, 'Group not found.');
    const group = await a.create();
    await b.join({ id: group.id.toUpperCase() });
    expect(await a.stateOf(group, b)).toBe(State.MEMBER);
  });

  test('social #47: the last superadmin cannot leave members behind', async () => {
    const group = await a.create();
    await b.join(group);
    const last = 'Cannot leave group when you are the last superadmin.';
    await a.refused('LeaveGroup', { group_id: group.id }, 3, last);
    await a.promote(group, b);
    await a.refused('LeaveGroup', { group_id: group.id }, 3, last);
    await a.promote(group, b);
    expect(await a.leave(group)).toEqual({});
    expect(await b.users(group)).toEqual([[b.id, State.SUPERADMIN]]);
    expect(await b.group(group)).toMatchObject({ edge_count: 1 });
    expect((await b.history(group)).at(-1)).toEqual([5, a.id]);
  });

  test('social #48: a group ends with its last member', async () => {
    const group = await a.create({ open: false });
    await b.join(group);
    await a.add(group, c);
    await a.ban(group, c);
    // Neither requests nor bans keep it.
    expect(await a.leave(group)).toEqual({});
    await c.refused('JoinGroup', { group_id: group.id }, 5, 'Group not found.');
    for (const client of [a, b, c]) expect(await client.groupsOf(client)).toEqual([]);
    expect(await a.users(group)).toEqual([]);
    expect(await a.users(group, { state: State.BANNED })).toEqual([]);
    // Its name is free again.
    await b.create({ name: group.name });
  });

  test('social #49: strangers leave without effect, requests are withdrawn with a message', async () => {
    const group = await a.create({ open: false });
    expect(await b.leave(group)).toEqual({});
    expect(await b.leave({ id: randomUUID() })).toEqual({});
    await b.join(group);
    expect(await b.leave(group)).toEqual({});
    expect(await a.stateOf(group, b)).toBeUndefined();
    expect(await a.history(group)).toEqual([[5, b.id]]);
    expect(await a.group(group)).toMatchObject({ edge_count: 1 });
    await a.add(group, b);
    await a.ban(group, b);
    expect(await b.leave(group)).toEqual({});
    expect(await a.stateOf(group, b)).toBe(State.BANNED);
  });

  test('social #50: only superadmins delete', async () => {
    const group = await a.create();
    await b.join(group);
    const denied = "Group not found or you're not allowed to delete.";
    await a.promote(group, b);
    for (const client of [b, c]) await client.refused('DeleteGroup', { group_id: group.id }, 3, denied);
    expect(await a.ok('DeleteGroup', { group_id: group.id })).toEqual({});
    await a.refused('DeleteGroup', { group_id: group.id }, 3, denied);
    for (const client of [a, b]) expect(await client.groupsOf(client)).toEqual([]);
    await a.refused('ListChannelMessages', { channel_id: channelOf(group.id) }, 3, 'Group not found.');
  });

  test('history of a group is for its members', async () => {
    const group = await a.create({ open: false });
    await b.join(group);
    const query = { channel_id: channelOf(group.id), limit: 10 };
    for (const client of [b, c]) await client.refused('ListChannelMessages', query, 3, 'Group not found.');
    for (const id of [channelOf(randomUUID()), '3...', channelOf(nilUuid)]) {
      await a.refused('ListChannelMessages', { ...query, channel_id: id }, 3, 'Group not found.');
    }
    await a.add(group, b);
    expect(await b.history(group)).toEqual([[4, b.id]]);
    await a.ban(group, b);
    await b.refused('ListChannelMessages', query, 3, 'Group not found.');
  });

  test('nobody does anything without a session', async () => {
    const group = await a.create();
    for (const method of ['CreateGroup', 'JoinGroup', 'ListGroups', 'ListGroupUsers', 'KickGroupUsers']) {
      const outcome = await doorway.call(method, 'Bearer nonsense', { group_id: group.id });
      expect([method, outcome.code]).toEqual([method, 16]);
    }
  });
});
