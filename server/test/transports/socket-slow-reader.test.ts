import { describe, expect, test } from 'vitest';
import { type Envelope, formats, type TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { join, roomId } from '../api/chat-support.ts';
import { newName, onEachServer, outliveIssueSecond, takePresenceEvent } from '../api/socket-support.ts';

const listeners = 50;
const contentBytes = 3000;
/** More than the kernel and the server hold together for one socket. */
const maxMessages = 10_000;
const maxGrowthBytes = 300 * 1024 * 1024;

const mixed = (index: number): { format: 'json' | 'protobuf' } => ({ format: index % 2 ? 'json' : 'protobuf' });
const numbered = (n: number): string => JSON.stringify({ n, filler: 'x'.repeat(contentBytes) });

/** Sends so many messages to the room, and waits until the server has handled them. */
async function flood(sender: TestSocket, target: string, first: number, count: number): Promise<void> {
  for (let n = first; n < first + count; n++) {
    sender.send({ channel_message_send: { channel_id: roomId(target), content: numbered(n) } });
  }
  await sender.settle();
}

const hasLeft = ({ received }: TestSocket, sessionId: string): boolean =>
  received.some(({ channel_presence_event: event }) => event?.leaves?.[0]?.session_id === sessionId);

const numbersOf = ({ received }: TestSocket): number[] =>
  received.flatMap(({ channel_message: message }: Envelope) => (message ? [JSON.parse(message.content).n] : []));

onEachServer({}, (realm) => {
  test.each(formats)('KA-04: of fifty listeners the one that stops reading is cut, %s', async (format) => {
    const target = newName();
    const { socket: sender } = await realm.client();
    const others = (await realm.clients(listeners - 1, mixed)).map(({ socket }) => socket);
    const { socket: slow } = await realm.client({ format });
    for (const socket of [sender, ...others]) await join(socket, target, { persistence: false });
    const { self } = await join(slow, target);
    for (const socket of others) await socket.settle();
    // What the others receive is counted and not kept: the memory of this process is looked at below.
    const counts = others.map((socket) => {
      const count = { messages: 0, leaves: 0 };
      socket.ws.removeAllListeners('message');
      socket.ws.on('message', (data: Buffer) => {
        if (data.length > contentBytes) count.messages++;
        else if (data.includes(self.session_id)) count.leaves++;
      });
      return count;
    });
    const before = process.memoryUsage().rss;
    slow.ws.pause();
    let sent = 0;
    for (let isCut = false; !isCut; sent += 20) {
      if (sent >= maxMessages) throw new Error(`not cut after ${sent} messages`);
      await flood(sender, target, sent, 20);
      isCut = hasLeft(sender, self.session_id);
      sender.received.length = 0;
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(maxGrowthBytes);
    const everything = { messages: sent, leaves: 1 };
    await waitFor('everybody else to have everything', () => counts.every(({ messages }) => messages === sent));
    expect(counts).toEqual(counts.map(() => everything));
    slow.ws.resume();
    expect(await slow.waitClosed()).toEqual({ code: 1000, reason: 'session outgoing queue full' });
    // It has a first part of what was sent, without gaps.
    const numbers = numbersOf(slow);
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(numbers.length).toBeLessThan(sent);
  });
});

/** Long queues, so that time is what counts. */
const patient = {
  'socket.outgoing_queue_size': maxMessages,
  'socket.outgoing_queue_bytes': maxMessages * contentBytes * 2,
};
/** So many that neither the kernel nor the transport can hold all of them. */
const many = 3000;

onEachServer({ config: patient }, (realm) => {
  describe.each(formats)('%s', (format) => {
    test('a reader that goes on in time gets everything in order', async () => {
      const target = newName();
      const { socket: sender } = await realm.client();
      const { socket: slow } = await realm.client({ format });
      await join(sender, target, { persistence: false });
      await join(slow, target);
      slow.ws.pause();
      await flood(sender, target, 0, many);
      slow.ws.resume();
      await flood(sender, target, many, 10);
      await slow.settle();
      expect(numbersOf(slow)).toEqual(Array.from({ length: many + 10 }, (_, n) => n));
    });

    test('the notice of a ban reaches a reader that was slow, past what it missed', async () => {
      const target = newName();
      const { socket: sender } = await realm.client();
      const { player, socket: slow } = await realm.client({ format });
      await join(sender, target, { persistence: false });
      const { self } = await join(slow, target);
      await outliveIssueSecond(player);
      slow.ws.pause();
      await flood(sender, target, 0, many);
      await realm.server.features.accounts.accounts.ban([player.id]);
      await takePresenceEvent(sender, 'channel_presence_event', 'leaves', self.session_id);
      slow.ws.resume();
      expect(await slow.waitClosed()).toEqual({ code: 1000, reason: 'server-side session disconnect' });
      expect(slow.received.at(-1)?.notifications?.notifications).toMatchObject([{ subject: 'banned', code: -8 }]);
      expect(numbersOf(slow).length).toBeLessThan(many);
    });
  });
});

onEachServer({ config: { ...patient, 'socket.write_wait_ms': 500 } }, (realm) => {
  test.each(formats)('a reader that takes nothing for too long is cut, %s', async (format) => {
    const target = newName();
    const { socket: sender } = await realm.client();
    const { socket: slow } = await realm.client({ format });
    await join(sender, target, { persistence: false });
    const { self } = await join(slow, target);
    slow.ws.pause();
    await flood(sender, target, 0, many);
    await takePresenceEvent(sender, 'channel_presence_event', 'leaves', self.session_id);
    slow.ws.resume();
    expect(await slow.waitClosed()).toEqual({ code: 1000, reason: 'write timeout' });
    const numbers = numbersOf(slow);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });
});

onEachServer({ config: { ...patient, 'socket.outgoing_queue_bytes': 200_000 } }, (realm) => {
  test.each(formats)('bytes count as well as messages, %s', async (format) => {
    const target = newName();
    const { socket: sender } = await realm.client();
    const { socket: slow } = await realm.client({ format });
    await join(sender, target, { persistence: false });
    const { self } = await join(slow, target);
    slow.ws.pause();
    for (let sent = 0; !hasLeft(sender, self.session_id); sent += 20) {
      if (sent >= maxMessages) throw new Error(`not cut after ${sent} messages`);
      await flood(sender, target, sent, 20);
    }
    slow.ws.resume();
    expect(await slow.waitClosed()).toEqual({ code: 1000, reason: 'session outgoing queue full' });
  });
});
