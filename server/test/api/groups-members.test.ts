import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { describeDoors } from '../../testing/door-suite.ts';
import { signIn } from '../../testing/http.ts';
import type { Envelope } from '../../testing/socket.ts';
import { GroupClient, newGroupName, State, toTargets } from './groups-support.ts';

// What admins do to others (spec: social.md, sections 2.4 and 2.11 to 2.15, cases 33, 34 and 37 to 46).

const nilUuid = '00000000-0000-0000-0000-000000000000';
const denied = 'Group not found or permission denied.';
const { SUPERADMIN, ADMIN, MEMBER, JOIN_REQUEST, BANNED } = State;

describeDoors('members of groups', {}, (doorway) => {
  const newClient = async (): Promise<GroupClient> => new GroupClient(doorway, await signIn(doorway.server));
  let a: GroupClient;
  let b: GroupClient;
  let c: GroupClient;
  let d: GroupClient;
  let group: Envelope;

  beforeEach(async () => {
    [a, b, c, d] = await Promise.all([newClient(), newClient(), newClient(), newClient()]);
    group = await a.create({ open: false });
  });

  const count = async (): Promise<number> => (await a.group(group)).edge_count;
  const states = async (): Promise<(number | undefined)[]> => {
    const all = [...(await a.users(group)), ...(await a.users(group, { state: BANNED }))];
    return [a, b, c, d].map(({ id }) => all.find(([userId]) => userId === id)?.[1]);
  };
  /** Brings somebody who is nothing to the group into a state there. */
  const make = async (client: GroupClient, state: number): Promise<void> => {
    if (state === JOIN_REQUEST) return void (await client.join(group));
    await a.add(group, client);
    if (state <= ADMIN) await a.promote(group, client);
    if (state === SUPERADMIN) await a.promote(group, client);
    if (state === BANNED) await a.ban(group, client);
  };
  const codesOf = async ({ id }: GroupClient): Promise<number[]> =>
    (await a.history(group)).filter(([, senderId]) => senderId === id).map(([code]) => code);

  test('social #33: adding strangers and accepting requests', async () => {
    await b.join(group);
    await a.add(group, b, c);
    expect(await states()).toEqual([SUPERADMIN, MEMBER, MEMBER, undefined]);
    expect(await count()).toBe(3);
    expect(await a.history(group)).toEqual([
      [4, b.id],
      [4, c.id],
    ]);
    const notices = await b.notifications();
    expect(notices).toMatchObject([
      { code: -4, subject: `You've been added to group ${group.name}`, sender_id: a.id, persistent: true },
    ]);
    expect(JSON.parse(notices[0].content)).toEqual({ group_id: group.id, name: group.name });
    // Members stay what they are, and hear nothing.
    await a.promote(group, b);
    await a.add(group, b, c, a, c);
    expect(await states()).toEqual([SUPERADMIN, ADMIN, MEMBER, undefined]);
    expect([await count(), (await b.notifications()).length]).toEqual([3, 1]);
    // Admins add as well; the position of a request stays, so that it is listed where it was.
    await d.join(group);
    await b.add(group, d);
    expect(await a.users(group)).toEqual([
      [a.id, SUPERADMIN],
      [b.id, ADMIN],
      [c.id, MEMBER],
      [d.id, MEMBER],
    ]);
    expect(await d.notifications()).toMatchObject([{ code: -4, sender_id: b.id }]);
  });

  test('a notification of a group with a long name says what there is room for', async () => {
    const name = `${newGroupName()}${'🎲'.repeat(120)}`;
    const long = await a.create({ name });
    await a.add(long, b);
    const [notice] = await b.notifications();
    expect(notice.subject).toBe(`You've been added to group ${name}`.slice(0, notice.subject.length));
    expect(notice.subject.length).toBeGreaterThan(250);
    expect(JSON.parse(notice.content).name).toBe(name);
  });

  test('social #34: all are added or nobody', async () => {
    const unknown = { id: randomUUID() };
    for (const others of [
      [unknown, b],
      [b, unknown],
    ]) {
      await a.refused('AddGroupUsers', toTargets(group, others), 3, 'One or more users not found.');
    }
    expect(await states()).toEqual([SUPERADMIN, undefined, undefined, undefined]);
    const small = await a.create({ max_count: 2 });
    await a.refused('AddGroupUsers', toTargets(small, [b, c]), 3, 'Group is full.');
    expect(await a.users(small)).toEqual([[a.id, SUPERADMIN]]);
    expect(await a.history(small)).toEqual([]);
    expect(await b.notifications()).toEqual([]);
    await a.add(small, b, b);
    expect(await a.group(small)).toMatchObject({ edge_count: 2 });
  });

  test('social #37: members, requests, banned users and strangers may do nothing to others', async () => {
    const e = await newClient();
    await a.add(group, c);
    const methods = ['AddGroupUsers', 'KickGroupUsers', 'BanGroupUsers', 'PromoteGroupUsers', 'DemoteGroupUsers'];
    for (const state of [undefined, JOIN_REQUEST, MEMBER, BANNED]) {
      await a.kick(group, b);
      if (state !== undefined) await make(b, state);
      for (const method of methods) {
        for (const target of [c, e, b]) await b.refused(method, toTargets(group, [target]), 5, denied);
      }
    }
    for (const method of methods) await a.refused(method, toTargets({ id: randomUUID() }, [b]), 5, denied);
    expect(await states()).toEqual([SUPERADMIN, BANNED, MEMBER, undefined]);
  });

  test('user ids have to be there, and to be ids', async () => {
    const methods = ['AddGroupUsers', 'KickGroupUsers', 'BanGroupUsers', 'PromoteGroupUsers'];
    // Whoever may do nothing, does nothing.
    for (const method of methods) expect(await b.ok(method, { group_id: group.id })).toEqual({});
    for (const method of [...methods, 'DemoteGroupUsers']) {
      for (const id of ['x', nilUuid]) {
        await a.refused(method, toTargets(group, [b, { id }]), 3, 'User ID must be a valid ID.');
      }
    }
  });

  test('social #38: promoting goes up step by step', async () => {
    await a.add(group, b);
    await a.promote(group, b);
    expect(await a.stateOf(group, b)).toBe(ADMIN);
    await a.promote(group, b);
    expect(await a.stateOf(group, b)).toBe(SUPERADMIN);
    await a.promote(group, b);
    await a.promote(group, a);
    expect(await codesOf(b)).toEqual([4, 7, 7]);
    expect(await count()).toBe(2);
    expect((await b.notifications()).map(({ code }) => code)).toEqual([-4]);
    expect((await b.groupsOf(b))[0].state).toBe(SUPERADMIN);
  });

  test('social #38, #40, #42: what admins may do, and to whom', async () => {
    const others = { [SUPERADMIN]: c, [ADMIN]: d };
    await make(b, ADMIN);
    for (const [state, target] of Object.entries(others)) await make(target, Number(state));
    // Superadmins are out of their reach, and so are admins but for one thing.
    await b.promote(group, c, d, b);
    await b.kick(group, c, d, b, a);
    await b.ban(group, c, d, b, a);
    await b.demote(group, c, b, a);
    expect(await states()).toEqual([SUPERADMIN, ADMIN, SUPERADMIN, ADMIN]);
    await b.demote(group, d);
    expect(await a.stateOf(group, d)).toBe(MEMBER);
    expect((await codesOf(d)).at(-1)).toBe(9);
    await b.demote(group, d);
    await b.promote(group, d);
    expect(await states()).toEqual([SUPERADMIN, ADMIN, SUPERADMIN, ADMIN]);
    await b.promote(group, d);
    expect(await codesOf(d)).toEqual([4, 7, 9, 7]);
    await b.demote(group, d);
    await b.ban(group, d);
    await b.kick(group, d);
    expect(await states()).toEqual([SUPERADMIN, ADMIN, SUPERADMIN, undefined]);
  });

  test('social #39: requests are neither promoted nor demoted', async () => {
    await b.join(group);
    await a.promote(group, b);
    await a.demote(group, b);
    expect(await a.stateOf(group, b)).toBe(JOIN_REQUEST);
    await make(c, BANNED);
    await a.promote(group, c, d);
    await a.demote(group, c, d);
    expect(await states()).toEqual([SUPERADMIN, JOIN_REQUEST, BANNED, undefined]);
    expect(await codesOf(b)).toEqual([]);
  });

  test('social #40: superadmins demote each other, but not themselves', async () => {
    await make(b, SUPERADMIN);
    await a.demote(group, a);
    await b.demote(group, a, b);
    expect(await states()).toEqual([ADMIN, SUPERADMIN, undefined, undefined]);
    await b.demote(group, a);
    await b.demote(group, a);
    expect(await states()).toEqual([MEMBER, SUPERADMIN, undefined, undefined]);
    expect(await codesOf(a)).toEqual([9, 9]);
  });

  test('social #41: only demoting wants user ids', async () => {
    await a.refused('DemoteGroupUsers', { group_id: group.id }, 3, 'User IDs must be set.');
    expect(await a.ok('KickGroupUsers', { group_id: group.id })).toEqual({});
    expect(await a.ok('KickGroupUsers', { group_id: randomUUID() })).toEqual({});
  });

  test('social #42: superadmins kick anybody else', async () => {
    await make(b, ADMIN);
    await make(c, SUPERADMIN);
    await make(d, MEMBER);
    expect(await count()).toBe(4);
    await a.kick(group, b, c, d, a, { id: randomUUID() }, b);
    expect(await states()).toEqual([SUPERADMIN, undefined, undefined, undefined]);
    expect(await count()).toBe(1);
    expect(await Promise.all([b, c, d].map(codesOf))).toEqual([
      [4, 7, 6],
      [4, 7, 7, 6],
      [4, 6],
    ]);
    expect(await b.groupsOf(b)).toEqual([]);
    expect((await b.notifications()).map(({ code }) => code)).toEqual([-4]);
    await b.join(group);
    expect(await a.stateOf(group, b)).toBe(JOIN_REQUEST);
  });

  test('social #43: kicking a request rejects it quietly', async () => {
    await b.join(group);
    await a.kick(group, b);
    expect(await states()).toEqual([SUPERADMIN, undefined, undefined, undefined]);
    expect(await a.history(group)).toEqual([]);
    expect(await count()).toBe(1);
  });

  test('social #44: whoever is banned stays out until the ban is lifted', async () => {
    await a.update(group, { open: true });
    await b.join(group);
    await a.ban(group, b);
    expect(await a.users(group)).toEqual([[a.id, SUPERADMIN]]);
    expect(await a.users(group, { state: BANNED })).toEqual([[b.id, BANNED]]);
    expect(await b.groupsOf(b)).toEqual([]);
    expect(await b.groupsOf(b, { state: BANNED })).toEqual([]);
    expect(await codesOf(b)).toEqual([3, 8]);
    expect(await count()).toBe(1);
    expect(await b.join(group)).toEqual({});
    await a.add(group, b);
    await a.ban(group, b);
    expect(await states()).toEqual([SUPERADMIN, BANNED, undefined, undefined]);
    expect(await codesOf(b)).toEqual([3, 8]);
    await a.kick(group, b);
    expect(await a.users(group, { state: BANNED })).toEqual([]);
    expect(await codesOf(b)).toEqual([3, 8]);
    await b.join(group);
    expect(await states()).toEqual([SUPERADMIN, MEMBER, undefined, undefined]);
    expect(await count()).toBe(2);
  });

  test('social #45: several are banned at once, whatever they were', async () => {
    await make(b, MEMBER);
    await make(c, ADMIN);
    await make(d, JOIN_REQUEST);
    await a.ban(group, b, c, d);
    expect(await a.users(group, { state: BANNED })).toEqual([
      [b.id, BANNED],
      [c.id, BANNED],
      [d.id, BANNED],
    ]);
    expect(await count()).toBe(1);
    expect(await Promise.all([b, c, d].map(codesOf))).toEqual([[4, 8], [4, 7, 8], []]);
    // A ban that is renewed goes to the end.
    await a.ban(group, b);
    expect((await a.users(group, { state: BANNED })).map(([id]) => id)).toEqual([c.id, d.id, b.id]);
  });

  test('social #46: strangers cannot be banned', async () => {
    await a.ban(group, b, { id: randomUUID() });
    expect(await a.users(group, { state: BANNED })).toEqual([]);
    await b.join(group);
    expect(await a.stateOf(group, b)).toBe(JOIN_REQUEST);
  });
});
