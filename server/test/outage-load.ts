import { type Player, request } from '../testing/http.ts';
import type { TestNode } from '../testing/node.ts';
import { type Format, TestSocket } from '../testing/socket.ts';
import { sleep } from '../testing/wait.ts';

/** One operation of the load and what became of it. */
export interface Attempt {
  readonly kind: string;
  /** Of the object that was written. */
  readonly key?: string;
  /** By `performance.now()`. */
  readonly sentAt: number;
  readonly ms: number;
  /** RPC code, 0 for success. */
  readonly code: number;
  /** HTTP status. */
  readonly status?: number;
  /** What a call's result says of sending it again: 0 no, 1 safe, 2 unknown. */
  readonly retry?: number;
}

type Outcome = Omit<Attempt, 'kind' | 'sentAt' | 'ms'>;

/** Between two operations of one client. */
const pauseMs = 5;
const rareMs = 50;

/** Clients that write, read, ping and chat, all the time, and remember everything. */
export class Load {
  /** What was said and heard in the chat that is not stored. */
  readonly said: number[] = [];
  readonly heard: number[] = [];
  /** Ids of messages in the chat that is stored: acknowledged to the sender, and seen by a listener. */
  readonly acked: string[] = [];
  readonly seen: string[] = [];
  storedChannelId = '';
  readonly #node: TestNode;
  readonly #player: Player;
  readonly #history: Attempt[] = [];
  readonly #sockets: TestSocket[] = [];
  readonly #loops: Promise<void>[] = [];
  #keys = 0;
  #isStopping = false;

  private constructor(node: TestNode, player: Player) {
    this.#node = node;
    this.#player = player;
  }

  static async start(node: TestNode, player: Player): Promise<Load> {
    const load = new Load(node, player);
    const [json, protobuf, batches, chat, listener, storedChat] = [
      await load.#connect('json'),
      await load.#connect('json'),
      await load.#connect('protobuf'),
      await load.#connect('json'),
      await load.#connect('json'),
      await load.#connect('protobuf'),
    ];
    const room = { channel_join: { target: 'load', type: 1, persistence: false } };
    await listener.request(room);
    const channelId = (await chat.request(room)).channel.id;
    const storedRoom = { channel_join: { target: 'stored', type: 1, persistence: true } };
    load.storedChannelId = (await storedChat.request(storedRoom)).channel.id;

    load.#repeat('REST write', pauseMs, () => load.#restWrite());
    load.#repeat('REST account', pauseMs, () => load.#restAccount());
    load.#repeat('call write json', pauseMs, () => load.#callWrite(json, 1));
    load.#repeat('call write protobuf', pauseMs, () => load.#callWrite(protobuf, 1));
    load.#repeat('call batch', pauseMs, () => load.#callWrite(batches, 3));
    load.#repeat('chat', rareMs, () => load.#say(chat, listener, channelId));
    load.#repeat('stored chat', pauseMs, () => load.#sayStored(storedChat));
    load.#repeat('ping', rareMs, async () => {
      await chat.settle();
      return { code: 0 };
    });
    return load;
  }

  get databaseKinds(): readonly string[] {
    return ['REST write', 'REST account', 'call write json', 'call write protobuf', 'call batch', 'stored chat'];
  }

  get closedSockets(): number {
    return this.#sockets.filter((socket) => socket.closed !== undefined).length;
  }

  /** Operations on the database that are over. */
  count(outcome: 'ok' | 'failed'): number {
    return this.#history.filter(
      ({ kind, code }) => this.databaseKinds.includes(kind) && (code === 0) === (outcome === 'ok'),
    ).length;
  }

  /** Waits for what is in flight, and answers all that happened, in the order of its ending. Rejects if a client did. */
  async stop(): Promise<readonly Attempt[]> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    return this.#history;
  }

  async close(): Promise<void> {
    this.#isStopping = true;
    await Promise.allSettled(this.#loops);
    await Promise.allSettled(this.#sockets.map((socket) => socket.closed ?? socket.close()));
  }

  async #connect(format: Format): Promise<TestSocket> {
    const socket = await TestSocket.connect(this.#node, this.#player.token, { format });
    this.#sockets.push(socket);
    return socket;
  }

  #repeat(kind: string, everyMs: number, operation: () => Promise<Outcome>): void {
    const loop = async (): Promise<void> => {
      while (!this.#isStopping) {
        const sentAt = performance.now();
        const outcome = await operation();
        this.#history.push({ kind, sentAt, ms: performance.now() - sentAt, ...outcome });
        await sleep(everyMs);
      }
    };
    const running = loop();
    // The failure is for `stop` to tell; until then nobody listens.
    running.catch(() => undefined);
    this.#loops.push(running);
  }

  #object(): { collection: string; key: string; value: string; version: string } {
    const key = `k${++this.#keys}`;
    return { collection: 'load', key, value: `{"key":"${key}"}`, version: '*' };
  }

  async #restWrite(): Promise<Outcome> {
    const object = this.#object();
    const { authorization } = this.#player;
    const reply = await request(this.#node, 'PUT', '/v2/storage', { authorization, body: { objects: [object] } });
    return { key: object.key, ...ofReply(reply) };
  }

  async #restAccount(): Promise<Outcome> {
    const { authorization } = this.#player;
    return ofReply(await request(this.#node, 'GET', '/v2/account', { authorization }));
  }

  /** Several objects go in one transaction; the first one speaks for all. */
  async #callWrite(socket: TestSocket, count: number): Promise<Outcome> {
    const objects = Array.from({ length: count }, () => this.#object());
    const answer = await socket.request({ call: { method: 'WriteStorageObjects', request: { objects } } });
    const { code = 0, retry = 0 } = answer.call_result;
    return { key: objects[0]?.key ?? '', code, retry };
  }

  async #say(chat: TestSocket, listener: TestSocket, channelId: string): Promise<Outcome> {
    const number = this.said.length;
    this.said.push(number);
    const answer = await chat.request({
      channel_message_send: { channel_id: channelId, content: JSON.stringify({ number }) },
    });
    const { content } = await listener.takePayload('channel_message');
    this.heard.push(JSON.parse(content).number);
    await chat.takePayload('channel_message');
    return { code: answer.channel_message_ack === undefined ? 13 : 0 };
  }

  async #sayStored(chat: TestSocket): Promise<Outcome> {
    const send = { channel_message_send: { channel_id: this.storedChannelId, content: '{}' } };
    const { channel_message_ack: ack, error } = await chat.request(send);
    if (ack !== undefined) this.acked.push(ack.message_id);
    await chat.settle();
    for (const { channel_message: message } of chat.received.splice(0)) {
      if (message !== undefined) this.seen.push(message.message_id);
    }
    return { code: ack !== undefined ? 0 : error.message === unavailableText ? 14 : 13 };
  }
}

/** The realtime error has a code of its own, so the text tells. */
const unavailableText = 'Database unavailable.';

const ofReply = ({ status, body }: { status: number; body: { code?: number } }): Outcome => ({
  code: status === 200 ? 0 : (body.code ?? -1),
  ...(status === 200 ? {} : { status }),
});
