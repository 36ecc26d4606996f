import { expect, test } from 'vitest';
import { sql } from '../../store/sql.ts';
import { type Player, signIn } from '../../testing/http.ts';
import { Random } from '../../testing/random.ts';
import type { Envelope } from '../../testing/socket.ts';
import { createUsers } from '../../testing/users.ts';
import { GroupClient, overRest, State, toTargets } from './groups-support.ts';
import { numbers, underLoad } from './load-support.ts';

// Many who come, go and change at once: on one node, and on two that share the database.

interface EdgeRow {
  source_id: string;
  destination_id: string;
  state: number;
  position: bigint;
}

const edgesOfGroup = sql<EdgeRow>(
  'test_edges_of_group',
  `SELECT source_id, destination_id, state, position FROM group_edge WHERE $1::uuid IN (source_id, destination_id)`,
  'read',
);
const groupById = sql<{ edge_count: number; max_count: number }>(
  'test_group_by_id',
  'SELECT edge_count, max_count FROM groups WHERE id = $1',
  'read',
);

underLoad('groups', (stage) => {
  const newClients = (count: number): Promise<GroupClient[]> =>
    Promise.all(numbers(count).map(async () => new GroupClient(overRest(stage.server), await signIn(stage.server))));
  /** Answers 'ok' or the message of the refusal. */
  const attempt = async ({ player }: GroupClient, method: string, message: object): Promise<string> => {
    const { code, message: text } = await overRest(stage.server).call(method, player.authorization, message);
    if (code === 13 || code === 2) throw new Error(`${method} failed: ${text}`);
    return code === 0 ? 'ok' : text;
  };

  /** What the database has of the group: states by user. Edges come in pairs, except bans; the count is right. */
  async function checkGroup(groupId: string): Promise<Map<string, number>> {
    const [[group], edges] = await Promise.all([
      stage.db.query(groupById, [groupId]),
      stage.db.query(edgesOfGroup, [groupId]),
    ]);
    const there = edges.filter(({ source_id }) => source_id === groupId);
    const back = new Map(
      edges.filter(({ destination_id }) => destination_id === groupId).map((edge) => [edge.source_id, edge]),
    );
    const states = new Map<string, number>();
    for (const { destination_id, state, position } of there) {
      states.set(destination_id, state);
      if (state === State.BANNED) expect(back.has(destination_id)).toBe(false);
      else expect(back.get(destination_id)).toMatchObject({ state, position });
    }
    const all = [...states.values()];
    expect(back.size).toBe(all.filter((state) => state !== State.BANNED).length);
    const members = all.filter((state) => state <= State.MEMBER).length;
    expect(group?.edge_count).toBe(members);
    expect(members).toBeLessThanOrEqual(group?.max_count ?? 0);
    expect(all.filter((state) => state === State.SUPERADMIN).length).toBeGreaterThan(0);
    return states;
  }

  test('200 users at once for the last of 50 places: each is taken once', async () => {
    const [owner] = (await newClients(1)) as [GroupClient];
    const group = await owner.create({ max_count: 50 });
    const clients = await newClients(200);
    const answers = await Promise.all(clients.map((client) => attempt(client, 'JoinGroup', { group_id: group.id })));
    expect(answers.filter((answer) => answer === 'ok')).toHaveLength(49);
    expect(new Set(answers)).toEqual(new Set(['ok', 'Group is full.']));
    const states = await checkGroup(group.id);
    expect(states.size).toBe(50);
    expect((await owner.group(group)).edge_count).toBe(50);
    const joined = clients.filter((_, index) => answers[index] === 'ok').map(({ id }) => id);
    const history = await owner.history(group);
    expect(history.map(([code]) => code)).toEqual(joined.map(() => 3));
    expect(history.map(([, id]) => id).toSorted()).toEqual(joined.toSorted());
  });

  test('admins who add to the last places, each for several users, never overfill it', async () => {
    const [owner, ...clients] = (await newClients(31)) as [GroupClient, ...GroupClient[]];
    const group = await owner.create({ max_count: 10 });
    const answers = await Promise.all(
      numbers(10).map((n) => attempt(owner, 'AddGroupUsers', toTargets(group, clients.slice(3 * n, 3 * n + 3)))),
    );
    expect(answers.filter((answer) => answer === 'ok')).toHaveLength(3);
    expect((await checkGroup(group.id)).size).toBe(10);
  });

  test('two superadmins who leave at the same time do not leave the group without one', async () => {
    for (let round = 0; round < 10; round++) {
      const [a, b, c] = (await newClients(3)) as [GroupClient, GroupClient, GroupClient];
      const group = await a.create();
      await a.add(group, b, c);
      await a.promote(group, b);
      await a.promote(group, b);
      const answers = await Promise.all([a, b].map((client) => attempt(client, 'LeaveGroup', { group_id: group.id })));
      expect(answers.toSorted()).toEqual(['Cannot leave group when you are the last superadmin.', 'ok']);
      expect((await checkGroup(group.id)).size).toBe(2);
    }
  });

  test('two superadmins who demote, kick or ban each other: one of them stays what it is', async () => {
    for (const [one, other] of [
      ['DemoteGroupUsers', 'DemoteGroupUsers'],
      ['KickGroupUsers', 'DemoteGroupUsers'],
      ['BanGroupUsers', 'KickGroupUsers'],
    ] as const) {
      const [a, b] = (await newClients(2)) as [GroupClient, GroupClient];
      const group = await a.create();
      await a.add(group, b);
      await a.promote(group, b);
      await a.promote(group, b);
      await Promise.all([attempt(a, one, toTargets(group, [b])), attempt(b, other, toTargets(group, [a]))]);
      const states = [...(await checkGroup(group.id)).values()];
      expect(states.filter((state) => state === State.SUPERADMIN)).toHaveLength(1);
    }
  });

  test.each([1, 2, 3])('200 random operations of 12 users at once, seed %i', async (seed) => {
    const random = new Random(seed);
    const clients = await newClients(12);
    const [owner] = clients as [GroupClient];
    const groups: Envelope[] = [
      await owner.create({ max_count: 8 }),
      await owner.create({ max_count: 6, open: false }),
    ];
    for (const group of groups) await owner.add(group, ...clients.slice(1, 4));
    for (const group of groups) await owner.promote(group, ...clients.slice(1, 3));
    const methods = ['AddGroupUsers', 'KickGroupUsers', 'BanGroupUsers', 'PromoteGroupUsers', 'DemoteGroupUsers'];
    const operations = numbers(200).map(() => {
      const client = random.pick(clients);
      const group = random.pick(groups);
      const id = { group_id: group.id };
      if (random.chance(0.3)) return () => attempt(client, 'JoinGroup', id);
      if (random.chance(0.15)) return () => attempt(client, 'LeaveGroup', id);
      // Most by those who may do something.
      const actor = random.chance(0.8) ? random.pick(clients.slice(0, 3)) : client;
      const method = random.pick(methods);
      const targets = numbers(1 + random.below(3)).map(() => random.pick(clients));
      return () => attempt(actor, method, toTargets(group, targets));
    });
    const outcomes = new Map<string, number>();
    const waiting = operations.values();
    await Promise.all(
      numbers(16).map(async () => {
        for (const operation of waiting) {
          const outcome = await operation();
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        }
      }),
    );
    expect(outcomes.get('ok')).toBeGreaterThan(50);
    for (const group of groups) {
      const states = await checkGroup(group.id);
      const [reader] = clients.filter(({ id }) => states.get(id) === State.SUPERADMIN) as [GroupClient];
      const listed = [...(await reader.users(group)), ...(await reader.users(group, { state: State.BANNED }))];
      expect(new Map(listed)).toEqual(states);
      expect(await replay(reader, group)).toEqual(
        new Set([...states].filter(([, state]) => state <= State.MEMBER).map(([id]) => id)),
      );
    }
  });

  /** Who should be a member, going by what the channel was told. */
  async function replay(reader: GroupClient, group: Envelope): Promise<Set<string>> {
    const members = new Set([group.creator_id]);
    for (let cursor = ''; ; ) {
      const query = { channel_id: `3.${group.id}..`, limit: 100, ...(cursor === '' ? {} : { cursor }) };
      const { messages = [], next_cursor: next } = await reader.ok('ListChannelMessages', query);
      for (const { code, sender_id } of messages) {
        if (code === 3 || code === 4) members.add(sender_id);
        if (code === 6 || code === 8 || code === 5) members.delete(sender_id);
      }
      if (next === undefined) return members as Set<string>;
      cursor = next;
    }
  }

  test('pages through 10,000 members give each that stays what it is once, while others come, go and change', async () => {
    const random = new Random(10_000);
    const [owner] = (await newClients(1)) as [GroupClient];
    const { groups } = stage.server.features.groups;
    const group = await owner.create({ max_count: 20_000 });
    const ids = await createUsers(stage.db, 10_500);
    const [members, strangers] = [ids.slice(0, 10_000), ids.slice(10_000)];
    for (let at = 0; at < members.length; at += 5000) {
      await groups.addUsers(group.id, members.slice(at, at + 5000), null);
    }
    expect((await owner.group(group)).edge_count).toBe(10_001);
    const moving = members.filter(() => random.chance(0.1));
    const steady = new Set(members.filter((id) => !moving.includes(id)));

    let isDone = false;
    const changing = (async () => {
      while (!isDone) {
        const targets = numbers(20).map(() => random.pick(moving));
        await groups.kickUsers(group.id, targets.slice(0, 5), null);
        await groups.promoteUsers(group.id, targets.slice(5, 10), null);
        await groups.demoteUsers(group.id, targets.slice(10, 15), null);
        await groups.addUsers(group.id, [...targets.slice(15), random.pick(strangers)], null);
      }
    })();
    const { authorization }: Player = owner.player;
    const seen = new Map<string, number>();
    for (let cursor = ''; ; ) {
      const query = { group_id: group.id, limit: 100, ...(cursor === '' ? {} : { cursor }) };
      const page = await overRest(stage.server).ok('ListGroupUsers', authorization, query);
      for (const { user } of page.group_users) seen.set(user.id, (seen.get(user.id) ?? 0) + 1);
      if (page.cursor === undefined) break;
      cursor = page.cursor;
    }
    isDone = true;
    await changing;
    expect([...steady].filter((id) => seen.get(id) !== 1)).toEqual([]);
    expect(seen.get(owner.id)).toBe(1);
    expect((await checkGroup(group.id)).size).toBeGreaterThan(9000);
    await owner.ok('DeleteGroup', { group_id: group.id });
    expect(await stage.db.query(edgesOfGroup, [group.id])).toEqual([]);
  });
});
