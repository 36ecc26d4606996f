import { afterEach, beforeEach, expect, it } from 'vitest';
import { newId } from '../../platform/ids.ts';
import { Database } from '../../store/database.ts';
import { migrateUp } from '../../store/migrate.ts';
import { sql } from '../../store/sql.ts';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { quiet } from '../../testing/store.ts';
import { type Channel, directChannel, roomChannel } from './channel-id.ts';
import { MessageLog, type NewMessage, type StoredChange, type StoredMessage } from './message-log.ts';
import { toMicros } from './places.ts';

// Two nodes as far as SQL can tell: each with its own connections, on one database.

const insertUser = sql(
  'test_insert_user',
  'INSERT INTO users (id, username) VALUES ($1::uuid, $1::uuid::text)',
  'write',
);
const insertOldMessage = sql(
  'test_insert_old_message',
  `INSERT INTO message (id, sender_id, username, stream_mode, stream_subject, stream_descriptor, stream_label, create_time)
   VALUES (gen_random_uuid(), $1, '', 2, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000',
     $2, clock_timestamp() + $3::int * INTERVAL '1 second')
   RETURNING create_time`,
  'write',
);

const lockUser = sql('test_lock_user', 'SELECT id FROM users WHERE id = $1 FOR UPDATE', 'write');

let schema: TestSchema;
let databases: Database[];
let logs: MessageLog[];
let senderId: string;

beforeEach(async () => {
  schema = await createTestSchema();
  await migrateUp(schema.url);
  databases = [1, 2].map(() => new Database({ url: schema.url, sharedClients: 2, poolSize: 1 }, quiet));
  logs = databases.map((db) => new MessageLog(db, 10_000));
  senderId = newId();
  await databases[0]?.query(insertUser, [senderId]);
});

afterEach(async () => {
  await Promise.all(databases.map((db) => db.close()));
  await schema.drop();
});

const message = (content = '{}'): NewMessage => ({ code: 0, senderId, username: 'sender', content });

const append = (node: number, channel: Channel, content?: string): Promise<StoredMessage> =>
  (logs[node] as MessageLog).append(channel, message(content), async (stored) => stored);

const update = (node: number, channel: Channel, id: string): Promise<StoredChange | null> =>
  (logs[node] as MessageLog).update(channel, id, message('{"changed":true}'), async (change) => change);

const remove = (node: number, channel: Channel, id: string): Promise<StoredChange | null> =>
  (logs[node] as MessageLog).remove(channel, id, senderId, async (change) => change);

const everything = (channel: Channel) => (logs[0] as MessageLog).between(channel, 0n, 1n << 60n, 10_000);

it('gives out places without gaps over all writers, in the order of the times', async () => {
  const channel = roomChannel('busy');
  const places = (
    await Promise.all(
      Array.from({ length: 400 }, async (_, n) => {
        const { id, position, time } = await append(n % 2, channel);
        expect(toMicros(time)).toBe(position.time);
        if (n % 10 > 1) return [position];
        const change = await (n % 10 === 0 ? update : remove)((n + 1) % 2, channel, id);
        expect(change?.created).toEqual(time);
        return [position, change?.position ?? position];
      }),
    )
  ).flat();
  places.sort((a, b) => Number(a.sequence - b.sequence));
  expect(places.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 480 }, (_, n) => BigInt(n + 1)));
  for (const [n, { time }] of places.entries()) if (n > 0) expect(time).toBeGreaterThan(places[n - 1]?.time ?? 0n);
  expect(await logs[1]?.head(channel)).toEqual(places.at(-1));
  expect(await everything(channel)).toHaveLength(360);
});

it('shows a reader who goes on from the last message it saw every message', async () => {
  const channel = roomChannel('read while written');
  const seen: string[] = [];
  let last = 0n;
  let isOver = false;
  const reading = (async () => {
    for (;;) {
      const isLast = isOver;
      const rows = (await logs[1]?.between(channel, last, 1n << 60n, 10_000)) ?? [];
      for (const row of rows) seen.push(row.id);
      last = rows.reduce((_, row) => toMicros(row.create_time), last);
      if (isLast) return;
    }
  })();
  const stored: StoredMessage[] = [];
  for (let round = 0; round < 40; round++) {
    stored.push(...(await Promise.all(Array.from({ length: 10 }, (_, n) => append(n % 2, channel)))));
  }
  isOver = true;
  await reading;
  stored.sort((a, b) => Number(a.position.time - b.position.time));
  expect(seen).toEqual(stored.map(({ id }) => id));
});

it('takes no place for what fails or changes nothing', async () => {
  const channel = roomChannel('quiet');
  const first = await append(0, channel);
  expect(await update(0, channel, newId())).toBeNull();
  expect(await remove(1, channel, newId())).toBeNull();
  expect(await update(0, roomChannel('elsewhere'), first.id)).toBeNull();
  const contents = ['{"n":1}', '{"nul":"\\u0000"}', '{"n":3}'];
  const settled = await Promise.allSettled(contents.map((content) => append(0, channel, content)));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await append(1, channel)).toMatchObject({ position: { sequence: 4n } });
  expect((await everything(channel)).map(({ content }) => content)).toEqual(['{}', '{"n": 1}', '{"n": 3}', '{}']);
});

it.each([
  ['older', -3600],
  ['newer, of a clock that was ahead', 3600],
])('starts behind the messages that were there before it: %s', async (_name, offset) => {
  const channel = roomChannel('taken over');
  const [row] = (await databases[0]?.query(insertOldMessage, [senderId, 'taken over', offset])) ?? [];
  const { create_time } = row as never as { create_time: { seconds: number; nanos: number } };
  expect(await logs[0]?.head(channel)).toEqual({ sequence: 0n, time: toMicros(create_time) });
  // Of several that come first, on both nodes, each has its own place.
  const stored = await Promise.all([0, 1, 0, 1].map((node) => append(node, channel)));
  expect(stored.map(({ position }) => position.sequence).sort()).toEqual([1n, 2n, 3n, 4n]);
  const times = (await everything(channel)).map((each) => toMicros(each.create_time));
  expect(times[0]).toBe(toMicros(create_time));
  for (const [n, time] of times.entries()) if (n > 0) expect(time).toBeGreaterThan(times[n - 1] ?? 0n);
});

it('also when what comes first is a change of one of them', async () => {
  const channel = roomChannel('taken over');
  await databases[0]?.query(insertOldMessage, [senderId, 'taken over', 3600]);
  const [old] = await everything(channel);
  const change = await update(0, channel, old?.id ?? '');
  expect(change?.position.sequence).toBe(1n);
  expect(change?.position.time).toBeGreaterThan(toMicros(old?.create_time ?? { seconds: 0, nanos: 0 }));
  expect((await append(1, channel)).position.sequence).toBe(2n);
});

it('does not keep a channel from others while a sender is locked', async () => {
  const channel = roomChannel('locked');
  const otherId = newId();
  await databases[0]?.query(insertUser, [otherId]);
  await append(0, channel);
  let isStored = false;
  let waiting: Promise<unknown> = Promise.resolve();
  await databases[1]?.transaction(async (tx) => {
    await tx.query(lockUser, [senderId]);
    waiting = append(0, channel).then(() => {
      isStored = true;
    });
    for (let n = 0; n < 20; n++) {
      const by = { ...message(), senderId: otherId };
      const stored = await (logs[1] as MessageLog).append(channel, by, async (own) => own);
      expect(stored.position.sequence).toBe(BigInt(n + 2));
    }
    expect(isStored).toBe(false);
  });
  await waiting;
  expect(await logs[1]?.head(channel)).toMatchObject({ sequence: 22n });
});

it('keeps channels apart', async () => {
  const [a, b] = [newId(), newId()];
  const channels = [roomChannel('a'), roomChannel('b'), directChannel(a, b), directChannel(a, a)];
  for (const channel of channels) {
    expect(await logs[0]?.head(channel)).toEqual({ sequence: 0n, time: 0n });
    expect(await append(0, channel)).toMatchObject({ position: { sequence: 1n } });
  }
  for (const channel of channels) expect(await logs[1]?.head(channel)).toMatchObject({ sequence: 1n });
});

it('finds the newest messages of a range, oldest first', async () => {
  const channel = roomChannel('range');
  const stored: StoredMessage[] = [];
  for (let n = 0; n < 6; n++) stored.push(await append(n % 2, channel, `{"n":${n}}`));
  const range = async (after: number, upTo: number, limit: number) => {
    const times = [stored[after], stored[upTo]].map((each) => each?.position.time ?? 0n) as [bigint, bigint];
    return ((await logs[0]?.between(channel, ...times, limit)) ?? []).map(({ content }) => JSON.parse(content).n);
  };
  expect(await range(0, 4, 100)).toEqual([1, 2, 3, 4]);
  expect(await range(0, 4, 2)).toEqual([3, 4]);
  expect(await range(4, 4, 100)).toEqual([]);
});
