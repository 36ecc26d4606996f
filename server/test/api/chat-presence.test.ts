import { describe, expect, test } from 'vitest';
import { type Envelope, formats, type TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { join, roomId } from './chat-support.ts';
import { type Client, newName, onEachServer, takePresenceEvent } from './socket-support.ts';

const sockets = 30;
const rounds = 5;

const mixed = (index: number): { format: 'json' | 'protobuf' } => ({ format: index % 2 ? 'json' : 'protobuf' });
const sessionIds = (presences: Envelope[] = []): string[] => presences.map(({ session_id }) => session_id);

/** Who is in the room, as a client finds out: from the list of its join, and from the events, in the order they came. */
function roomAsSeen({ received }: TestSocket): Set<string> {
  const room = new Set<string>();
  for (const { channel, channel_presence_event: event } of received) {
    if (channel !== undefined) for (const id of sessionIds([channel.self, ...(channel.presences ?? [])])) room.add(id);
    for (const id of sessionIds(event?.leaves)) room.delete(id);
    for (const id of sessionIds(event?.joins)) room.add(id);
  }
  return room;
}

/** What one socket heard of each session: 'join' and 'leave' in the order they came. */
function comingsAndGoings({ received }: TestSocket): Map<string, string[]> {
  const heard = new Map<string, string[]>();
  const note = (id: string, what: string): void => {
    heard.set(id, [...(heard.get(id) ?? []), what]);
  };
  for (const { channel_presence_event: event } of received) {
    for (const id of sessionIds(event?.leaves)) note(id, 'leave');
    for (const id of sessionIds(event?.joins)) note(id, 'join');
  }
  return heard;
}

/** Sends all the socket's joins and leaves at once. */
function churn({ socket }: Client, target: string, isToStay: boolean): void {
  for (let round = 0; round < rounds; round++) {
    socket.send({ cid: `join ${round}`, channel_join: { target, type: 1 } });
    if (round < rounds - 1 || !isToStay) {
      socket.send({ cid: `leave ${round}`, channel_leave: { channel_id: roomId(target) } });
    }
  }
}

onEachServer({}, (realm) => {
  test('thirty sockets that join at once all end up with the same room', async () => {
    const target = newName();
    const clients = await realm.clients(sockets, mixed);
    for (const { socket } of clients) socket.send({ cid: 'join', channel_join: { target, type: 1 } });
    await Promise.all(clients.map(({ socket }) => socket.settle()));
    await Promise.all(clients.map(({ socket }) => socket.settle()));
    const ids = clients.map(({ socket }) => socket.received.find(({ cid }) => cid === 'join').channel.self.session_id);
    for (const { socket } of clients) expect([...roomAsSeen(socket)].sort()).toEqual([...ids].sort());
  });

  test('joining and leaving over and over, everybody keeps track', async () => {
    const target = newName();
    const witness = (await realm.client()).socket;
    const { self } = await join(witness, target);
    await takePresenceEvent(witness, 'channel_presence_event', 'joins', self.session_id);
    // Each begins when it is there: some join while others leave.
    const clients = await Promise.all(
      Array.from({ length: sockets }, async (_, index) => {
        const client = await realm.client(mixed(index));
        churn(client, target, index % 3 !== 0);
        return client;
      }),
    );
    await Promise.all(clients.map(({ socket }) => socket.settle()));
    // A third leaves, a third stays, and a third drops off.
    const dropped = clients.filter((_, index) => index % 3 === 1);
    const staying = clients.filter((_, index) => index % 3 === 2);
    const idOf = ({ socket }: Client): string =>
      socket.received.find(({ channel }) => channel !== undefined).channel.self.session_id;
    for (const { socket } of dropped) socket.ws.terminate();
    await waitFor('the dropped ones to be gone', () => realm.server.openSockets === 1 + sockets - dropped.length);
    await Promise.all([witness, ...staying.map(({ socket }) => socket)].map((socket) => socket.settle()));

    // P2: for each session joins and leaves alternate, none is missing and none is double.
    const heard = comingsAndGoings(witness);
    for (const [index, client] of clients.entries()) {
      const pairs = Array.from({ length: rounds }, () => ['join', 'leave']).flat();
      expect(heard.get(idOf(client))).toEqual(index % 3 === 2 ? pairs.slice(0, -1) : pairs);
    }

    const truth = [self.session_id, ...staying.map(idOf)].sort();
    for (const client of staying) {
      // What a client heard before its last join does not matter any more.
      const { socket } = client;
      const lastLeave = socket.received.findLastIndex(({ cid }) => cid === `leave ${rounds - 2}`);
      socket.received.splice(0, lastLeave + 1);
      expect([...roomAsSeen(socket)].sort()).toEqual(truth);
    }
    const late = (await realm.client()).socket;
    const { presences } = await join(late, target);
    expect(sessionIds(presences).sort()).toEqual(truth);
  });

  describe.each(formats)('%s', (format) => {
    test('a dropped connection is exactly one leave, on each of its channels', async () => {
      const targets = [newName(), newName()];
      const { socket: witness } = await realm.client({ format });
      const { socket: victim } = await realm.client({ format });
      let sessionId = '';
      for (const target of targets) {
        await join(witness, target);
        sessionId = (await join(victim, target)).self.session_id;
      }
      // A request in flight does not bring it back.
      victim.send({ channel_join: { target: targets[0], type: 1 } });
      victim.ws.terminate();
      await waitFor('the socket to be gone', () => realm.server.openSockets === 1);
      await witness.settle();
      expect(comingsAndGoings(witness).get(sessionId)).toEqual(['join', 'join', 'leave', 'leave']);
      const rooms = witness.received.flatMap(({ channel_presence_event: event }) =>
        event?.leaves === undefined ? [] : [event.room_name],
      );
      expect(rooms.sort()).toEqual([...targets].sort());
      for (const target of targets) expect((await join(witness, target)).presences).toHaveLength(1);
    });

    test('a socket that opens and drops at once leaves nothing behind', async () => {
      const target = newName();
      const { socket: witness } = await realm.client({ format });
      await join(witness, target);
      const player = await realm.player();
      for (let i = 0; i < 20; i++) {
        const socket = await realm.connect(player, { format, query: { status: 'true' } });
        socket.send({ channel_join: { target, type: 1 } });
        if (i % 2) socket.ws.terminate();
        else socket.ws.close();
      }
      await waitFor('the sockets to be gone', () => realm.server.openSockets === 1);
      await witness.settle();
      for (const events of comingsAndGoings(witness).values()) {
        expect([['join'], ['join', 'leave']]).toContainEqual(events);
      }
      expect((await join(witness, target)).presences).toHaveLength(1);
      const { status } = await witness.request({ status_follow: { user_ids: [player.id] } });
      expect(status.presences).toBeUndefined();
    });
  });
});
