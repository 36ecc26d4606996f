// Prints what friends, groups and their chat cost: npx tsx scripts/bench-people.ts [--users 200] [--edges 1000]
// [--listeners 100] and the options of bench-stage.ts. CPU time is this process's, and that of the database's backends
// where /proc can be read. Sockets are only those inside the node: what they cost on the network is not in it.
import { randomUUID } from 'node:crypto';
import type { SocketSession } from '../server/wire/session.ts';
import { any, openStage } from './bench-stage.ts';

const { app, sql, bench, close, numbers } = await openStage({ users: 200, edges: 1000, listeners: 100 });
const { friends } = app.features.friends;
const { groups } = app.features.groups;
const { chat } = app.features.chat;
const { edges } = numbers;
const users = Array.from({ length: numbers.users }, () => randomUUID());
const others = Array.from({ length: edges }, () => randomUUID());
await sql.query('INSERT INTO users (id, username) SELECT id, id::text FROM unnest($1::uuid[]) AS id', [
  [...users, ...others],
]);
// Every user is a friend of all the others, and somebody whom nobody knows is there for what changes.
for (const [source, destination] of [
  [users, others],
  [others, users],
]) {
  await sql.query(
    `INSERT INTO user_edge (source_id, destination_id, position)
     SELECT s.id, d.id, d.place FROM unnest($1::uuid[]) AS s (id), unnest($2::uuid[]) WITH ORDINALITY AS d (id, place)`,
    [source, destination],
  );
}
await sql.query('UPDATE users u SET edge_count = (SELECT count(*) FROM user_edge e WHERE e.source_id = u.id)');
await sql.query('ANALYZE users, user_edge');

/** Somewhere in the list, as whoever pages through it. */
async function cursorsOf(userId: string): Promise<string[]> {
  const cursors = [''];
  for (let cursor = ''; ; ) {
    ({ cursor } = await friends.list(userId, { limit: 100, state: null, cursor }));
    if (cursor === '') return cursors;
    cursors.push(cursor);
  }
}
const cursors = await cursorsOf(any(users));
const actor = (id: string) => ({ id, username: id });
const to = (id: string) => ({ ids: [id], usernames: [] });
const strangers = async (): Promise<void> => {
  const [one, two] = [any(others), any(others)];
  if (one === two) return;
  await friends.add(actor(one), to(two));
  await friends.add(actor(two), to(one));
  await friends.delete(actor(one), to(two));
};

await bench(`friend list: a page of 100 of ${edges}`, () =>
  friends.list(any(users), { limit: 100, state: null, cursor: any(cursors) }),
);
await bench('friend status of 100 users', () => friends.friendStatus(any(users), others.slice(0, 100)));
await bench('is blocked?', () => friends.hasBlocked(any(users), any(others)));
await bench('invite, accept and remove: three changes', strangers);

// One group of all the others, and one of each of the users.
const owner = any(users);
const large = await groups.create({ userId: owner, name: 'large', open: true, maxCount: edges + 10 });
await groups.addUsers(large.id, others, null);
const small = await Promise.all(users.map((userId) => groups.create({ userId, name: userId, open: true })));
for (const { id } of small.slice(0, 50)) await groups.addUsers(id, [owner], null);
await sql.query('ANALYZE groups, group_edge');
const pages = [''];
for (let cursor = ''; ; ) {
  ({ cursor } = await groups.listUsers(large.id, { limit: 100, state: null, cursor }));
  if (cursor === '') break;
  pages.push(cursor);
}
let turns = 0;

await bench(`group members: a page of 100 of ${edges}`, () =>
  groups.listUsers(large.id, { limit: 100, state: null, cursor: any(pages) }),
);
await bench('groups of a user: 50', () => groups.listOfUser(owner, { limit: 100, state: null, cursor: '' }));
await bench('groups, 100 by name', () =>
  groups.list({
    name: `${any('0123456789abcdef'.split(''))}%`,
    langTag: '',
    open: null,
    members: null,
    limit: 100,
    cursor: '',
  }),
);
await bench('join a group and leave it, with messages', async () => {
  const group = small[turns % small.length]?.id ?? '';
  const person = actor(others[turns++ % edges] ?? '');
  await groups.join(group, person);
  await groups.leave(group, person);
});

/** A socket without a network. */
async function enter(userId: string, target: string, type: number): Promise<SocketSession> {
  const session: SocketSession = {
    id: randomUUID(),
    user: { id: userId, username: userId, vars: {}, tokenId: '', expiresAt: 0 },
    format: 'protobuf',
    lang: 'en',
    clientAddress: '',
    clientPort: '',
    connectedAt: 0,
    closed: false,
    send: (frame) => void frame.protobuf,
    close: () => undefined,
  };
  app.features.streams.streams.sessionOpened(session);
  await chat.join(session, { target, type, persistence: true, hidden: false });
  return session;
}
const [one = '', two = ''] = others;
const writer = await enter(one, two, 2);
await enter(two, one, 2);
const direct = await chat.channelId(one, two, 2);
const listeners = await Promise.all(others.slice(0, numbers.listeners).map((id) => enter(id, large.id, 3)));
const content = JSON.stringify({ text: 'x'.repeat(100) });

await bench('direct message, stored, heard by 2', () => chat.send(writer, direct, content));
await bench(`group message, stored, heard by ${listeners.length}`, () =>
  chat.send(any(listeners), `3.${large.id}..`, content),
);

await close();
