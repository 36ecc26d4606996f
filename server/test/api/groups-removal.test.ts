import { expect, test } from 'vitest';
import type { Envelope } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';
import { errorOf } from './chat-support.ts';
import { channelOf, GroupClient, overRest } from './groups-support.ts';
import { type Client, onEachServer, settled } from './socket-support.ts';

// Who is sent away, or blocked, while everybody talks: from that moment on nothing reaches them, on any node.

const mustJoin = 'Must join channel before sending messages';

/** Somebody on a channel who says something, or listens, until told otherwise. */
class Talker extends GroupClient {
  readonly client: Client;
  readonly channelId: string;
  isDone = false;
  said = 0;

  constructor(calls: ConstructorParameters<typeof GroupClient>[0], client: Client, channelId: string) {
    super(calls, client.player);
    this.client = client;
    this.channelId = channelId;
  }

  /** What was heard on channels, in that order: messages by code and sender. */
  get heard(): [code: number, senderId: string, messageId: string][] {
    return this.client.socket.received.flatMap(({ channel_message: message }) =>
      message === undefined ? [] : [[message.code, message.sender_id, message.message_id]],
    );
  }

  async enter(target: { readonly id: string }, options: object): Promise<void> {
    const { error } = await this.client.socket.request({ channel_join: { target: target.id, ...options } });
    if (error) throw new Error(`join failed: ${error.message}`);
  }

  /** Says one thing after another, and ends when refused. */
  async talk(): Promise<void> {
    while (!this.isDone) {
      const { error } = await this.client.socket.request({
        channel_message_send: { channel_id: this.channelId, content: `{"n":${++this.said}}` },
      });
      if (error === undefined) continue;
      expect(error.message).toBe(mustJoin);
      return;
    }
  }
}

onEachServer({}, (realm) => {
  const talker = async (channelId: string, format: 'json' | 'protobuf'): Promise<Talker> =>
    new Talker(overRest(realm.server), await realm.client({ format }), channelId);

  test('users who are kicked, banned or leave under load hear of it last, and the others in one order', async () => {
    const owner = new GroupClient(overRest(realm.server), await realm.player());
    const group = await owner.create();
    const formats = ['json', 'json', 'protobuf', 'protobuf'] as const;
    const make = (count: number): Promise<Talker[]> =>
      Promise.all(Array.from({ length: count }, (_, n) => talker(channelOf(group.id), formats[n % 4] ?? 'json')));
    const [stayers, goers] = [await make(6), await make(12)];
    await owner.add(group, ...stayers, ...goers);
    for (const [index, each] of [...stayers, ...goers].entries()) {
      // What some say is not stored, and has no place in the order.
      await each.enter(group, { type: 3, persistence: index % 3 !== 0 });
    }
    const talking = [...stayers, ...goers].map((each) => each.talk());
    const expected = new Map<string, number>();
    for (const [index, goer] of goers.entries()) {
      const before = goer.said;
      await waitFor('some talk', () => goer.said > before + 3);
      const code = [6, 8, 5][index % 3] ?? 0;
      expected.set(goer.id, code);
      if (code === 6) await owner.kick(group, goer);
      else if (code === 8) await owner.ban(group, goer);
      else await goer.leave(group);
    }
    for (const stayer of stayers) stayer.isDone = true;
    await Promise.all(talking);
    for (const { client } of [...stayers, ...goers]) await client.socket.settle();

    for (const { id, heard } of goers) {
      const own = heard.findIndex(([code, senderId]) => senderId === id && code === expected.get(id));
      expect([own >= 0, heard.slice(own + 1)]).toEqual([true, []]);
    }
    // Of what is stored, everybody heard the same, in the order of history.
    const stored: string[] = [];
    for (let cursor = ''; ; ) {
      const query = { channel_id: channelOf(group.id), limit: 100, ...(cursor === '' ? {} : { cursor }) };
      const page = await owner.ok('ListChannelMessages', query);
      stored.push(...page.messages.map(({ message_id }: Envelope) => message_id));
      if (page.next_cursor === undefined) break;
      cursor = page.next_cursor;
    }
    const isStored = new Set(stored);
    for (const { heard } of stayers) {
      const own = heard.map(([, , id]) => id).filter((id) => isStored.has(id));
      expect(own).toEqual(stored.slice(-own.length));
    }
  });

  test('after a block nothing that is said on the channel reaches either of the two', async () => {
    const pair = [await realm.client(), await realm.client({ format: 'protobuf' })] as const;
    const channelId = `4.${pair
      .map(({ player }) => player.id)
      .toSorted()
      .join('.')}.`;
    const [a, b] = pair.map((client) => new Talker(overRest(realm.server), client, channelId)) as [Talker, Talker];
    await a.enter(b, { type: 2 });
    await b.enter(a, { type: 2, persistence: false });
    const talking = [a.talk(), b.talk()];
    await waitFor('some talk', () => a.said > 10 && b.said > 10);
    await b.ok('BlockFriends', { ids: [a.id] });
    // Game code may still write there.
    for (const persistent of [true, false]) {
      await realm.server.features.chat.chat.sendAs({ id: a.id, username: 'late', persistent }, channelId, '{}');
    }
    await Promise.all(talking);
    for (const { client } of [a, b]) {
      const heard = await settled(client.socket, 'channel_message');
      expect(heard.length).toBeGreaterThan(10);
      expect(heard.filter(({ username }) => username === 'late')).toEqual([]);
      expect(
        (await errorOf(client.socket, { channel_message_send: { channel_id: channelId, content: '{}' } })).message,
      ).toBe(mustJoin);
    }
  });
});
