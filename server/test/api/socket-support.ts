import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { claimsOf, type Player, signIn } from '../../testing/http.ts';
import { listenerKinds, startTestNode, type TestNode, type TestNodeOptions } from '../../testing/node.ts';
import { type ConnectOptions, type Envelope, type Format, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

/** A player with a socket. */
export interface Client {
  readonly player: Player;
  readonly socket: TestSocket;
}

/** One node, and the sockets that the running test opened on it. */
export class Realm {
  readonly #options: TestNodeOptions;
  readonly #sockets: TestSocket[] = [];
  #node: TestNode | undefined;

  constructor(options: TestNodeOptions) {
    this.#options = options;
  }

  get node(): TestNode {
    if (this.#node === undefined) throw new Error('the node runs only while tests do');
    return this.#node;
  }

  async start(): Promise<void> {
    this.#node = await startTestNode(this.#options);
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
  }

  /** Closes what the test left open, and waits until the server has noticed. */
  async closeSockets(): Promise<void> {
    for (const socket of this.#sockets.splice(0)) socket.ws.terminate();
    await waitFor('all sockets to be gone', () => this.node.app.openSockets === 0);
  }

  player(): Promise<Player> {
    return signIn(this.node);
  }

  async connect({ token }: { token: string }, options: ConnectOptions = {}): Promise<TestSocket> {
    const socket = await TestSocket.connect(this.node, token, options);
    this.#sockets.push(socket);
    return socket;
  }

  /** A new player with a socket. */
  async client(options: ConnectOptions = {}): Promise<Client> {
    const player = await this.player();
    return { player, socket: await this.connect(player, options) };
  }

  async clients(count: number, options: (index: number) => ConnectOptions = () => ({})): Promise<Client[]> {
    return Promise.all(Array.from({ length: count }, (_, index) => this.client(options(index))));
  }
}

export interface RealmOptions extends TestNodeOptions {
  /** Error lines that the tests provoke. */
  readonly expectedErrors?: RegExp;
}

/** Runs the suite on both listeners, each with one node for the whole file. The node must log no unexpected errors. */
export function onEachListener(options: RealmOptions, suite: (realm: Realm) => void): void {
  describe.each(listenerKinds)('%s listener', (listener) => {
    const realm = new Realm({ ...options, config: { 'socket.listener': listener, ...options.config } });
    beforeAll(() => realm.start());
    afterEach(() => realm.closeSockets());
    afterAll(async () => {
      await realm.stop();
      expect(realm.node.errors.filter((line) => !options.expectedErrors?.test(line))).toEqual([]);
    });
    suite(realm);
  });
}

export const otherFormat = (format: Format): Format => (format === 'json' ? 'protobuf' : 'json');

let names = 0;
/** A room, or anything else, that no other test uses. */
export const newName = (): string => `room-${process.pid}-${++names}`;

/** Waits for the second after the token's: revoking "all issued before now" spares those of the same second. */
export async function outliveIssueSecond(player: Player): Promise<void> {
  const { iat } = claimsOf(player.token);
  await waitFor('the next second', () => Math.floor(Date.now() / 1000) > iat);
}

/** Waits for the next event of that kind that names this session among its joins or leaves, and answers the event. */
export function takePresenceEvent(
  socket: TestSocket,
  name: 'channel_presence_event' | 'status_presence_event',
  kind: 'joins' | 'leaves',
  sessionId: string,
): Promise<Envelope> {
  const matches = (envelope: Envelope): boolean =>
    (envelope[name]?.[kind] ?? []).some((presence: Envelope) => presence.session_id === sessionId);
  return socket.take(`a ${name} with ${kind} of ${sessionId}`, matches).then((envelope) => envelope[name]);
}

/** The payloads of that name that arrived and were not taken, once everything sent before has arrived. */
export async function settled(socket: TestSocket, name: string): Promise<Envelope[]> {
  await socket.settle();
  return socket.received.filter((envelope) => name in envelope).map((envelope) => envelope[name]);
}
