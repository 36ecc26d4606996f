import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createTestSchema, type TestSchema } from '../../testing/database.ts';
import { type Player, request, signIn } from '../../testing/http.ts';
import { startTestNode, type TestNode } from '../../testing/node.ts';
import { startProcessNode } from '../../testing/process-node.ts';
import { Random } from '../../testing/random.ts';
import { RedisProxy, redisAvailable, startTestRedis, type TestRedis } from '../../testing/redis.ts';
import { type Envelope, formats, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

// F16: one order of a channel for every listener on every node and for history, also with writers on several nodes.

type Place = Pick<TestNode, 'url' | 'port'>;

/** A player in a room, on one of the nodes. */
class Member {
  readonly node: Place;
  readonly player: Player;
  readonly socket: TestSocket;
  readonly channelId: string;
  /** Ids of the messages that were acknowledged, in that order. */
  readonly acknowledged: string[] = [];
  #asked = 0;

  private constructor(node: Place, player: Player, socket: TestSocket, channelId: string) {
    this.node = node;
    this.player = player;
    this.socket = socket;
    this.channelId = channelId;
  }

  static async enter({ url, port }: Place, room: string, format = formats[0]): Promise<Member> {
    const node = { url, port };
    const player = await signIn(node);
    const socket = await TestSocket.connect(node, player.token, format === undefined ? {} : { format });
    const { channel, error } = await socket.request({ channel_join: { target: room, type: 1 } });
    if (error) throw new Error(`could not join: ${error.message}`);
    return new Member(node, player, socket, channel.id);
  }

  /** Everything heard so far. */
  get heard(): Envelope[] {
    return this.socket.received.flatMap(({ channel_message: message }) => (message === undefined ? [] : [message]));
  }

  /** Messages heard, by id, without changes and removals. */
  get messages(): string[] {
    return this.heard.filter(({ code }) => code === 0).map(({ message_id }) => message_id);
  }

  /** Says something and waits for the answer, by which the message itself must have come. */
  async say(n: number): Promise<void> {
    const content = JSON.stringify({ by: this.player.id, n });
    const { channel_message_ack: ack } = await this.#ask({
      channel_message_send: { channel_id: this.channelId, content },
    });
    this.acknowledged.push(ack.message_id);
    expect(this.messages).toContain(ack.message_id);
  }

  async change(message_id: string, content: string): Promise<void> {
    await this.#ask({ channel_message_update: { channel_id: this.channelId, message_id, content } });
  }

  async remove(message_id: string): Promise<void> {
    await this.#ask({ channel_message_remove: { channel_id: this.channelId, message_id } });
  }

  async #ask(payload: object): Promise<Envelope> {
    const cid = `ask ${++this.#asked}`;
    this.socket.send({ cid, ...payload });
    const answer = await this.socket.take(`the answer to ${cid}`, (envelope) => envelope.cid === cid, 20_000);
    if (answer.error) throw new Error(`refused: ${JSON.stringify(payload)}: ${answer.error.message}`);
    return answer;
  }

  /** A page of what is stored. */
  async page(cursor: string, limit = 100): Promise<Envelope> {
    const query = new URLSearchParams({ limit: String(limit), forward: 'true', ...(cursor === '' ? {} : { cursor }) });
    const path = `/v2/channel/${encodeURIComponent(this.channelId)}?${query}`;
    const { status, body } = await request(this.node, 'GET', path, { authorization: this.player.authorization });
    expect(status).toBe(200);
    return body;
  }

  /** Everything stored. */
  async history(): Promise<Envelope[]> {
    const stored: Envelope[] = [];
    for (let cursor = ''; ; ) {
      const { messages = [], next_cursor: next } = await this.page(cursor);
      stored.push(...messages);
      if (next === undefined) return stored;
      cursor = next;
    }
  }
}

const idsOf = (messages: Envelope[]): string[] => messages.map(({ message_id }) => message_id);
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** That what a writer said is in the order in which it said it. */
function expectWritersInOrder(messages: Envelope[]): void {
  const last = new Map<string, number>();
  for (const { by, n } of messages.map(({ content }) => JSON.parse(content))) {
    expect(n).toBe((last.get(by) ?? -1) + 1);
    last.set(by, n);
  }
}

describe.skipIf(!redisAvailable)('chat of two nodes', () => {
  let schema: TestSchema;
  let redis: TestRedis;
  let proxy: RedisProxy;
  let nodes: [TestNode, TestNode];
  let rooms = 0;
  const members: Member[] = [];

  beforeAll(async () => {
    [schema, redis] = await Promise.all([createTestSchema(), startTestRedis()]);
    proxy = await new RedisProxy(redis.port).listen();
    const start = (name: string, url: string): Promise<TestNode> =>
      startTestNode({ databaseUrl: schema.url, config: { name, 'redis.url': url } });
    nodes = [await start('one', redis.url), await start('two', proxy.url)];
  });

  afterEach(async () => {
    for (const { socket } of members.splice(0)) socket.ws.terminate();
    await waitFor('the sockets to be gone', () => nodes.every(({ app }) => app.openSockets === 0));
  });

  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all([schema.drop(), proxy.close()]);
    await redis.stop();
  });

  /** That many members of one new room, on both nodes in turn and in both formats. */
  async function enter(count: number): Promise<Member[]> {
    const room = `order-${++rooms}`;
    const all = await Promise.all(
      numbers(count).map((n) => Member.enter(nodes[n % 2] as TestNode, room, formats[(n >> 1) % 2])),
    );
    members.push(...all);
    return all;
  }

  async function expectSameAsHistory(all: Member[], count: number, deadlineMs?: number): Promise<void> {
    await waitFor(
      'everybody to hear everything',
      () => all.every(({ messages }) => messages.length >= count),
      deadlineMs,
    );
    const stored = await (all[0] as Member).history();
    expect(stored).toHaveLength(count);
    for (const { messages } of all) expect(messages).toEqual(idsOf(stored));
    expectWritersInOrder(stored);
    for (const { acknowledged } of all) expect(idsOf(stored)).toEqual(expect.arrayContaining(acknowledged));
  }

  it('F16: everybody, and history, has one order of what many write on both', async () => {
    const [channels, writers, each] = [4, 4, 100];
    await Promise.all(
      numbers(channels).map(async () => {
        const all = await enter(writers + 2);
        const writing = all.slice(0, writers).map(async (writer) => {
          for (let n = 0; n < each; n++) await writer.say(n);
        });
        await Promise.all(writing);
        await expectSameAsHistory(all, writers * each);
        const [first, ...others] = all.map(({ heard }) => heard);
        for (const other of others) expect(other).toEqual(first);
      }),
    );
  });

  it('F16: changes and removals have their places in it', async () => {
    const random = new Random(16);
    const all = await enter(6);
    await Promise.all(
      all.slice(0, 4).map(async (writer) => {
        for (let n = 0; n < 60; n++) {
          await writer.say(n);
          const own = writer.acknowledged;
          if (random.chance(0.3)) await writer.change(random.pick(own), JSON.stringify({ changed: n }));
          if (random.chance(0.15)) await writer.remove(own.splice(random.below(own.length), 1)[0] ?? '');
        }
      }),
    );
    const count = Math.max(...all.map(({ heard }) => heard.length));
    await waitFor('everybody to hear everything', () => all.every(({ heard }) => heard.length >= count));
    const events = (all[0] as Member).heard;
    for (const { heard } of all) expect(heard).toEqual(events);

    // What they were told, one after the other, makes the history.
    const told = new Map<string, unknown>();
    for (const { message_id, code, content } of events) {
      if (code === 1) expect(told.has(message_id)).toBe(true);
      if (code === 2) expect(told.delete(message_id)).toBe(true);
      else told.set(message_id, JSON.parse(content));
    }
    const stored = await (all[1] as Member).history();
    expect(stored.map(({ message_id, content }) => [message_id, JSON.parse(content)])).toEqual([...told]);
  });

  it('F16: the cacheable cursor misses nothing while both write', async () => {
    const [each, writers] = [150, 4];
    const all = await enter(writers);
    let isOver = false;
    // Two readers on each node.
    const reading = all.map(async (reader) => {
      const read: string[] = [];
      for (let cursor = ''; ; ) {
        const isLast = isOver;
        const { messages = [], cacheable_cursor: next = '' } = await reader.page(cursor, 50);
        read.push(...idsOf(messages));
        cursor = next;
        if (isLast && messages.length === 0) return read;
      }
    });
    await Promise.all(
      all.map(async (writer) => {
        for (let n = 0; n < each; n++) await writer.say(n);
      }),
    );
    isOver = true;
    const stored = idsOf(await (all[0] as Member).history());
    expect(stored).toHaveLength(each * writers);
    for (const read of await Promise.all(reading)) expect(read).toEqual(stored);
  });

  it('F16, F5: with Redis killed and restarted meanwhile, everything is acknowledged and heard by all', async () => {
    const all = (await Promise.all([enter(6), enter(6)])) as [Member[], Member[]];
    const each = 40;
    const writers = all.flatMap((room) => room.slice(0, 4));
    const writing = writers.map(async (writer) => {
      for (let n = 0; n < each; n++) await writer.say(n);
    });
    await waitFor('some of each', () => writers.every(({ acknowledged }) => acknowledged.length >= 10), 30_000);
    await redis.kill9();
    // They go on without Redis, if slowly.
    const before = writers.map(({ acknowledged }) => acknowledged.length);
    const more = (): boolean => writers.every(({ acknowledged }, w) => acknowledged.length >= (before[w] ?? 0) + 2);
    await waitFor('two more of each', more, 30_000);
    await redis.restart();
    await Promise.all(writing);
    for (const room of all) await expectSameAsHistory(room, 4 * each, 20_000);
  });

  it('F16, F1: with a node killed while it writes, the others miss nothing of what it stored', async () => {
    const mortal = await startProcessNode({ name: 'mortal', 'database.url': schema.url, 'redis.url': redis.url });
    const survivors = await enter(3);
    const room = survivors[0]?.channelId.slice('2...'.length) ?? '';
    const doomed = await Promise.all(numbers(4).map(() => Member.enter(mortal, room)));
    const dying = doomed.map(async (writer) => {
      for (let n = 0; ; n++) await writer.say(n);
    });
    let isDead = false;
    const living = survivors.map(async (writer) => {
      let n = 0;
      for (let more = 5; more > 0; n++) {
        await writer.say(n);
        if (isDead) more--;
      }
    });
    await waitFor('some of each', () => doomed.every(({ acknowledged }) => acknowledged.length >= 15), 30_000);
    process.kill(mortal.pid, 'SIGKILL');
    await Promise.allSettled(dying);
    isDead = true;
    await Promise.all(living);
    await mortal.stop();
    const stored = idsOf(await (survivors[0] as Member).history());
    for (const { acknowledged } of doomed) expect(stored).toEqual(expect.arrayContaining(acknowledged));
    await expectSameAsHistory(survivors, stored.length);
  });

  it('F16, F7: a node that alone is cut off from Redis hears the other, and is heard, once it is back', async () => {
    const [inOne, inTwo, inBoth] = (await Promise.all([enter(2), enter(2), enter(2)])) as [
      Member[],
      Member[],
      Member[],
    ];
    for (const member of [...inOne, ...inTwo, ...inBoth]) await member.say(0);
    const [one, two] = [inOne[0] as Member, inTwo[1] as Member];
    const [here, there] = inBoth as [Member, Member];
    proxy.cut();
    const twice = async (member: Member): Promise<void> => {
      for (const n of [1, 2]) await member.say(n);
    };
    const inTurn = async (): Promise<void> => {
      await there.say(1);
      await here.say(1);
      await there.say(2);
    };
    await Promise.all([twice(one), twice(two), inTurn()]);
    // In each room somebody was not told; but whoever speaks comes upon what was missed.
    expect([inOne, inTwo].map((room) => room.map(({ messages }) => messages.length))).toEqual([
      [4, 2],
      [2, 4],
    ]);
    expect([here, there].map(({ messages }) => messages.length)).toEqual([4, 5]);
    proxy.heal();
    // Nothing more is said.
    for (const [room, count] of [[inOne, 4] as const, [inTwo, 4] as const, [inBoth, 5] as const]) {
      await expectSameAsHistory(room, count, 20_000);
    }
    await here.say(2);
    await there.say(3);
    await expectSameAsHistory([here, there], 7);
  });
});
