import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { claimsOf, type Player, signIn } from '../../testing/http.ts';
import type { TestNodeOptions } from '../../testing/node.ts';
import { serverKinds, startTestServer, type TestServer, type TestServerOptions } from '../../testing/server.ts';
import { type ConnectOptions, type Envelope, type Format, TestSocket } from '../../testing/socket.ts';
import { waitFor } from '../../testing/wait.ts';

/** A player with a socket. */
export interface Client {
  readonly player: Player;
  readonly socket: TestSocket;
}

/** One server, and the sockets that the running test opened on it. */
export class Realm {
  readonly #options: TestServerOptions;
  readonly #sockets: TestSocket[] = [];
  #server: TestServer | undefined;

  constructor(options: TestServerOptions) {
    this.#options = options;
  }

  get server(): TestServer {
    if (this.#server === undefined) throw new Error('the server runs only while tests do');
    return this.#server;
  }

  async start(): Promise<void> {
    this.#server = await startTestServer(this.#options);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** Closes what the test left open, and waits until the server has noticed. */
  async closeSockets(): Promise<void> {
    for (const socket of this.#sockets.splice(0)) socket.ws.terminate();
    await waitFor('all sockets to be gone', () => this.server.openSockets === 0);
  }

  player(): Promise<Player> {
    return signIn(this.server);
  }

  async connect({ token }: { token: string }, options: ConnectOptions = {}): Promise<TestSocket> {
    const socket = await TestSocket.connect(this.server, token, options);
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

/**
 * Runs the suite on a server of every kind of the topology, one for the whole file. It must log no unexpected errors.
 */
export function onEachServer(options: RealmOptions, suite: (realm: Realm) => void): void {
  describe.each(serverKinds)('on %s', (kind) => {
    const realm = new Realm({ ...options, kind });
    beforeAll(() => realm.start());
    afterEach(() => realm.closeSockets());
    afterAll(async () => {
      await realm.stop();
      expect(realm.server.errors.filter((line) => !options.expectedErrors?.test(line))).toEqual([]);
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
