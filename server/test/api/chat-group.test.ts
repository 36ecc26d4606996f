import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Envelope, formats, type TestSocket } from '../../testing/socket.ts';
import { errorOf, instant, join as joinRoom, send, uuid } from './chat-support.ts';
import { channelOf, GroupClient, overRest } from './groups-support.ts';
import {
  type Client,
  newName,
  onEachServer,
  otherFormat,
  type Realm,
  settled,
  takePresenceEvent,
} from './socket-support.ts';

// Group channels (spec: realtime.md, sections 14.2, 14.6 and 14.7, cases CH-12, CH-25 and CH-26; social.md 2.15).

const notFound = { code: 3, message: 'Group not found: Invalid channel target' };
const mustJoin = { code: 3, message: 'Must join channel before sending messages' };

const toJoin = (group: Envelope, options: object = {}): object => ({
  channel_join: { target: group.id, type: 3, ...options },
});
const toSend = (group: Envelope, content = '{}'): object => ({
  channel_message_send: { channel_id: channelOf(group.id), content },
});

/** A user of groups with a socket. */
class Member extends GroupClient {
  readonly socket: TestSocket;
  sessionId = '';

  constructor(realm: Realm, { player, socket }: Client) {
    super(overRest(realm.server), player);
    this.socket = socket;
  }

  async enter(group: Envelope, options: object = {}): Promise<Envelope> {
    const { channel, error } = await this.socket.request(toJoin(group, options));
    if (error) throw new Error(`join failed: ${error.message}`);
    this.sessionId = channel.self.session_id;
    return channel;
  }

  /** Messages heard and not taken: codes with whom they are about. */
  async heard(): Promise<[code: number, senderId: string][]> {
    const messages = await settled(this.socket, 'channel_message');
    return messages.map(({ code, sender_id }) => [code, sender_id]);
  }

  /** Leaves that were announced. */
  async left(): Promise<string[]> {
    const events = await settled(this.socket, 'channel_presence_event');
    return events.flatMap(({ leaves = [] }) => leaves.map(({ user_id }: Envelope) => user_id));
  }
}

onEachServer({}, (realm) => {
  const member = async (format: (typeof formats)[number] = 'json'): Promise<Member> =>
    new Member(realm, await realm.client({ format }));
  /** An admin and members of a group, all on its channel, who have heard of each other. */
  const gather = async (...others: (typeof formats)[number][]): Promise<[Envelope, Member, ...Member[]]> => {
    const a = await member(others[0]);
    const group = await a.create();
    await a.enter(group);
    const members: Member[] = [];
    for (const format of others) {
      const each = await member(format);
      await each.join(group);
      await each.enter(group);
      members.push(each);
    }
    for (const { socket } of [a, ...members]) {
      await settled(socket, 'channel_presence_event');
      socket.received.length = 0;
    }
    return [group, a, ...members];
  };

  describe.each(formats)('%s', (format) => {
    test('members of a group talk on its channel', async () => {
      const a = await member(format);
      const b = await member(otherFormat(format));
      const group = await a.create();
      const self = {
        user_id: a.id,
        session_id: expect.stringMatching(uuid),
        username: a.username,
        persistence: true,
      };
      const channel = await a.enter({ id: group.id.toUpperCase() });
      expect(channel).toEqual({ id: channelOf(group.id), group_id: group.id, self });
      await b.join(group);
      const { presences, self: other } = await b.enter(group);
      expect(presences).toEqual([channel.self]);
      const event = await takePresenceEvent(a.socket, 'channel_presence_event', 'joins', other.session_id);
      expect(event).toEqual({ channel_id: channelOf(group.id), group_id: group.id, joins: [other] });
      a.socket.received.length = 0;
      const ack = await send(b.socket, channelOf(group.id), '{"hi":1}');
      expect(ack).toMatchObject({ channel_id: channelOf(group.id), group_id: group.id, code: 0, persistent: true });
      const message = { ...ack, sender_id: b.id, content: '{"hi":1}' };
      expect(await a.socket.takePayload('channel_message')).toEqual(message);
      const { messages } = await a.ok('ListChannelMessages', { channel_id: channelOf(group.id), limit: 10 });
      expect(messages.map(({ code }: Envelope) => code)).toEqual([3, 0]);
    });

    test('CH-12: the channel is for members', async () => {
      const a = await member(format);
      const b = await member(format);
      const group = await a.create({ open: false });
      expect(await errorOf(b.socket, toJoin(group))).toEqual(notFound);
      await b.join(group);
      expect(await errorOf(b.socket, toJoin(group))).toEqual(notFound);
      await a.add(group, b);
      await b.enter(group);
      await a.ban(group, b);
      expect(await errorOf(b.socket, toJoin(group))).toEqual(notFound);
      expect(await errorOf(b.socket, toJoin({ id: randomUUID() }))).toEqual(notFound);
      const refused = 'Invalid group ID in group channel join: Invalid channel target';
      for (const id of ['x', '00000000-0000-0000-0000-000000000000']) {
        expect(await errorOf(b.socket, toJoin({ id }))).toEqual({ code: 3, message: refused });
      }
      expect(await errorOf(b.socket, toJoin({ id: '' }))).toEqual({ code: 3, message: 'Invalid channel target' });
    });

    test('social 2.15: what happens in the group is told on its channel, as history has it', async () => {
      const [group, a, b] = (await gather(format)) as [Envelope, Member, Member];
      const c = await member(format);
      await c.join(group);
      const joined = await a.socket.takePayload('channel_message');
      expect(joined).toEqual({
        channel_id: channelOf(group.id),
        message_id: expect.stringMatching(uuid),
        code: 3,
        sender_id: c.id,
        username: c.username,
        content: '{}',
        create_time: expect.stringMatching(instant),
        update_time: joined.create_time,
        persistent: true,
        group_id: group.id,
      });
      await a.promote(group, c, b);
      await a.demote(group, c);
      await a.kick(group, c);
      await a.add(group, c);
      await c.leave(group);
      await c.join(group);
      await a.ban(group, c);
      const { id } = c;
      const told = [
        [7, id],
        [7, b.id],
        [9, id],
        [6, id],
        [4, id],
        [5, id],
        [3, id],
        [8, id],
      ];
      expect(await a.heard()).toEqual(told);
      expect(await b.heard()).toEqual([[3, id], ...told]);
      const history = await a.history(group);
      expect(history.slice(-told.length)).toEqual(told);
      const { messages } = await a.ok('ListChannelMessages', { channel_id: channelOf(group.id), limit: 100 });
      expect(messages.find(({ message_id }: Envelope) => message_id === joined.message_id)).toEqual(joined);
    });

    test.each([
      ['CH-25: kicked', 6, (group: Envelope, a: Member, b: Member) => a.kick(group, b)],
      ['banned', 8, (group: Envelope, a: Member, b: Member) => a.ban(group, b)],
      ['left', 5, (group: Envelope, _a: Member, b: Member) => b.leave(group)],
    ])('whoever is %s hears of it, and then nothing more', async (_how, code, go) => {
      const [group, a, b, c] = (await gather(format, otherFormat(format))) as [Envelope, Member, Member, Member];
      const second = new Member(realm, { player: b.player, socket: await realm.connect(b.player, { format }) });
      await second.enter(group, { hidden: true });
      await go(group, a, b);
      for (const each of [a, b, c, second]) {
        expect(await each.socket.takePayload('channel_message')).toMatchObject({ code, sender_id: b.id });
      }
      // Of the hidden one nobody hears.
      for (const each of [a, c]) {
        await takePresenceEvent(each.socket, 'channel_presence_event', 'leaves', b.sessionId);
        expect(await each.left()).toEqual([]);
      }
      for (const each of [b, second]) {
        expect(await errorOf(each.socket, toSend(group))).toEqual(mustJoin);
        expect(await errorOf(each.socket, toJoin(group))).toEqual(notFound);
      }
      await send(c.socket, channelOf(group.id));
      await send(a.socket, channelOf(group.id));
      for (const each of [b, second]) {
        await each.socket.settle();
        expect(each.socket.received.filter((envelope) => !('notifications' in envelope))).toEqual([]);
      }
      expect((await a.enter(group)).presences.map(({ user_id }: Envelope) => user_id).toSorted()).toEqual(
        [a.id, c.id].toSorted(),
      );
    });

    test('CH-26: when a group is deleted its channel is, without a word', async () => {
      const [group, a, b] = (await gather(format)) as [Envelope, Member, Member];
      await a.ok('DeleteGroup', { group_id: group.id });
      for (const each of [a, b]) {
        await each.socket.settle();
        expect(each.socket.received).toEqual([]);
        expect(await errorOf(each.socket, toSend(group))).toEqual(mustJoin);
        expect(await errorOf(each.socket, toJoin(group))).toEqual(notFound);
      }
    });

    test('CH-26: also with its last member', async () => {
      const [group, a] = (await gather()) as [Envelope, Member];
      await a.leave(group);
      await a.socket.settle();
      expect(a.socket.received).toEqual([]);
      expect(await errorOf(a.socket, toSend(group))).toEqual(mustJoin);
    });
  });

  test('who comes back hears again', async () => {
    const [group, a, b] = (await gather('json')) as [Envelope, Member, Member];
    for (let round = 0; round < 5; round++) {
      await a.kick(group, b);
      await a.add(group, b);
      await b.enter(group);
      const { message_id } = await send(a.socket, channelOf(group.id), `{"round":${round}}`);
      await b.socket.take('the message', ({ channel_message: message }) => message?.message_id === message_id);
      expect(await send(b.socket, channelOf(group.id))).toMatchObject({ group_id: group.id });
    }
  });
});

onEachServer({ config: { 'limits.session_channels': 2 } }, (realm) => {
  test('a channel that a member was taken off does not count any more', async () => {
    const [a, b] = [new Member(realm, await realm.client()), new Member(realm, await realm.client())];
    const group = await a.create();
    await b.join(group);
    await b.enter(group);
    await joinRoom(b.socket, newName());
    const refused = { message: 'Too many channels, at most 2 per socket.' };
    expect(await errorOf(b.socket, { channel_join: { target: newName(), type: 1 } })).toEqual(refused);
    await a.kick(group, b);
    await b.socket.takePayload('channel_message');
    await joinRoom(b.socket, newName());
    expect(await errorOf(b.socket, { channel_join: { target: newName(), type: 1 } })).toEqual(refused);
  });
});
