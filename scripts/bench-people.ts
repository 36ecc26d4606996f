// Prints what friends cost: npx tsx scripts/bench-people.ts [--users 200] [--edges 1000] and the options of bench-stage.ts.
// CPU time is this process's, and that of the database's backends where /proc can be read.
import { randomUUID } from 'node:crypto';
import { any, openStage } from './bench-stage.ts';

const { app, sql, bench, close, numbers } = await openStage({ users: 200, edges: 1000 });
const { friends } = app.features.friends;
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

await close();
