import { expect, test } from 'vitest';
import { type Player, request } from '../../testing/http.ts';
import type { Envelope, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { join, roomId, send } from './chat-support.ts';
import { type Client, newName, onEachServer, type Realm } from './socket-support.ts';

const writers = 10;
const messagesEach = 50;
const all = writers * messagesEach;

const mixed = (index: number): { format: 'json' | 'protobuf' } => ({ format: index % 2 ? 'json' : 'protobuf' });
const text = (writer: number, n: number, padding = ''): string => JSON.stringify({ writer, n, padding });

/** Everything stored in a room, read page by page. */
async function history(realm: Realm, { authorization }: Player, id: string, limit: number): Promise<Envelope[]> {
  const messages: Envelope[] = [];
  for (let cursor = ''; ; ) {
    const query = new URLSearchParams({ limit: String(limit), cursor });
    const { status, body } = await request(realm.server, 'GET', `/v2/channel/${id}?${query}`, { authorization });
    expect(status).toBe(200);
    messages.push(...(body.messages ?? []));
    if (body.next_cursor === undefined) return messages;
    cursor = body.next_cursor;
  }
}

/** Has all writers send all their messages at once, and waits until every client has received all of them. */
async function writeAll(clients: Client[], from: Client[], id: string, padding = ''): Promise<Envelope[][]> {
  for (let n = 0; n < messagesEach; n++) {
    for (const [writer, { socket }] of from.entries()) {
      socket.send({ cid: `message ${n}`, channel_message_send: { channel_id: id, content: text(writer, n, padding) } });
    }
  }
  return Promise.all(
    clients.map(({ socket }) => {
      const messages = (): Envelope[] => socket.received.filter((envelope) => 'channel_message' in envelope);
      return waitFor(
        'all messages',
        () => {
          if (socket.closed) throw new Error(`socket closed: ${socket.closed.code} ${socket.closed.reason}`);
          const received = messages();
          return received.length >= all ? received.map((envelope) => envelope.channel_message) : undefined;
        },
        30_000,
      );
    }),
  );
}

onEachServer({}, (realm) => {
  test('everyone, and history, sees one order of what many write at once', async () => {
    const target = newName();
    const id = roomId(target);
    const from = await realm.clients(writers, mixed);
    const listeners = await realm.clients(5, mixed);
    const everyone = [...from, ...listeners];
    for (const { socket } of everyone) await join(socket, target);

    const [first = [], ...others] = await writeAll(everyone, from, id);
    expect(first).toHaveLength(all);
    const ids = first.map(({ message_id }) => message_id);
    expect(new Set(ids).size).toBe(all);
    for (const other of others) expect(other).toEqual(first);

    // Each writer's messages are in the order in which it wrote them.
    for (let writer = 0; writer < writers; writer++) {
      const own = first.map(({ content }) => JSON.parse(content)).filter((content) => content.writer === writer);
      expect(own.map(({ n }) => n)).toEqual(Array.from({ length: messagesEach }, (_, n) => n));
    }

    // Each ack comes after the message itself, and the acks in the order of the requests.
    for (const { socket } of from) {
      await socket.settle();
      const acks = socket.received.filter((envelope) => 'channel_message_ack' in envelope);
      expect(acks.map(({ cid }) => cid)).toEqual(Array.from({ length: messagesEach }, (_, n) => `message ${n}`));
      const seen = new Set<string>();
      for (const { channel_message: message, channel_message_ack: ack } of socket.received) {
        if (message !== undefined) seen.add(message.message_id);
        if (ack !== undefined) expect(seen).toContain(ack.message_id);
      }
    }

    // History has the same messages in the same order, however it is paged.
    const player = (from[0] as Client).player;
    for (const limit of [100, 7]) {
      const stored = await history(realm, player, id, limit);
      expect(stored.map(({ message_id }) => message_id)).toEqual(ids);
    }
    const stored = await history(realm, player, id, 100);
    expect(stored.map(({ create_time }) => create_time)).toEqual(first.map(({ create_time }) => create_time));
    expect(new Set(stored.map(({ create_time }) => create_time)).size).toBe(all);
  });

  test('a burst of large messages does not cost a listener that reads', async () => {
    const target = newName();
    const from = await realm.clients(writers, mixed);
    const listeners = await realm.clients(5, mixed);
    for (const { socket } of listeners) await join(socket, target);
    for (const { socket } of from) await join(socket, target);
    const [first = [], ...others] = await writeAll([...from, ...listeners], from, roomId(target), 'x'.repeat(3000));
    expect(first).toHaveLength(all);
    for (const other of others) expect(other).toEqual(first);
  });

  test('what is sent without being stored is in order, too', async () => {
    const target = newName();
    const from = await realm.clients(writers, mixed);
    for (const { socket } of from) await join(socket, target, { persistence: false });
    const [first = [], ...others] = await writeAll(from, from, roomId(target));
    expect(first).toHaveLength(all);
    for (const other of others) expect(other).toEqual(first);
    expect(await history(realm, (from[0] as Client).player, roomId(target), 100)).toEqual([]);
  });

  test('of changes made to one message at once, history keeps the one that was announced last', async () => {
    const target = newName();
    const player = await realm.player();
    const writers = [];
    for (let index = 0; index < 4; index++) writers.push(await realm.connect(player, mixed(index)));
    for (const socket of writers) await join(socket, target);
    const { socket: listener } = await realm.client();
    await join(listener, target);
    const channel_id = roomId(target);
    for (let round = 0; round < 25; round++) {
      listener.received.length = 0;
      const { message_id } = await send(writers[0] as TestSocket, channel_id);
      for (const [index, socket] of writers.entries()) {
        for (let n = 0; n < 3; n++) {
          socket.send({ channel_message_update: { channel_id, message_id, content: text(index, n) } });
        }
        // Now and then one of them removes it.
        if (round % 5 === 0 && index === 3) socket.send({ channel_message_remove: { channel_id, message_id } });
      }
      await Promise.all(writers.map((socket) => socket.settle()));
      await listener.settle();
      const events = listener.received.flatMap(({ channel_message: message }) => (message ? [message] : []));
      const [stored] = (await history(realm, player, channel_id, 100)).filter((row) => row.message_id === message_id);
      const last = events.at(-1);
      if (last?.code === 2) expect(stored).toBeUndefined();
      else {
        expect(JSON.parse(stored?.content)).toEqual(JSON.parse(last?.content));
        expect(stored?.update_time).toBe(last?.update_time);
      }
      // Nothing is heard of a message after it was removed.
      expect(events.slice(0, -1).filter(({ code }) => code === 2)).toEqual([]);
    }
  });

  test('nobody can fetch less than what was announced', async () => {
    const target = newName();
    const [writer, reader] = await realm.clients(2, mixed);
    if (!writer || !reader) throw new Error('two clients');
    await join(writer.socket, target);
    await join(reader.socket, target);
    for (let n = 0; n < 20; n++) {
      const content = text(0, n);
      writer.socket.send({ channel_message_send: { channel_id: roomId(target), content } });
      const { message_id } = await reader.socket.takePayload('channel_message');
      const stored = await history(realm, reader.player, roomId(target), 100);
      expect(stored.at(-1)?.message_id).toBe(message_id);
    }
  });
});
